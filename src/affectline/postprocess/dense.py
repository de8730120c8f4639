"""Scores for every frame of a video, where every frame needs one: evaluation and submissions on Aff-Wild2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError


def fill_frames(frames: NDArray[np.integer], values: NDArray[np.floating], frame_count: int) -> NDArray[np.float64]:
    """Return a value for each of the frames 0 to `frame_count` - 1, shape (frame_count, K), float64.

    Between two observed frames values lie on a straight line; the first is copied to the frames before it, the last to
    those after it. The timeline of `analyze` fills short gaps only and marks them; here the rules ask for every frame.

    Args:
        frames: shape (n,), n >= 1, increasing, below `frame_count`.
        values: shape (n, K), of those frames.
        frame_count: number of frames of the video.

    Raises:
        ShapeError: the arrays are not as said.
    """
    check_frames(frames, values, frame_count)
    if len(frames) == frame_count:
        return np.asarray(values, np.float64)
    every = np.arange(frame_count)
    after = np.clip(np.searchsorted(frames, every, side="right"), 1, max(len(frames) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(frames) - 1)
    length = np.maximum(frames[after] - frames[before], 1)
    share = np.clip((every - frames[before]) / length, 0.0, 1.0)[:, None]
    return values[before] * (1.0 - share) + values[after] * share


def check_frames(frames: NDArray[np.integer], values: NDArray[np.floating], frame_count: int) -> None:
    """Raise ShapeError unless the arguments are as `fill_frames` says."""
    if frames.ndim != 1 or values.ndim != 2 or len(frames) != len(values) or not len(frames):  # noqa: PLR2004
        raise ShapeError(f"filling needs n >= 1 frames with values (n, K), got {frames.shape} and {values.shape}")
    if frames[0] < 0 or frames[-1] >= frame_count or (np.diff(frames) <= 0).any():
        raise ShapeError(
            f"frames must increase and lie in 0 to {frame_count - 1}, got {frames[0]} to {frames[-1]} in "
            f"{len(frames)} rows"
        )
