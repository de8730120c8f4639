"""Labels of a user's own: one `labels.csv` with a row for each labelled moment of a face."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledSequence
from affectline.datasets.labels_csv import UNIT_COLUMNS, Cells, read_cells
from affectline.datasets.sequences import largest_faces, make_sequence
from affectline.errors import InputError
from affectline.features import FeatureTable, TimeSource
from affectline.inputs import VIDEO_SUFFIXES
from affectline.labels import (
    ABAW_EXPRESSION_8,
    VALENCE_AROUSAL,
    Expression,
    Task,
)

SPLIT_WORDS: Final = {"": TRAIN, "train": TRAIN, "training": TRAIN, "val": VALIDATION, "validation": VALIDATION}

NEAREST: Final = 0.6
"""A time belongs to the nearest frame within so many frame intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnLabels:
    """The labelled rows of a file, for one task.

    Attributes:
        path: the file.
        task: which labels.
        labels: their names, in order.
        videos: the names of the videos, without suffix, as `_same` spells them.
        line: shape (n,), number of the line in the file where the row starts, from 1.
        video: shape (n,), position in `videos`.
        typed: shape (n,), the name of the video as it stands in the file.
        time_s: shape (n,), seconds, NaN where the row has a frame.
        frame: shape (n,), -1 where the row has a time.
        track: shape (n,), -1 where the row names none: then the largest face is meant.
        split: n times `train` or `val`.
        target: VA and AU: shape (n, K), float32. EXPR: shape (n,), int64.
    """

    path: Path
    task: Task
    labels: tuple[str, ...]
    videos: tuple[str, ...]
    line: NDArray[np.int64]
    video: NDArray[np.intp]
    typed: NDArray[np.object_]
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
            InputError: a row names a video without features, a track that is not there, or a time outside the video,
                or two rows label the same face and frame; the line is named.
        """
        known: dict[str, list[str]] = {}
        for name in sorted(videos):
            known.setdefault(_same(name), []).append(name)
        chosen = np.flatnonzero(self.split == split)
        order = chosen[np.argsort(self.video[chosen], kind="stable")]
        parts = np.split(order, np.flatnonzero(np.diff(self.video[order])) + 1) if len(order) else []
        for rows in sorted(parts, key=lambda part: int(part[0])):
            video = self._find(rows[0], known)
            yield from self._faces(video, tables_of(video), rows)

    def _find(self, row: np.intp, known: Mapping[str, list[str]]) -> str:
        """Return the name that the store has for the video of a row."""
        wanted = self.videos[self.video[row]]
        found = known.get(wanted, [])
        if len(found) > 1:
            raise InputError(
                f"{self._place(row)}: {self.typed[row]!r} may mean {' or '.join(map(repr, found))} of the store; names "
                "are compared without regard to case, so rename one of the videos and extract it again"
            )
        if not found:
            near = difflib.get_close_matches(wanted, known, 3) or list(known)[:3]
            names = ", ".join(name for key in near for name in known[key]) or "none"
            raise InputError(
                f"{self._place(row)}: the store has no features of the video {self.typed[row]!r}; it has {names}"
            )
        return found[0]

    def _faces(
        self, video: str, tables: Mapping[str, FeatureTable], rows: NDArray[np.intp]
    ) -> Iterator[LabelledSequence]:
        """Give one sequence for each face that rows of one video label."""
        table = next(iter(tables.values()))
        if not len(table):
            raise InputError(
                f"{self._place(rows[0])}: no face was found in {video}; take its rows out, or extract it with another "
                "detector"
            )
        frames = self._frames(table, rows)
        tracks = self.track[rows]
        faces = {int(track): self._face(table, rows[tracks == track]) for track in np.unique(tracks)}
        at = np.full(len(rows), -1)
        for track, face in faces.items():
            is_it = tracks == track
            at[is_it] = _rows_at(table, face, frames[is_it])
        self._refuse_twice(rows, at, frames)
        for track, face in faces.items():
            its = np.flatnonzero(tracks == track)
            its = its[np.argsort(frames[its], kind="stable")]
            yield make_sequence(video, tables, face, frames[its], self.target[rows[its]])

    def _face(self, table: FeatureTable, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the table's rows of the face that all these rows mean."""
        track = self.track[rows[0]]
        face = largest_faces(table) if track < 0 else np.flatnonzero(table.track_id == track)
        if not len(face):
            raise InputError(
                f"{self._place(rows[0])}: {table.info.video} has no face with track {track}; it has the tracks "
                f"{', '.join(map(str, np.unique(table.track_id)))}"
            )
        return face

    def _refuse_twice(self, rows: NDArray[np.intp], at: NDArray[np.intp], frames: NDArray[np.int64]) -> None:
        """Refuse two labels of one row of the table (`at`, -1 for none), or of one track and frame without a face."""
        is_seen = at >= 0
        keys = (at, np.where(is_seen, 0, frames), np.where(is_seen, 0, self.track[rows]))
        order = np.lexsort(keys)
        twice = np.flatnonzero((np.diff(np.stack(keys)[:, order]) == 0).all(axis=0))
        if len(twice):
            first, second = rows[order[twice[0] : twice[0] + 2]]
            raise InputError(
                f"{self._place(second)}: the same face and frame has a label in line {self.line[first]} too; leave one "
                "of them (a row without a track means the largest face)"
            )

    def _frames(self, table: FeatureTable, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the frame that each labelled row means."""
        frames = self.frame[rows].copy()
        n_frames = table.info.frame_count
        by_time = frames < 0
        if by_time.any():
            self._refuse_assumed_times(table, rows[by_time][0])
            frames[by_time] = _frames_at(table, self.time_s[rows[by_time]])
        outside = np.flatnonzero((frames < 0) | (frames >= n_frames))
        if len(outside):
            row = rows[outside[0]]
            given = f"{self.time_s[row]:g} s" if self.frame[row] < 0 else f"frame {self.frame[row]}"
            raise InputError(
                f"{self._place(row)}: {given} lies outside {table.info.video}, which has the frames 0 to "
                f"{n_frames - 1} (last face at {table.time_s[-1]:.2f} s)"
            )
        return frames

    def _refuse_assumed_times(self, table: FeatureTable, row: np.intp) -> None:
        if table.info.time_source is TimeSource.ASSUMED:
            raise InputError(
                f"{self._place(row)}: {self.time_s[row]:g} s cannot be found in {table.info.video}: its crops were "
                f"extracted without their video, and {table.info.rate_fps:g} frames a second were assumed; extract "
                "them again with --videos or --crop-fps, or label by `frame`"
            )

    def _place(self, row: np.intp) -> str:
        return f"{self.path}, line {self.line[row]}"


def _rows_at(table: FeatureTable, face: NDArray[np.intp], frames: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the table's row of a face in each frame; -1 where it is not seen."""
    face_frames = table.frame[face]
    near = np.minimum(np.searchsorted(face_frames, frames), len(face) - 1)
    return np.where(face_frames[near] == frames, face[near], -1)


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


def read_own_labels(path: Path, task: Task, classes: tuple[str, ...] | None = None) -> OwnLabels:
    """Return the rows of a labels.csv that have labels of a task.

    The file is UTF-8 with commas between its columns; empty lines are skipped. Columns: `video` (a file name, with or
    without its suffix, in upper or lower case); `time_s` or `frame`; optional `track` (an id of the store's tables;
    empty means the largest face) and `split` (`train` or `val`; all are `train` without it); and any of `valence` and
    `arousal` in [-1, 1], `expression` (a word such as Happiness) and `au01` ... `au26`, 0 or 1. Empty cells are no
    labels; a row needs all labels of the task that the file has columns for.

    Args:
        path: the file.
        task: which labels.
        classes: the expressions that there are, such as those of a head; None for those that occur.

    Raises:
        InputFileError: the file cannot be read, is empty, or a row has more or fewer cells than the header.
        InputError: a column is missing or unknown, a cell holds what it cannot hold, or a video is in both splits; the
            line is named.
    """
    cells = read_cells(path)
    labels, target, is_labelled = _targets(cells, task, classes)
    keep = np.flatnonzero(is_labelled)
    if not len(keep):
        raise InputError(
            f"{path} has no row with {task.value} labels in all of its columns {', '.join(labels)}; label at least one"
        )
    videos, video = _videos(cells)
    n = len(cells.line)
    has_times = "time_s" in cells.words
    return OwnLabels(
        path,
        task,
        labels,
        videos,
        cells.line[keep],
        video[keep],
        np.array(cells.words["video"], object)[keep],
        cells.numbers("time_s", 0.0, np.inf)[keep] if has_times else np.full(len(keep), np.nan),
        np.full(len(keep), -1) if has_times else cells.whole("frame")[keep],
        (cells.whole("track", empty=-1) if "track" in cells.words else np.full(n, -1))[keep],
        _splits(cells, video)[keep],
        target[keep],
    )


def _targets(
    cells: Cells, task: Task, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[np.float32] | NDArray[np.int64], NDArray[np.bool_]]:
    """Return the labels, the targets of all rows, and which rows have them."""
    columns = {Task.VA: {name: name for name in VALENCE_AROUSAL}, Task.AU: UNIT_COLUMNS}.get(task, {"expression": ""})
    there = [name for name in columns if name in cells.words]
    if not there:
        raise InputError(
            f"{cells.path}, line {cells.header_line}: the labels have no column for {task.value}, none of "
            f"{', '.join(columns)}; add one, or choose the task that they are for"
        )
    if task is Task.EXPR:
        return _expressions(cells, classes)
    values = np.column_stack([cells.numbers(name, -1.0 if task is Task.VA else 0.0, 1.0, np.nan) for name in there])
    if task is Task.AU:
        odd = np.argwhere((values > 0) & (values < 1))
        if len(odd):
            raise cells.wrong(int(odd[0, 0]), there[odd[0, 1]], "0 or 1 (empty where unknown)")
    return tuple(columns[name] for name in there), values.astype(np.float32), np.asarray(~np.isnan(values).any(axis=1))


def _expressions(
    cells: Cells, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.bool_]]:
    known = {label.value.lower(): label for label in (Expression if classes is None else map(Expression, classes))}
    words = [word.lower() for word in cells.words["expression"]]
    there = set(words) - {""}
    if there - set(known):
        row = next(row for row, word in enumerate(words) if word and word not in known)
        raise cells.wrong(row, "expression", f"one of {', '.join(label.value for label in known.values())}")
    order = [*ABAW_EXPRESSION_8, Expression.CONTEMPT]
    used = {known[word] for word in there}
    labels = [label for label in order if label in used] if classes is None else list(map(Expression, classes))
    code_of = {word: labels.index(known[word]) for word in there} | {"": -1}
    codes = np.array([code_of[word] for word in words], np.int64)
    return tuple(label.value for label in labels), codes, codes >= 0


def _videos(cells: Cells) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Return the names of the videos in one spelling, and the position of each row's among them."""
    words = cells.words["video"]
    name_of = {word: _same(_stem(word)) for word in dict.fromkeys(words)}
    names = tuple(dict.fromkeys(name_of.values()))
    position = {name: number for number, name in enumerate(names)}
    number_of = {word: position[name] for word, name in name_of.items()}
    return names, np.array([number_of[word] for word in words], np.intp)


def _splits(cells: Cells, video: NDArray[np.intp]) -> NDArray[np.str_]:
    """Return the split of each row; no video may be in both."""
    if "split" not in cells.words:
        return np.full(len(video), TRAIN)
    words = [word.lower() for word in cells.words["split"]]
    if not SPLIT_WORDS.keys() >= set(words):
        row = next(row for row, word in enumerate(words) if word not in SPLIT_WORDS)
        raise cells.wrong(row, "split", "train or val")
    found = np.array([SPLIT_WORDS[word] for word in words])
    both = np.intersect1d(video[found == TRAIN], video[found == VALIDATION])
    if len(both):
        firsts = [int(np.flatnonzero((video == both[0]) & (found == split))[0]) for split in (TRAIN, VALIDATION)]
        first, second = sorted(firsts)
        typed = cells.words["video"]
        raise InputError(
            f"{cells.path}, line {cells.line[second]}: the video {typed[second]!r} is in both splits, {found[second]} "
            f"here and {found[first]} in line {cells.line[first]} ({typed[first]!r}); frames of one video are nearly "
            "equal, so give all its rows one split"
        )
    return found


def _same(name: str) -> str:
    """Return the one spelling of all names that differ in upper and lower case or in composed accents only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(word: str) -> str:
    name = word.replace("\\", "/").rsplit("/", 1)[-1]
    suffix = Path(name).suffix.lower()
    return name[: -len(suffix)] if suffix in VIDEO_SUFFIXES else name
