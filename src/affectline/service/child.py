"""The service's end of the pipe to a child process: starting it, talking to it, stopping it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

from affectline.json_records import JsonValue
from affectline.parent_pipe import child_environment, framed, parse_line

LONGEST_MESSAGE: Final = 2**20


class Child:
    """A child process; made by `start`. Always `stop` it.

    Args:
        process: what was started.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, request: dict[str, JsonValue], folder: Path, log: Path) -> Child:
        """Start a module of this package and send it its request.

        Args:
            module: such as `affectline.service.worker`.
            request: its first message.
            folder: where it runs; one that only the service writes to, since Python looks for modules there.
            log: what it says on stderr, with tracebacks; never shown to a client.
        """
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", module),
                stdin=PIPE,
                stdout=PIPE,
                stderr=stderr,
                cwd=folder,
                env=child_environment(),
                limit=LONGEST_MESSAGE,
                start_new_session=True,  # Ctrl-C is for the service, which stops its children in its own way
            )
        child = cls(process)
        await child.send(json.dumps(request).encode())
        return child

    async def send(self, message: bytes) -> None:
        """Send a message; if the child is gone, `receive` tells."""
        stdin = self._process.stdin
        if stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            stdin.write(framed(message))
            await stdin.drain()

    async def receive(self) -> dict[str, JsonValue] | None:
        """Return the child's next message; None when it has ended."""
        stdout = self._process.stdout
        return None if stdout is None else parse_line(await stdout.readline())

    async def stop(self) -> int:
        """End the child if it is still there, and return its exit code: negative for a signal."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()

    async def wait(self) -> int:
        """Wait until the child ends by itself, and return its exit code."""
        return await self._process.wait()
