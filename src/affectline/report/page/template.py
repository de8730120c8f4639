"""Puts the page together: template, style and scripts, and the policy that lets only those scripts run."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from affectline.report.page.facts import percent, signed
from affectline.report.page.payload import all_word_colours
from affectline.report.themes import DARK, LIGHT, ColourScale, Theme

SCRIPTS = ("charts.js", "table.js", "page.js")

POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
)
"""Scripts run by their digest alone, nothing is fetched. Styles are open: Plotly writes them as attributes."""


def render(*, plotly: str, **context: Any) -> str:  # noqa: ANN401 - what the template shows
    """Return the page.

    Args:
        plotly: Plotly's script, empty where there is nothing to draw.
        context: what the template names.
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "signed": signed}
    script = "".join(_asset(name) for name in SCRIPTS)
    scripts = [text for text in (_inline(plotly), _inline(script)) if text]
    ready = {
        "plotly": _inline(plotly),
        "script": _inline(script),
        "style": _style(),
        "policy": POLICY.format(scripts=" ".join(map(digest, scripts))),
        "colours": all_word_colours(),
        "logo": f"data:image/svg+xml;base64,{base64.b64encode(logo_svg()).decode()}",
    }
    return environment.from_string(_asset("page.html")).render(**context, **ready)


def digest(script: str) -> str:
    """Return a script's digest as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def logo_svg() -> bytes:
    """Return the logo, an SVG: that of the report and of the service's pages."""
    return _asset("logo.svg").encode()


def _inline(script: str) -> str:
    """Return a script that can stand in a page: nothing in it ends its element, line ends are as browsers hash them."""
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _style() -> str:
    return _asset("page.css").replace("LIGHT_TONES", _properties(LIGHT)).replace("DARK_TONES", _properties(DARK))


def _properties(theme: Theme) -> str:
    return " ".join(f"--{name}: {_css(tone)};" for name, tone in theme.tones().items())


def _css(tone: str | ColourScale) -> str:
    return tone if isinstance(tone, str) else ", ".join(colour for _, colour in tone)


def _asset(name: str) -> str:
    return resources.files("affectline.report.page").joinpath("assets", name).read_text(encoding="utf-8")
