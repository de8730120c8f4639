"""How the score depends on the radius of the filter: all radii from one running sum (Figures 2 to 5 of the paper)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.labels import Task
from affectline.metrics.concordance import concordances
from affectline.metrics.counts import binary_counts, checked_flags, confusion, f1_of_counts
from affectline.postprocess.frame_filters import running_sums, smooth_frames, window
from affectline.postprocess.smoothing import SmoothingMode

_MAX_THREADS: Final = 4
"""Each holds the smoothed scores of one radius."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseSequence:
    """Unsmoothed scores of every frame of a video, and where they are judged.

    Attributes:
        values: shape (T, K), float64, without gaps.
        frames: shape (m,), the labelled frames, in 0 to T - 1.
        truth: VA and AU: shape (m, K). EXPR: shape (m,).
    """

    values: NDArray[np.float64]
    frames: NDArray[np.int64]
    truth: NDArray[np.generic]


def sweep_radii(
    task: Task,
    sequences: Sequence[DenseSequence],
    radii: Sequence[int],
    thresholds: NDArray[np.float64] | None = None,
    mode: SmoothingMode = "centred",
) -> NDArray[np.float64]:
    """Return the official score for each radius, shape (number of radii,).

    Args:
        task: what the scores are of.
        sequences: at least one.
        radii: in frames.
        thresholds: AU: shape (K,), the same for every radius. Ignored for other tasks.
        mode: which filter.

    Raises:
        ShapeError: no sequences, or AU without thresholds.
    """
    if not sequences or (task is Task.AU and thresholds is None):
        raise ShapeError("a sweep needs at least one sequence and, for action units, thresholds")
    truth = np.concatenate([sequence.truth for sequence in sequences])
    judge = _Judge(task, truth, thresholds)
    if mode == "gaussian":
        return np.array([judge(_filtered(sequences, radius, mode)) for radius in radii])
    lengths = np.array([len(sequence.values) for sequence in sequences])
    starts = np.cumsum(lengths) - lengths
    counts = [len(sequence.frames) for sequence in sequences]
    start, stop = np.repeat(starts, counts), np.repeat(starts + lengths, counts)
    frames = start + np.concatenate([sequence.frames for sequence in sequences])
    # Label by label, not frame by frame: neighbours in time lie side by side, and a pass is three times as fast.
    sums = np.ascontiguousarray(running_sums(np.concatenate([sequence.values for sequence in sequences])).T)

    def judged(radius: int) -> float:
        return judge(_means(sums, *window(frames, radius, mode, start, stop)).T)

    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        return np.array(list(pool.map(judged, radii)))


def _means(sums: NDArray[np.float64], first: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.float64]:
    means = np.take(sums, end, axis=1)
    means -= np.take(sums, first, axis=1)
    means /= end - first
    return means


def _filtered(sequences: Sequence[DenseSequence], radius: int, mode: SmoothingMode) -> NDArray[np.float64]:
    return np.concatenate([smooth_frames(one.values, radius, mode)[one.frames] for one in sequences])


class _Judge:
    """Gives the official score of smoothed values at the labelled frames."""

    def __init__(self, task: Task, truth: NDArray[np.generic], thresholds: NDArray[np.float64] | None) -> None:
        self._task = task
        self._truth = truth if task is not Task.AU else np.asfortranarray(checked_flags("true", truth))
        self._thresholds = thresholds

    def __call__(self, values: NDArray[np.float64]) -> float:
        if self._task is Task.VA:
            return float(concordances(np.asarray(self._truth, np.float64), values).mean())
        if self._task is Task.EXPR:
            codes = np.asarray(self._truth, np.int64)
            table = confusion(codes, np.argmax(values, axis=1), values.shape[1])
            return float(f1_of_counts(np.diag(table), table.sum(axis=0), table.sum(axis=1)).mean())
        thresholds = np.asarray(self._thresholds, np.float64)
        return float(f1_of_counts(*binary_counts(self._truth, values >= thresholds)).mean())
