"""From raw rows with encodings to raw rows with scores: what heads that look at a face over time say of each track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.errors import InputError
from affectline.face_scores import in_columns
from affectline.heads.head import Context, ContextHead, FaceFollower
from affectline.heads.head import score_tracks as score_each_track
from affectline.labels import Task
from affectline.models import Models
from affectline.records import MAX_GAP_S, FloatArray
from affectline.schema import encoding_column, score_columns


def score_tracks(raw: pa.Table, models: Models) -> pa.Table:
    """Return raw rows in which every task is scored, in `schema.raw_schema` without encodings.

    Args:
        raw: all rows of an input, in the schema of its `Observer`. Rows without times are independent images: each is
            scored as a face of which nothing else is known.
        models: that the rows were observed with.
    """
    for task, head in models.context_heads.items():
        seen = raw.filter(pc.is_valid(raw[encoding_column(task)]))
        raw = _with_scores(raw, models, head, _scores(head, seen, _encodings(seen, task, head)))
    return raw


def _scores(head: ContextHead, seen: pa.Table, encoded: FloatArray) -> FloatArray:
    if seen["time_s"].null_count == len(seen):
        alone = [head.score_encoded(encoded[row : row + 1], np.zeros(1)) for row in range(len(seen))]
        return np.concatenate([np.empty((0, len(head.card.labels)), np.float32), *alone])
    track_id, time_s = np.asarray(seen["track_id"], np.int64), np.asarray(seen["time_s"], np.float64)
    return score_each_track(head, encoded, track_id, time_s)


def _encodings(seen: pa.Table, task: Task, head: ContextHead) -> FloatArray:
    """Return the encodings of rows that all have one, shape (n, encoding size), float32."""
    # flatten() honours a slice's offset and leaves out what stands for nulls; values does neither.
    chunks = [np.asarray(chunk.flatten()) for chunk in seen[encoding_column(task)].chunks]
    return np.concatenate([np.empty(0, np.float32), *chunks]).reshape(-1, head.encoding_size)


def _with_scores(raw: pa.Table, models: Models, head: ContextHead, scores: FloatArray) -> pa.Table:
    """Return rows with the scores of those that have an encoding, and without the encodings."""
    task = head.card.task
    has_face = np.asarray(pc.is_valid(raw[encoding_column(task)]))
    names = score_columns(task, models.expressions)
    table = np.full((len(raw), len(names)), np.nan, np.float32)
    table[has_face] = in_columns(models, head, scores)
    for name, column in zip(names, table.T, strict=True):
        place = raw.schema.get_field_index(name)
        raw = raw.set_column(place, raw.schema.field(place), pa.array(column, from_pandas=True))
    return raw.drop_columns([encoding_column(task)])


@dataclass(slots=True)
class _Followed:
    follower: FaceFollower
    last_s: float


class LiveTracks:
    """Scores tracks while their frames come, in bounded memory, with the numbers that `score_tracks` gives.

    Args:
        models: whose heads look at single frames or at the past.

    Raises:
        InputError: a head looks ahead.
    """

    def __init__(self, models: Models) -> None:
        contexts = models.context_heads.items()
        ahead = [models.heads[task].name for task, head in contexts if head.context is Context.WINDOW]
        if ahead:
            raise InputError(
                f"{', '.join(ahead)} looks ahead, so it cannot score frames while they come; train a head with "
                "--causal for that, or analyse the whole video"
            )
        self._models = models
        self._followed: dict[tuple[Task, int], _Followed] = {}

    def push(self, raw: pa.Table) -> pa.Table:
        """Return the raw rows of the next frame with all scores; see `score_tracks`."""
        if raw["time_s"].null_count == len(raw):
            return score_tracks(raw, self._models)
        for task, head in self._models.context_heads.items():
            seen = raw.filter(pc.is_valid(raw[encoding_column(task)]))
            tracks, times_s = seen["track_id"].to_pylist(), seen["time_s"].to_pylist()
            found = [
                self._follower(task, head, track, time_s).push(encoded, time_s)
                for track, time_s, encoded in zip(tracks, times_s, _encodings(seen, task, head), strict=True)
            ]
            scores = np.stack(found) if found else np.empty((0, len(head.card.labels)), np.float32)
            raw = _with_scores(raw, self._models, head, scores)
        self._forget(raw["time_s"][-1].as_py())
        return raw

    def _follower(self, task: Task, head: ContextHead, track: int, time_s: float) -> FaceFollower:
        followed = self._followed.setdefault((task, track), _Followed(head.follow(), time_s))
        followed.last_s = time_s
        return followed.follower

    def _forget(self, now_s: float) -> None:
        """Drop tracks that have ended, or would be begun anew if they came back."""
        heads = self._models.context_heads
        for (task, track), followed in list(self._followed.items()):
            if now_s - followed.last_s > max(heads[task].memory_s, MAX_GAP_S):
                del self._followed[task, track]
