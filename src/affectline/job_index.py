"""`index.csv`: one line for each input that was analysed into a folder."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from affectline.atomic_file import cannot_write, complete_file
from affectline.errors import OutputError
from affectline.file_lock import locked
from affectline.inputs import distinct_stem
from affectline.remote import is_remote, shown_url

INDEX_NAME: Final = "index.csv"
LOCK_NAME: Final = ".index.lock"
_WAIT_FOR_ANOTHER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of one input: a line of index.csv.

    Attributes:
        input: the absolute path or the URL.
        folder: where the results are, of an earlier time if this one failed; None if there are none.
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


SAVE_EVERY_S: Final = 2.0
"""The whole file is written anew each time: with thousands of inputs that must not happen after each of them."""


class JobIndex:
    """The `index.csv` of a folder, while a job adds to it. Lines of other inputs stay.

    Args:
        folder: where index.csv is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / INDEX_NAME
        self._new: dict[str, dict[str, str]] = {}
        self._saved_s = -SAVE_EVERY_S
        self._take_lines(_read(self._path))

    def _take_lines(self, lines: list[dict[str, str]]) -> None:
        self._known = {line["input"]: line for line in lines} | self._new
        self._owners = {line["folder"].casefold(): line["input"] for line in self._known.values() if line["folder"]}

    def folder_name(self, place: str, stem: str) -> str:
        """Return a name for the result folder of an input: the one that it has.

        For a new input it is the stem, with a digest if the folder is another input's.

        Args:
            place: absolute path or URL of the input.
            stem: the name that it would like to have.
        """
        known = self._known.get(place, {}).get("folder")
        if known:
            return known
        is_free = self._owners.get(stem.casefold(), place) == place
        return stem if is_free else distinct_stem(stem, place)

    def record(self, result: JobResult) -> None:
        """Write or replace the line of one input, now or with a later one; `close` writes the last.

        Raises:
            OutputError: the file cannot be written.
        """
        if result.status == "skipped" and result.input in self._known:
            return
        line = {name: "" if (value := getattr(result, name)) is None else str(value) for name in _COLUMNS}
        # What failed now may have results of an earlier time; they stay its own.
        line["folder"] = self._known.get(result.input, {}).get("folder", "")
        if result.folder is not None:
            line["folder"] = result.folder.name
        if line["folder"]:
            self._owners[line["folder"].casefold()] = result.input
        self._new[result.input] = self._known[result.input] = line
        if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            self._save()

    def close(self) -> str:
        """Write what was not written yet, and return what kept it from being written; empty if nothing did."""
        try:
            self._save()
        except OutputError as error:
            return str(error)
        return ""

    def _save(self) -> None:
        if not self._new:
            return
        with _alone_with(self._path):
            self._take_lines(_read(self._path))  # another command may have written to it
            _write(self._path, list(self._known.values()))
        self._new, self._saved_s = {}, time.monotonic()


def record_counts(folder: Path, rows: int, tracks: int) -> None:
    """Correct the counts of a result folder in the index.csv beside it, if one names it.

    Raises:
        OutputError: the file cannot be written.
    """
    folder = folder.resolve()
    path = folder.parent / INDEX_NAME
    if not path.is_file():
        return
    with _alone_with(path):
        lines = _read(path)
        own = [line for line in lines if line["folder"] == folder.name]
        for line in own:
            line.update(rows=str(rows), tracks=str(tracks))
        if own:
            _write(path, lines)


def recorded_input(folder: Path) -> str | None:
    """Return what was analysed into a result folder, its path or URL, by the index.csv beside it; None if unknown."""
    folder = folder.resolve()
    lines = _read(folder.parent / INDEX_NAME)
    return next((line["input"] for line in lines if line["folder"] == folder.name), None)


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Keep other commands from writing an index between reading and writing it; raises OutputError."""
    try:
        with locked(path.with_name(LOCK_NAME), _WAIT_FOR_ANOTHER_S, "another command", 0o666):
            yield
    except OSError as error:
        raise cannot_write(path, error) from error


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines = [{name: line.get(name) or "" for name in _COLUMNS} for line in csv.DictReader(file)]
    for line in lines:
        if is_remote(line["input"]):
            line["input"] = shown_url(line["input"])  # as typed, with its signature, in files of older versions
    return lines


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    with complete_file(path) as file:
        file.write(buffer.getvalue().encode(errors="surrogateescape"))
