"""What the notebook behind the paper did, where affectline does otherwise. For comparison with its numbers only.

1. Gaps are filled with the weights of the two neighbours exchanged (`fill_gaps_reversed`).
2. Valence, arousal and action units are smoothed over the labelled frames that have a crop, one after the other, as if
   no frame were missing between them (`smooth_observed`). Expressions are filled first and smoothed over all frames.
3. Thresholds of action units are chosen from 0.1, 0.2, ..., 0.9, before smoothing (`grid_thresholds`).
4. Scores count labelled frames with a crop only.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.metrics.counts import binary_counts, f1_of_counts
from affectline.postprocess.dense import check_frames
from affectline.postprocess.frame_filters import smooth_frames

THRESHOLD_GRID: Final = tuple(step / 10 for step in range(1, 10))
"""The thresholds that the notebook tried."""


def fill_gaps_reversed(
    frames: NDArray[np.integer], values: NDArray[np.floating], frame_count: int
) -> NDArray[np.float64]:
    """Return a value for each frame as the notebook filled them, shape (frame_count, K), float64.

    The frame d after `prev` in a gap that ends at `next` gets `w * prev + (1 - w) * next` with
    `w = d / (next - prev)`: just behind prev it is nearly next's value, just before next nearly prev's. Frames before
    the first observation copy it, those after the last copy the last. Arguments and errors as `dense.fill_frames`.
    """
    check_frames(frames, values, frame_count)
    every = np.arange(frame_count)
    after = np.searchsorted(frames, every, side="left")
    is_inside = (after > 0) & (after < len(frames))
    after = np.minimum(after, len(frames) - 1)
    before = np.where(is_inside, after - 1, after)
    length = np.maximum(frames[after] - frames[before], 1)
    weight = np.where(is_inside, (every - frames[before]) / length, 0.0)
    # An observed frame is its own `after` and keeps its value.
    weight = np.where(frames[after] == every, 0.0, weight)[:, None]
    return np.asarray(weight * values[before] + (1.0 - weight) * values[after], np.float64)


def smooth_observed(values: NDArray[np.floating], radius: int) -> NDArray[np.float64]:
    """Return the box filter over the labelled frames of a video that have a crop, whatever lies between them.

    Args:
        values: shape (n, K), their scores, in order.
        radius: k.
    """
    return smooth_frames(values, radius)


def grid_thresholds(scores: NDArray[np.floating], truth: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return for each column the first of the thresholds 0.1, ..., 0.9 with the highest F1, shape (K,).

    Args:
        scores: shape (n, K), unsmoothed.
        truth: shape (n, K), 0 or 1.
    """
    f1 = np.array([f1_of_counts(*binary_counts(truth, scores >= threshold)) for threshold in THRESHOLD_GRID])
    return np.asarray(np.array(THRESHOLD_GRID)[np.argmax(f1, axis=0)])
