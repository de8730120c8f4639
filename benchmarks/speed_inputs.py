"""The clips and networks that `speed.py` gives to its programs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from affectline.assets import fetch
from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.training.quantise import quantise_backbone
from backends import demo_crops
from media import DEMO_CLIP_S, mosaic, repeat, scaled
from random_b0 import write_random_b0


@dataclass(frozen=True)
class Video:
    """A clip of the benchmark: what it is called, and how many faces are in each frame."""

    title: str
    faces: int


VIDEOS: Final[Mapping[str, Video]] = MappingProxyType(
    {
        "demo": Video("One face, 640x360", 1),
        "four": Video("Four faces, 1280x720", 4),
        "720p": Video("One face, 1280x720", 1),
    }
)
"""By the name that `--videos` takes."""


def make_clips(folder: Path, name: str, times: int) -> tuple[Path, Path]:
    """Write a clip of `VIDEOS`, and the same played several times; return both."""
    demo, short = fetch("demo_clip"), folder / f"{name}.mp4"
    if name == "demo":
        short = demo
    elif name == "four":
        mosaic(demo, short)
    else:
        scaled(demo, (1280, 720), DEMO_CLIP_S, short)
    return short, repeat(short, times, folder / f"{name}-{times}.mp4")


def make_files(folder: Path) -> dict[str, Path]:
    """Write the networks, and return each by the name that options of `speed_programs` know it by.

    The 8-bit form of the default backbone is scaled by faces of the demo clip: that does for speed, not for scores.
    """
    lite0 = Path(shutil.copy(fetch(DEFAULT_BACKBONE), folder / "default.onnx"))
    return {
        "b0": write_random_b0(folder / "enet_b0_8_best_vgaf.onnx"),
        "lite0": lite0,
        "lite0_int8": quantise_backbone(lite0, demo_crops(load_backbone(lite0))),
        "landmarker": fetch("face_landmarker"),
    }
