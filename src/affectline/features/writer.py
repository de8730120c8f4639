"""Writing feature tables: block by block, and whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from affectline.atomic_file import complete_path
from affectline.errors import OutputError, ShapeError
from affectline.features.store import FeatureStore
from affectline.features.table import FeatureInfo, feature_schema
from affectline.records import FaceFeatures, FloatArray

ROWS_PER_BATCH: Final = 16_384
"""Rows of a record batch: 42 MB of 1280-d embeddings, the most that writing holds in memory."""


class FeatureWriter:
    """Collects the rows of one video; the table appears in the store when the block ends with `finish` called.

    Rows wait in a nameless file on the store's disk, so that memory stays bounded, a killed process leaves nothing and
    two processes do not meet.

    Args:
        store: where the table goes.
        info: what it is of; its `frame_count` is replaced by that of `finish`.

    Raises:
        OutputError: the place cannot be written to; `write` and `finish` raise it too.
    """

    def __init__(self, store: FeatureStore, info: FeatureInfo) -> None:
        self._info = info
        self.path = store.path_of(info)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {self.path.parent}: {error.strerror}; choose another store") from error
        self._schema = feature_schema(info)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._file: IO[bytes] | None = None
        self._stream: pa.RecordBatchFileWriter | None = None
        self.rows = 0

    def __enter__(self) -> FeatureWriter:
        with self._writing():
            self._file = TemporaryFile(dir=self.path.parent)
            self._stream = pyarrow.ipc.new_file(self._file, self._schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was not finished is given up; a full disk may refuse even that.
        with contextlib.suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._stream = self._file = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise OutputError(
                f"cannot write features of {self._info.video} to {self.path.parent}: {error}; is the disk full?"
            ) from error

    def write(
        self,
        frame: NDArray[np.integer],
        time_s: NDArray[np.floating],
        features: FaceFeatures,
        track_id: NDArray[np.integer] | None = None,
        box_xyxy: FloatArray | None = None,
        face_score: FloatArray | None = None,
    ) -> None:
        """Add n rows behind the ones before.

        Args:
            frame: shape (n,), in order.
            time_s: shape (n,), seconds.
            features: of n faces; the embedding may be float16 already.
            track_id: shape (n,); None where nobody tracked.
            box_xyxy: shape (n, 4), pixels; None for ready crops.
            face_score: shape (n,); None for ready crops.
        """
        batch = feature_batch(self._schema, (frame, time_s, features, track_id, box_xyxy, face_score))
        self._waiting.append(batch)
        self._waiting_rows += len(batch)
        self.rows += len(batch)
        if self._waiting_rows >= ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting and self._stream is not None:
            table = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
            with self._writing():
                self._stream.write_table(table)
        self._waiting, self._waiting_rows = [], 0

    def finish(self, frame_count: int, problem: str = "") -> Path:
        """Put the table into its place and return that.

        Args:
            frame_count: number of frames of the video.
            problem: as `FeatureInfo.problem`.
        """
        self._flush()
        if self._stream is None or self._file is None:
            raise OutputError(f"features of {self._info.video} can be finished only once, inside the `with` block")
        with self._writing():
            self._stream.close()
            self._stream = None
        schema = feature_schema(replace(self._info, frame_count=frame_count, problem=problem))
        with (
            complete_path(self.path, pa.ArrowInvalid) as unfinished,
            pyarrow.ipc.new_file(str(unfinished), schema) as sink,
        ):
            reader = pyarrow.ipc.open_file(self._file)
            for number in range(reader.num_record_batches):
                sink.write_batch(pa.RecordBatch.from_arrays(reader.get_batch(number).columns, schema=schema))
        return self.path


def write_features(store: FeatureStore, info: FeatureInfo, batch_columns: Columns) -> Path:
    """Write a table that is in memory already, and return its place; the index is left to `FeatureStore.refresh`."""
    schema = feature_schema(info)
    path = store.path_of(info)
    batch = feature_batch(schema, batch_columns)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path.parent}: {error.strerror}; choose another store") from error
    with complete_path(path, pa.ArrowInvalid) as unfinished, pyarrow.ipc.new_file(str(unfinished), schema) as sink:
        sink.write_batch(batch)
    return path


Columns = tuple[
    NDArray[np.integer],
    NDArray[np.floating],
    FaceFeatures,
    NDArray[np.integer] | None,
    FloatArray | None,
    FloatArray | None,
]
"""Frame, time_s, features, track_id, box_xyxy and face_score of n rows, as `FeatureWriter.write` takes them."""


def feature_batch(schema: pa.Schema, columns: Columns) -> pa.RecordBatch:
    """Return n rows in the schema of a feature table.

    Raises:
        ShapeError: a column is missing, or does not have n rows of the right width.
    """
    frame, time_s, features, track_id, box_xyxy, face_score = columns
    n = len(frame)
    values: dict[str, object] = {
        "frame": frame,
        "time_s": time_s,
        "track_id": track_id,
        "box_xyxy": box_xyxy,
        "face_score": face_score,
        "embedding": features.embedding,
        "logits": features.logits,
        "valence": features.valence,
        "arousal": features.arousal,
    }
    try:
        return pa.RecordBatch.from_arrays([_column(field, values[field.name], n) for field in schema], schema=schema)
    except (pa.ArrowInvalid, ValueError) as error:
        raise ShapeError(f"these are no rows of a feature table: {error}") from error


def _column(field: pa.Field, values: object, n: int) -> pa.Array:
    if values is None:
        if not field.nullable:
            raise ShapeError(f"a feature table needs the column {field.name}")
        return pa.nulls(n, field.type)
    array = np.asarray(values)
    width = getattr(field.type, "list_size", None)
    if array.shape != ((n,) if width is None else (n, width)):
        raise ShapeError(f"{field.name} must have {n} rows of {width or 1} numbers, got the shape {array.shape}")
    if width is None:
        return pa.array(array, field.type)
    if width == 0:
        return pa.array([[]] * n, field.type)
    inner = field.type.value_type
    flat = np.ascontiguousarray(array, inner.to_pandas_dtype()).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, inner), width)
