"""`index.csv`: one line for each input that was analysed into a folder."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path

from affectline.atomic_file import complete_file
from affectline.inputs import distinct_stem

INDEX_NAME = "index.csv"


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of one input: a line of index.csv.

    Attributes:
        input: the absolute path.
        folder: where the results are; None if there are none.
        status: `done`, `incomplete` (part of the input could not be read), `failed`, or `skipped` (was done before).
        frames: sampled frames.
        rows: of the timeline.
        tracks: how many.
        message: one line on what went wrong; empty if nothing did.
    """

    input: str
    folder: Path | None
    status: str
    frames: int = 0
    rows: int = 0
    tracks: int = 0
    message: str = ""


_COLUMNS = tuple(field.name for field in fields(JobResult))


def record_result(folder: Path, result: JobResult) -> None:
    """Write or replace the line of one input; lines of other inputs stay.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / INDEX_NAME
    lines = {line["input"]: line for line in _read(path)}
    if result.status == "skipped" and result.input in lines:
        return
    lines[result.input] = {name: "" if (value := getattr(result, name)) is None else str(value) for name in _COLUMNS}
    if result.folder is not None:
        lines[result.input]["folder"] = result.folder.name
    _write(path, list(lines.values()))


def record_counts(folder: Path, rows: int, tracks: int) -> None:
    """Correct the counts of a result folder in the index.csv beside it, if one names it.

    Raises:
        OutputError: the file cannot be written.
    """
    folder = folder.resolve()
    lines = _read(folder.parent / INDEX_NAME)
    own = [line for line in lines if line["folder"] == folder.name]
    for line in own:
        line.update(rows=str(rows), tracks=str(tracks))
    if own:
        _write(folder.parent / INDEX_NAME, lines)


def folder_name(folder: Path, input_path: Path, stem: str) -> str:
    """Return a name for the result folder of an input: its stem, with a digest if the folder is another input's.

    Args:
        folder: where index.csv is.
        input_path: the input, absolute.
        stem: the name that it would like to have.
    """
    owners = {line["folder"].casefold(): line["input"] for line in _read(folder / INDEX_NAME) if line["folder"]}
    is_free = owners.get(stem.casefold(), str(input_path)) == str(input_path)
    return stem if is_free else distinct_stem(stem, input_path)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: line.get(name) or "" for name in _COLUMNS} for line in csv.DictReader(file)]


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    with complete_file(path) as file:
        file.write(buffer.getvalue().encode())
