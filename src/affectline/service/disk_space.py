"""How much space is left on the disk, and what is answered where there is none."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from affectline.service.problems import ProblemError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(folder: Path) -> int:
    """Return how much space is left where a folder lies."""
    return shutil.disk_usage(folder).free


@contextmanager
def needs_space() -> Iterator[None]:
    """Make the fault of a full disk a problem.

    Raises:
        ProblemError: no space is left for what was written.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if not _is_full(error):
            raise
        raise ProblemError(
            HTTPStatus.INSUFFICIENT_STORAGE,
            "disk_full",
            "There is no space left on the disk of the service; delete analyses, or make room there.",
        ) from error


def _is_full(error: OSError | sqlite3.OperationalError) -> bool:
    return error.errno in _FULL if isinstance(error, OSError) else "disk is full" in str(error)
