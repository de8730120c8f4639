"""Headers that keep browsers from doing more with our answers than they should."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page loads files of this service only, and no text of its own is run as a script."""

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
}
"""What every answer carries, unless its route says something else."""

_SCRIPT = re.compile(rb"<script\b([^>]*)>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


def report_policy(html: bytes, has_video_beside: bool) -> str:
    """Return the content policy of a report: its own scripts run, by their hashes, and nothing is sent anywhere.

    The report is shut into a sandbox with an origin of its own, so that it cannot call the service or read what the
    page keeps. Only one whose video lies beside it keeps the origin of the service: it could not load the video else.

    Args:
        html: the report.
        has_video_beside: the report plays a file beside it.
    """
    sandbox = "allow-scripts allow-downloads" + (" allow-same-origin" if has_video_beside else "")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(_script_hashes(html)) or chr(39) + 'none' + chr(39)}",
            "style-src 'unsafe-inline'",  # Plotly writes style attributes; without scripts they can do little
            "img-src data: blob:",
            f"media-src data: blob:{' ' + chr(39) + 'self' + chr(39) if has_video_beside else ''}",
            "font-src data:",
            "connect-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            f"sandbox {sandbox}",
        )
    )


def _script_hashes(html: bytes) -> list[str]:
    """Return the sources of a policy that let the inline scripts of a page run, and no other."""
    bodies = [body for attributes, body in _SCRIPT.findall(html) if b"src=" not in attributes.lower()]
    return [f"'sha256-{base64.b64encode(hashlib.sha256(body).digest()).decode()}'" for body in bodies]
