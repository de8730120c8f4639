"""Finished pieces of work on disk, each with a digest of what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from affectline.atomic_file import complete_file
from affectline.errors import OutputError
from affectline.json_records import JsonValue, parse_object

FACTS_NAME: Final = "facts.json"
_UNFINISHED: Final = ".part"


class Unit:
    """A folder that holds one piece of work; `facts.json`, which is written last, says from what it was made.

    Args:
        folder: made if it is not there.
        inputs: everything that the work depends on; numbers, texts, records, mappings and sequences of these.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, object]) -> None:
        self.folder = folder
        self.digest = digest_of(inputs)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another --output") from error

    def facts(self) -> Mapping[str, JsonValue] | None:
        """Return what `finish` wrote if it was for the same inputs; None otherwise."""
        path = self.folder / FACTS_NAME
        try:
            found = parse_object(path.read_text(encoding="utf-8"), str(path))
        except (OSError, ValueError):
            return None
        return found if found.get("digest") == self.digest else None

    @property
    def checkpoint(self) -> Path:
        """Where unfinished work of these inputs is kept."""
        return self.folder / f"{self.digest}{_UNFINISHED}"

    def stage(self, name: str) -> Path:
        """Return where the unfinished work of an earlier stage is kept, or what came of it."""
        return self.folder / f"{self.digest}.{name}{_UNFINISHED}"

    def begin(self) -> None:
        """Say that what is here is not finished; unfinished work of other inputs is removed."""
        (self.folder / FACTS_NAME).unlink(missing_ok=True)
        for path in self.folder.glob(f"*{_UNFINISHED}*"):
            if not path.name.startswith(self.digest):
                path.unlink()

    def forget(self) -> None:
        """Remove the unfinished work."""
        for path in self.folder.glob(f"{self.digest}*{_UNFINISHED}*"):
            path.unlink()

    def finish(self, facts: Mapping[str, JsonValue]) -> None:
        """Write the facts: the work is done, what was kept of it unfinished is removed.

        Raises:
            OutputError: they cannot be written.
        """
        text = json.dumps({"digest": self.digest, **facts}, indent=1)
        with complete_file(self.folder / FACTS_NAME) as file:
            file.write((text + "\n").encode())
        self.forget()


def digest_of(inputs: Mapping[str, object]) -> str:
    """Return 16 digits of a sha256 that changes with the content of the inputs."""
    text = json.dumps(inputs, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> Any:  # noqa: ANN401 - what json takes
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} cannot be part of a digest")
