"""From frames to raw rows: what the networks say of every face, before gaps are filled and scores are smoothed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from threading import BoundedSemaphore

import numpy as np
import pyarrow as pa

from affectline.errors import ResumeError
from affectline.face_scores import TaskScores, score_faces
from affectline.faces.crops import crop_face
from affectline.faces.finder import BLOCK_FRAMES, FaceFinder
from affectline.faces.landmarks import LandmarkReader, Landmarks, Mesh
from affectline.faces.quality import LOW_QUALITY, face_quality
from affectline.faces.reference import average_keypoints
from affectline.faces.regions import Region
from affectline.labels import Status, Task
from affectline.landmark_file import LandmarkEntry
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
from affectline.records import Face, FloatArray, Frame
from affectline.runtime import usable_cores
from affectline.schema import BOX_COLUMNS, encoding_column, raw_schema, score_columns

BATCH_FACES = 16
"""Crops that the backbone gets at once: beyond 16 its rate on a CPU hardly grows."""

MAX_QUEUED_BYTES = 64 * 2**20
"""Pictures that may wait between two stages; bounds memory on 8K video."""


@dataclass(slots=True)
class Seen:
    """One sampled frame on its way through the stages; the last of a block takes along what each stage had reached."""

    frame: Frame
    ends_block: bool
    faces: Sequence[Face]
    finder_state: object = None
    suggested: Sequence[Region] = ()
    qualities: Sequence[float] = ()
    prepared: Sequence[tuple[FloatArray, ...]] = ()
    meshes: Sequence[Mesh | None] = ()
    landmark_state: object = None
    landmarks: Sequence[Landmarks | None] = ()


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Raw rows of consecutive sampled frames.

    Attributes:
        rows: in the schema of `schema.raw_schema`, whole frames only.
        state: JSON text; an `Observer` restored from it goes on behind the last frame as if nothing had happened.
            Empty where the rows do not end at such a point.
        landmarks: one entry for each row with a face in which the network saw landmarks, in row order.
    """

    rows: pa.RecordBatch
    state: str
    landmarks: Sequence[LandmarkEntry] = field(repr=False, default=())


def raw_rows_schema(models: Models, names: Sequence[str] | None) -> pa.Schema:
    """Return the schema of the rows that an `Observer` of these models and file names gives."""
    encodings = {task: head.encoding_size for task, head in models.context_heads.items()}
    return raw_schema(models.expressions, names is not None, encodings)


class Observer:
    """Follows the faces of one input and runs the networks on them.

    Args:
        models: what to run.
        max_faces: follow the N largest faces only.
        detect_every: of so many sampled frames at least one is searched for faces; None leaves it open, see
            `faces.finder.FaceFinder`. The first of each block always is.
        names: file names by frame index; given for independent images, which are not tracked.
        state: what an earlier observer of the same input had reached (`RawBlock.state`).

    Raises:
        ResumeError: the state is no such text.
    """

    def __init__(
        self,
        models: Models,
        max_faces: int | None = None,
        detect_every: int | None = None,
        names: Sequence[str] | None = None,
        state: str | None = None,
    ) -> None:
        self._models = models
        self._names = names
        self._detect_every = detect_every
        self._taken = 0
        self._finder = None if models.detector is None else FaceFinder(models.detector, max_faces, detect_every)
        self._reader = None if models.landmarks is None else LandmarkReader(models.landmarks)
        self.schema = raw_rows_schema(models, names)
        if state:
            self._restore(state)

    def _restore(self, state: str) -> None:
        try:
            reached = json.loads(state)
            if self._models.detector is not None:
                self._finder = FaceFinder.from_state(reached["finder"], self._models.detector, self._detect_every)
            regions = reached["landmarks"]
        except (KeyError, TypeError, ValueError) as error:
            raise ResumeError(
                f"not the state of an analysis ({type(error).__name__}: {error}); leave out --resume to start anew"
            ) from error
        if self._reader is not None:
            self._reader.restore(regions)

    def observe(self, frames: Iterable[Frame], frame_bytes: int) -> Iterator[RawBlock]:
        """Give the raw rows of the frames, block by block; decoding, faces, landmarks and backbone run side by side.

        No more of it runs at once than the backbones may use cores (`Runtime.threads`); with one, all runs in the
        calling thread.

        Args:
            frames: in order; read in a thread of its own.
            frame_bytes: size of one decoded frame, from which the queues get their length.
        """
        depth = int(np.clip(MAX_QUEUED_BYTES // max(frame_bytes, 1), 1, 16))
        runtime = self._models.backbones[0].runtime
        if runtime.cores == 1:
            with ONE_OPENCV_THREAD:
                yield from self._run(map(self._see, frames), at_once)
            return
        permit: Permit = nullcontext() if runtime.cores >= usable_cores() else BoundedSemaphore(runtime.cores)
        with (
            ONE_OPENCV_THREAD,
            in_background(drawn(frames, permit), depth) as decoded,
            in_background(applied(self._find, decoded, permit), depth) as found,
            in_background(applied(self._prepare, found, permit), depth) as prepared,
            in_background(applied(self._mark, prepared, permit), depth) as marked,
            side_by_side(runtime.lanes, permit) as submit,
        ):
            yield from self._run(applied(self._express, marked, permit), submit)

    def observe_one(self, frame: Frame) -> RawBlock:
        """Give the raw rows of one frame, at once and in the calling thread."""
        (block,) = self._run([self._see(frame)], at_once)
        return block

    def _see(self, frame: Frame) -> Seen:
        """Take a frame through all stages before the backbones."""
        return self._express(self._mark(self._prepare(self._find(frame))))

    def _find(self, frame: Frame) -> Seen:
        faces = self._faces(frame)
        self._taken += 1
        seen = Seen(frame, self._taken % BLOCK_FRAMES == 0, faces)
        if seen.ends_block and self._finder is not None:
            seen.finder_state = self._finder.state()
        if self._reader is not None:
            seen.suggested = self._reader.suggest(frame.rgb, faces)
        return seen

    def _faces(self, frame: Frame) -> Sequence[Face]:
        if self._finder is None:
            return [] if frame.is_corrupt else [_whole_picture(frame)]
        if frame.time_s is None and not frame.is_corrupt:
            return self._finder.find_independent(frame)
        return self._finder.find(frame)

    def _prepare(self, seen: Seen) -> Seen:
        """Look how good each face is to see, and bring it to the form that each backbone wants."""
        rgb = seen.frame.rgb
        seen.qualities = [face_quality(rgb, face) for face in seen.faces]
        seen.prepared = [
            tuple(
                backbone.prepare(crop_face(rgb, face.box_xyxy, backbone.spec.crop))
                for backbone in self._models.backbones
            )
            for face in seen.faces
        ]
        return seen

    def _mark(self, seen: Seen) -> Seen:
        if self._reader is not None:
            seen.meshes = self._reader.find(seen.frame.rgb, seen.faces, seen.suggested)
            if seen.ends_block:
                seen.landmark_state = self._reader.state()
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
            block.add(item)
            if item.ends_block:
                block.end(json.dumps({"finder": item.finder_state, "landmarks": item.landmark_state}))
                ended.append(block)
                block = _Block(self._models, self._names, submit)
            # The backbones go on with the crops of the next block meanwhile.
            while ended and (ended[0].is_scored or len(ended) > 1):
                yield ended.popleft().build(self.schema)
        if block:
            block.end("")
            ended.append(block)
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
        self._state = ""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_scored(self) -> bool:
        """Whether the backbones are done with it, once it has ended."""
        return all(scores.done() for scores in self._scored)

    def add(self, item: Seen) -> None:
        if not item.faces:
            self._rows.append(_Row(item.frame))
        marks = item.landmarks or [None] * len(item.faces)
        for face, quality, mark in zip(item.faces, item.qualities, marks, strict=True):
            self._rows.append(_Row(item.frame, face, quality, mark))
        self._waiting.extend(zip(item.prepared, marks, strict=True))
        while len(self._waiting) >= BATCH_FACES:
            self._send_batch()

    def end(self, state: str) -> None:
        """Send what is left to the backbones; nothing is added any more. `state` is that of the `RawBlock`."""
        self._state = state
        if self._waiting:
            self._send_batch()

    def _send_batch(self) -> None:
        batch, self._waiting = self._waiting[:BATCH_FACES], self._waiting[BATCH_FACES:]
        self._scored.append(self._submit(partial(_scores, self._models, batch)))

    def build(self, schema: pa.Schema) -> RawBlock:
        """Return the rows, waiting for the backbones."""
        scores = [one.result() for one in self._scored]
        columns = {**self._row_columns(), **self._score_columns(scores), **self._encodings(scores)}
        arrays = [pa.array(columns[entry.name], type=entry.type, from_pandas=True) for entry in schema]
        entries = [
            (row.frame.index, row.face.track_id, row.landmarks)
            for row in self._rows
            if row.face is not None and row.landmarks is not None
        ]
        return RawBlock(pa.RecordBatch.from_arrays(arrays, schema=schema), self._state, entries)

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

    def _with_face(self) -> list[int]:
        return [number for number, row in enumerate(self._rows) if row.face is not None]


def _scores(models: Models, batch: Sequence[tuple[tuple[FloatArray, ...], Landmarks | None]]) -> TaskScores:
    """Return what the networks say of some faces, given as their backbones want them, with their landmarks."""
    features = {
        backbone.digest: backbone.run(np.stack([prepared[number] for prepared, _ in batch]), in_lanes=False)
        for number, backbone in enumerate(models.backbones)
    }
    return score_faces(models, features, [mark for _, mark in batch])


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
