"""The raw rows of consecutive frames, put together while the backbones work on their faces."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.face_scores import TaskScores, score_faces
from affectline.faces.landmarks import Landmarks, Mesh
from affectline.faces.quality import LOW_QUALITY
from affectline.faces.regions import Region
from affectline.faces.scenes import Thumbnail
from affectline.labels import Status, Task
from affectline.models import Models
from affectline.pipeline import Submit
from affectline.raw_blocks import RawBlock, Trail
from affectline.records import Face, FloatArray, Frame
from affectline.schema import ASKED_COLUMN, BOX_COLUMNS, MISSED_COLUMN, encoding_column, score_columns

BLOCK_FRAMES = 48
"""Frames whose rows are put together, two seconds of ordinary video; the last block of a stretch may have fewer."""

BATCH_FACES = 16
"""Crops that the backbone gets at once: beyond 16 its rate on a CPU hardly grows."""


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


class BlockRows:
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
        """Whether it has `BLOCK_FRAMES` frames."""
        return len(self._frames) >= BLOCK_FRAMES

    @property
    def is_scored(self) -> bool:
        """Whether the backbones are done with it, once it has ended."""
        return all(scores.done() for scores in self._scored)

    def add(self, item: Seen) -> None:
        """Take the next frame, and send the crops to the backbones as soon as there is a batch."""
        self._frames.append(item)
        if not item.faces:
            self._rows.append(_Row(item.frame))
        marks = item.landmarks or [None] * len(item.faces)
        for face, quality, mark in zip(item.faces, item.qualities, marks, strict=True):
            self._rows.append(_Row(item.frame, face, quality, mark))
        self._waiting.extend(zip(item.prepared, marks, strict=True))
        item.prepared = ()  # or crops of the whole block would be kept with its frames
        while len(self._waiting) >= BATCH_FACES:
            self._send_batch()

    def ended(self) -> BlockRows:
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
            MISSED_COLUMN: [row.frame.missed for row in self._rows],
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


def _plain_rows(array: NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, array.tolist()))
