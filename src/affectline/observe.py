"""From frames to raw rows: what the networks say of every face, before gaps are filled and scores are smoothed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from threading import BoundedSemaphore

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.face_scores import TaskScores, score_faces
from affectline.faces.crops import crop_face
from affectline.faces.finder import FaceFinder
from affectline.faces.landmarks import LandmarkReader, Landmarks, Mesh
from affectline.faces.quality import LOW_QUALITY, face_quality
from affectline.faces.reference import average_keypoints
from affectline.faces.regions import Region
from affectline.faces.scenes import Thumbnail
from affectline.faces.stretches import Stretches
from affectline.labels import Status, Task
from affectline.models import Models
from affectline.pipeline import (
    ONE_OPENCV_THREAD,
    Permit,
    Submit,
    applied,
    at_once,
    drawn,
    in_background,
    side_by_side,
)
from affectline.raw_blocks import RawBlock, Trail
from affectline.records import Face, FloatArray, Frame
from affectline.runtime import usable_cores
from affectline.schema import ASKED_COLUMN, BOX_COLUMNS, encoding_column, raw_schema, score_columns
from affectline.stride import Stride, mark_last

BLOCK_FRAMES = 48
"""Frames whose rows are put together, two seconds of ordinary video; the last block of a stretch may have fewer."""

BATCH_FACES = 16
"""Crops that the backbone gets at once: beyond 16 its rate on a CPU hardly grows."""

MAX_QUEUED_BYTES = 64 * 2**20
"""Pictures that may wait between two stages; bounds memory on 8K video."""


@dataclass(slots=True)
class Seen:
    """One sampled frame on its way through the stages."""

    frame: Frame
    begins_stretch: bool
    begins_scene: bool
    thumbnail: Thumbnail | None
    is_passed: bool
    faces: Sequence[Face]
    frame_wh: tuple[int, ...]
    suggested: Sequence[Region] = ()
    qualities: Sequence[float] = ()
    prepared: Sequence[tuple[FloatArray, ...]] = ()
    meshes: Sequence[Mesh | None] = ()
    landmarks: Sequence[Landmarks | None] = ()


def raw_rows_schema(models: Models, names: Sequence[str] | None) -> pa.Schema:
    """Return the schema of the rows that an `Observer` of these models and file names gives."""
    encodings = {task: head.encoding_size for task, head in models.context_heads.items()}
    return raw_schema(models.expressions, names is not None, encodings, with_asked=models.cascade is not None)


class Observer:
    """Follows the faces of one input and runs the networks on them.

    Args:
        models: what to run.
        max_faces: follow the N largest faces only.
        detect_every: of so many sampled frames at least one is searched for faces; None leaves it open, see
            `faces.finder.FaceFinder`. The first of each stretch always is (`faces.stretches`).
        names: file names by frame index; given for independent images, which are not tracked.
        stride_s: look at one frame in so many seconds (`stride.Stride`); the others have a row without a face.
    """

    def __init__(
        self,
        models: Models,
        max_faces: int | None = None,
        detect_every: int | None = None,
        names: Sequence[str] | None = None,
        stride_s: float | None = None,
    ) -> None:
        self._models = models
        self._names = names
        self._max_faces = max_faces
        self._detect_every = detect_every
        self._stride = Stride(stride_s)
        self._stretches = Stretches()
        self._finder = self._fresh_finder()
        self._reader = self._fresh_reader()
        self.schema = raw_rows_schema(models, names)

    def _fresh_finder(self) -> FaceFinder | None:
        detector = self._models.detector
        return None if detector is None else FaceFinder(detector, self._max_faces, self._detect_every)

    def _fresh_reader(self) -> LandmarkReader | None:
        return None if self._models.landmarks is None else LandmarkReader(self._models.landmarks)

    def observe(self, frames: Iterable[Frame], frame_bytes: int, *, goes_on: bool = False) -> Iterator[RawBlock]:
        """Give the raw rows of the frames, block by block; decoding, faces, landmarks and backbone run side by side.

        No more of it runs at once than the backbones may use cores (`Runtime.threads`); with one, all runs in the
        calling thread.

        Args:
            frames: in order; read in a thread of its own.
            frame_bytes: size of one decoded frame, from which the queues get their length.
            goes_on: more frames of the input follow behind these. With a stride, the last of an input is seen too.
        """
        depth = int(np.clip(MAX_QUEUED_BYTES // max(frame_bytes, 1), 1, 16))
        ends = self._stride.stride_s is not None and not goes_on
        marked_frames = mark_last(frames) if ends else ((frame, False) for frame in frames)
        runtime = self._models.backbones[0].runtime
        if runtime.cores == 1:
            with ONE_OPENCV_THREAD:
                yield from self._run(map(self._see, marked_frames), at_once)
            return
        permit: Permit = nullcontext() if runtime.cores >= usable_cores() else BoundedSemaphore(runtime.cores)
        with (
            ONE_OPENCV_THREAD,
            in_background(drawn(marked_frames, permit), depth) as decoded,
            in_background(applied(self._find, decoded, permit), depth) as found,
            in_background(applied(self._prepare, found, permit), depth) as prepared,
            in_background(applied(self._mark, prepared, permit), depth) as marked,
            side_by_side(runtime.lanes, permit) as submit,
        ):
            yield from self._run(applied(self._express, marked, permit), submit)

    def observe_one(self, frame: Frame) -> RawBlock:
        """Give the raw rows of one frame, at once and in the calling thread."""
        (block,) = self._run([self._see((frame, False))], at_once)
        return block

    def _see(self, taken: tuple[Frame, bool]) -> Seen:
        """Take a frame through all stages before the backbones; with it comes whether it is the input's last."""
        return self._express(self._mark(self._prepare(self._find(taken))))

    def _find(self, taken: tuple[Frame, bool]) -> Seen:
        frame, is_last = taken
        begins_stretch = self._stretches.begins_with(frame.time_s)
        if begins_stretch:
            self._finder = self._fresh_finder()
        is_passed = not (self._stride.takes(frame, begins_stretch=begins_stretch) or is_last)
        seen = Seen(
            frame,
            begins_stretch,
            begins_scene=False,
            thumbnail=None,
            is_passed=is_passed,
            faces=[] if is_passed else self._faces(frame),
            frame_wh=frame.rgb.shape[1::-1],
        )
        if self._finder is not None and not is_passed:
            seen.begins_scene, seen.thumbnail = self._finder.begins_scene, self._finder.thumbnail
        if self._reader is not None:
            seen.suggested = self._reader.suggest(frame.rgb, seen.faces)
        return seen

    def _faces(self, frame: Frame) -> Sequence[Face]:
        if self._finder is None:
            return [] if frame.is_corrupt else [_whole_picture(frame)]
        if frame.time_s is None and not frame.is_corrupt:
            return self._finder.find_independent(frame)
        return self._finder.find(frame)

    def _prepare(self, seen: Seen) -> Seen:
        """Look how good each face is to see, and bring it to the form that each backbone wants.

        That of a cascade's network comes last.
        """
        rgb, cascade = seen.frame.rgb, self._models.cascade
        backbones = [*self._models.backbones, *([] if cascade is None else [cascade.backbone])]
        seen.qualities = [face_quality(rgb, face) for face in seen.faces]
        seen.prepared = [
            tuple(backbone.prepare(crop_face(rgb, face.box_xyxy, backbone.spec.crop)) for backbone in backbones)
            for face in seen.faces
        ]
        return seen

    def _mark(self, seen: Seen) -> Seen:
        if seen.begins_stretch:
            self._reader = self._fresh_reader()
        if self._reader is not None and not seen.is_passed:
            seen.meshes = self._reader.find(seen.frame.rgb, seen.faces, seen.suggested)
        # Nobody looks at the picture again; a block of them would not fit into memory.
        seen.frame = replace(seen.frame, rgb=_NO_PIXELS)
        return seen

    def _express(self, seen: Seen) -> Seen:
        if self._reader is not None:
            seen.landmarks = self._reader.express(seen.meshes)
        return seen

    def _run(self, seen: Iterable[Seen], submit: Submit[TaskScores]) -> Iterator[RawBlock]:
        block = _Block(self._models, self._names, submit)
        ended: deque[_Block] = deque()
        for item in seen:
            if block and (item.begins_stretch or block.is_full):
                ended.append(block.ended())
                block = _Block(self._models, self._names, submit)
            block.add(item)
            # The backbones go on with the crops of the next block meanwhile.
            while ended and (ended[0].is_scored or len(ended) > 1):
                yield ended.popleft().build(self.schema)
        if block:
            ended.append(block.ended())
        for block in ended:
            yield block.build(self.schema)


class _Block:
    """The rows of one block while it is put together; crops go to the backbones as soon as there is a batch."""

    def __init__(self, models: Models, names: Sequence[str] | None, submit: Submit[TaskScores]) -> None:
        self._models = models
        self._names = names
        self._submit = submit
        self._waiting: list[tuple[tuple[FloatArray, ...], Landmarks | None]] = []
        self._scored: list[Future[TaskScores]] = []
        self._rows: list[_Row] = []
        self._frames: list[Seen] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_full(self) -> bool:
        return len(self._frames) >= BLOCK_FRAMES

    @property
    def is_scored(self) -> bool:
        """Whether the backbones are done with it, once it has ended."""
        return all(scores.done() for scores in self._scored)

    def add(self, item: Seen) -> None:
        self._frames.append(replace(item, prepared=()))
        if not item.faces:
            self._rows.append(_Row(item.frame))
        marks = item.landmarks or [None] * len(item.faces)
        for face, quality, mark in zip(item.faces, item.qualities, marks, strict=True):
            self._rows.append(_Row(item.frame, face, quality, mark))
        self._waiting.extend(zip(item.prepared, marks, strict=True))
        while len(self._waiting) >= BATCH_FACES:
            self._send_batch()

    def ended(self) -> _Block:
        """Return the block itself, with what is left sent to the backbones; nothing is added any more."""
        if self._waiting:
            self._send_batch()
        return self

    def _send_batch(self) -> None:
        batch, self._waiting = self._waiting[:BATCH_FACES], self._waiting[BATCH_FACES:]
        self._scored.append(self._submit(partial(_scores, self._models, batch)))

    def build(self, schema: pa.Schema) -> RawBlock:
        """Return the rows, waiting for the backbones."""
        scores = [one.result() for one in self._scored]
        columns = {
            **self._row_columns(),
            **self._score_columns(scores),
            **self._encodings(scores),
            ASKED_COLUMN: self._asked(scores),
        }
        arrays = [pa.array(columns[entry.name], type=entry.type, from_pandas=True) for entry in schema]
        entries = [
            (row.frame.index, row.face.track_id, row.landmarks)
            for row in self._rows
            if row.face is not None and row.landmarks is not None
        ]
        return RawBlock(pa.RecordBatch.from_arrays(arrays, schema=schema), self._trail(), entries)

    def _trail(self) -> Trail:
        first = self._frames[0]
        unseen = {item.frame.index for item in self._frames if item.frame.is_corrupt or item.is_passed}
        thumbnails = [item.thumbnail for item in self._frames if item.frame.index not in unseen]
        ends = [_plain_rows(thumbnail) for thumbnail in (thumbnails[:1] + thumbnails[-1:]) if thumbnail is not None]
        looks: dict[str, list[NDArray[np.float64]]] = {}
        for row in self._rows:
            if row.face is not None and row.face.look is not None:
                looks.setdefault(str(row.face.track_id), []).append(row.face.look)
        return Trail(
            first.begins_stretch,
            first.frame_wh,
            tuple(sorted(unseen)),
            tuple(item.frame.index for item in self._frames if item.begins_scene),
            ends[0] if ends else None,
            ends[-1] if ends else None,
            {track: _plain_rows(np.stack([seen[0], seen[-1]])) for track, seen in looks.items()},
        )

    def _row_columns(self) -> dict[str, object]:
        rows = self._rows
        boxes = np.stack([_NO_BOX if row.face is None else row.face.box_xyxy for row in rows])
        columns: dict[str, object] = {
            "frame": [row.frame.index for row in rows],
            "time_s": [row.frame.time_s for row in rows],
            "track_id": [None if row.face is None else row.face.track_id for row in rows],
            "status": [row.status for row in rows],
            "face_score": np.array([np.nan if row.face is None else row.face.score for row in rows], np.float32),
            "quality": np.array([row.quality for row in rows], np.float32),
        }
        columns.update(zip(BOX_COLUMNS, boxes.T, strict=True))
        if self._names is not None:
            columns["source"] = [self._names[row.frame.index] for row in rows]
        return columns

    def _score_columns(self, scores: Sequence[TaskScores]) -> dict[str, FloatArray]:
        names = [name for task in Task for name in score_columns(task, self._models.expressions)]
        table = np.full((len(self._rows), len(names)), np.nan, np.float32)
        if scores:
            table[self._with_face()] = np.concatenate(
                [np.concatenate([s.valence_arousal, s.probabilities, s.action_units], axis=1) for s in scores]
            )
        return dict(zip(names, table.T, strict=True))

    def _encodings(self, scores: Sequence[TaskScores]) -> dict[str, list[FloatArray | None]]:
        columns = {}
        for task in self._models.context_heads:
            column: list[FloatArray | None] = [None] * len(self._rows)
            encoded = [row for one in scores for row in one.encoded[task]]
            for number, row in zip(self._with_face(), encoded, strict=True):
                column[number] = row
            columns[encoding_column(task)] = column
        return columns

    def _asked(self, scores: Sequence[TaskScores]) -> list[bool | None]:
        asked: list[bool | None] = [None] * len(self._rows)
        answers = [is_asked for one in scores for is_asked in one.is_asked.tolist()]
        for number, is_asked in zip(self._with_face(), answers, strict=True):
            asked[number] = is_asked
        return asked

    def _with_face(self) -> list[int]:
        return [number for number, row in enumerate(self._rows) if row.face is not None]


def _scores(models: Models, batch: Sequence[tuple[tuple[FloatArray, ...], Landmarks | None]]) -> TaskScores:
    """Return what the networks say of some faces, given as their backbones want them, with their landmarks."""
    features = {
        backbone.digest: backbone.run(np.stack([prepared[number] for prepared, _ in batch]), in_lanes=False)
        for number, backbone in enumerate(models.backbones)
    }
    marks = [mark for _, mark in batch]
    return score_faces(models, features, marks, lambda number: batch[number][0][-1])


@dataclass(frozen=True, slots=True)
class _Row:
    frame: Frame
    face: Face | None = None
    quality: float = np.nan
    landmarks: Landmarks | None = None

    @property
    def status(self) -> str:
        if self.frame.is_corrupt:
            return Status.ERROR.value
        if self.face is None:
            return Status.NO_FACE.value
        return Status.LOW_QUALITY.value if self.quality < LOW_QUALITY else Status.OBSERVED.value


_NO_BOX = np.full(4, np.nan, np.float32)
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


def _plain_rows(array: NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, array.tolist()))


def _whole_picture(frame: Frame) -> Face:
    """Return the face that fills a picture which is a crop already."""
    height, width = frame.rgb.shape[:2]
    box_xyxy = np.array((0, 0, width, height), np.float32)
    return Face(
        box_xyxy=box_xyxy,
        score=1.0,
        keypoints=average_keypoints(box_xyxy[None])[0],
        track_id=None if frame.time_s is None else 1,
    )
