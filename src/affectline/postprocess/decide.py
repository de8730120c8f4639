"""From smoothed scores to what they say: an expression, and action units that are on or off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.errors import InputError
from affectline.labels import ABAW_ACTION_UNITS, UNCERTAIN, ActionUnit, Expression

UNCERTAIN_MARGIN = 0.10
"""Probabilities of the two likeliest expressions that differ by less are too close to call.

Our choice: of eight classes at chance level each has 0.125, so a lead of 0.10 is most of what a class has by chance.
"""

SCORE_DECIMALS = 5
"""Decimals of scores in the result table. The expression is decided from the rounded probabilities, so that a reader of
the table can repeat it."""

_THRESHOLD_DECIMALS = 12
"""Action units are decided before they are rounded for the table: a threshold that was chosen on validation data may
lie between scores that the table shows as equal. Means of equal numbers over different windows differ by 1e-16."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where scores become decisions.

    Attributes:
        action_units: for each unit the activation, in [0, 1], from which it counts as on.
        uncertain_margin: the lead, in [0, 1], that an expression needs over the next one.
    """

    action_units: Mapping[ActionUnit, float]
    uncertain_margin: float = UNCERTAIN_MARGIN

    def __post_init__(self) -> None:
        missing = [unit.value for unit in ABAW_ACTION_UNITS if unit not in self.action_units]
        if missing:
            raise InputError(f"every action unit needs a threshold; none was given for {', '.join(missing)}")


def decide_expression(
    probabilities: NDArray[np.float64], labels: tuple[Expression, ...], margin: float = UNCERTAIN_MARGIN
) -> pa.Array:
    """Return the likeliest label of each row, `uncertain` where it leads by less than the margin.

    Args:
        probabilities: shape (n, K), K >= 2; a row with NaN gets no label (null).
        labels: the K classes, in column order.
        margin: the lead that a label needs, compared at `SCORE_DECIMALS` decimals.

    Returns:
        A string array of length n.
    """
    rounded = np.round(probabilities, SCORE_DECIMALS)
    second, best = np.partition(rounded, -2, axis=1)[:, -2:].T
    # 0.5 - 0.4 is 0.09999999999999998 in binary, which is no smaller than 0.1.
    is_uncertain = np.round(best - second, SCORE_DECIMALS) < margin
    code = np.where(is_uncertain, len(labels), np.argmax(rounded, axis=1))
    words = pa.array([*(label.value for label in labels), UNCERTAIN], pa.string())
    return words.take(pa.array(code, mask=np.isnan(rounded).any(axis=1)))


def decide_action_units(activations: NDArray[np.float64], thresholds: Mapping[ActionUnit, float]) -> NDArray[np.bool_]:
    """Return which units are on, shape (n, 12), in the order of `ABAW_ACTION_UNITS`: `activation >= threshold`.

    Args:
        activations: shape (n, 12), not rounded; NaN counts as off.
        thresholds: for each unit, in [0, 1].
    """
    limits = np.array([thresholds[unit] for unit in ABAW_ACTION_UNITS])
    return np.asarray(np.round(activations, _THRESHOLD_DECIMALS) >= np.round(limits, _THRESHOLD_DECIMALS))
