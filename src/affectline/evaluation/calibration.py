"""How far probabilities can be believed, and the temperature that makes them so."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from affectline.errors import ShapeError

ECE_BINS: Final = 15
_TEMPERATURES: Final = (0.05, 20.0)


def calibration_error(probabilities: NDArray[np.floating], truth: NDArray[np.integer], bins: int = ECE_BINS) -> float:
    """Return the expected calibration error of the likeliest class (Guo et al. 2017), equal bins over [0, 1].

    Args:
        probabilities: shape (n, K), n >= 1.
        truth: shape (n,).
        bins: how many.
    """
    if not len(truth):
        raise ShapeError("calibration needs at least one image")
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, is_right - confidence, bins)
    return float(np.abs(gaps).sum() / len(truth))


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Return the temperature in 0.05 to 20 at which the labels are likeliest; fit it on held-out data.

    Args:
        logits: shape (n, K).
        truth: shape (n,), positions in the K classes.
    """
    values, rows = logits.astype(np.float64), np.arange(len(truth))

    def badness(log_t: float) -> float:
        return -float(log_softmax(values / np.exp(log_t), axis=1)[rows, truth].mean())

    bounds = (float(np.log(_TEMPERATURES[0])), float(np.log(_TEMPERATURES[1])))
    found = minimize_scalar(badness, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
