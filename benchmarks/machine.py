"""The machine that a benchmark runs on: what it is, and whether others keep it busy."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_TIMES = Path("/proc/stat")
_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX",
}
"""What makes networks fast on a processor, by its word in /proc/cpuinfo."""


def describe_machine() -> dict[str, str]:
    """Return the processor, its cores and instructions, the memory, the system and the Python."""
    processor, instructions = _processor()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": processor,
        "cores": str(len(os.sched_getaffinity(0))),
        "instructions": instructions,
        "memory": f"{memory_gb:.0f} GB",
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> tuple[str, str]:
    lines = _CPU_INFO.read_text(encoding="ascii").split("\n\n")[0].splitlines()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = f"{known['model name']} (family {known['cpu family']}, model {known['model']})"
    flags = known["flags"].split()
    return name, ", ".join(words for flag, words in _INSTRUCTIONS.items() if flag in flags)


class OtherWork:
    """Asks, from its making on, how many cores were busy with other things than the children of this process."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy_s = _busy_s()
        self._children_s = _children_s()

    def cores(self) -> float:
        """Return the mean number of them; a quarter of a core is enough to spoil a measurement on two."""
        busy_s, children_s = _busy_s() - self._busy_s, _children_s() - self._children_s
        return max(0.0, (busy_s - children_s) / (time.perf_counter() - self._began))


def _busy_s() -> float:
    """Return the seconds that all cores together have worked since the machine was started."""
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(
        int, _CPU_TIMES.read_text(encoding="ascii").splitlines()[0].split()[1:9]
    )
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
