"""File names as text that tables, JSON and logs can hold."""

from __future__ import annotations


def as_utf8(name: str) -> str:
    """Return a name with bytes that are no UTF-8, as old archives leave them, spelled out."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
