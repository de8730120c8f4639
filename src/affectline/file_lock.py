"""A lock on a file that the kernel takes away from a process that dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from affectline.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S: Final = 0.1
_NO_LOCKS: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS})


@contextmanager
def locked(path: Path, wait_s: float, who: str, mode: int = 0o600) -> Iterator[None]:
    """Hold the lock of a file while the block runs.

    Args:
        path: made if it is not there, and left there.
        wait_s: how long to wait for another process to let go.
        who: who may hold it, for the error message.
        mode: permissions of a new one.

    On a file system that knows no locks the block runs as if nobody else could hold it.

    Raises:
        OutputError: another process holds it all the time.
        OSError: the file cannot be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    except PermissionError:  # another user's; to lock it, reading is enough
        handle = os.open(path, os.O_RDONLY)
    try:
        deadline_s = time.monotonic() + wait_s
        while not _try_lock(handle):
            if time.monotonic() >= deadline_s:
                raise OutputError(f"{path.parent} is in use by {who}; stop it, or choose another folder")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True
