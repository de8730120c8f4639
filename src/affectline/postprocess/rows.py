"""Raw and result tables as arrays, and back: what the steps of post-processing work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.labels import ABAW_ACTION_UNITS, Expression, Status
from affectline.postprocess.decide import SCORE_DECIMALS, Thresholds, decide_action_units, decide_expression
from affectline.records import TIME_DECIMALS
from affectline.schema import BOX_COLUMNS, expressions_in, timeline_schema

STATUSES = tuple(Status)
"""`FaceRows.status` holds positions in this tuple."""

BOX_DECIMALS = 2
"""Decimals of pixels in the result table."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of a row that are not keys, and where each kind stands among them.

    Attributes:
        expressions: the classes of the expression head, in its order.
    """

    expressions: tuple[Expression, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in the order of `FaceRows.values`."""
        return (
            *("face_score", "quality"),
            *BOX_COLUMNS,
            *("valence", "arousal"),
            *(label.column for label in self.expressions),
            *(unit.column for unit in ABAW_ACTION_UNITS),
        )

    face_score: ClassVar[int] = 0
    """Its position, whatever the classes are."""

    @property
    def detection(self) -> slice:
        """Face score and quality."""
        return slice(0, 2)

    @property
    def box(self) -> slice:
        """The four edges of the box."""
        return slice(2, 6)

    @property
    def valence_arousal(self) -> slice:
        """Valence and arousal."""
        return slice(6, 8)

    @property
    def expression(self) -> slice:
        """The expression probabilities."""
        return slice(8, 8 + len(self.expressions))

    @property
    def action_unit(self) -> slice:
        """The action unit activations."""
        return slice(8 + len(self.expressions), None)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The sampled frames of an input, in order.

    Attributes:
        index: shape (f,), int64, increasing.
        time_s: shape (f,), float64, seconds, never decreasing.
        is_error: shape (f,), the frame could not be decoded whole.
    """

    index: NDArray[np.int64]
    time_s: NDArray[np.float64]
    is_error: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, which: NDArray[np.bool_]) -> Frames:
        """Return the frames for which the mask is True."""
        return Frames(self.index[which], self.time_s[which], self.is_error[which])

    @classmethod
    def join(cls, parts: Sequence[Frames]) -> Frames:
        """Return the frames of several parts, one after the other."""
        return cls(
            np.concatenate([part.index for part in parts]),
            np.concatenate([part.time_s for part in parts]),
            np.concatenate([part.is_error for part in parts]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FaceRows:
    """Rows with a face that belongs to a track.

    Attributes:
        frame: shape (n,), int64, frame index.
        time_s: shape (n,), float64, seconds.
        track_id: shape (n,), int64.
        status: shape (n,), int64, positions in `STATUSES`.
        values: shape (n, d), float64, in the order of `Measures.names`; NaN where a cell is empty.
    """

    frame: NDArray[np.int64]
    time_s: NDArray[np.float64]
    track_id: NDArray[np.int64]
    status: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> FaceRows:
        """Return the rows for which a mask is True, or those with these row numbers in their order."""
        return FaceRows(
            self.frame[which], self.time_s[which], self.track_id[which], self.status[which], self.values[which]
        )

    def by_track(self) -> FaceRows:
        """Return the rows in the order of track and frame."""
        return self.take(np.lexsort((self.frame, self.track_id)))

    @classmethod
    def join(cls, parts: Sequence[FaceRows]) -> FaceRows:
        """Return the rows of several parts, one after the other."""
        return cls(
            np.concatenate([part.frame for part in parts]),
            np.concatenate([part.time_s for part in parts]),
            np.concatenate([part.track_id for part in parts]),
            np.concatenate([part.status for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


def status_code(status: Status) -> int:
    """Return the position of a status in `STATUSES`."""
    return STATUSES.index(status)


def split_table(table: pa.Table) -> tuple[Frames, FaceRows]:
    """Return the frames of a raw or a result table of a video, and its rows with a face by track and frame.

    Raises:
        ShapeError: a time is missing, or times decrease with the frame index.
    """
    index, first, frames = _frame_keys(table)
    time_s = floats(table, "time_s")
    has_track = np.asarray(pc.is_valid(table["track_id"]), dtype=np.bool_)
    status = np.asarray(pc.index_in(table["status"], pa.array([entry.value for entry in STATUSES])), dtype=np.int64)
    is_error = np.zeros(len(index), dtype=np.bool_)
    is_error[np.searchsorted(index, frames[~has_track & (status == status_code(Status.ERROR))])] = True
    _check_times(index, time_s[first])
    rows = FaceRows(
        frames[has_track],
        time_s[has_track],
        floats(table, "track_id")[has_track].astype(np.int64),
        status[has_track],
        values_of(table, Measures(expressions_in(table.schema)))[has_track],
    )
    return Frames(index, time_s[first], is_error), rows.by_track()


def values_of(table: pa.Table, measures: Measures) -> NDArray[np.float64]:
    """Return the numbers of a table, shape (n, d), float64, in the order of `measures.names`; NaN where null."""
    return np.column_stack([floats(table, name) for name in measures.names])


def _frame_keys(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    frames = np.asarray(table["frame"], dtype=np.int64)
    index, first = np.unique(frames, return_index=True)
    return index, first, frames


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where it is null."""
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _check_times(index: NDArray[np.int64], time_s: NDArray[np.float64]) -> None:
    is_wrong = np.isnan(time_s)
    is_wrong[1:] |= np.diff(time_s) < 0
    if is_wrong.any():
        frame = index[np.argmax(is_wrong)]
        raise ShapeError(
            f"frame {frame} has no time, or an earlier one than the frame before it; times must not decrease"
        )


def build_table(frames: Frames, rows: FaceRows, expressions: tuple[Expression, ...], limits: Thresholds) -> pa.Table:
    """Return the result table: the rows, one row for each frame without any, scores decided and rounded.

    Args:
        frames: every frame that the table must show.
        rows: rows with a face, smoothed, in any order, of these frames only.
        expressions: the classes of the expression head.
        limits: where scores become decisions.
    """
    complete = _with_blank_rows(frames, rows)
    ordered = complete.take(np.lexsort((complete.track_id, complete.frame)))
    columns: dict[str, pa.Array] = {
        "frame": pa.array(ordered.frame),
        "time_s": pa.array(np.round(ordered.time_s, TIME_DECIMALS)),
        "track_id": pa.array(ordered.track_id.astype(np.int32), mask=ordered.track_id == NO_TRACK),
        "status": pa.array([entry.value for entry in STATUSES]).take(pa.array(ordered.status)),
        **decided_columns(ordered.values, Measures(expressions), limits),
    }
    schema = timeline_schema(expressions)
    return pa.table([columns[name] for name in schema.names], schema=schema)


NO_TRACK = -1


def _with_blank_rows(frames: Frames, rows: FaceRows) -> FaceRows:
    is_blank = ~np.isin(frames.index, rows.frame)
    blank = frames.take(is_blank)
    status = np.where(blank.is_error, status_code(Status.ERROR), status_code(Status.NO_FACE))
    empty = np.full((len(blank), rows.values.shape[1]), np.nan)
    no_track = np.full(len(blank), NO_TRACK)
    return FaceRows.join([rows, FaceRows(blank.index, blank.time_s, no_track, status, empty)])


def decided_columns(values: NDArray[np.float64], measures: Measures, limits: Thresholds) -> dict[str, pa.Array]:
    """Return the rounded numbers of rows and what they decide, by column name.

    Args:
        values: shape (n, d), in the order of `measures.names`.
        measures: what the numbers are.
        limits: where scores become decisions.
    """
    rounded = _rounded(values, measures)
    columns = {name: _float32(column) for name, column in zip(measures.names, rounded.T, strict=True)}
    columns["expression"] = decide_expression(
        rounded[:, measures.expression], measures.expressions, limits.uncertain_margin
    )
    activations = values[:, measures.action_unit]
    is_on = decide_action_units(activations, limits.action_units)
    for unit, on, activation in zip(ABAW_ACTION_UNITS, is_on.T, activations.T, strict=True):
        columns[unit.on_column] = pa.array(on, mask=np.isnan(activation))
    return columns


def _rounded(values: NDArray[np.float64], measures: Measures) -> NDArray[np.float64]:
    # Running sums that start at different rows differ by 1e-12. Rounding to 9 decimals first brings numbers such as
    # 0.125 / 1000, halfway between two results, to the same one wherever the sums started.
    rounded = np.round(np.round(values, 9), SCORE_DECIMALS)
    rounded[:, measures.box] = np.round(values[:, measures.box], BOX_DECIMALS)
    return rounded


def _float32(column: NDArray[np.float64]) -> pa.Array:
    return pa.array(column.astype(np.float32), mask=np.isnan(column))
