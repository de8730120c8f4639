"""Memory of this process: what `affectline bench` samples, and a limit. It runs in the environments of peers, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The peers' environments have no affectline, and these two names need nothing but the standard library.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from affectline.process_memory import MemorySampler, anonymous_mb

__all__ = ["MemorySampler", "anonymous_mb", "limit_memory"]


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
