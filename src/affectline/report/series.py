"""Prepares a result table for drawing: one time grid for all tracks, long videos averaged down to what fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline import schema
from affectline.labels import ActionUnit, Expression, Status
from affectline.postprocess.rows import floats

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MAX_CELLS = 1200
"""More cells than this would be thinner than a pixel of the picture."""

NO_LABEL = -1
HALF = 0.5

HELD = 4.0
"""A cell that lasts so many times as long as most shows a held picture: a line through the middles would be a ramp."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The cells that the x axis is cut into: one for each frame, or for several where there are many frames.

    Attributes:
        edges: shape (n + 1,), seconds, or the index for independent images; increasing.
        starts: shape (n,), where in `frames` the cells begin.
        frames: shape (m,), the sorted frame indices that the table has rows for.
        has_time: False for independent images.
    """

    edges: Floats
    starts: Ints
    frames: Ints
    has_time: bool

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def is_binned(self) -> bool:
        """Whether a cell may hold several frames."""
        return len(self.frames) > len(self.starts)

    @property
    def usual_width(self) -> float:
        """The median width of the cells, in the unit of `edges`."""
        return float(np.median(np.diff(self.edges)))

    @property
    def is_even(self) -> bool:
        """Whether no cell lasts much longer than most, as one does in which a picture is held."""
        return not self.has_time or bool(np.diff(self.edges).max() <= HELD * self.usual_width)

    @property
    def frames_per_cell(self) -> Ints:
        """Shape (n,), how many frames each cell holds, at least 1."""
        return np.diff(np.append(self.starts, len(self.frames)))

    def cell_of(self, frames: Ints) -> Ints:
        """Return the cell of each frame index, all of which are in the table."""
        return np.searchsorted(self.starts, np.searchsorted(self.frames, frames), side="right") - 1


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """A column of one track on the grid, each array of shape (n,), NaN where the track has no value."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Track:
    """The rows of one track, sorted by frame.

    Attributes:
        name: how the picture calls it.
        track_id: the table's number, or for independent images the face's rank in its image, from 1.
        rows: the track's part of the table, sorted by frame.
        grid: the cells that its columns are brought to.
    """

    name: str
    track_id: int
    rows: pa.Table
    grid: Grid

    @cached_property
    def _cells(self) -> Ints:
        return self.grid.cell_of(_ints(self.rows, "frame"))

    @cached_property
    def _status(self) -> NDArray[np.str_]:
        return np.array(self.rows.column("status").to_pylist(), dtype=np.str_)

    def summary(self, column: str) -> Summary:
        """Return mean, smallest and largest value of a column in each cell."""
        values = floats(self.rows, column)
        known = np.isfinite(values)
        mean, low, high = (np.full(len(self.grid), np.nan) for _ in range(3))
        if known.any():
            kept = values[known]
            cells, starts, counts = np.unique(self._cells[known], return_index=True, return_counts=True)
            mean[cells] = np.add.reduceat(kept, starts) / counts
            low[cells] = np.minimum.reduceat(kept, starts)
            high[cells] = np.maximum.reduceat(kept, starts)
        return Summary(mean, low, high)

    def share(self, *statuses: Status) -> Floats:
        """Return what share of each cell's frames has a row of one of these statuses, shape (n,), in [0, 1]."""
        wanted = np.isin(self._status, [status.value for status in statuses])
        return np.bincount(self._cells[wanted], minlength=len(self.grid)) / self.grid.frames_per_cell

    def is_gap(self) -> NDArray[np.bool_]:
        """Return which cells have no observed face in at least half of their frames, shape (n,)."""
        return self.share(Status.OBSERVED, Status.LOW_QUALITY) <= HALF

    def is_low_quality(self) -> NDArray[np.bool_]:
        """Return which cells are of low quality in more than half of their frames, shape (n,)."""
        return self.share(Status.LOW_QUALITY) > HALF

    def winning_label(self, labels: list[str]) -> Ints:
        """Return each cell's most frequent expression as a position in `labels`, `NO_LABEL` without one."""
        code = {label: number for number, label in enumerate(labels)}
        words = self.rows.column("expression").to_pylist()
        codes = np.array([code.get(word, NO_LABEL) for word in words], dtype=np.intp)
        known = codes != NO_LABEL
        flat = self._cells[known] * len(labels) + codes[known]
        votes = np.bincount(flat, minlength=len(self.grid) * len(labels)).reshape(len(self.grid), len(labels))
        return np.where(votes.any(axis=1), votes.argmax(axis=1), NO_LABEL)


def make_grid(table: pa.Table, max_cells: int = MAX_CELLS) -> Grid:
    """Return the cells of the x axis; a table without rows gets one empty cell from 0 to 1."""
    frames, first = np.unique(_ints(table, "frame"), return_index=True)
    times = floats(table, "time_s")[first]
    has_time = not len(times) or bool(np.isfinite(times).all())
    if not len(frames):
        return Grid(np.array([0.0, 1.0]), np.zeros(1, np.intp), np.zeros(1, np.intp), has_time)
    # An image's cell has the image's index in its middle.
    x = np.maximum.accumulate(times) if has_time else frames - 0.5
    step = float(np.median(np.diff(x))) if len(x) > 1 else 1.0
    end = x[-1] + (step if step > 0 else 1.0)
    if len(x) <= max_cells:
        return Grid(np.append(x, end), np.arange(len(x)), frames, has_time)
    even = np.linspace(x[0], end, max_cells + 1)
    # A millionth of a frame: whether a frame lies on an edge is not left to rounding.
    starts = np.unique(np.searchsorted(x, even[:-1] - abs(step) * 1e-6))
    starts = starts[starts < len(x)]
    return Grid(np.append(x[starts], end), starts, frames, has_time)


def split_tracks(table: pa.Table, grid: Grid, most: int) -> tuple[list[Track], int]:
    """Return the tracks with most rows, in the order of their numbers, and how many tracks were left out.

    Rows without a track number (independent images) are grouped by the face's rank in its image.
    """
    with_face = pa.array([Status.OBSERVED.value, Status.LOW_QUALITY.value, Status.INTERPOLATED.value])
    faces = table.filter(pc.is_in(table.column("status").cast(pa.string()), value_set=with_face)).sort_by("frame")
    numbers = faces.column("track_id").to_numpy(zero_copy_only=False).astype(np.float64)
    is_track = np.isfinite(numbers)
    ids = np.where(is_track, numbers, _rank_in_frame(_ints(faces, "frame"))).astype(np.intp)
    found, counts = np.unique(ids, return_counts=True)
    kept = sorted(int(number) for number in found[np.argsort(-counts, kind="stable")[:most]])
    word = "Track" if is_track.all() else "Face"
    tracks = [Track(f"{word} {number}", number, faces.take(np.flatnonzero(ids == number)), grid) for number in kept]
    return tracks, len(found) - len(kept)


def expressions_in(table: pa.Table) -> list[Expression]:
    """Return the expressions whose probabilities the table holds, in its order, without columns that are empty."""
    return [label for label in schema.expressions_in(table.schema) if _has_value(table, label.column)]


def action_units_in(table: pa.Table) -> list[ActionUnit]:
    """Return the action units that the table holds, in the order of FACS, without columns that are empty."""
    return [unit for unit in ActionUnit if unit.column in table.column_names and _has_value(table, unit.column)]


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the stretches of True as pairs of first and one past the last position.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    padded = np.concatenate(([False], mask, [False])).astype(np.int8)
    changes = np.flatnonzero(np.diff(padded))
    return [(int(first), int(last)) for first, last in zip(changes[::2], changes[1::2], strict=True)]


def _has_value(table: pa.Table, column: str) -> bool:
    return int(table.column(column).null_count) < len(table)


def _ints(table: pa.Table, column: str) -> Ints:
    return np.asarray(table.column(column).to_numpy(), dtype=np.intp)


def _rank_in_frame(frames: Ints) -> Ints:
    """Return 1 for the first row of each frame, 2 for the second and so on; `frames` is sorted."""
    _, first, counts = np.unique(frames, return_index=True, return_counts=True)
    return np.arange(len(frames)) - np.repeat(first, counts) + 1
