"""The cells of a labels.csv: text with line numbers, and the numbers that they stand for."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, InputFileError
from affectline.labels import ABAW_ACTION_UNITS, VALENCE_AROUSAL

UNIT_COLUMNS: Final = {unit.column: unit.value for unit in ABAW_ACTION_UNITS}
KEY_COLUMNS: Final = ("video", "time_s", "frame", "track", "split")
KNOWN_COLUMNS: Final = (*KEY_COLUMNS, *VALENCE_AROUSAL, "expression", *UNIT_COLUMNS)

LARGEST: Final = 2**31 - 1
"""Of frames and tracks: the tables of a store hold tracks as int32."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of a file as text, turned into what they stand for; errors name the line.

    Attributes:
        path: the file.
        header_line: number of the line with the header.
        line: shape (n,), number of the line where each row starts.
        words: by column, n cells without spaces around them.
    """

    path: Path
    header_line: int
    line: NDArray[np.int64]
    words: Mapping[str, list[str]]

    def wrong(self, row: int, name: str, expected: str) -> InputError:
        """Return the error that names a cell, what it holds and what it should."""
        return InputError(
            f"{self.path}, line {self.line[row]}: {name} must be {expected}, got {self.words[name][row][:120]!r}"
        )

    def numbers(self, name: str, low: float, high: float, empty: float | None = None) -> NDArray[np.float64]:
        """Return a column as numbers from low to high; empty cells are `empty`, or an error where that is None."""
        words = self.words[name]
        is_number = "_" not in "".join(words)
        try:
            values = np.array([float(word) if word or empty is None else empty for word in words], np.float64)
        except ValueError:
            is_number = False
        if not is_number:
            row = next(row for row, word in enumerate(words) if (word or empty is None) and not _is_number(word))
            raise self.wrong(row, name, "a number")
        outside = np.flatnonzero(~((values >= low) & (values <= high) & np.isfinite(values)))
        for row in outside.tolist():
            if words[row] and not np.isfinite(values[row]):
                raise self.wrong(row, name, "a finite number")
            if words[row]:
                raise self.wrong(row, name, f"from {low:g} to {high:.10g}" if high < np.inf else f"at least {low:g}")
        return values

    def whole(self, name: str, empty: int | None = None) -> NDArray[np.int64]:
        """Return a column as whole numbers from 0 up; empty cells as in `numbers`."""
        values = self.numbers(name, 0.0, LARGEST, empty)
        odd = np.flatnonzero(values != np.round(values))
        if len(odd):
            raise self.wrong(int(odd[0]), name, "a whole number")
        return values.astype(np.int64)


def _is_number(word: str) -> bool:
    """Return whether a cell is a number; Python's 1_0 is none."""
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def read_cells(path: Path) -> Cells:
    """Return the cells of a file; blank lines are left out.

    Raises:
        InputFileError: the file cannot be read, is empty, or a row has more or fewer cells than the header.
        InputError: a column is missing, unknown or there twice.
    """
    records = _records(path)
    header_line, header = next(records, (1, []))
    names = [cell.strip().lower() for cell in header]
    _check_header(f"{path}, line {header_line}", header, names)
    lines, rows = [], []
    for line, row in records:
        if len(row) != len(names):
            raise InputFileError(
                f"{path}, line {line}: expected {len(names)} cells, as the header has, got {len(row)}; write decimals "
                "with a point, and a cell with a comma in quotes"
            )
        lines.append(line)
        rows.append(row)
    words = {name: [row[column].strip() for row in rows] for column, name in enumerate(names)}
    return Cells(path, header_line, np.array(lines, np.int64), words)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a file that are not blank, each behind the number of the line where it starts."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if "".join(row).strip():
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputFileError(f"{path}, line {line}: {error}; check the quotes of this row") from error


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputFileError(
            f"cannot read {path}: {error.strerror}; it must be a CSV file with a header line"
        ) from error
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b"x").splitlines())
        wrong = error.object[error.start]
        raise InputFileError(f"{path}, line {line}: the byte 0x{wrong:02X} is no UTF-8; save it as UTF-8") from error
    if "\0" in text:
        raise InputFileError(f"{path}: zero bytes, so this is no UTF-8 text; save it as UTF-8")
    if not text.strip():
        raise InputFileError(f"{path} is empty; it must be a CSV file with a header line")
    return text


def _check_header(place: str, header: list[str], names: list[str]) -> None:
    if len(names) == 1 and (";" in header[0] or "\t" in header[0]):
        raise InputError(f"{place}: columns must be separated by commas, got {header[0][:120]!r}; save it with commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{place}: several columns are called {_listed(twice)}; leave one of each")
    unknown = [name for name in names if name not in KNOWN_COLUMNS]
    if unknown or "video" not in names or ("time_s" in names) == ("frame" in names):
        raise InputError(
            f"{place}: needs the column video and either time_s or frame; other columns may be "
            f"{', '.join(KNOWN_COLUMNS[3:])}; "
            + (f"not known: {_listed(unknown)}" if unknown else f"got {_listed(names)}")
        )


def _listed(names: list[str]) -> str:
    return ", ".join(name or "'' (no name)" for name in names)
