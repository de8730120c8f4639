"""Who is followed where only so many faces shall be: the largest, without taking turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from affectline.records import MAX_GAP_S

TAKE_OVER_AREA: Final = 1.5
"""How many times larger a face must be to take another's place."""

TAKE_OVER_S: Final = 1.0
"""And for how long: two faces of about one size do not take turns."""

ROUNDING_S: Final = 1e-6


class Candidate(Protocol):
    """A track that may have a place.

    Attributes:
        is_followed: it has one.
        larger_since_s: since when it has been clearly larger than a followed face, if it waits for a place.
    """

    is_followed: bool
    larger_since_s: float | None

    @property
    def first_seen_s(self) -> float:
        """Time of the first observation."""

    @property
    def last_seen_s(self) -> float:
        """Time of the last one."""

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""


def is_awaited(track: Candidate, time_s: float) -> bool:
    """Return whether the face should still be here: it is waited for as long as it was there, up to the gap."""
    patience_s = min(track.last_seen_s - track.first_seen_s, MAX_GAP_S)
    return time_s - track.last_seen_s <= patience_s + ROUNDING_S


def is_alive(track: Candidate, time_s: float, last_time_s: float | None) -> bool:
    """Return whether the face could still be found: it came within the gap, or was missing from no frame yet.

    Args:
        track: of the face.
        time_s: of the present frame.
        last_time_s: of the frame before it; None where there is none.
    """
    return track.last_seen_s == last_time_s or time_s - track.last_seen_s <= MAX_GAP_S + ROUNDING_S


class Places:
    """Gives places to tracks and takes them back, frame by frame.

    Args:
        max_faces: how many places there are; None for as many as there are faces.
    """

    def __init__(self, max_faces: int | None) -> None:
        self._max_faces = max_faces

    def free(self, tracks: Sequence[Candidate], time_s: float, *, waits: bool = True) -> None:
        """Take their place from faces that are gone; whoever does not wait takes it at once."""
        for track in tracks:
            is_here = track.last_seen_s == time_s
            if not is_here and not (waits and is_awaited(track, time_s)):
                track.is_followed = False

    def fill(self, tracks: Sequence[Candidate], seen: Sequence[Candidate]) -> None:
        """Give free places to the largest faces seen, and let clearly larger ones take over.

        Args:
            tracks: all that there are.
            seen: those in this frame, the largest first.
        """
        limit = self._max_faces or len(tracks)
        free = limit - sum(track.is_followed for track in tracks)
        waiting = [track for track in seen if not track.is_followed]
        for track in waiting[: max(free, 0)]:
            _follow(track)
        for track in waiting[max(free, 0) :]:
            rival = next((rival for rival in reversed(seen) if rival.is_followed), None)
            if rival is None or track.area < TAKE_OVER_AREA * rival.area:
                track.larger_since_s = None
                continue
            if track.larger_since_s is None:
                track.larger_since_s = track.last_seen_s
            if track.last_seen_s - track.larger_since_s >= TAKE_OVER_S - ROUNDING_S:
                rival.is_followed = False
                _follow(track)

    def give_way(self, tracks: Sequence[Candidate], seen: Sequence[Candidate]) -> None:
        """Take the place from a face that is not in sight where a clearly larger one is that waits for one.

        For those who see only the faces that somebody else follows: there the larger one has had its time to wait, and
        has taken the other's place.
        """
        waiting = [track for track in seen if not track.is_followed]
        for track in tracks:
            is_gone = track.is_followed and track not in seen
            if is_gone and any(one.area >= TAKE_OVER_AREA * track.area for one in waiting):
                track.is_followed = False

    def add(self, tracks: Sequence[Candidate], seen: Sequence[Candidate]) -> None:
        """Give as many places again to those in sight that might have had one before: none is clearly larger.

        Args:
            tracks: all that there are.
            seen: those in this frame, the largest first.
        """
        if self._max_faces is None or len(seen) <= self._max_faces:
            return
        free = 2 * self._max_faces - sum(track.is_followed for track in tracks)
        least = seen[self._max_faces - 1].area / TAKE_OVER_AREA
        waiting = [track for track in seen if not track.is_followed and track.area >= least]
        for track in waiting[: max(free, 0)]:
            _follow(track)


def _follow(track: Candidate) -> None:
    track.is_followed, track.larger_since_s = True, None
