"""Clips with real faces, cut and pasted from the demo clip."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from affectline.records import UInt8Array

RATE = Fraction(24)


def write_video(path: Path, pictures: Iterable[UInt8Array], rate: Fraction = RATE) -> Path:
    """Encode RGB pictures of one size as H.264."""
    with av.open(str(path), "w") as output:
        stream = None
        for rgb in pictures:
            if stream is None:
                stream = output.add_stream(
                    "libx264", rate=rate, options={"preset": "ultrafast", "crf": "18", "g": "12"}
                )
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        if stream is not None:
            output.mux(stream.encode(None))
    return path


def scenery(size_wh: tuple[int, int], seed: int = 0) -> UInt8Array:
    """Return a soft random picture of shape (height, width, 3) without any face."""
    width, height = size_wh
    noise = np.random.default_rng(seed).integers(60, 200, (height // 40 + 1, width // 40 + 1, 3), dtype=np.uint8)
    return cv2.resize(noise, size_wh, interpolation=cv2.INTER_CUBIC)
