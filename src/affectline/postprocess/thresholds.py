"""From which score an action unit counts as on: the best threshold for F1, found exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, ShapeError
from affectline.metrics.counts import binary_counts, f1_of_counts

FIXED_THRESHOLD: Final = 0.5
"""What the paper calls "threshold 0.5"."""


def best_threshold(scores: NDArray[np.floating], truth: NDArray[np.generic]) -> tuple[float, float]:
    """Return the threshold with the highest F1 of `score >= threshold`, and that F1.

    Every cut between two different scores is tried, by sorting once: O(n log n). The threshold lies halfway between the
    scores that it parts, or is the lowest score where everything should be on. Among equal F1 the highest threshold is
    taken. Where nothing is true, no threshold helps and `FIXED_THRESHOLD` is returned.

    Args:
        scores: shape (n,), n >= 1, finite.
        truth: shape (n,), 0 or 1.

    Raises:
        ShapeError: the arrays are not as said.
    """
    if scores.ndim != 1 or scores.shape != truth.shape or not len(scores) or not np.isfinite(scores).all():
        raise ShapeError(f"a threshold needs n >= 1 finite scores with labels, got {scores.shape} and {truth.shape}")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(truth[order].astype(np.bool_))
    if not hits[-1]:
        return FIXED_THRESHOLD, 0.0
    is_cut = np.append(ranked[1:] < ranked[:-1], True)
    taken = np.flatnonzero(is_cut) + 1
    f1 = 2.0 * hits[taken - 1] / (taken + hits[-1])
    best = int(np.argmax(f1))
    last = taken[best] - 1
    return _between(ranked[last], ranked[last + 1] if last + 1 < len(ranked) else ranked[last]), float(f1[best])


def _between(high: np.floating, low: np.floating) -> float:
    middle = (float(high) + float(low)) / 2
    # Halfway between two neighbours, rounded to the scores' type, may lie one of them: the upper keeps `>=` right.
    return middle if high.dtype.type(middle) > low or high == low else float(high)


def best_thresholds(scores: NDArray[np.floating], truth: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the best threshold of each column, shape (K,); see `best_threshold`.

    Args:
        scores: shape (n, K).
        truth: shape (n, K), 0 or 1.
    """
    if scores.ndim != 2 or scores.shape != truth.shape:  # noqa: PLR2004 - frame, label
        raise ShapeError(f"scores and labels must have one shape (n, K), got {scores.shape} and {truth.shape}")
    columns = zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(truth.T), strict=True)
    return np.array([best_threshold(score, label)[0] for score, label in columns])


def cross_validated_thresholds(
    scores: NDArray[np.floating],
    truth: NDArray[np.generic],
    groups: Sequence[str] | NDArray[np.generic],
    folds: int = 5,
    seed: int = 0,
) -> tuple[NDArray[np.float64], float]:
    """Return thresholds that were tested on other videos: the mean over the folds, and the mean F1 of held-out frames.

    Args:
        scores: shape (n, K).
        truth: shape (n, K), 0 or 1.
        groups: the video of each frame, n of them; a fold has videos of its own.
        folds: how many; at most the number of videos.
        seed: of the order in which videos are dealt to folds.

    Raises:
        InputError: there is one video only.
        ShapeError: the arrays do not fit each other.
    """
    fold_of = deal_folds(groups, folds, seed)
    is_on = np.zeros(scores.shape, np.bool_)
    found = []
    for fold in range(fold_of.max() + 1):
        is_held_out = fold_of == fold
        found.append(best_thresholds(scores[~is_held_out], truth[~is_held_out]))
        is_on[is_held_out] = scores[is_held_out] >= found[-1]
    return np.mean(found, axis=0), float(f1_of_counts(*binary_counts(truth, is_on)).mean())


def deal_folds(groups: Sequence[str] | NDArray[np.generic], folds: int, seed: int = 0) -> NDArray[np.intp]:
    """Return the fold of each frame, from 0, shape (n,): every group in one fold, folds of nearly equal size.

    Raises:
        InputError: fewer than two groups, or fewer than two folds.
    """
    names, numbers, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(names) < 2 or folds < 2:  # noqa: PLR2004 - one to learn from, one to be tested on
        raise InputError(f"cross-validation needs 2 folds and 2 videos or more, got {folds} and {len(names)}")
    sizes = np.zeros(min(folds, len(names)))
    fold_of_group = np.empty(len(names), np.intp)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    # The longest videos first, each to the smallest fold so far.
    for group in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
        fold_of_group[group] = np.argmin(sizes)
        sizes[fold_of_group[group]] += counts[group]
    return fold_of_group[numbers.reshape(-1)]
