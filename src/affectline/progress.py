"""How long work says how far it has come."""

from __future__ import annotations

from collections.abc import Callable

ProgressHook = Callable[[int, int | None], None]
"""Called with how much is done and, where it is known, how much there will be: frames, or bytes of a download."""


def ignore_progress(done: int, total: int | None) -> None:
    """Do nothing: the hook of those who do not ask for progress."""
