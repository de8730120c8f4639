"""Headers that keep browsers from doing more with our answers than they should."""

from __future__ import annotations

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

_REPORT_POLICY: Final = "; ".join(
    (
        "connect-src 'none'",
        "form-action 'none'",
        "frame-src 'none'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def report_policy(has_video_beside: bool) -> str:
    """Return the content policy of a report, which adds to its own: that lets its scripts run by their digests.

    The report is shut into a sandbox with an origin of its own, so that it cannot call the service or read what the
    page keeps. Only one whose video lies beside it keeps the origin of the service: it could not load the video else.

    Args:
        has_video_beside: the report plays a file beside it.
    """
    origin = " allow-same-origin" if has_video_beside else ""
    return f"{_REPORT_POLICY}; sandbox allow-scripts allow-downloads{origin}"
