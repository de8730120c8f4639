"""`index.csv`: one line for each input that was analysed into a folder."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path

from affectline.atomic_file import complete_file

INDEX_NAME = "index.csv"


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of one input: a line of index.csv.

    Attributes:
        input: the path as it was given.
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
    if result.status == "skipped" and path.is_file():
        return
    lines = {line["input"]: line for line in _read(path)}
    lines[result.input] = {name: "" if (value := getattr(result, name)) is None else str(value) for name in _COLUMNS}
    if result.folder is not None:
        lines[result.input]["folder"] = result.folder.name
    with complete_file(path) as file:
        file.write(_text(list(lines.values())).encode())


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: line.get(name) or "" for name in _COLUMNS} for line in csv.DictReader(file)]


def _text(lines: list[dict[str, str]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()
