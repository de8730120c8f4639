"""Messages between a process and the children that it starts, and the limits that a child may set itself.

Bytes from strangers are opened in children only. A child ends when the service does, however that ends: the kernel
closes the pipe, and a thread that reads it sees that.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from affectline.json_records import JsonValue

if sys.platform != "win32":
    import resource

EXIT_ORPHANED: Final = 70
"""The exit code of a child whose service is gone."""

_LENGTH: Final = struct.Struct("<I")
"""What stands before each message to a child: how many bytes it has."""

LARGEST_FILE_BYTES: Final = 8 * 2**30


def child_environment() -> dict[str, str]:
    """Return the environment of a child: each of its threads would reserve an arena of address space otherwise."""
    return {"MALLOC_ARENA_MAX": "2", **os.environ}


def framed(message: bytes) -> bytes:
    """Return what is written to a child so that its `ParentPipe` receives a message."""
    return _LENGTH.pack(len(message)) + message


def parse_line(line: bytes) -> dict[str, JsonValue] | None:
    """Return the message that a child's line is; None where the line has no end: the child has ended."""
    if not line.endswith(b"\n"):
        return None
    message: dict[str, JsonValue] = json.loads(line)
    return message


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What a child may use; the kernel enforces it.

    Attributes:
        memory_mb: mebibytes of address space; None for as much as there is.
        cpu_s: seconds of processor time, of all threads together.
    """

    memory_mb: int | None
    cpu_s: int


class ParentPipe:
    """Messages from the service come in, JSON objects go out. The process ends when the service is gone.

    What libraries print goes to stderr from now on, so that it cannot be taken for a message.
    """

    def __init__(self) -> None:
        self._messages: queue.Queue[bytes] = queue.Queue()
        self._source = os.fdopen(os.dup(0), "rb")
        self._target = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        threading.Thread(target=self._listen, name="affectline-parent", daemon=True).start()

    def _listen(self) -> None:
        while len(head := self._source.read(_LENGTH.size)) == _LENGTH.size:
            (size,) = _LENGTH.unpack(head)
            message = self._source.read(size)
            if len(message) < size:
                break
            self._messages.put(message)
        # Nobody waits for results any more, and another child may be about to go on with them: stop in mid-work.
        os._exit(EXIT_ORPHANED)

    def receive(self) -> bytes:
        """Return the next message, as soon as there is one."""
        return self._messages.get()

    def send(self, message: Mapping[str, JsonValue]) -> None:
        """Send a JSON object; the process ends if nobody reads it."""
        try:
            self._target.write(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(EXIT_ORPHANED)


def apply_limits(limits: ChildLimits) -> None:
    """Let the kernel hold this process to its limits, where there is such a kernel."""
    if sys.platform == "win32":
        return
    wanted = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: LARGEST_FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    if limits.memory_mb is not None:
        wanted[resource.RLIMIT_AS] = limits.memory_mb * 2**20
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (OSError, ValueError):  # macOS refuses to limit the address space
            continue
