"""Features of ready crops: threads read and prepare pictures while the network runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.backbones import Backbone
from affectline.datasets.layout import frame_of_crop
from affectline.errors import InputFileError
from affectline.images import read_image
from affectline.records import FaceFeatures, FloatArray
from affectline.video import EVERY_FRAME, open_video

BATCH: Final = 64
"""Crops that one task of a thread prepares and the network gets together."""

READ_AHEAD: Final = 4
"""Batches that may be under way: bounds memory at some 200 MB of 224 px pictures."""

DECODERS: Final = 2
"""Threads that read pictures: one alone does not keep up with a small network."""


@dataclass(frozen=True, slots=True, eq=False)
class CropBatch:
    """The features of some crops.

    Attributes:
        frames: shape (n,), int64.
        features: of n faces.
        bad: file names that could not be read.
    """

    frames: NDArray[np.int64]
    features: FaceFeatures
    bad: tuple[str, ...]


def crop_files(folder: Path) -> tuple[list[tuple[int, Path]], list[str]]:
    """Return frame and file of each crop in a folder, in the order of frames, and the names of what is no crop.

    Raises:
        InputFileError: two files are of one frame, or the crops count from 0.
    """
    found: list[tuple[int, Path]] = []
    ignored: list[str] = []
    for path in folder.iterdir():
        frame = frame_of_crop(path.name)
        if frame is not None and path.is_file():
            found.append((frame, path))
        elif path.stem.isdigit() and int(path.stem) == 0:
            raise InputFileError(f"{folder} has the crop {path.name}; crops count from 00001, so shift all by one")
        elif not path.name.startswith("."):
            ignored.append(path.name)
    found.sort()
    for (frame, path), (after, other) in pairwise(found):
        if frame == after:
            raise InputFileError(f"{folder} has two crops of one frame: {path.name} and {other.name}; remove one")
    return found, sorted(ignored)


def crop_features(files: Sequence[tuple[int, Path]], backbone: Backbone) -> Iterator[CropBatch]:
    """Give the features of crops, batch by batch, in order; a damaged file is left out and named."""
    parts = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    with ThreadPoolExecutor(DECODERS) as pool:
        waiting: deque[Future[_Prepared]] = deque()
        for part in parts:
            waiting.append(pool.submit(_prepare, part, backbone))
            if len(waiting) > READ_AHEAD:
                yield _run(waiting.popleft().result(), backbone)
        while waiting:
            yield _run(waiting.popleft().result(), backbone)


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    frames: list[int]
    inputs: list[FloatArray]
    bad: tuple[str, ...]


def _prepare(part: Sequence[tuple[int, Path]], backbone: Backbone) -> _Prepared:
    frames, inputs, bad = [], [], []
    for frame, path in part:
        try:
            inputs.append(backbone.prepare(read_image(path)))
        except InputFileError:
            bad.append(path.name)
        else:
            frames.append(frame)
    return _Prepared(frames, inputs, tuple(bad))


def _run(prepared: _Prepared, backbone: Backbone) -> CropBatch:
    size = backbone.spec.size
    batch = np.stack(prepared.inputs) if prepared.inputs else np.empty((0, 3, size, size), np.float32)
    return CropBatch(np.array(prepared.frames, np.int64), backbone.run(batch), prepared.bad)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTimes:
    """The times of a video's frames.

    Attributes:
        time_s: shape (number of decoded frames,), seconds.
    """

    time_s: NDArray[np.float64]

    def at(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the time of each frame; frames behind the last one go on at the median interval.

        The annotations of Aff-Wild2 often count one frame more than a decoder gives.
        """
        n = len(self.time_s)
        interval_s = float(np.median(np.diff(self.time_s))) if n > 1 else 0.0
        beyond = np.maximum(frames - (n - 1), 0)
        return np.asarray(self.time_s[np.minimum(frames, n - 1)] + beyond * interval_s)


def read_times(video: Path) -> FrameTimes:
    """Return the times of a video's frames, by decoding it.

    Raises:
        VideoError: it cannot be read.
    """
    times = [frame.time_s or 0.0 for frame in open_video(video).frames(EVERY_FRAME)]
    return FrameTimes(np.array(times))
