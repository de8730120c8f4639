"""Annotation files of Aff-Wild2: read fast, and refused with file and line where they are not what they should be."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from affectline.datasets.layout import HEADERS, INVALID
from affectline.errors import InputFileError
from affectline.labels import Task

_SPACES: Final = re.compile(r"[ \t]+(?=,|\r?$)|(?:(?<=,)|^)[ \t]+", re.MULTILINE)
"""Beside commas and at the ends of lines; one inside a number is a mistake."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """The labels of one annotation file: line i (from 1, behind the header) is frame i - 1.

    Attributes:
        task: what they are of.
        video: the file's stem.
        path: where it was read.
        values: VA: shape (n, 2), float32. EXPR: shape (n,), int64. AU: shape (n, 12), float32. Invalid codes included.
        is_valid: shape (n,): the frame has a label. VA: both are at least -1; AU: all are.
    """

    task: Task
    video: str
    path: Path
    values: NDArray[np.float32] | NDArray[np.int64]
    is_valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_valid)


def read_annotation(path: Path, task: Task) -> Annotation:
    """Return the labels of a file.

    Windows line ends, a byte order mark, spaces beside commas and empty lines at the end are tolerated.

    Raises:
        InputFileError: the file cannot be read, its header is of another task, or a line has the wrong number of
            values, no number, or one out of range; file and line are named.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot read {path}: {error}") from error
    if not text.strip():
        raise InputFileError(f"{path}, line 1: the header `{HEADERS[task]}` is missing; the file is empty")
    lines = text.rstrip().split("\n")
    header = ",".join(word.strip() for word in lines[0].split(","))
    if header.lower() != HEADERS[task].lower():
        raise InputFileError(
            f"{path}, line 1: the header of {task.value} annotations is `{HEADERS[task]}`, got {header[:120]!r}"
        )
    rows = _parse(text, len(lines) - 1, task)
    if rows is None:
        raise _first_fault(lines, path, task)
    is_valid = np.asarray((rows >= (-1 if task is Task.VA else 0)).all(axis=1))
    values = rows[:, 0].astype(np.int64) if task is Task.EXPR else rows.astype(np.float32)
    return Annotation(task, path.stem, path, values, is_valid)


def _parse(text: str, n_lines: int, task: Task) -> NDArray[np.float64] | None:
    """Return the numbers, shape (n, columns), or None where anything is not as it should be."""
    width = 1 if task is Task.EXPR else len(task.official_labels)
    if not n_lines:
        return np.empty((0, width))
    names = [f"c{number}" for number in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(_SPACES.sub("", text.rstrip()).encode()),
            pyarrow.csv.ReadOptions(skip_rows=1, column_names=names, use_threads=False),
            pyarrow.csv.ParseOptions(ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types={name: pa.float64() for name in names}, null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    rows = np.column_stack([np.asarray(column) for column in table.columns])
    return rows if len(rows) == n_lines and _is_right(rows, task).all() else None


def _is_right(rows: NDArray[np.float64], task: Task) -> NDArray[np.bool_]:
    """Return which numbers can stand in such a file."""
    if task is Task.VA:
        return np.asarray((np.abs(rows) <= 1.0) | (rows == INVALID[task]))
    highest = len(task.official_labels) - 1 if task is Task.EXPR else 1
    return np.asarray((rows == np.round(rows)) & (rows >= INVALID[task]) & (rows <= highest))


def _first_fault(lines: list[str], path: Path, task: Task) -> InputFileError:
    """Return the error that names the first wrong line."""
    width = 1 if task is Task.EXPR else len(task.official_labels)
    expected = {
        Task.VA: "valence and arousal, each from -1 to 1, or -5 where invalid",
        Task.EXPR: "one class from 0 to 7, or -1 where invalid",
        Task.AU: "12 values, each 0 or 1, or -1 where invalid",
    }[task]
    for number, line in enumerate(lines[1:], start=2):
        cells = line.strip().split(",")
        try:
            row = np.array([[float(cell) for cell in cells]])
        except ValueError:
            row = np.empty((1, 0))
        if row.shape[1] != width or not _is_right(row, task).all():
            return InputFileError(f"{path}, line {number}: expected {expected}, got {line.strip()[:80]!r}")
    return InputFileError(f"{path}: the file cannot be read as {task.value} annotations: {expected} a line")
