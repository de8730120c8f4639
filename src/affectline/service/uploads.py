"""Brings the body of a request to disk as it comes: memory does not grow with the size of an upload."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import python_multipart
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from affectline.service.disk_space import free_bytes, needs_space
from affectline.service.problems import ProblemError, broken_off

FIELD: Final = "file"
"""The name of the part that holds the video."""

UNNAMED: Final = "upload"
LONGEST_NAME: Final = 120
SILENCE_S: Final = 60.0
"""A client that sends nothing for so long has lost its place."""

SLOWEST_BYTES_S: Final = 10_000
"""So many bytes a second at least: one that sends a byte now and then would keep its place for ever."""

_SUFFIX: Final = re.compile(r"\.\w{1,8}$")
_MOST_OF_THE_REST: Final = 64 * 1024
_SPARE_DISK_BYTES: Final = 256 * 10**6
_RAW_TYPES: Final = re.compile(r"(video|image)/[\w.+-]+|application/octet-stream")


def display_name(sent: str) -> str:
    """Return what a client calls its file, as text that may be shown: never a path, no control characters.

    Of a long name the end is left out, but not its suffix.
    """
    last = re.split(r"[/\\]", sent.replace("%22", '"'))[-1]  # browsers write a quotation mark so in a form
    name = " ".join("".join(char for char in last if unicodedata.category(char)[0] != "C").split())
    if len(name) > LONGEST_NAME:
        suffix = _SUFFIX.search(name)
        end = f"\N{HORIZONTAL ELLIPSIS}{suffix[0] if suffix else ''}"
        name = name[: LONGEST_NAME - len(end)].rstrip() + end
    return name or UNNAMED


async def receive_upload(request: Request, target: Path, max_bytes: int) -> str:
    """Write the video in the body of a request to a file, and return its name for display.

    Args:
        request: multipart/form-data with a part `file`, or the bytes of a video or image as they are.
        target: the file; incomplete if an error is raised.
        max_bytes: of the video.

    Raises:
        ProblemError: too large, of another type, malformed, empty, too slow, or the disk is full.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    is_form = media_type == "multipart/form-data"
    if not is_form and not _RAW_TYPES.fullmatch(media_type):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not_an_upload",
            f"Send multipart/form-data with a part `{FIELD}`, or the bytes of a video or image as they are, with a "
            "Content-Type of video/*, image/* or application/octet-stream.",
        )
    _check_length(request, target, max_bytes)
    chunks = receive_chunks(request, max_bytes)
    with needs_space(), target.open("xb") as file:  # what is small is written, and fails, when the file is closed
        sink = _Sink(file, max_bytes)
        if is_form:
            name = await _receive_form(chunks, sink, parameters.get(b"boundary", b""))
        else:
            name = UNNAMED
            async for chunk in chunks:
                sink.write(chunk)
    if not sink.size:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "empty", "The upload is empty: it has no byte.")
    return name


def _check_length(request: Request, target: Path, max_bytes: int) -> None:
    """Refuse a body by the length that its header states, before it is read."""
    stated = request.headers.get("content-length", "")
    length = int(stated) if stated.isascii() and stated.isdigit() else 0
    if length > max_bytes + _MOST_OF_THE_REST:
        raise _too_large(max_bytes)
    if free_bytes(target.parent) < length + _SPARE_DISK_BYTES:
        raise ProblemError(
            HTTPStatus.INSUFFICIENT_STORAGE, "disk_full", "There is no space left for this upload; delete analyses."
        )


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        f"The upload is larger than {max_bytes / 1e6:g} MB, which is the most allowed here.",
    )


async def receive_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Give the body of a request piece by piece.

    Args:
        request: its body may be longer than is allowed: who writes it counts.
        max_bytes: for how many there is time.

    Raises:
        ProblemError: nothing comes any more, all comes too slowly, or the client is gone.
    """
    stream = aiter(request.stream())
    most_s = SILENCE_S + max_bytes / SLOWEST_BYTES_S
    end_s = time.monotonic() + most_s
    while True:
        rest_s = end_s - time.monotonic()
        try:
            chunk = await asyncio.wait_for(anext(stream), min(SILENCE_S, rest_s))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            detail = f"Nothing came for {SILENCE_S:g} seconds."
            if rest_s < SILENCE_S:
                detail = f"Not all of it came within {most_s:.0f} seconds."
            raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "too_slow", detail) from error
        except ClientDisconnect as error:
            raise broken_off() from error
        yield chunk


class _Sink:
    """Writes a file up to a size."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self.size = 0
        self._file = file
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._file.write(data)


class _Form:
    """Takes the file part out of a multipart body; other parts are left out."""

    def __init__(self, sink: _Sink) -> None:
        self.name: str | None = None
        self.is_complete = False
        self._sink = sink
        self._is_file = False
        self._field = self._value = b""
        self._disposition = b""
        self._rest = 0

    def on_part_begin(self) -> None:
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._rest += size
        if self._rest > _MOST_OF_THE_REST:
            raise _malformed(f"What is beside the part `{FIELD}` is too large.")

    def on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self._is_file = parameters.get(b"name") == FIELD.encode() and self.name is None
        if self._is_file:
            self.name = display_name(parameters.get(b"filename", b"").decode("utf-8", "replace"))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._sink.write(data[start:end])
            return
        self._count(end - start)

    def on_end(self) -> None:
        self.is_complete = True


async def _receive_form(chunks: AsyncIterator[bytes], sink: _Sink, boundary: bytes) -> str:
    if not boundary:
        raise _malformed("The header Content-Type names no boundary.")
    form = _Form(sink)
    names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
    try:
        callbacks = {f"on_{name}": getattr(form, f"on_{name}") for name in names}
        parser = python_multipart.MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # a TypedDict there
        async for chunk in chunks:
            if chunk:
                parser.write(chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise _malformed("The body is no multipart/form-data.") from error
    if not form.is_complete:
        raise _malformed("The body ends before its last boundary.")
    if form.name is None:
        raise _malformed(f"The form has no part `{FIELD}`.")
    return form.name


def _malformed(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, "malformed_form", detail)
