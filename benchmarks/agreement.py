"""How far two result tables of one video agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.labels import ABAW_ACTION_UNITS, VALENCE_AROUSAL
from affectline.metrics.concordance import ccc


@dataclass(frozen=True)
class Agreement:
    """Over the rows with a face of the full run.

    Attributes:
        rows: the share of them that the other table has as well; the other figures are about these.
        expression: share of the rows with the same word.
        valence_ccc, arousal_ccc: concordance correlation.
        valence_difference, arousal_difference: mean absolute difference.
        units_on: share of the action units that are on or off alike.
        units_difference: mean absolute difference of the activations.
    """

    rows: float
    expression: float
    valence_ccc: float
    arousal_ccc: float
    valence_difference: float
    arousal_difference: float
    units_on: float
    units_difference: float


def agreement(full: pa.Table, other: pa.Table) -> Agreement:
    """Compare two result tables of one video."""
    with_face = full.filter(pc.is_valid(full["track_id"]))
    joined = with_face.join(other, ["frame", "track_id"], join_type="inner", right_suffix="_other")
    first, second = ({name: joined[name + suffix].to_numpy() for name in _NAMES} for suffix in ("", "_other"))
    affect = {name: _both_known(first[name], second[name]) for name in VALENCE_AROUSAL}
    units = _both_known(
        *(np.concatenate([side[unit.column] for unit in ABAW_ACTION_UNITS]) for side in (first, second))
    )
    on = [first[unit.on_column] == second[unit.on_column] for unit in ABAW_ACTION_UNITS]
    return Agreement(
        rows=len(joined) / len(with_face),
        expression=float(np.mean(first["expression"] == second["expression"])),
        **{f"{name}_ccc": ccc(*pair) for name, pair in affect.items()},
        **{f"{name}_difference": float(np.mean(np.abs(pair[0] - pair[1]))) for name, pair in affect.items()},
        units_on=float(np.mean(on)),
        units_difference=float(np.mean(np.abs(units[0] - units[1]))),
    )


_NAMES = (
    "expression",
    *VALENCE_AROUSAL,
    *(unit.column for unit in ABAW_ACTION_UNITS),
    *(unit.on_column for unit in ABAW_ACTION_UNITS),
)


def _both_known(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(first) & np.isfinite(second)
    return first[known].astype(np.float64), second[known].astype(np.float64)
