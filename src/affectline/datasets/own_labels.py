"""Labels of a user's own: one `labels.csv` with a row for each labelled moment of a face."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledSequence
from affectline.datasets.sequences import largest_faces, make_sequence
from affectline.errors import InputError, InputFileError
from affectline.features import FeatureTable
from affectline.inputs import VIDEO_SUFFIXES
from affectline.labels import (
    ABAW_ACTION_UNITS,
    ABAW_EXPRESSION_8,
    VALENCE_AROUSAL,
    Expression,
    Task,
)

UNIT_COLUMNS: Final = {unit.column: unit.value for unit in ABAW_ACTION_UNITS}
KEY_COLUMNS: Final = ("video", "time_s", "frame", "track", "split")
KNOWN_COLUMNS: Final = (*KEY_COLUMNS, *VALENCE_AROUSAL, "expression", *UNIT_COLUMNS)

NEAREST: Final = 0.6
"""A time belongs to the nearest frame within so many frame intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnLabels:
    """The labelled rows of a file, for one task.

    Attributes:
        path: the file.
        task: which labels.
        labels: their names, in order.
        line: shape (n,), line number in the file, from 2.
        video: n names, without suffix.
        time_s: shape (n,), seconds, NaN where the row has a frame.
        frame: shape (n,), -1 where the row has a time.
        track: shape (n,), -1 where the row names none: then the largest face is meant.
        split: n times `train` or `val`.
        target: VA and AU: shape (n, K), float32. EXPR: shape (n,), int64.
    """

    path: Path
    task: Task
    labels: tuple[str, ...]
    line: NDArray[np.int64]
    video: NDArray[np.str_]
    time_s: NDArray[np.float64]
    frame: NDArray[np.int64]
    track: NDArray[np.int64]
    split: NDArray[np.str_]
    target: NDArray[np.float32] | NDArray[np.int64]

    def sequences(
        self, split: str, tables_of: Callable[[str], Mapping[str, FeatureTable]], videos: Iterable[str]
    ) -> Iterator[LabelledSequence]:
        """Give one sequence for each labelled face of a split.

        Args:
            split: `train` or `val`.
            tables_of: opens the feature tables of a video.
            videos: those that have features.

        Raises:
            InputError: a row names a video without features, a track that is not there, or a time outside the video;
                the line is named.
        """
        known = {name.casefold(): name for name in videos}
        chosen = np.flatnonzero(self.split == split)
        for name in dict.fromkeys(self.video[chosen].tolist()):
            rows = chosen[self.video[chosen] == name]
            if name.casefold() not in known:
                near = ", ".join(difflib.get_close_matches(name, list(known.values()), 3)) or ", ".join(
                    sorted(videos)[:3]
                )
                raise InputError(
                    f"{self._place(rows[0])}: the store has no features of the video {name!r}; it has {near}"
                )
            tables = tables_of(known[name.casefold()])
            for track in np.unique(self.track[rows]):
                yield self._sequence(known[name.casefold()], tables, rows[self.track[rows] == track], int(track))

    def _sequence(
        self, video: str, tables: Mapping[str, FeatureTable], rows: NDArray[np.intp], track: int
    ) -> LabelledSequence:
        table = next(iter(tables.values()))
        faces = largest_faces(table) if track < 0 else np.flatnonzero(table.track_id == track)
        if not len(faces):
            there = ", ".join(map(str, np.unique(table.track_id))) or "none"
            raise InputError(
                f"{self._place(rows[0])}: {video} has no face with track {track}; it has the tracks {there}"
            )
        frames = self._frames(table, faces, rows)
        order = np.argsort(frames, kind="stable")
        twice = np.flatnonzero(np.diff(frames[order]) == 0)
        if len(twice):
            first, second = rows[order[twice[0] : twice[0] + 2]]
            raise InputError(
                f"{self._place(second)}: the same face and frame has a label in line {self.line[first]} too"
            )
        return make_sequence(video, tables, faces, frames[order], self.target[rows[order]])

    def _frames(self, table: FeatureTable, faces: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the frame that each labelled row means."""
        frames = self.frame[rows].copy()
        n_frames = table.info.frame_count
        by_time = frames < 0
        if by_time.any():
            frames[by_time] = _frames_at(table, self.time_s[rows[by_time]])
        outside = np.flatnonzero((frames < 0) | (frames >= n_frames))
        if len(outside):
            row = rows[outside[0]]
            given = f"{self.time_s[row]:g} s" if self.frame[row] < 0 else f"frame {self.frame[row]}"
            last_s = float(table.time_s[-1]) if len(table) else 0.0
            raise InputError(
                f"{self._place(row)}: {given} lies outside {table.info.video}, which has the frames 0 to "
                f"{n_frames - 1} (last face at {last_s:.2f} s)"
            )
        return frames

    def _place(self, row: int | np.integer) -> str:
        return f"{self.path}, line {self.line[row]}"


def _frames_at(table: FeatureTable, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nearest frame of each time; -1 where it lies outside the video.

    The table has times of frames with a face only. Those of the others lie on the line between them, and beyond them
    on a line with the median interval.
    """
    frame, first = np.unique(table.frame, return_index=True)
    known_s = table.time_s[first]
    steps = np.diff(known_s) / np.diff(frame)
    interval_s = float(np.median(steps)) if len(steps) else 1.0 / 30.0
    last = table.info.frame_count - 1
    every = np.arange(last + 1)
    all_s = np.interp(every, frame, known_s)
    all_s = np.where(every < frame[0], known_s[0] - (frame[0] - every) * interval_s, all_s)
    all_s = np.where(every > frame[-1], known_s[-1] + (every - frame[-1]) * interval_s, all_s)
    after = np.clip(np.searchsorted(all_s, times_s), 1, max(last, 1))
    nearest = np.where(times_s - all_s[after - 1] <= all_s[np.minimum(after, last)] - times_s, after - 1, after)
    nearest = np.minimum(nearest, last)
    is_near = np.abs(all_s[nearest] - times_s) <= NEAREST * max(interval_s, float(np.max(steps, initial=0.0)))
    return np.where(is_near, nearest, -1)


def read_own_labels(path: Path, task: Task) -> OwnLabels:
    """Return the rows of a labels.csv that have labels of a task.

    Columns: `video` (a file name, with or without its suffix); `time_s` or `frame`; optional `track` (an id of the
    store's tables; empty means the largest face) and `split` (`train` or `val`; all are `train` without it); and any of
    `valence` and `arousal` in [-1, 1], `expression` (a word such as Happiness) and `au01` ... `au26`, 0 or 1.
    Empty cells are no labels; a row needs all labels of the task that the file has columns for.

    Raises:
        InputFileError: the file cannot be read.
        InputError: a column is missing or unknown, or a cell holds what it cannot hold; the line is named.
    """
    table = _read(path)
    names = table.column_names
    unknown = [name for name in names if name not in KNOWN_COLUMNS]
    if unknown or "video" not in names or ("time_s" in names) == ("frame" in names):
        raise InputError(
            f"{path}, line 1: needs the column video and either time_s or frame; other columns may be "
            f"{', '.join(KNOWN_COLUMNS[3:])}; "
            + (f"not known: {', '.join(unknown)}" if unknown else f"got {', '.join(names)}")
        )
    cells = _Cells(path, table)
    labels, target, is_labelled = _targets(cells, names, task)
    keep = np.flatnonzero(is_labelled)
    if not len(keep):
        raise InputError(f"{path} has no row with {task.value} labels in all of its columns {', '.join(labels)}")
    by_time = "time_s" in names
    n = len(table)
    return OwnLabels(
        path,
        task,
        labels,
        keep + 2,
        np.array([_stem(word) for word in cells.words("video")])[keep],
        cells.numbers("time_s", 0.0, np.inf)[keep] if by_time else np.full(len(keep), np.nan),
        np.full(len(keep), -1) if by_time else cells.whole("frame")[keep],
        (cells.whole("track", empty=-1) if "track" in names else np.full(n, -1))[keep],
        _splits(cells, names, n)[keep],
        target[keep],
    )


def _read(path: Path) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in KNOWN_COLUMNS}, strings_can_be_null=False
    )
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        reason = ascii(str(error))[1:-1]
        raise InputFileError(f"cannot read {path}: {reason}; it must be a CSV file with a header line") from error
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line 1: several columns are called {', '.join(twice)}; leave one of each")
    return table


class _Cells:
    """The cells of a file as text, turned into what they stand for; errors name the line."""

    def __init__(self, path: Path, table: pa.Table) -> None:
        self._path = path
        self._table = table

    def words(self, name: str) -> list[str]:
        return [word.strip() for word in self._table[name].to_pylist()]

    def wrong(self, row: int, name: str, word: str, expected: str) -> InputError:
        return InputError(f"{self._path}, line {row + 2}: {name} must be {expected}, got {word!r}")

    def numbers(self, name: str, low: float, high: float, empty: float | None = None) -> NDArray[np.float64]:
        values = np.empty(len(self._table))
        for row, word in enumerate(self.words(name)):
            if not word and empty is not None:
                values[row] = empty
                continue
            try:
                values[row] = float(word)
            except ValueError as error:
                raise self.wrong(row, name, word, "a number") from error
            if not low <= values[row] <= high or not np.isfinite(values[row]):
                raise self.wrong(row, name, word, f"from {low:g} to {high:g}" if high < np.inf else f"at least {low:g}")
        return values

    def whole(self, name: str, empty: int | None = None) -> NDArray[np.int64]:
        values = self.numbers(name, 0.0, np.inf, empty)
        odd = np.flatnonzero(values != np.round(values))
        if len(odd):
            raise self.wrong(int(odd[0]), name, self.words(name)[odd[0]], "a whole number")
        return values.astype(np.int64)


def _targets(
    cells: _Cells, names: list[str], task: Task
) -> tuple[tuple[str, ...], NDArray[np.float32] | NDArray[np.int64], NDArray[np.bool_]]:
    """Return the labels, the targets of all rows, and which rows have them."""
    if task is Task.EXPR:
        return _expressions(cells, names)
    columns = {name: name for name in VALENCE_AROUSAL} if task is Task.VA else UNIT_COLUMNS
    there = [name for name in columns if name in names]
    if not there:
        raise InputError(f"the labels have no column for {task.value}: none of {', '.join(columns)}")
    low = -1.0 if task is Task.VA else 0.0
    values = np.column_stack([cells.numbers(name, low, 1.0, empty=np.nan) for name in there])
    if task is Task.AU:
        odd = np.argwhere((values > 0) & (values < 1))
        if len(odd):
            row, column = odd[0]
            raise cells.wrong(int(row), there[column], f"{values[row, column]:g}", "0 or 1 (empty where unknown)")
    return tuple(columns[name] for name in there), values.astype(np.float32), np.asarray(~np.isnan(values).any(axis=1))


def _expressions(cells: _Cells, names: list[str]) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.bool_]]:
    if "expression" not in names:
        raise InputError("the labels have no column `expression`")
    known = {label.value.lower(): label for label in Expression}
    words = cells.words("expression")
    for row, word in enumerate(words):
        if word and word.lower() not in known:
            raise cells.wrong(row, "expression", word, f"one of {', '.join(label.value for label in Expression)}")
    order = [*ABAW_EXPRESSION_8, Expression.CONTEMPT]
    used = {known[word.lower()] for word in words if word}
    labels = [label for label in order if label in used]
    codes = np.array([labels.index(known[word.lower()]) if word else -1 for word in words], np.int64)
    return tuple(label.value for label in labels), codes, codes >= 0


def _splits(cells: _Cells, names: list[str], n: int) -> NDArray[np.str_]:
    if "split" not in names:
        return np.full(n, TRAIN)
    words = cells.words("split")
    meaning = {"": TRAIN, "train": TRAIN, "training": TRAIN, "val": VALIDATION, "validation": VALIDATION}
    for row, word in enumerate(words):
        if word.lower() not in meaning:
            raise cells.wrong(row, "split", word, "train or val")
    found = np.array([meaning[word.lower()] for word in words])
    videos = np.array([_stem(word) for word in cells.words("video")])
    both = sorted(set(videos[found == TRAIN].tolist()) & set(videos[found == VALIDATION].tolist()))
    if both:
        raise InputError(
            f"the video {both[0]!r} is in both splits of the labels; frames of one video are nearly equal, so give all "
            "its rows one split"
        )
    return found


def _stem(word: str) -> str:
    name = word.replace("\\", "/").rsplit("/", 1)[-1]
    suffix = Path(name).suffix.lower()
    return name[: -len(suffix)] if suffix in VIDEO_SUFFIXES else name
