"""Offsets for the classes' log probabilities that raise macro F1: a rare class is named too seldom by an argmax."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.metrics.counts import confusion, f1_of_counts

MAX_OFFSET: Final = 4.0
"""The largest offset: a factor of 55 between the odds of two classes. What asks for more is noise."""

_MAX_ROUNDS: Final = 10
_MIN_GAIN: Final = 1e-6


def best_adjustment(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return what to add to each class's log probability for the best macro F1 of the argmax, shape (K,), mean 0.

    Coordinate ascent: for one class after the other, with the other offsets fixed, every offset that changes a decision
    is tried (exactly, by sorting). It ends in a local optimum, never below what offsets of 0 give. Generalised logit
    adjustment in the words of the ABAW-10 papers; see also Menon et al. (2021), Long-tail learning via logit
    adjustment.

    Args:
        probabilities: shape (n, K), n >= 1, K >= 2, in [0, 1].
        truth: shape (n,), the right class, 0 to K - 1.

    Raises:
        ShapeError: the arrays are not as said.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(truth):  # noqa: PLR2004 - frame, class
        raise ShapeError(
            f"an adjustment needs (n, K) probabilities and n labels, got {probabilities.shape}, {truth.shape}"
        )
    if not np.isfinite(probabilities).all():
        raise ShapeError("an adjustment needs finite probabilities; there are NaN or infinite ones")
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
    n_classes = logs.shape[1]
    offsets = np.zeros(n_classes)
    score = macro_f1(np.argmax(logs, axis=1), truth, n_classes)
    for _ in range(_MAX_ROUNDS):
        before = score
        for number in range(n_classes):
            offset = _best_offset(logs + offsets, truth, number)
            tried = offsets.copy()
            tried[number] = np.clip(offsets[number] + offset, -MAX_OFFSET, MAX_OFFSET)
            value = macro_f1(np.argmax(logs + tried, axis=1), truth, n_classes)
            if value > score + _MIN_GAIN:
                offsets, score = tried, value
        if score - before < _MIN_GAIN:
            break
    return np.asarray(offsets - offsets.mean())


def macro_f1(predicted: NDArray[np.integer], truth: NDArray[np.integer], n_classes: int) -> float:
    """Return the mean F1 over all classes, 0 for one that is neither true nor predicted."""
    table = confusion(np.asarray(truth), predicted, n_classes)
    return float(f1_of_counts(np.diag(table), table.sum(axis=0), table.sum(axis=1)).mean())


def _best_offset(logs: NDArray[np.float64], truth: NDArray[np.integer], number: int) -> float:
    """Return what to add to one column of `logs` for the best macro F1."""
    n, n_classes = logs.shape
    others = logs.copy()
    others[:, number] = -np.inf
    rival = np.argmax(others, axis=1)
    # A frame goes to this class once the offset exceeds its deficit.
    deficit = others[np.arange(n), rival] - logs[:, number]
    order = np.argsort(deficit, kind="stable")
    rank, rival, actual = deficit[order], rival[order], np.asarray(truth)[order]
    total = np.bincount(actual, minlength=n_classes).astype(np.float64)
    sum_f1 = np.zeros(n + 1)
    for label in range(n_classes):
        if label == number:
            hits = _counted(actual == label)
            predicted = np.arange(n + 1, dtype=np.float64)
        else:
            is_rival = rival == label
            hits = _left(is_rival & (actual == label))
            predicted = _left(is_rival)
        sum_f1 += f1_of_counts(hits, predicted, total[label])
    # Frames with one deficit move together.
    sum_f1[1:-1][rank[1:] <= rank[:-1]] = -1.0
    best = int(np.argmax(sum_f1))
    low = rank[best - 1] if best else rank[0] - 2.0
    high = rank[best] if best < n else rank[-1] + 2.0
    return float((low + high) / 2)


def _counted(flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(flags)])


def _left(flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = _counted(flags)
    return np.asarray(counts[-1] - counts)
