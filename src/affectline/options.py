"""What can be asked of an analysis. Library, command line and service read the same defaults from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from affectline.backbones import DEFAULT_BACKBONE
from affectline.errors import InputError
from affectline.faces.registry import DEFAULT_DETECTOR
from affectline.postprocess.smoothing import Smoothing
from affectline.video import Sampling


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What to look for, with what, and in which frames.

    Attributes:
        backbone: a name of `affectline models list`, or a model file.
        detector: `blazeface`, `libfacedetection` or `yunet`.
        max_faces: follow the N largest faces only; None follows all.
        action_units: run the landmark and blendshape networks.
        sampling: which frames become rows.
        smoothing: radius of the box filter in seconds, for each task.
        sequence_fps: take a folder of images as one video with this rate.
        crops: the pictures are faces already; no face is searched.
        device: `cpu` or `cuda`.
        offline: never use the network; models must be in the cache.
    """

    backbone: str | Path = DEFAULT_BACKBONE
    detector: str = DEFAULT_DETECTOR
    max_faces: int | None = None
    action_units: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    smoothing: Smoothing = field(default_factory=Smoothing)
    sequence_fps: float | None = None
    crops: bool = False
    device: str = "cpu"
    offline: bool = False

    def __post_init__(self) -> None:
        if self.max_faces is not None and self.max_faces < 1:
            raise InputError(f"max_faces must be at least 1, got {self.max_faces}")
