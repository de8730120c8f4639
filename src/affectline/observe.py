"""From frames to raw rows: what the networks say of every face, before gaps are filled and scores are smoothed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from affectline.errors import ResumeError
from affectline.face_scores import TaskScores, score_faces
from affectline.faces.crops import crop_face
from affectline.faces.finder import BLOCK_FRAMES, FaceFinder
from affectline.faces.landmarks import LandmarkReader, Landmarks
from affectline.faces.quality import LOW_QUALITY, face_quality
from affectline.faces.reference import average_keypoints
from affectline.labels import Status, Task
from affectline.landmark_file import LandmarkEntry
from affectline.models import Models
from affectline.pipeline import in_background
from affectline.records import Face, FloatArray, Frame
from affectline.schema import ASKED_COLUMN, BOX_COLUMNS, encoding_column, raw_schema, score_columns
from affectline.stride import Stride, mark_last

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
    qualities: Sequence[float]
    prepared: Sequence[tuple[FloatArray, ...]]
    is_passed: bool = False
    finder_state: object = None
    landmarks: Sequence[Landmarks | None] = ()
    landmark_state: object = None


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
    return raw_schema(models.expressions, names is not None, encodings, with_asked=models.cascade is not None)


class Observer:
    """Follows the faces of one input and runs the networks on them.

    Args:
        models: what to run.
        max_faces: follow the N largest faces only.
        detect_every: of so many sampled frames at least one is searched for faces; None leaves it open, see
            `faces.finder.FaceFinder`. The first of each block always is.
        names: file names by frame index; given for independent images, which are not tracked.
        state: what an earlier observer of the same input had reached (`RawBlock.state`).
        stride_s: look at one frame in so many seconds (`stride.Stride`); the others have a row without a face.

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
        stride_s: float | None = None,
    ) -> None:
        self._models = models
        self._names = names
        self._detect_every = detect_every
        self._stride = Stride(stride_s)
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

    def observe(self, frames: Iterable[Frame], frame_bytes: int, *, goes_on: bool = False) -> Iterator[RawBlock]:
        """Give the raw rows of the frames, block by block; decoding, faces, landmarks and backbone run side by side.

        Args:
            frames: in order; read in a thread of its own.
            frame_bytes: size of one decoded frame, from which the queues get their length.
            goes_on: more frames of the input follow behind these. With a stride, the last of an input is seen too.
        """
        depth = int(np.clip(MAX_QUEUED_BYTES // max(frame_bytes, 1), 1, 16))
        with (
            in_background(frames, depth) as decoded,
            in_background(self._find(decoded, ends=not goes_on), depth) as found,
            in_background(self._mark(found), depth) as marked,
        ):
            yield from self._run(marked)

    def observe_one(self, frame: Frame) -> RawBlock:
        """Give the raw rows of one frame, at once and in the calling thread."""
        (block,) = self._run(self._mark(self._find([frame])))
        return block

    def _find(self, frames: Iterable[Frame], *, ends: bool = False) -> Iterator[Seen]:
        for frame, is_passed in self._passing(frames, ends=ends):
            faces = self._pass_by() if is_passed else self._faces(frame)
            self._taken += 1
            seen = Seen(
                frame,
                self._taken % BLOCK_FRAMES == 0,
                faces,
                [face_quality(frame.rgb, face) for face in faces],
                [self._prepare(frame, face) for face in faces],
                is_passed,
            )
            if seen.ends_block and self._finder is not None:
                seen.finder_state = self._finder.state()
            yield seen

    def _passing(self, frames: Iterable[Frame], *, ends: bool) -> Iterator[tuple[Frame, bool]]:
        """Give each frame and whether it is passed by unseen."""
        is_marked = ends and self._stride.stride_s is not None
        for frame, is_last in mark_last(frames) if is_marked else ((frame, False) for frame in frames):
            is_due = self._stride.takes(frame, begins_block=self._taken % BLOCK_FRAMES == 0)
            yield frame, not (is_due or is_last)

    def _pass_by(self) -> Sequence[Face]:
        if self._finder is not None:
            self._finder.pass_by()
        return []

    def _faces(self, frame: Frame) -> Sequence[Face]:
        if self._finder is None:
            return [] if frame.is_corrupt else [_whole_picture(frame)]
        if frame.time_s is None and not frame.is_corrupt:
            return self._finder.find_independent(frame)
        return self._finder.find(frame)

    def _prepare(self, frame: Frame, face: Face) -> tuple[FloatArray, ...]:
        """Return the face as each backbone wants it, and the network of a cascade, which comes last."""
        cascade = self._models.cascade
        return tuple(
            backbone.prepare(crop_face(frame.rgb, face.box_xyxy, backbone.spec.crop))
            for backbone in (*self._models.backbones, *(() if cascade is None else (cascade.backbone,)))
        )

    def _mark(self, seen: Iterable[Seen]) -> Iterator[Seen]:
        for item in seen:
            if self._reader is not None:
                if not item.is_passed:
                    item.landmarks = self._reader.read(item.frame.rgb, item.faces)
                if item.ends_block:
                    item.landmark_state = self._reader.state()
            # Nobody looks at the picture again; a block of them would not fit into memory.
            item.frame = replace(item.frame, rgb=_NO_PIXELS)
            yield item

    def _run(self, seen: Iterable[Seen]) -> Iterator[RawBlock]:
        block = _Block(self._models, self._names)
        for item in seen:
            block.add(item)
            if item.ends_block:
                state = {"finder": item.finder_state, "landmarks": item.landmark_state}
                yield block.build(self.schema, json.dumps(state))
                block = _Block(self._models, self._names)
        if block:
            yield block.build(self.schema, "")


class _Block:
    """The rows of one block while it is put together; crops go through the backbones as soon as a batch is full."""

    def __init__(self, models: Models, names: Sequence[str] | None) -> None:
        self._models = models
        self._names = names
        self._waiting: list[tuple[tuple[FloatArray, ...], Landmarks | None]] = []
        self._scores: list[TaskScores] = []
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, item: Seen) -> None:
        if not item.faces:
            self._rows.append(_Row(item.frame))
        marks = item.landmarks or [None] * len(item.faces)
        for face, quality, mark in zip(item.faces, item.qualities, marks, strict=True):
            self._rows.append(_Row(item.frame, face, quality, mark))
        self._waiting.extend(zip(item.prepared, marks, strict=True))
        while len(self._waiting) >= BATCH_FACES:
            self._run_backbones()

    def _run_backbones(self) -> None:
        batch, self._waiting = self._waiting[:BATCH_FACES], self._waiting[BATCH_FACES:]
        features = {
            backbone.digest: backbone.run(np.stack([prepared[number] for prepared, _ in batch]))
            for number, backbone in enumerate(self._models.backbones)
        }
        marks = [mark for _, mark in batch]
        self._scores.append(score_faces(self._models, features, marks, lambda number: batch[number][0][-1]))

    def build(self, schema: pa.Schema, state: str) -> RawBlock:
        if self._waiting:
            self._run_backbones()
        columns = {**self._row_columns(), **self._score_columns(), **self._encodings(), ASKED_COLUMN: self._asked()}
        arrays = [pa.array(columns[entry.name], type=entry.type, from_pandas=True) for entry in schema]
        entries = [
            (row.frame.index, row.face.track_id, row.landmarks)
            for row in self._rows
            if row.face is not None and row.landmarks is not None
        ]
        return RawBlock(pa.RecordBatch.from_arrays(arrays, schema=schema), state, entries)

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

    def _score_columns(self) -> dict[str, FloatArray]:
        names = [name for task in Task for name in score_columns(task, self._models.expressions)]
        table = np.full((len(self._rows), len(names)), np.nan, np.float32)
        if self._scores:
            table[self._with_face()] = np.concatenate(
                [np.concatenate([s.valence_arousal, s.probabilities, s.action_units], axis=1) for s in self._scores]
            )
        return dict(zip(names, table.T, strict=True))

    def _encodings(self) -> dict[str, list[FloatArray | None]]:
        columns = {}
        for task in self._models.context_heads:
            column: list[FloatArray | None] = [None] * len(self._rows)
            encoded = [row for scores in self._scores for row in scores.encoded[task]]
            for number, row in zip(self._with_face(), encoded, strict=True):
                column[number] = row
            columns[encoding_column(task)] = column
        return columns

    def _asked(self) -> list[bool | None]:
        asked: list[bool | None] = [None] * len(self._rows)
        answers = [is_asked for scores in self._scores for is_asked in scores.is_asked.tolist()]
        for number, is_asked in zip(self._with_face(), answers, strict=True):
            asked[number] = is_asked
        return asked

    def _with_face(self) -> list[int]:
        return [number for number, row in enumerate(self._rows) if row.face is not None]


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
