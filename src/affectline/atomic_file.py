"""Writing files that are complete or not there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from affectline.errors import AffectlineError, OutputError


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
        raise OutputError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}; choose a folder that exists, that you "
            "may write to and that has space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place only when the block ends without error; else as `complete_path`."""
    with complete_path(path) as unfinished, unfinished.open("xb") as file:
        yield file
