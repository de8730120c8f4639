"""Live mode: frames of a camera come over a WebSocket, what the networks say goes back.

Frames are never queued. While one is analysed the newest one waits, and takes the place of the one that waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from affectline.json_records import JsonValue, to_json_object
from affectline.parent_pipe import ChildLimits
from affectline.service.access import PROTOCOL
from affectline.service.child import Child
from affectline.service.job_queue import LIVE_PREFIX
from affectline.service.live_worker import TIME, LiveRequest
from affectline.service.metrics import Metrics
from affectline.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

LARGEST_FRAME_BYTES: Final = 2**21
LARGEST_FRAME_PIXELS: Final = 2_100_000
"""Full HD; the page sends less."""

START_S: Final = 120.0
ANSWER_S: Final = 20.0
SILENCE_S: Final = 120.0
"""A camera that sends nothing for so long is gone."""

LONGEST_REASON_BYTES: Final = 123
"""What a close frame holds beside its code."""

_BUSY: Final = 1013
_WRONG_DATA: Final = 1003
_POLICY: Final = 1008
_FAILED: Final = 1011


class _Closed(Exception):  # noqa: N818 - the end of a conversation, not a fault
    """The conversation ends, with a close code and a reason of any length that may be shown."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Newest:
    """Holds the newest frame until it is taken; what it replaces is dropped and counted."""

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        self._frame: tuple[int, float, bytes] | None = None
        self._news = asyncio.Event()

    def put(self, jpeg: bytes, came_s: float) -> None:
        self.received += 1
        self.dropped += self._frame is not None
        self._frame = (self.received, came_s, jpeg)
        self._news.set()

    async def take(self) -> tuple[int, float, bytes]:
        """Return the number, the time and the bytes of the newest frame, as soon as there is one."""
        await self._news.wait()
        self._news.clear()
        frame, self._frame = self._frame, None
        if frame is None:
            return await self.take()
        return frame


class LiveSessions:
    """The cameras that are analysed now, each by a child process of its own.

    Args:
        settings: those of the service.
        metrics: counts frames.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._open = 0

    async def talk(self, socket: WebSocket, action_units: bool) -> None:
        """Talk with one client until it leaves or does wrong."""
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", ()) else None)
        try:
            async with self._place():
                await self._converse(socket, action_units)
        except _Closed as closed:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await _say(socket, {"type": "problem", "detail": closed.reason})
                await socket.close(closed.code, close_reason(closed.reason))
        except WebSocketDisconnect:
            return

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._open >= self._settings.live_sessions:
            raise _Closed(_BUSY, f"{self._open} cameras are analysed already, the most that may be here; try later")
        self._open += 1
        self._metrics.live_sessions.set(self._open)
        try:
            yield
        finally:
            self._open -= 1
            self._metrics.live_sessions.set(self._open)

    @asynccontextmanager
    async def _child(self, action_units: bool) -> AsyncIterator[Child]:
        limits = ChildLimits(self._settings.analysis.memory_mb(self._settings.limits), 24 * 3600)
        request = LiveRequest(self._settings.analysis, action_units, LARGEST_FRAME_PIXELS, limits)
        with TemporaryDirectory(prefix=LIVE_PREFIX, dir=self._settings.folder) as place:
            folder = Path(place)
            child = await Child.start(
                "affectline.service.live_worker", to_json_object(request), folder, folder / "log.txt"
            )
            try:
                answer = await _answer(child, START_S)
                if answer.get("type") != "ready":
                    raise _Closed(_FAILED, str(answer.get("detail")))
                yield child
            finally:
                await child.stop()

    async def _converse(self, socket: WebSocket, action_units: bool) -> None:
        """Answer frames until the client leaves, which it may while the networks are loaded.

        One task receives, the other loads and answers; the first to end ends both.
        """
        newest = _Newest()
        tasks = {
            asyncio.create_task(_receive(socket, newest)),
            asyncio.create_task(self._serve(socket, action_units, newest)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._metrics.live_frames.labels("dropped").inc(newest.dropped)

    async def _serve(self, socket: WebSocket, action_units: bool, newest: _Newest) -> None:
        async with self._child(action_units) as child:
            await _say(socket, {"type": "ready", "action_units": action_units})
            await self._answer_frames(socket, child, newest)

    async def _answer_frames(self, socket: WebSocket, child: Child, newest: _Newest) -> None:
        first_s: float | None = None
        while True:
            number, came_s, jpeg = await newest.take()
            first_s = came_s if first_s is None else first_s
            await child.send(TIME.pack(came_s - first_s) + jpeg)
            answer = await _answer(child, ANSWER_S)
            delay_s = time.monotonic() - came_s
            self._metrics.live_frames.labels("refused" if answer["type"] == "problem" else "answered").inc()
            self._metrics.live_delay.observe(delay_s)
            counts: dict[str, JsonValue] = {"frame": number, "dropped": newest.dropped}
            await _say(socket, {**answer, **counts, "server_ms": round(1000 * delay_s, 1)})


async def _receive(socket: WebSocket, newest: _Newest) -> None:
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), SILENCE_S)
        except asyncio.TimeoutError as error:
            raise _Closed(_POLICY, f"no frame for {SILENCE_S:g} seconds") from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        data = message.get("bytes")
        if not data:
            raise _Closed(_WRONG_DATA, "send each frame as a binary message that is a JPEG")
        newest.put(data, time.monotonic())


async def _answer(child: Child, within_s: float) -> dict[str, JsonValue]:
    try:
        answer = await asyncio.wait_for(child.receive(), within_s)
    except asyncio.TimeoutError:
        answer = None
    if answer is None:
        raise _Closed(_FAILED, "the analysis of this camera has ended; the frame may be damaged")
    return answer


def close_reason(text: str) -> str:
    """Return as much of a text as a close frame holds, up to the end of a word."""
    if len(text.encode()) <= LONGEST_REASON_BYTES:
        return text
    end = "\N{HORIZONTAL ELLIPSIS}"
    start = text.encode()[: LONGEST_REASON_BYTES - len(end.encode())].decode(errors="ignore")
    return (start.rpartition(" ")[0] or start) + end


async def _say(socket: WebSocket, message: dict[str, JsonValue]) -> None:
    try:
        await socket.send_text(json.dumps(message))
    except RuntimeError as error:  # Starlette's word for a client that is gone
        raise WebSocketDisconnect from error
