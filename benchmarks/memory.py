"""Memory of this process: what `affectline bench` samples, and a limit. It runs in the environments of peers, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The peers' environments have no affectline, and these two names need nothing but the standard library.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from affectline.process_memory import MemorySampler, anonymous_mb

__all__ = ["MemorySampler", "anonymous_mb", "family_anonymous_mb", "limit_memory"]


def family_anonymous_mb() -> float:
    """Return the anonymous resident memory (RssAnon) of this process and all that came from it, in megabytes; Linux."""
    sizes: dict[int, tuple[int, float]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        except OSError:  # it has just ended
            continue
        kilobytes = int(found.get("RssAnon", "0 kB").split()[0])  # what belongs to the kernel has none
        sizes[int(found["Pid"])] = int(found["PPid"]), kilobytes / 1000
    family = {os.getpid()}
    while more := {pid for pid, (parent, _) in sizes.items() if parent in family} - family:
        family |= more
    return sum(sizes[pid][1] for pid in family)


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
