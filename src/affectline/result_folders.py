"""The folders of results, and whose each is: a file in it names the input, from the beginning of the work on.

`index.csv` knows of an input only when it has ended. Until then, another one of the same name, of another command or of
a later one, must not take what is there for its own, or write beside it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from affectline.errors import OutputError
from affectline.inputs import distinct_stem

OWNER_NAME: Final = ".input"


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to; raises OutputError where that is not to be had."""
    with _writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink(missing_ok=True)


def own_folder(folder: Path, place: str) -> Path:
    """Return the folder, or one with a digest of the place behind its name if this one is another input's.

    Args:
        folder: as the input would like it; need not be there.
        place: `Input.place`.
    """
    return folder if _owner(folder) in {None, place} else _with_digest(folder, place)


def claimed_folder(folder: Path, place: str) -> Path:
    """Make `own_folder` and note in it whose it is; of two commands that do so at once, only one gets it.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    folder = own_folder(folder, place)
    make_folder(folder)
    with _writing_to(folder):
        is_own = _claim(folder / OWNER_NAME, place)
    return folder if is_own else claimed_folder(_with_digest(folder, place), place)


def _claim(mark: Path, place: str) -> bool:
    """Write whose a folder is, whole or not at all, unless it is somebody's; return whether it is this input's."""
    unfinished = mark.with_name(f"{mark.name}.{secrets.token_hex(4)}.tmp")
    try:
        unfinished.write_text(place, encoding="utf-8", errors="surrogateescape")
        try:
            os.link(unfinished, mark)
        except FileExistsError:
            return _owner(mark.parent) == place
        except OSError:  # a file system without links
            if _owner(mark.parent) is None:
                unfinished.replace(mark)
            return _owner(mark.parent) == place
    finally:
        unfinished.unlink(missing_ok=True)
    return True


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to the folder {folder}: {error.strerror}; choose another one with --output"
        ) from error


def _with_digest(folder: Path, place: str) -> Path:
    return folder.with_name(distinct_stem(folder.name, place))


def _owner(folder: Path) -> str | None:
    try:
        return (folder / OWNER_NAME).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
