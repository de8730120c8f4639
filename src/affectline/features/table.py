"""`FeatureTable`: what one backbone said of every face of one video, columnar, on disk or in memory."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from affectline.errors import InputError, InputFileError, ShapeError
from affectline.features.parts import FeaturePart
from affectline.json_records import parse_object, read_record, to_json_object
from affectline.labels import Expression
from affectline.records import CropPolicy, FaceFeatures, FloatArray
from affectline.runtime import Precision

MAX_FRAMES: Final = 10_000_000
"""Of a video, 92 hours at 30 frames a second: what has more is damaged."""

MAX_BEYOND: Final = 10_000
"""Crops may be of frames that a decoder does not give."""

METADATA_KEY: Final = b"affectline"
"""Under which the schema of a feature file keeps its `FeatureInfo`, as JSON."""


class CropKind(str, Enum):
    """Where the crops came from. The value is the name of the folder in the store."""

    CROPPED = "cropped"
    """Aff-Wild2's `cropped` pictures, or a folder like it."""

    CROPPED_ALIGNED = "cropped_aligned"
    """Aff-Wild2's `cropped_aligned` pictures, 112 x 112."""

    DETECTED = "detected"
    """Cut out of the video's frames by affectline's own detector."""


class TimeSource(str, Enum):
    """What `time_s` rests on."""

    PTS = "pts"
    """The presentation timestamps of the video."""

    NOMINAL = "nominal"
    """Frame number divided by a rate that the user stated: the crops came without their video."""

    ASSUMED = "assumed"
    """Likewise, but nobody stated the rate."""


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """What a feature table is of. The JSON text of it travels in the file.

    Attributes:
        video: name of the video, or of the crop folder (with `_left` or `_right` where Aff-Wild2 has two subjects).
        backbone: name of the backbone.
        digest: sha256 of the backbone's file, hexadecimal.
        labels: the expressions that the logits stand for, in their order.
        temperature: by which the logits are divided before the softmax.
        embedding_size: D.
        has_valence_arousal: the backbone gives valence and arousal.
        crop_kind: where the crops came from.
        crop: how they were cut out of frames; None for folders of ready crops, which are taken whole.
        detector: name of the face detector; None for folders of ready crops.
        time_source: what `time_s` rests on.
        rate_fps: the rate behind nominal or assumed times; None otherwise.
        frame_count: number of frames of the video, with or without a face. For crop folders without their video, the
            highest frame that has a crop, plus one.
        affectline: version that wrote the table.
        source: fingerprint of what the features were made from (`extract.fingerprint`); empty where it is not known.
        max_faces: so many of the largest faces were followed in a video; None for all, and for ready crops.
        precision: what the backbone computed with.
        problem: what of the input could not be read; empty if all could.
    """

    video: str
    backbone: str
    digest: str
    labels: tuple[Expression, ...]
    temperature: float
    embedding_size: int
    has_valence_arousal: bool
    crop_kind: CropKind
    crop: CropPolicy | None
    detector: str | None
    time_source: TimeSource
    rate_fps: float | None
    frame_count: int
    affectline: str
    source: str = ""
    max_faces: int | None = None
    precision: Precision = Precision.FP32
    problem: str = ""

    def to_json(self) -> str:
        """Return the JSON text that `from_json` turns into an equal record."""
        return json.dumps(to_json_object(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> FeatureInfo:
        """Read the record; raises InputError, naming `where`, if the text is no such record."""
        return read_record(cls, parse_object(text, where), where)


def feature_schema(info: FeatureInfo) -> pa.Schema:
    """Return the Arrow schema of a feature table, with the info in its metadata.

    Columns: frame int64 (from 0; crop `00001.jpg` is frame 0), time_s float64, track_id int32 (null where nobody
    tracked), box_xyxy 4 x float32 (pixels; null for ready crops), face_score float32 (null for ready crops), embedding
    D x float16, logits K x float32, and, where the backbone has them, valence and arousal float32. Rows are in the
    order of frame and track.
    """
    fields = [
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("track_id", pa.int32()),
        pa.field("box_xyxy", pa.list_(pa.float32(), 4)),
        pa.field("face_score", pa.float32()),
        pa.field("embedding", pa.list_(pa.float16(), info.embedding_size), nullable=False),
        pa.field("logits", pa.list_(pa.float32(), len(info.labels)), nullable=False),
    ]
    if info.has_valence_arousal:
        fields += [pa.field("valence", pa.float32()), pa.field("arousal", pa.float32())]
    return pa.schema(fields, metadata={METADATA_KEY: info.to_json().encode()})


class FeatureTable:
    """One video's backbone outputs. Memory-mapped when opened from a file: rows are read when they are asked for.

    Args:
        table: in `feature_schema(info)`.
        info: what it is of.

    Raises:
        ShapeError: the table has another schema, or its rows are not in the order of frame and track.
    """

    def __init__(self, table: pa.Table, info: FeatureInfo) -> None:
        _check_columns(table.schema, feature_schema(info), info.video)
        self.info = info
        self.table = table
        self._chunks: dict[str, list[NDArray[np.floating]]] = {}
        ends = np.cumsum([0, *(len(chunk) for chunk in table["frame"].chunks)])
        self._chunk_starts = ends[:-1]
        step = np.diff(self.frame)
        if ((step < 0) | ((step == 0) & (np.diff(self.track_id) <= 0))).any():
            raise ShapeError(f"the features of {info.video} are not in the order of frame and track, each once")
        self._check_times()

    def _check_times(self) -> None:
        if not len(self):
            return
        first, last = int(self.frame[0]), int(self.frame[-1])
        if first < 0 or last > max(self.info.frame_count, 1) + MAX_BEYOND or self.info.frame_count > MAX_FRAMES:
            raise ShapeError(
                f"the features of {self.info.video} are of the frames {first} to {last} of {self.info.frame_count}; "
                f"frames count from 0 up to at most {MAX_FRAMES}"
            )
        if not np.isfinite(self.time_s).all() or (np.diff(self.time_s) < 0).any():
            raise ShapeError(f"the times of {self.info.video} are not finite, or decrease")

    @classmethod
    def open(cls, path: Path) -> FeatureTable:
        """Open a feature file (Arrow IPC) without reading its rows.

        Raises:
            InputFileError: the file is missing, damaged or no feature file.
        """
        try:
            table = pyarrow.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise InputFileError(f"cannot read the feature file {path}: {error}; extract it again") from error
        text = (table.schema.metadata or {}).get(METADATA_KEY)
        try:
            return cls(table, FeatureInfo.from_json("" if text is None else text.decode(), str(path)))
        except (InputError, ShapeError) as error:
            raise InputFileError(f"{path} is no feature file: {error}") from error

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def frame(self) -> NDArray[np.int64]:
        """Frame index of each row, shape (n,), int64, from 0, never decreasing."""
        return np.asarray(self.table["frame"], np.int64)

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """Seconds, shape (n,), float64."""
        return np.asarray(self.table["time_s"], np.float64)

    @cached_property
    def track_id(self) -> NDArray[np.int64]:
        """Track of each row, shape (n,), int64; 0 where nobody tracked."""
        return np.asarray(self.table["track_id"].fill_null(0), np.int64)

    @cached_property
    def box_xyxy(self) -> FloatArray:
        """Reference boxes, shape (n, 4), float32, pixels; NaN for ready crops."""
        boxes = np.full((len(self), 4), np.nan, np.float32)
        column = self.table["box_xyxy"].combine_chunks()
        is_given = np.asarray(column.is_valid())
        boxes[is_given] = np.asarray(column.drop_null().flatten()).reshape(-1, 4)
        return boxes

    def features(
        self, rows: NDArray[np.intp] | slice = slice(None), parts: tuple[FeaturePart, ...] = tuple(FeaturePart)
    ) -> FaceFeatures:
        """Return the outputs of some rows, or of all, as float32; only those rows are read from disk.

        Args:
            rows: row numbers (any order) or a slice.
            parts: which outputs are needed. An embedding that is not needed has the width 0; the others are small and
                always there.
        """
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, np.intp)
        has_va = self.info.has_valence_arousal
        if FeaturePart.EMBEDDING in parts:
            embedding = self._gather("embedding", numbers, np.float16).astype(np.float32)
        else:
            embedding = np.empty((len(numbers), 0), np.float32)
        return FaceFeatures(
            embedding,
            self._gather("logits", numbers, np.float32),
            self._gather("valence", numbers, np.float32) if has_va else None,
            self._gather("arousal", numbers, np.float32) if has_va else None,
        )

    def _gather(self, name: str, rows: NDArray[np.intp], dtype: type[np.floating]) -> NDArray[np.floating]:
        arrays = self._arrays(name)
        if len(arrays) == 1:
            return arrays[0][rows]
        width = getattr(self.table.schema.field(name).type, "list_size", None)
        shape = (len(rows),) if width is None else (len(rows), width)
        picked = np.empty(shape, dtype)
        chunk_of = np.searchsorted(self._chunk_starts, rows, side="right") - 1
        for chunk in np.unique(chunk_of):
            here = chunk_of == chunk
            picked[here] = arrays[chunk][rows[here] - self._chunk_starts[chunk]]
        return picked

    def _arrays(self, name: str) -> list[NDArray[np.floating]]:
        """Return a column's chunks as arrays that share the file's memory."""
        if name not in self._chunks:
            self._chunks[name] = self._as_arrays(name)
        return self._chunks[name]

    def _as_arrays(self, name: str) -> list[NDArray[np.floating]]:
        field = self.table.schema.field(name)
        width = getattr(field.type, "list_size", None)
        chunks = self.table[name].chunks
        if width is None:
            return [np.asarray(chunk) for chunk in chunks]
        # flatten() honours a chunk's offset, values does not.
        return [np.asarray(chunk.flatten()).reshape(len(chunk), width) for chunk in chunks]


def refuse_other_faces(tables: Collection[FeatureTable]) -> None:
    """Raise InputError unless the tables of several backbones have the same faces in the same rows."""
    first, *others = tables
    for other in others:
        if not (np.array_equal(first.frame, other.frame) and np.array_equal(first.track_id, other.track_id)):
            raise InputError(
                f"{first.info.video}: the features of {first.info.backbone} ({len(first)} faces) and of "
                f"{other.info.backbone} ({len(other)} faces) are not of the same faces; extract both from the same "
                "crops"
            )


def _check_columns(schema: pa.Schema, expected: pa.Schema, video: str) -> None:
    """Raise ShapeError, naming the columns, unless a table is what its info says."""
    wrong = [field.name for field in expected if field.name not in schema.names or schema.field(field.name) != field]
    wrong += [name for name in schema.names if name not in expected.names]
    if wrong or schema.names != expected.names:
        raise ShapeError(f"the features of {video} lack columns or have others than they should: {', '.join(wrong)}")
