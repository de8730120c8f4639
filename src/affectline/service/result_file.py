"""Answers with a file of a result, whole or in part."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from affectline.service.problems import ProblemError

_PIECE_BYTES: Final = 2**18
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII | re.IGNORECASE)


class ResultFile(FileResponse):
    """A file, or the range of it that the header `Range` asks for; arguments as Starlette's.

    Starlette's own looks for the file, sends the head and then opens it: who deletes the analysis meanwhile breaks the
    answer. This one opens it first, and answers with a problem if it is gone.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file.

        Raises:
            ProblemError: it is gone, or has nothing of the range.
        """
        with _opened(Path(self.path)) as file:
            facts = os.fstat(file.fileno())
            self.set_stat_headers(facts)
            begin, end, status = 0, facts.st_size, HTTPStatus.OK
            wanted = self._wanted(Headers(scope=scope), facts.st_size)
            if wanted is not None:
                begin, end = wanted
                status = HTTPStatus.PARTIAL_CONTENT
                self.headers["content-range"] = f"bytes {begin}-{end - 1}/{facts.st_size}"
                self.headers["content-length"] = str(end - begin)
            answer = StreamingResponse(_pieces(file, begin, end), int(status), headers=self.headers)
            await answer(scope, receive, send)

    def _wanted(self, headers: Headers, size: int) -> tuple[int, int] | None:
        """Return where the range begins and ends; None for the whole file, also if the header is malformed (RFC 9110).

        Several ranges in one header are one that is left out too, as it may be: no player asks for them.
        """
        found = _RANGE.fullmatch(headers.get("range", ""))
        if found is None or headers.get("if-range") not in {None, self.headers["etag"], self.headers["last-modified"]}:
            return None
        first, last = found.groups()
        if not (first or last) or (first and last and int(last) < int(first)):
            return None
        begin = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if begin >= end:
            raise ProblemError(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "no_such_range",
                f"The header Range asks for what this file of {size} bytes has not.",
                {"Content-Range": f"bytes */{size}"},
            )
        return begin, end


def no_such_analysis() -> ProblemError:
    """Return the problem of an id that nobody knows, or that belongs to what was deleted."""
    return ProblemError(HTTPStatus.NOT_FOUND, "no_such_analysis", "There is no analysis with this id (any more).")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise no_such_analysis() from error
    with file:
        yield file


async def _pieces(file: BinaryIO, begin: int, end: int) -> AsyncIterator[bytes]:
    file.seek(begin)
    while begin < end:
        piece = await run_in_threadpool(file.read, min(_PIECE_BYTES, end - begin))
        if not piece:
            return
        begin += len(piece)
        yield piece
