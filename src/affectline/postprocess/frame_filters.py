"""Filters over consecutive frames, for dense scores: a window of 2k + 1 frames, as the paper counts it.

`postprocess.smoothing` has the same filters over time, for videos with gaps and of variable rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from affectline.errors import InputError
from affectline.postprocess.smoothing import SmoothingMode, gaussian_weight


def smooth_frames(values: NDArray[np.floating], radius: int, mode: SmoothingMode = "centred") -> NDArray[np.float64]:
    """Return the filtered values, shape (n, K), float64.

    Args:
        values: shape (n, K), one row for each frame.
        radius: k. `centred`: the mean of 2k + 1 frames. `gaussian`: the same frames, weighted by a Gaussian with a
            standard deviation of k / 2. `causal`: the mean of the frame and the k before it. Windows shrink at the
            ends. 0 leaves the values as they are.
        mode: which filter.

    Raises:
        InputError: the radius is negative.
    """
    if radius < 0:
        raise InputError(f"the radius of a filter must be 0 frames or more, got {radius}")
    known = np.asarray(values, np.float64)
    if radius == 0 or not len(known):
        return known
    if mode == "gaussian":
        weights = gaussian_weight(np.arange(-radius, radius + 1), radius)
        sums = np.asarray(correlate1d(known, weights, axis=0, mode="constant"))
        return np.asarray(sums / correlate1d(np.ones(len(known)), weights, mode="constant")[:, None])
    first, end = window(np.arange(len(known)), radius, mode, 0, len(known))
    cumulated = running_sums(known)
    return np.asarray((cumulated[end] - cumulated[first]) / (end - first)[:, None])


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, ..., n rows, shape (n + 1, K)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def window(
    frames: NDArray[np.integer],
    radius: int,
    mode: SmoothingMode,
    start: NDArray[np.integer] | int,
    stop: NDArray[np.integer] | int,
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the first frame and the frame behind the last one of each frame's window.

    Args:
        frames: shape (n,).
        radius: k.
        mode: `centred` or `causal`.
        start: the video's first frame.
        stop: the frame behind its last.
    """
    ahead = 0 if mode == "causal" else radius
    return np.maximum(frames - radius, start), np.minimum(frames + ahead + 1, stop)
