"""The moments of a track that show each of its expressions best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.labels import Expression, Status
from affectline.postprocess.rows import floats
from affectline.report.series import Floats, Track
from affectline.schema import BOX_COLUMNS

MOST_PICTURES = 72
"""Of all tracks and expressions together: each is cut from the video, which takes time and space."""

MOST_EACH, SHARE_APART, LEAST_APART_S = 3, 0.04, 1.0
"""Moments of one expression are a second apart, of long videos a share of their length."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame in which an expression is at its strongest.

    Attributes:
        label: the expression.
        frame: its index.
        time_s: its time; None for an independent image.
        probability: of the expression, in [0, 1].
        box_xyxy: of the face, in pixels of the upright frame.
    """

    label: Expression
    frame: int
    time_s: float | None
    probability: float
    box_xyxy: tuple[float, float, float, float]


def top_moments(track: Track, expressions: Sequence[Expression], most_each: int = MOST_EACH) -> list[Moment]:
    """Return the strongest moments of each expression that is the likeliest at least once, in the order of strength.

    Only rows count whose face was observed and is of good quality.
    """
    seen = pc.equal(pc.cast(track.rows["status"], pa.string()), Status.OBSERVED.value)
    rows = track.rows.filter(seen)
    words = np.array(rows["expression"].to_pylist(), dtype=object)
    frames, times = floats(rows, "frame"), floats(rows, "time_s")
    boxes = np.stack([floats(rows, name) for name in BOX_COLUMNS], axis=1)
    is_timed = bool(np.isfinite(times).all())
    x = times if is_timed else frames
    apart = max(LEAST_APART_S, SHARE_APART * float(np.ptp(track.grid.edges))) if is_timed else 1.0
    moments = []
    for label in expressions:
        values = np.where((words == label.value) & np.isfinite(boxes).all(axis=1), floats(rows, label.column), np.nan)
        for row in _peaks(values, x, apart, most_each):
            time_s = float(times[row]) if is_timed else None
            left, top, right, bottom = boxes[row].tolist()
            moments.append(Moment(label, int(frames[row]), time_s, float(values[row]), (left, top, right, bottom)))
    return moments


def moments_per_expression(tracks: int, expressions: int) -> int:
    """Return how many moments each expression of each track may have, at least one."""
    return max(1, min(MOST_EACH, MOST_PICTURES // max(1, tracks * expressions)))


def _peaks(values: Floats, x: Floats, apart: float, most: int) -> list[int]:
    """Return the positions of the largest values that are at least so far from each other, the largest first."""
    left = values.copy()
    found: list[int] = []
    while len(found) < most and np.isfinite(left).any():
        best = int(np.nanargmax(left))
        found.append(best)
        left[np.abs(x - x[best]) < apart] = np.nan
    return found
