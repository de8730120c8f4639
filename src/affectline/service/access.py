"""Who may talk to the service: the host a request names, the origin it comes from, and the token it shows."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from affectline.service.problems import ProblemError
from affectline.service.settings import ServiceSettings

COOKIE: Final = "affectline"
COOKIE_S: Final = 12 * 3600
PROTOCOL: Final = "affectline.v1"
"""The subprotocol of the WebSocket."""

TOKEN_PROTOCOL: Final = "affectline.token."  # noqa: S105 - a prefix
"""Browsers cannot send headers with a WebSocket, but they can offer a subprotocol: this and the token."""

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset({"/", "/login", "/logout", "/healthz"})
_OPEN_FOLDER: Final = "/static/"


@dataclass(frozen=True, slots=True)
class Keys:
    """Checks tokens and cookies.

    Attributes:
        token: what clients must show; None lets everybody in.
    """

    token: str | None

    def is_token(self, shown: str) -> bool:
        """Return whether somebody knows the token; takes as long for a wrong one as for the right one."""
        return self.token is not None and hmac.compare_digest(shown.encode(), self.token.encode())

    def new_cookie(self) -> str:
        """Return what a browser keeps after it has shown the token: not the token, and not for ever."""
        until = str(int(time.time()) + COOKIE_S)
        return f"{until}.{self._signature(until)}"

    def is_cookie(self, shown: str) -> bool:
        """Return whether a browser has a cookie of ours that is still good."""
        until, _, signature = shown.partition(".")
        is_ours = self.token is not None and hmac.compare_digest(signature.encode(), self._signature(until).encode())
        return is_ours and until.isascii() and until.isdigit() and int(until) >= time.time()

    def _signature(self, until: str) -> str:
        return hmac.new((self.token or "").encode(), f"cookie until {until}".encode(), hashlib.sha256).hexdigest()


class Gate:
    """ASGI middleware that turns away what must not come in.

    Args:
        app: what is behind it.
        settings: those of the service.
        keys: checks tokens and cookies.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, keys: Keys) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] in {"http", "websocket"}:
            try:
                self._check(scope, Headers(scope=scope))
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        self._check_host(headers)
        is_changing = scope["type"] == "websocket" or scope["method"] not in _READING
        _check_origin(headers, is_changing)
        shown = self._shown(scope, headers)
        scope["affectline.is_known"] = shown is not None
        if is_changing and shown == "cookie" and "origin" not in headers:
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "no_origin", "A request with a cookie must say which page it comes from (Origin)."
            )
        if shown is None and scope["path"] not in _OPEN and not scope["path"].startswith(_OPEN_FOLDER):
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "no_token",
                "Show the token of this service: Authorization: Bearer TOKEN, or log in on the page.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "no_host", "A request must name one host.")
        name = _host_name(hosts[0])
        if name is None or not self._settings.allows_host(name):
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong_host",
                "This service does not go by the name in the header Host; whoever runs it can add it with "
                "--allow-host NAME.",
            )

    def _shown(self, scope: Scope, headers: Headers) -> str | None:
        """Return how a client has shown that it may come in; None if it has not."""
        if self._settings.token is None:
            return "nothing needed"
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._keys.is_token(token.strip()):
            return "token"
        if scope["type"] == "websocket":
            for protocol in scope.get("subprotocols", ()):
                if protocol.startswith(TOKEN_PROTOCOL) and self._keys.is_token(protocol.removeprefix(TOKEN_PROTOCOL)):
                    return "token"
        return "cookie" if any(self._keys.is_cookie(value) for value in _cookies(headers)) else None


def _check_origin(headers: Headers, is_changing: bool) -> None:
    """Turn away what a page of another origin asks for: changes and WebSockets, and anything but opening a page."""
    origin = headers.get("origin")
    is_foreign = origin is not None and not _is_own(origin, headers["host"])
    site = headers.get("sec-fetch-site", "same-origin")
    is_visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    is_cross = site not in {"same-origin", "none"} and (is_changing or not is_visit)
    if is_foreign or is_cross:
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "other_origin", "This request comes from a page of another origin, which may not ask."
        )


def _is_own(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()


def _host_name(host: str) -> str | None:
    """Return the name in a Host header, in lower case and without a port; None if the header is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or parts.path or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def _cookies(headers: Headers) -> list[str]:
    found = []
    for header in headers.getlist("cookie"):
        try:
            jar = SimpleCookie(header)
        except CookieError:
            continue
        if COOKIE in jar:
            found.append(jar[COOKIE].value)
    return found
