"""The memory that this process really owns, sampled while it works."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_INTERVAL_S: Final = 0.1


def anonymous_mb() -> float | None:
    """Return the anonymous resident memory (RssAnon) in megabytes; None where the system is no Linux.

    What is mapped from files, such as libraries and models, is not in it.
    """
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return None


class MemorySampler:
    """Samples `anonymous_mb` ten times a second while the `with` block runs.

    Attributes:
        samples_mb: what was seen; empty where the system is no Linux.
    """

    def __init__(self) -> None:
        self.samples_mb: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="affectline-memory", daemon=True)

    @property
    def peak_mb(self) -> float | None:
        """The largest sample."""
        return max(self.samples_mb, default=None)

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        size = anonymous_mb()
        if size is not None:
            self.samples_mb.append(size)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
