"""Checks a submission file against the sample of the challenge, without knowing how it was made."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.datasets.submission import HEADERS, N_VALUES, Sample, read_bytes, read_sample, split_lines
from affectline.labels import Task

MAX_PROBLEMS: Final = 20
"""How many problems are put into words."""

_VALUE: Final = {
    Task.VA: (r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", "two plain decimal numbers"),
    Task.EXPR: (r"[0-7]", "a class from 0 to 7"),
    Task.AU: (r"[01]", "twelve values that are 0 or 1"),
}
"""What a value looks like, and how the values of a row are called."""

_MARK: Final = "\ufeff"
"""The byte order mark that some editors write before the first line."""

_LINE_END: Final = r"\r\n?|\n"

_NUMBER: Final = {Task.VA: "two values", Task.EXPR: "one value", Task.AU: "twelve values"}


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """What is wrong with a submission.

    Attributes:
        rows: number of rows in the file.
        problems: the first `MAX_PROBLEMS`, in words, with their line.
        n_problems: how many there are.
    """

    rows: int
    problems: tuple[str, ...]
    n_problems: int


def check_submission(task: Task, path: Path, sample_path: Path) -> SubmissionCheck:
    """Return what is wrong with a submission: header, rows that are missing, unknown, doubled or out of order, values.

    Nobody outside knows how the challenge reads a file, so what a simple reader stumbles over is wrong too: a byte
    order mark, lines that end with CR alone, blank lines at the end. LF and CRLF are fine, at the end of the file too.

    Args:
        task: of what.
        path: the submission.
        sample_path: the sample of the challenge.

    Raises:
        InputFileError: a file cannot be read, or the sample is none of this task.
    """
    sample = read_sample(sample_path, task)
    content = read_bytes(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _nothing(f"no text in UTF-8 ({error.reason} at byte {error.start + 1}); expected {HEADERS[task]!r}")
    if not text.strip(f"{_MARK}{string.whitespace}"):
        return _nothing(f"the file is empty; expected {HEADERS[task]!r} and the rows of the sample")
    found = _Problems()
    _check_ends(text, found)
    header, lines = split_lines(text.removeprefix(_MARK))
    if header != sample.header:
        found.add_text(f"line 1: expected the header {sample.header!r}, got {header!r}")
    _check_rows(sample, lines, found)
    _check_values(task, lines, found)
    return SubmissionCheck(len(lines), tuple(found.texts), found.count)


class _Problems:
    """Collects problems; only the first ones are put into words."""

    def __init__(self) -> None:
        self.count = 0
        self.texts: list[str] = []

    def add(self, rows: NDArray[np.intp], describe: Callable[[int], str]) -> None:
        self.count += len(rows)
        self.texts += [describe(row) for row in rows[: MAX_PROBLEMS - len(self.texts)].tolist()]

    def add_text(self, text: str) -> None:
        self.add(np.zeros(1, np.intp), lambda _: text)


def _nothing(problem: str) -> SubmissionCheck:
    """Return the check of a file without lines."""
    return SubmissionCheck(0, (problem,), 1)


def _check_ends(text: str, found: _Problems) -> None:
    """Look at what stands before the first line, between lines and behind the last one."""
    if text.startswith(_MARK):
        found.add_text("line 1: starts with a byte order mark; save the file as UTF-8 without one")
    lone = re.search(r"\r(?!\n)", text)
    if lone:
        number = len(re.findall(_LINE_END, text[: lone.end()]))
        found.add_text(f"line {number}: ends with CR alone; end all lines with LF or CRLF")
    filled = text.rstrip()
    behind = re.split(_LINE_END, text[len(filled) :])[1:]
    blank = len(behind) - (behind[-1:] == [""])
    if blank:
        first = len(re.findall(_LINE_END, filled)) + 2
        what = "a blank line at the end; remove it" if blank == 1 else f"{blank} blank lines at the end; remove them"
        found.add_text(f"line {first}: {what}")


def _check_rows(sample: Sample, lines: pa.StringArray, found: _Problems) -> None:
    """Compare the names of the rows with the sample's."""
    paths = pc.extract_regex(lines, r"^(?P<path>[^,]*)").field("path")

    def name(row: int) -> str:
        return f"line {row + 2}: {paths[row].as_py()}"

    place = np.asarray(pc.fill_null(pc.index_in(paths, value_set=sample.paths), -1), np.int64)
    is_there = np.zeros(len(sample), np.bool_)
    is_there[place[place >= 0]] = True
    known = np.flatnonzero(place >= 0)
    _, first = np.unique(place[known], return_index=True)
    once = known[np.sort(first)]
    found.add(
        np.flatnonzero(~is_there), lambda row: f"{sample.paths[row].as_py()} is missing (line {row + 2} of the sample)"
    )
    found.add(np.flatnonzero(place < 0), lambda row: f"{name(row)} is no row of the sample")
    found.add(np.delete(known, first), lambda row: f"{name(row)} stands there a second time")
    found.add(once[1:][np.diff(place[once]) < 0], lambda row: f"{name(row)} is out of order; the sample has it earlier")


def _check_values(task: Task, lines: pa.StringArray, found: _Problems) -> None:
    """Look at what follows the names."""
    (value, words), wanted = _VALUE[task], N_VALUES[task]

    def line(row: int) -> str:
        return f"{lines[row].as_py()!r}"

    counts = np.asarray(pc.count_substring(lines, ","), np.int64)
    is_plain = np.asarray(pc.match_substring_regex(lines, rf"^[^,]*(?:,{value}){{{wanted}}}$"), np.bool_)
    found.add(
        np.flatnonzero(counts != wanted),
        lambda row: f"line {row + 2}: the name must be followed by {_NUMBER[task]}, not {counts[row]}: {line(row)}",
    )
    found.add(
        np.flatnonzero((counts == wanted) & ~is_plain), lambda row: f"line {row + 2}: expected {words}, got {line(row)}"
    )
    if task is Task.VA:
        plain = np.flatnonzero(is_plain)
        fields = pc.extract_regex(lines.take(pa.array(plain)), r",(?P<valence>[^,]*),(?P<arousal>[^,]*)$")
        numbers = np.stack([np.asarray(fields.field(name).cast(pa.float64())) for name in ("valence", "arousal")])
        beyond = plain[(np.abs(numbers) > 1).any(axis=0)]
        found.add(beyond, lambda row: f"line {row + 2}: values must lie in -1 to 1, got {line(row)}")
