"""Peak anonymous memory of this process, sampled while it works. Linux only; elsewhere it reports NaN."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

STATUS = Path("/proc/self/status")


def anonymous_mb() -> float:
    """Return the anonymous resident memory (RssAnon) of this process in megabytes."""
    if not STATUS.exists():
        return math.nan
    for line in STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return math.nan


class MemorySampler:
    """Samples RssAnon ten times a second while the `with` block runs."""

    def __init__(self) -> None:
        self.samples_mb: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.samples_mb.append(anonymous_mb())

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.samples_mb.append(anonymous_mb())


def limit_memory(n_bytes: int) -> str:
    """Put this process under a memory limit that counts cached files too, and say how; needs a Linux that allows it."""
    for root, name in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"affectline-benchmark-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(n_bytes))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            continue
        return f"{n_bytes / 2**30:.0f} GB, cgroup"
    return "none: no right to set one"
