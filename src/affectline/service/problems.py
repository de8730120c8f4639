"""Errors as RFC 9457 problem details: every answer above 399 has the same form, and none shows a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from affectline.service.headers import SECURITY_HEADERS

logger = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unsupported Media Type",
                    "status": 415,
                    "detail": "Not a video that can be read, or its start is damaged; check that it plays in a video "
                    "player.",
                    "code": "not_a_video",
                }
            ]
        }
    )

    type: str = Field("about:blank", description="`about:blank`: the title is that of the HTTP status.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong here, and what to do, in a sentence for people.")
    code: str = Field(description="What is wrong, in a word for programs; it does not change between versions.")


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        status: above 399.
        code: a word for programs.
        detail: a sentence for people; must not tell what is inside the machine.
        headers: sent with it.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer."""
        return problem_response(self.status, self.code, self.detail, self.headers)


def problem_response(
    status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an answer with a problem; arguments as `ProblemError`."""
    problem = Problem(type="about:blank", title=status.phrase, status=int(status), detail=detail, code=code)
    return JSONResponse(
        problem.model_dump(), int(status), headers={**SECURITY_HEADERS, **(headers or {})}, media_type=PROBLEM_TYPE
    )


def broken_off() -> ProblemError:
    """Return the problem of a client that is gone; nobody hears it, but it is counted and logged."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "incomplete", "The request was broken off.")


def add_handlers(app: FastAPI) -> None:
    """Make every error of an app a problem, those of the framework too."""

    async def on_problem(_: Request, error: Exception) -> JSONResponse:
        return error.response() if isinstance(error, ProblemError) else _unexpected()

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            return _unexpected()
        status = HTTPStatus(error.status_code)
        code = status.name.lower()
        return problem_response(status, code, _SENTENCES.get(status, f"{status.description}."), error.headers)

    async def on_invalid(_: Request, error: Exception) -> JSONResponse:
        detail = _first_fault(error.errors()) if isinstance(error, RequestValidationError) else ""
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail)

    async def on_any(_: Request, __: Exception) -> JSONResponse:
        return _unexpected()  # the traceback goes to the log of the server

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_any)
    app.router.default = _on_no_route


async def _on_no_route(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what asks for an address that there is not; left to itself the router gives a WebSocket no reason."""
    status = HTTPStatus.NOT_FOUND
    await problem_response(status, status.name.lower(), _SENTENCES[status])(scope, receive, send)


_SENTENCES: Final = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /openapi.json lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not know this method; the header Allow lists those it knows.",
}


def _unexpected() -> JSONResponse:
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected", "Something went wrong in the service; its log tells more."
    )


def _first_fault(faults: Sequence[Mapping[str, object]]) -> str:
    """Return the first fault of a request in words, without the value that was sent."""
    if not faults:
        return "The request is not valid."
    place = faults[0].get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, tuple) else "the request"
    return f"{where}: {faults[0].get('msg', 'not valid')}."
