"""The page for people: static files of the package, colours made from those of the report, and logging in."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from affectline.labels import UNCERTAIN, Expression
from affectline.report.colours import expression_rgb, text_rgb
from affectline.report.page.template import logo_svg
from affectline.report.themes import DARK, LIGHT, Theme, to_hex
from affectline.service.access import COOKIE, COOKIE_S
from affectline.service.headers import PAGE_POLICY
from affectline.service.parts import Parts
from affectline.service.problems import ProblemError
from affectline.service.routes import parts_of
from affectline.service.uploads import receive_chunks

_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
_FILES: Final = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
"""What may be asked for: the files that are there, by name, so that no name in a request becomes a path."""

_LONGEST_FORM: Final = 4096
_PAUSE_S: Final = 0.5

Service = Annotated[Parts, Depends(parts_of)]

pages = APIRouter(include_in_schema=False)


@pages.get("/")
async def home(request: Request, service: Service) -> Response:
    """Return the page, or the login form to somebody who has to log in."""
    if not request.scope["affectline.is_known"]:
        return _html(_FILES["login.html"].read_bytes())
    page = _FILES["index.html"].read_bytes()
    # Only somebody who had to log in can log out.
    if service.settings.token is not None:
        page = page.replace(b'action="/logout" hidden', b'action="/logout"')
    return _html(page)


@pages.get("/static/colours.css")
async def colours() -> Response:
    """Return the colours of the report as CSS variables."""
    return Response(colours_css(), media_type="text/css", headers={"Cache-Control": "no-cache"})


@pages.get("/static/logo.svg")
async def logo() -> Response:
    """Return the logo of the report."""
    return Response(logo_svg(), media_type=_TYPES[".svg"], headers={"Cache-Control": "no-cache"})


@pages.get("/static/{name}")
async def static(name: str) -> Response:
    """Return a file of the page."""
    if name not in _FILES or name.endswith(".html"):
        raise ProblemError(HTTPStatus.NOT_FOUND, "not_found", "The page has no such file.")
    path = _FILES[name]
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


@pages.post("/login")
async def login(request: Request, service: Service) -> Response:
    """Give a browser that shows the token a cookie, and send it to the page."""
    body = await service.stopping.cuts(_receive_form(request))
    shown = parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()
    if not service.keys.is_token(shown):
        await asyncio.sleep(_PAUSE_S)
        return RedirectResponse("/?wrong", HTTPStatus.SEE_OTHER)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE,
        service.keys.new_cookie(),
        max_age=COOKIE_S,
        httponly=True,
        samesite="strict",
        # The service itself speaks http: a page over https came through a proxy.
        secure=request.headers.get("origin", "").startswith("https:"),
    )
    return response


async def _receive_form(request: Request) -> bytes:
    body = b""
    async for chunk in receive_chunks(request, _LONGEST_FORM):
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "A login form is smaller than this.")
    return body


@pages.post("/logout")
async def logout() -> Response:
    """Take the cookie away."""
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _html(page: bytes) -> Response:
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "Referrer-Policy": "same-origin",  # with `no-referrer` browsers send forms with the origin `null`
    }
    return Response(page, media_type="text/html", headers=headers)


def colours_css() -> str:
    """Return the colours of the report as CSS variables, in light and in dark.

    For each expression there are `--expression-happiness` and `--on-happiness`, text that can be read on it.
    """
    words = [*(label.value for label in Expression), UNCERTAIN]
    expressions = "".join(
        f"  --expression-{word.lower()}: {to_hex(expression_rgb(word))};\n"
        f"  --on-{word.lower()}: {to_hex(text_rgb(expression_rgb(word)))};\n"
        for word in words
    )
    light = f":root {{\n  color-scheme: light dark;\n{_tones(LIGHT)}{expressions}}}\n"
    return f"{light}@media (prefers-color-scheme: dark) {{\n:root {{\n{_tones(DARK)}}}\n}}\n"


def _tones(theme: Theme) -> str:
    tones = theme.tones().items()
    return "".join(f"  --{name.replace('_', '-')}: {tone};\n" for name, tone in tones if isinstance(tone, str))
