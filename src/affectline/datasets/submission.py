"""The files that the ABAW challenges ask for: reading a sample, writing predictions in its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.atomic_file import complete_file
from affectline.datasets.layout import crop_name
from affectline.errors import InputError, InputFileError, ShapeError
from affectline.labels import Task

HEADERS: Final[Mapping[Task, str]] = {task: ",".join(["image_location", *task.official_labels]) for task in Task}
"""The first line of a submission. EXPR names its eight classes there, although a row has one number."""

N_VALUES: Final[Mapping[Task, int]] = {Task.VA: 2, Task.EXPR: 1, Task.AU: 12}
"""How many values follow the picture's name in a row."""

_ROW: Final = r"(?i)^(?P<path>(?P<video>[^,]+)/(?P<number>\d{5,7})\.(?:jpe?g|png))\s*(?:,.*)?$"
"""A row: the number of the frame has five digits or more, and at most seven: ten million frames are four days."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows that a submission must have, in their order.

    Attributes:
        header: the first line.
        paths: names of pictures, a pyarrow array of n texts such as `2-30-640x360/00001.jpg`.
        videos: in the order in which they first occur.
        video: shape (n,), position of each row's video in `videos`.
        frame: shape (n,), int64, from 0: 0 for `00001.jpg`.
    """

    header: str
    paths: pa.StringArray
    videos: tuple[str, ...]
    video: NDArray[np.intp]
    frame: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)


def read_sample(path: Path, task: Task) -> Sample:
    """Read a sample file: of ABAW-5 (rows end with a comma), of ABAW-6 and later (`,0`), or a filled one.

    Raises:
        InputFileError: it cannot be read, is of another task, or a row names no picture, or one a second time; the
            line is named.
    """
    header, rows = read_lines(path)
    if not is_header(header, task):
        raise InputFileError(f"{path}, line 1: expected the header {HEADERS[task]!r}, got {header!r}; is TASK right?")
    if not len(rows):
        raise InputFileError(f"{path} has a header and no rows; get the sample file of the challenge again")
    fields = pc.extract_regex(rows, _ROW)
    is_wrong = np.asarray(fields.is_null())
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise InputFileError(
            f"{path}, line {first + 2}: expected a picture such as `video/00001.jpg,`, its number of five to seven "
            f"digits, got {rows[first].as_py()!r}"
        )
    paths, videos, numbers = (fields.field(name) for name in ("path", "video", "number"))
    frame = np.asarray(numbers.cast(pa.int64())) - 1
    encoded = videos.dictionary_encode()
    sample = Sample(header, paths, tuple(encoded.dictionary.to_pylist()), np.asarray(encoded.indices, np.intp), frame)
    _check_once(sample, path)
    return sample


def sample_of(task: Task, frame_counts: Mapping[str, int]) -> Sample:
    """Return the sample for whole videos, with the official header.

    Args:
        task: which.
        frame_counts: number of frames by video, in the order of the rows.

    Raises:
        InputError: there is no video, or one without frames.
    """
    if not frame_counts or min(frame_counts.values()) < 1:
        raise InputError("a submission needs at least one video, each with at least one frame")
    paths = [f"{video}/{crop_name(frame)}" for video, count in frame_counts.items() for frame in range(count)]
    counts = list(frame_counts.values())
    frame = np.concatenate([np.arange(count) for count in counts])
    return Sample(HEADERS[task], pa.array(paths), tuple(frame_counts), np.repeat(np.arange(len(counts)), counts), frame)


def write_submission(path: Path, task: Task, sample: Sample, values: NDArray[np.generic]) -> None:
    """Write a submission: the sample's header and its rows in their order, whole or not at all.

    Args:
        path: where.
        task: of what.
        sample: n rows.
        values: VA: shape (n, 2), clipped to [-1, 1] and written as decimals with six places. EXPR: shape (n,), whole
            numbers from 0 to 7. AU: shape (n, 12), 0 or 1.

    Raises:
        ShapeError: the values are not as said.
        OutputError: the file cannot be written.
    """
    _check_values(task, sample, values)
    if task is Task.VA:
        # Adding 0 turns -0.0 into 0.0.
        valence, arousal = (np.round(np.clip(values.astype(np.float64), -1.0, 1.0), 6) + 0.0).T.tolist()
        texts = [f",{v:.6f},{a:.6f}\n" for v, a in zip(valence, arousal, strict=True)]
    else:
        texts = _whole_texts(values.reshape(len(values), -1).astype(np.int64))
    rows = "".join(name + text for name, text in zip(sample.paths.to_pylist(), texts, strict=True))
    with complete_file(path) as file:
        file.write(f"{sample.header}\n{rows}".encode())


def read_lines(path: Path) -> tuple[str, pa.StringArray]:
    """Return the first line and the others as a pyarrow array; blank lines at the end are left out.

    Raises:
        InputFileError: the file cannot be read, is empty or no text.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path} is no text file ({error.reason}); expected lines of text in UTF-8") from error
    if not text.strip():
        raise InputFileError(f"{path} is empty; expected a header and rows")
    return split_lines(text)


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        InputFileError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error


def split_lines(text: str) -> tuple[str, pa.StringArray]:
    """Return the first line and the others, whatever the line ends; blank lines at the end are left out."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    return lines[0].strip(), pc.utf8_rtrim_whitespace(pa.array(lines[1:], pa.string()))


def is_header(text: str, task: Task) -> bool:
    """Return whether a line is the header of a task, whatever its case and spaces."""
    return [word.strip().lower() for word in text.split(",")] == HEADERS[task].lower().split(",")


def _check_once(sample: Sample, path: Path) -> None:
    """Refuse a sample that names a frame twice: its rows could not be told apart."""
    order = np.lexsort((sample.frame, sample.video))
    is_again = (np.diff(sample.video[order]) == 0) & (np.diff(sample.frame[order]) == 0)
    if is_again.any():
        row = int(order[1:][is_again].min())
        raise InputFileError(f"{path}, line {row + 2}: {sample.paths[row].as_py()} stands there a second time")
    if (sample.frame < 0).any():
        row = int(np.argmax(sample.frame < 0))
        raise InputFileError(
            f"{path}, line {row + 2}: pictures are numbered from 00001, got {sample.paths[row].as_py()}"
        )


def _check_values(task: Task, sample: Sample, values: NDArray[np.generic]) -> None:
    shape = (len(sample),) if task is Task.EXPR else (len(sample), N_VALUES[task])
    if values.shape != shape:
        rows = "1 row" if len(sample) == 1 else f"{len(sample)} rows"
        raise ShapeError(f"a submission of {rows} needs {task.value} values {shape}, got {values.shape}")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ShapeError("the values of a submission must be finite; there are NaN or infinite ones")
    highest = {Task.EXPR: len(Task.EXPR.official_labels) - 1, Task.AU: 1}.get(task)
    if highest is not None and not np.isin(numbers, range(highest + 1)).all():
        raise ShapeError(f"{task.value} values must be whole numbers from 0 to {highest}")


def _whole_texts(rows: NDArray[np.int64]) -> list[str]:
    """Return `,1,0,...` and a line end for each row; each different row is put into words once."""
    code = rows @ (10 ** np.arange(rows.shape[1], dtype=np.int64))
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    texts = ["".join(f",{value}" for value in row) + "\n" for row in rows[first].tolist()]
    return [texts[one] for one in number.reshape(-1).tolist()]
