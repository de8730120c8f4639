"""The concordance correlation coefficient, the metric of valence and arousal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectline.errors import ShapeError


def ccc(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return Lin's concordance correlation coefficient, in [-1, 1].

    `2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2)` with variances that divide by n. A constant prediction or truth scores 0.
    Source: Lin (1989), Biometrics 45, 255-268; the ABAW challenges pool the frames of all videos.

    Args:
        truth: shape (n,), n >= 1, finite.
        predicted: shape (n,), finite.

    Raises:
        ShapeError: the arrays are not as said.
    """
    x, y = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ShapeError(f"CCC compares two arrays of n >= 1 numbers, got the shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ShapeError("CCC needs finite numbers; there are NaN or infinite ones in the truth or the prediction")
    mean_x, mean_y = x.mean(), y.mean()
    x, y = x - mean_x, y - mean_y
    n = len(x)
    return ccc_of_moments(x @ x / n, y @ y / n, x @ y / n, mean_x - mean_y)


def ccc_of_moments(
    variance_x: float | np.floating,
    variance_y: float | np.floating,
    covariance: float | np.floating,
    shift: float | np.floating,
) -> float:
    """Return the coefficient from population moments; 0 where one of the two does not vary.

    Args:
        variance_x: of the truth, dividing by n.
        variance_y: of the prediction.
        covariance: of both.
        shift: difference of the means.
    """
    # Equal numbers leave a variance of some 1e-33 behind when their mean is rounded.
    if min(variance_x, variance_y) <= _ROUNDING:
        return 0.0
    return float(2.0 * covariance / (variance_x + variance_y + shift**2))


_ROUNDING = 1e-24


def concordances(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the coefficient of each column, shape (K,), float64.

    Args:
        truth: shape (n, K).
        predicted: shape (n, K).

    Raises:
        ShapeError: as `ccc`.
    """
    if truth.ndim != 2 or truth.shape != predicted.shape:  # noqa: PLR2004 - frame, label
        raise ShapeError(f"truth and prediction must have one shape (n, K), got {truth.shape} and {predicted.shape}")
    return np.array([ccc(x, y) for x, y in zip(truth.T, predicted.T, strict=True)])
