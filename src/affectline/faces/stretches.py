"""Where a video is looked at afresh: from there on nothing that is detected depends on what came before.

So a video can be analysed from any of these places on, by whoever and in whatever order; `faces.linking` then gives
the faces of each stretch the track numbers that they had in the stretch before.
"""

from __future__ import annotations

import math
from typing import Final

STRETCH_S: Final = 10.0
"""A stretch begins with the first sampled frame at or after each multiple of this time, in seconds. The first frame is
searched as a whole and faces are detected thrice before they are followed by their pixels, which costs about as much as
seven ordinary searches in the sixty or so of a stretch."""

_MOST_FRAMES: Final = 1200
"""Sampled frames, after which a stretch ends in any case: files exist whose time hardly moves."""

_MOST_IMAGES: Final = 48
"""Likewise, for independent images: so many may be lost when a run is killed."""


class Stretches:
    """Says of each frame of an input, in order, whether a stretch begins with it."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._frames = 0

    def begins_with(self, time_s: float | None) -> bool:
        """Return whether a stretch begins with the next sampled frame, given its time; None for an image."""
        number = None if time_s is None else stretch_of(time_s)
        most = _MOST_IMAGES if time_s is None else _MOST_FRAMES
        is_new = not self._frames or number != self._number or self._frames >= most
        self._number = number
        self._frames = 1 if is_new else self._frames + 1
        return is_new


def stretch_of(time_s: float) -> int:
    """Return the number of the stretch that a time in seconds lies in."""
    return math.floor(time_s / STRETCH_S)
