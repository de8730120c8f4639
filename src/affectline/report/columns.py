"""A track's numbers as charts need them: one value for each cell of the grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectline.labels import ActionUnit, Expression
from affectline.report.figures import MILLISECONDS, ORIGIN_MS
from affectline.report.series import Floats, Track
from affectline.schema import BOX_COLUMNS

_BEFORE_EDGE_MS = 0.5
"""So far before its right edge a cell's second place lies, so that it is nearer to what is in the cell."""


def columns_of(
    track: Track, expressions: Sequence[Expression], units: Sequence[ActionUnit]
) -> dict[str, NDArray[np.floating]]:
    """Return the columns that the track's charts name, NaN where the track has no value.

    Scores are float32 with shape (n,). As `figures.axis_value` gives them, in float64: `x` (the cells' middles),
    `widths`, `edges` (n + 1), and over time `steps` (2n): each cell's left edge and a place just before its right one.
    Of valence and arousal there are the mean and, where a cell may hold several frames, the extremes.
    """
    grid = track.grid
    edges = ORIGIN_MS + grid.edges * MILLISECONDS if grid.has_time else grid.edges
    widths = np.diff(edges)
    places: dict[str, Floats] = {"x": (edges[:-1] + edges[1:]) / 2, "widths": widths, "edges": edges}
    if grid.has_time:
        ends = edges[1:] - np.minimum(_BEFORE_EDGE_MS, widths / 2)
        places["steps"] = np.stack([edges[:-1], ends], axis=1).ravel()
    scores: dict[str, Floats] = {}
    for column in ("valence", "arousal"):
        summary = track.summary(column)
        scores[column] = summary.mean
        if grid.is_binned:
            scores |= {f"{column}_low": summary.low, f"{column}_high": summary.high}
    names = [*(label.column for label in expressions), *(unit.column for unit in units), *BOX_COLUMNS]
    scores |= {name: track.summary(name).mean for name in names}
    return {**places, **{name: values.astype(np.float32) for name, values in scores.items()}}
