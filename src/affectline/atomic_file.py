"""Writing files that are complete or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from affectline.errors import AffectlineError, OutputError


def check_place(path: Path) -> None:
    """Raise OutputError now where `complete_path` could not write at the end of long work."""
    if not path.name or path.is_dir():
        raise OutputError(f"cannot write a file to {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; make it, or choose another --output")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; choose another --output")


def cannot_write(path: Path, error: Exception) -> OutputError:
    """Return the error for a file that the system, or a library, does not let be written."""
    return OutputError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}; choose a folder that exists, that you may "
        "write to and that has space"
    )


@contextmanager
def complete_path(path: Path, *failures: type[Exception]) -> Iterator[Path]:
    """Give a path beside `path` to write to; what is there takes `path`'s place when the block ends without error.

    Args:
        path: what is there is replaced.
        failures: errors besides OSError that a library raises when it cannot write.

    Raises:
        OutputError: no permission, no space, no such folder, or a folder is in the way. Errors of affectline's own
            pass through.
    """
    refusals: tuple[type[Exception], ...] = (OSError, *failures)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    except AffectlineError:
        raise
    except refusals as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place only when the block ends without error; else as `complete_path`."""
    with complete_path(path) as unfinished, unfinished.open("xb") as file:
        yield file
