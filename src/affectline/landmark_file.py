"""`landmarks.arrow`: points and blendshapes of every observed face, as an Arrow stream that can be memory-mapped."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.atomic_file import complete_file
from affectline.errors import InputFileError, OutputError
from affectline.faces.landmarks import Landmarks
from affectline.faces.mesh import BLENDSHAPES, MESH_POINTS

LANDMARK_SCHEMA = pa.schema(
    [
        pa.field("frame", pa.int64()),
        pa.field("track_id", pa.int32()),
        pa.field("presence", pa.float32()),
        pa.field("points", pa.list_(pa.float32(), MESH_POINTS * 3)),
        pa.field("blendshapes", pa.list_(pa.float32(), len(BLENDSHAPES))),
    ],
    metadata={"points": "x, y, z of 478 points, pixels of the frame", "blendshapes": " ".join(BLENDSHAPES)},
)
"""One row per observed face; `points` is x, y, z of each point in turn, `blendshapes` in the order of `BLENDSHAPES`."""

PART_SUFFIX, EARLIER_SUFFIX = ".part", ".earlier"
"""Stand before the suffix of a file that is being written, and of the one that a resumed run copies from."""

LandmarkEntry = tuple[int, int | None, Landmarks]
"""Frame, track and landmarks of one face."""


class LandmarkWriter:
    """Writes landmarks while a job runs and moves the file into place at its end.

    Args:
        path: the finished file. Until then it is called like it, with `.part` before the suffix.
        keep_to_frame: go on with the part that is there, or the finished file, up to this frame; None starts anew.

    Raises:
        OutputError: the file cannot be written; `write` and `finish` raise it too.
    """

    def __init__(self, path: Path, keep_to_frame: int | None = None) -> None:
        self._path = path
        self._part = path.with_name(f"{path.stem}{PART_SUFFIX}{path.suffix}")
        earlier = path.with_name(f"{path.stem}{EARLIER_SUFFIX}{path.suffix}")
        try:
            if keep_to_frame is None:
                earlier.unlink(missing_ok=True)
            elif not earlier.exists():  # if it is there, the run that copied from it was killed: it holds more
                # A run that was killed behind the last frame has moved its part into place already.
                found = next((file for file in (self._part, path) if file.exists()), None)
                if found is not None:
                    found.replace(earlier)
            self._file = pa.OSFile(str(self._part), "wb")
            self._stream = pa.ipc.new_stream(self._file, LANDMARK_SCHEMA)
            if earlier.exists():
                self._copy(earlier, keep_to_frame or 0)
                earlier.unlink()
        except OSError as error:
            raise self._failure(error) from error

    def _copy(self, earlier: Path, keep_to_frame: int) -> None:
        """Take over whole batches of an earlier part, which may have been cut anywhere."""
        with pa.OSFile(str(earlier), "rb") as file:
            try:
                for batch in pa.ipc.open_stream(file):
                    if len(batch) and batch["frame"][-1].as_py() > keep_to_frame:
                        return
                    self._stream.write_batch(batch)
            except (pa.ArrowException, OSError):
                return

    def write(self, entries: Sequence[LandmarkEntry]) -> None:
        """Append the landmarks of some faces, in the order of their frames."""
        points = np.array([mark.points for _, _, mark in entries], np.float32).reshape(-1)
        blendshapes = np.array([mark.blendshapes for _, _, mark in entries], np.float32).reshape(-1)
        columns = [
            pa.array([frame for frame, _, _ in entries], pa.int64()),
            pa.array([track for _, track, _ in entries], pa.int32()),
            pa.array([mark.presence for _, _, mark in entries], pa.float32()),
            pa.FixedSizeListArray.from_arrays(pa.array(points), MESH_POINTS * 3),
            pa.FixedSizeListArray.from_arrays(pa.array(blendshapes), len(BLENDSHAPES)),
        ]
        try:
            self._stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=LANDMARK_SCHEMA))
        except OSError as error:
            raise self._failure(error) from error

    def finish(self) -> None:
        """Close the file and move it into place."""
        try:
            self._close()
            self._part.replace(self._path)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._part}: {error.strerror or error}; make room or choose another folder")

    def __enter__(self) -> LandmarkWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error, such as a full disk, what closing says would hide the cause.
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():
            self._close()

    def _close(self) -> None:
        if not self._file.closed:
            self._stream.close()
            self._file.close()


def landmark_entries(batch: pa.RecordBatch) -> list[LandmarkEntry]:
    """Return the rows of a batch as they were written."""
    points = batch["points"].flatten().to_numpy().reshape(len(batch), MESH_POINTS, 3)
    blendshapes = batch["blendshapes"].flatten().to_numpy().reshape(len(batch), len(BLENDSHAPES))
    found = zip(batch["frame"].to_pylist(), batch["track_id"].to_pylist(), batch["presence"].to_pylist(), strict=True)
    return [
        (frame, track, Landmarks(points[row], presence, blendshapes[row]))
        for row, (frame, track, presence) in enumerate(found)
    ]


def rename_track(path: Path, old: int, new: int) -> None:
    """Give the landmarks of one track the number of another.

    Raises:
        InputFileError: the file is no Arrow stream.
        OutputError: the file cannot be written.
    """
    table = read_landmarks(path)
    tracks = table["track_id"]
    renamed = pc.if_else(pc.equal(tracks, old), pa.scalar(new, pa.int32()), tracks)
    table = table.set_column(table.schema.get_field_index("track_id"), LANDMARK_SCHEMA.field("track_id"), renamed)
    with complete_file(path) as file, pa.ipc.new_stream(file, LANDMARK_SCHEMA) as stream:
        stream.write_table(table)


def read_landmarks(path: Path | str) -> pa.Table:
    """Return the content of a `landmarks.arrow`, memory-mapped: only what is looked at takes memory.

    Raises:
        InputFileError: there is no such file, or it is no Arrow stream.
    """
    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(f"cannot read {path} as landmarks: {error}; it comes from `--save-landmarks`") from error
