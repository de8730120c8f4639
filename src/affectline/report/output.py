"""A file that is complete or not there, for writers that need a path instead of an open file."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from affectline.errors import AffectlineError, OutputError


@contextmanager
def complete_path(path: Path) -> Iterator[Path]:
    """Return a path beside `path` to write to; what is there takes `path`'s place when the block ends without error.

    Raises:
        OutputError: the system or FFmpeg refused something in the block. Errors of affectline's own pass through.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    except AffectlineError:
        raise
    except (OSError, av.error.FFmpegError) as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that exists, that you may write to and "
            "that has space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
