"""F1 from counts of true positives, predictions and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError


def f1_of_counts(
    hits: NDArray[np.floating], predicted: NDArray[np.floating], actual: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return `2 hits / (predicted + actual)`, the harmonic mean of precision and recall; 0 where both counts are 0.

    Args:
        hits: how often a label was predicted and true.
        predicted: how often it was predicted.
        actual: how often it was true.
    """
    total = np.asarray(predicted, np.float64) + actual
    return np.asarray(np.divide(2.0 * hits, total, out=np.zeros(np.shape(total)), where=total > 0))


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], n_labels: int) -> NDArray[np.float64]:
    """Return how often each class (row) was taken for each class (column), shape (K, K), float64.

    Raises:
        ShapeError: the arrays differ in shape, are empty, or a code is not in 0 to K - 1.
    """
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise ShapeError(f"classes must be two arrays of n >= 1 codes, got {truth.shape} and {predicted.shape}")
    for name, codes in (("true", truth), ("predicted", predicted)):
        if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= n_labels:
            raise ShapeError(
                f"{name} classes must be whole numbers from 0 to {n_labels - 1}, got {codes.dtype} from {codes.min()} "
                f"to {codes.max()}; drop invalid frames first"
            )
    pairs = truth.astype(np.int64) * n_labels + predicted
    return np.bincount(pairs, minlength=n_labels**2).reshape(n_labels, n_labels).astype(np.float64)


def binary_counts(
    truth: NDArray[np.generic], is_on: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return hits, predicted and actual counts of each column, each shape (K,), float64.

    Args:
        truth: shape (n, K), 0 or 1.
        is_on: shape (n, K), bool, or 0 and 1.

    Raises:
        ShapeError: the arrays differ in shape, are empty or hold other numbers.
    """
    if truth.ndim != 2 or truth.shape != is_on.shape or not len(truth):  # noqa: PLR2004 - frame, label
        raise ShapeError(f"action units must be two arrays (n, K) with n >= 1, got {truth.shape} and {is_on.shape}")
    actual, predicted = (checked_flags(name, array) for name, array in (("true", truth), ("predicted", is_on)))
    counts = (np.count_nonzero(flags, axis=0) for flags in (actual & predicted, predicted, actual))
    hits, n_predicted, n_actual = (count.astype(np.float64) for count in counts)
    return hits, n_predicted, n_actual


def checked_flags(name: str, array: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return 0 and 1 as bool; raises ShapeError, naming `name`, if there are other numbers."""
    flags = np.asarray(array, np.bool_)
    if array.dtype != np.bool_ and not (flags == array).all():
        raise ShapeError(
            f"{name} action units must be 0 or 1; other numbers or NaN were found; drop invalid frames first"
        )
    return flags
