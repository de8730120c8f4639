"""Raw rows in blocks, as they come from the stretches of an input, and the track numbers that they get in the input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.errors import InputError, ResumeError
from affectline.faces.linking import Linker, LinkerState, Sighting
from affectline.json_records import parse_object, read_record, to_json_object
from affectline.labels import Status
from affectline.landmark_file import LandmarkEntry
from affectline.schema import BOX_COLUMNS, MISSED_COLUMN


@dataclass(frozen=True, slots=True)
class Trail:
    """By what the tracks of a block are known again, in plain values (`json_records`).

    Attributes:
        begins_stretch: the block is the first of a stretch.
        frame_wh: width and height of the frames in pixels.
        unseen: the frames in which nobody looked for faces, such as corrupt ones; they say nothing of the tracks.
        scenes: the frames that begin a new scene within the stretch.
        first_thumbnail: of the first frame that was looked at; None where there is none, or nobody looks for faces.
        last_thumbnail: likewise, of the last.
        looks: first and last look of each track, by its number in the stretch.
    """

    begins_stretch: bool
    frame_wh: tuple[int, ...] = (0, 0)
    unseen: tuple[int, ...] = ()
    scenes: tuple[int, ...] = ()
    first_thumbnail: tuple[tuple[float, ...], ...] | None = None
    last_thumbnail: tuple[tuple[float, ...], ...] | None = None
    looks: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(to_json_object(self))

    @classmethod
    def from_json(cls, text: str) -> Trail:
        """Return what `to_json` was asked of; raises InputError where the text is something else."""
        return read_record(cls, parse_object(text, "the trail of a block"), "the trail of a block")


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Raw rows of consecutive sampled frames of one stretch.

    Attributes:
        rows: in the schema of `schema.raw_schema`, whole frames only; tracks have the numbers of the stretch.
        trail: by what its tracks are known again.
        landmarks: one entry for each row with a face in which the network saw landmarks, in row order.
    """

    rows: pa.RecordBatch
    trail: Trail
    landmarks: Sequence[LandmarkEntry] = field(repr=False, default=())

    def renumbered(self, shift: int) -> RawBlock:
        """Return the block with `shift` added to the numbers of its frames."""
        if not shift:
            return self
        place = self.rows.schema.get_field_index("frame")
        numbers = pc.add(self.rows.column(place), shift).cast(self.rows.schema.field(place).type)
        trail = self.trail
        unseen, scenes = (tuple(frame + shift for frame in frames) for frames in (trail.unseen, trail.scenes))
        landmarks = [(frame + shift, track, marks) for frame, track, marks in self.landmarks]
        rows = self.rows.set_column(place, self.rows.schema.field(place), numbers)
        return RawBlock(rows, replace(trail, unseen=unseen, scenes=scenes), landmarks)


@dataclass(frozen=True, slots=True)
class LinkedBlock:
    """Raw rows of consecutive sampled frames of an input.

    Attributes:
        rows: as in `RawBlock`, but tracks have the numbers of the input.
        state: JSON text; a `RowLinker` restored from it goes on behind the last frame as if nothing had happened.
            Empty where the rows do not end a stretch.
        landmarks: as in `RawBlock`.
    """

    rows: pa.RecordBatch
    state: str
    landmarks: Sequence[LandmarkEntry] = field(repr=False, default=())


class RowLinker:
    """Gives the rows of successive blocks the track numbers of the input.

    Args:
        max_faces: as in `faces.linking.Linker`.
        state: what an earlier linker of the same input had reached (`LinkedBlock.state`).

    Raises:
        ResumeError: the state is no such text.
    """

    def __init__(self, max_faces: int | None = None, state: str | None = None) -> None:
        self._linker = Linker(max_faces) if state is None else Linker.from_state(_read_state(state), max_faces)
        self._begins_stretch = False

    def link_all(self, blocks: Iterable[RawBlock]) -> Iterator[LinkedBlock]:
        """Give all blocks of an input, linked; the states are there where it can be gone on from."""
        held: LinkedBlock | None = None  # whether a block ends a stretch, the next one says
        for block in blocks:
            if held is not None:
                yield replace(held, state=self._state()) if block.trail.begins_stretch else held
            held = self.link(block)
        if held is not None:
            yield held

    def _state(self) -> str:
        return json.dumps(to_json_object(self._linker.state()))

    def link(self, block: RawBlock) -> LinkedBlock:
        """Return the next block, linked, without a state."""
        rows, trail = block.rows, block.trail
        self._begins_stretch |= trail.begins_stretch
        if trail.first_thumbnail is None:
            return LinkedBlock(rows, "", block.landmarks)  # independent images, crops, or nothing was seen
        tracks: list[int | None] = rows["track_id"].to_pylist()
        numbers = self._numbers(block, tracks)
        frames = rows["frame"].to_pylist()
        number_of = dict(zip(zip(frames, tracks, strict=True), numbers, strict=True))
        landmarks = [
            (frame, number, marks)
            for frame, track, marks in block.landmarks
            if (number := number_of[frame, track]) is not None
        ]
        has_place = np.array([old is None or new is not None for old, new in zip(tracks, numbers, strict=True)])
        place = rows.schema.get_field_index("track_id")
        rows = rows.set_column(place, rows.schema.field(place), pa.array(numbers, rows.schema.field(place).type))
        rows = rows if has_place.all() else _without_others(rows, has_place)
        return LinkedBlock(_in_order(rows), "", landmarks)

    def _numbers(self, block: RawBlock, tracks: Sequence[int | None]) -> list[int | None]:
        """Return the track number of each row in the input, None for those without a place."""
        rows, trail = block.rows, block.trail
        frames, times_s = rows["frame"].to_numpy(), rows["time_s"].to_numpy()
        boxes = np.stack([rows[name].to_numpy(zero_copy_only=False) for name in BOX_COLUMNS], axis=1)
        numbers: list[int | None] = [None] * len(rows)
        looks, unseen, scenes = _looks_by_row(trail, tracks), set(trail.unseen), set(trail.scenes)
        seen = [group for group in _by_frame(frames) if int(frames[group[0]]) not in unseen]
        thumbnails = {len(seen) - 1: trail.last_thumbnail, 0: trail.first_thumbnail}
        for place, group in enumerate(seen):
            here = [row for row in group if tracks[row] is not None]
            thumbnail = thumbnails.get(place)
            sighting = Sighting(
                float(times_s[group[0]]),
                (trail.frame_wh[0], trail.frame_wh[1]),
                [track for row in here if (track := tracks[row]) is not None],
                boxes[here],
                [looks.get(row) for row in here],
                None if thumbnail is None else np.array(thumbnail, np.float32),
                self._begins_stretch,
                int(frames[group[0]]) in scenes,
            )
            self._begins_stretch = False
            for row, number in zip(here, self._linker.link(sighting), strict=True):
                numbers[row] = number
        return numbers


def _by_frame(frames: NDArray[np.int64]) -> list[range]:
    """Return the rows of each frame."""
    starts = [0, *(np.flatnonzero(np.diff(frames)) + 1).tolist(), len(frames)]
    return [range(start, stop) for start, stop in pairwise(starts)]


def _looks_by_row(trail: Trail, tracks: Sequence[int | None]) -> dict[int, NDArray[np.float64]]:
    """Return the looks of the tracks at the rows where each first and last comes."""
    last = {track: row for row, track in enumerate(tracks) if track is not None}
    first = {track: row for row, track in reversed(list(enumerate(tracks))) if track is not None}
    ends = {row: trail.looks[str(track)][-1] for track, row in last.items()}
    starts = {row: trail.looks[str(track)][0] for track, row in first.items()}
    return {row: np.array(look) for row, look in (ends | starts).items()}


def _without_others(rows: pa.RecordBatch, has_place: NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the rows of faces that have a place; a frame without any has one row without a face."""
    frames = rows["frame"].to_numpy()
    is_kept = has_place.copy()
    is_blank = np.zeros_like(has_place)
    for group in _by_frame(frames):
        if not has_place[group.start : group.stop].any():
            is_kept[group.start] = is_blank[group.start] = True
    columns = []
    for entry in rows.schema:
        column = rows[entry.name]
        if entry.name == "status":
            column = pc.if_else(pa.array(is_blank), pa.scalar(Status.NO_FACE.value, entry.type), column)
        elif entry.name not in _OF_THE_FRAME:
            column = pc.if_else(pa.array(is_blank), pa.scalar(None, entry.type), column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema).filter(pa.array(is_kept))


def _in_order(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows in the order of frame and track."""
    tracks = rows["track_id"].fill_null(0).to_numpy()
    order = np.lexsort((tracks, rows["frame"].to_numpy()))
    return rows if (np.diff(order) == 1).all() else rows.take(pa.array(order))


_OF_THE_FRAME = frozenset({"frame", "time_s", "source", MISSED_COLUMN})


def _read_state(state: str) -> LinkerState:
    try:
        return read_record(LinkerState, parse_object(state, "the state"), "the state")
    except InputError as error:
        raise ResumeError(f"not the state of an analysis ({error}); leave out --resume to start anew") from error
