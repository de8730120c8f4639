"""Numbers and times of the pictures of one pass over a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from av import VideoFrame

from affectline.video.decoding import Clock
from affectline.video.seeking import FILE_START, Start


class Numbered(NamedTuple):
    """A picture with its number and time, and the time of the one before it (None at the start)."""

    picture: VideoFrame
    is_damaged: bool
    number: int
    time_s: float
    previous_s: float | None


class Run:
    """One pass over the pictures of a file: gives each that is not handled yet its number and time.

    Args:
        pictures: with whether they are damaged, from `start` on.
        clock: of the file.
        start: where decoding began.
        resume_after: index and time in seconds of the last frame that an earlier run handled.

    Attributes:
        index: of the last picture.
        last_pts: its time stamp.
    """

    def __init__(
        self,
        pictures: Iterable[tuple[VideoFrame, bool]],
        clock: Clock,
        start: Start,
        resume_after: tuple[int, float] | None,
    ) -> None:
        self.index = start.index - 1
        self.last_pts: int | None = None
        self._pictures = pictures
        self._clock = clock
        self._start = start
        self._resume_after = resume_after
        self._is_beyond = resume_after is None

    def __iter__(self) -> Iterator[Numbered]:
        """Give the pictures that no earlier run has handled."""
        previous_s: float | None = None
        has_arrived = self._start.pts is None
        for picture, is_damaged in self._pictures:
            # Behind the start times may jump back: of two recordings that were joined, say.
            has_arrived = has_arrived or (picture.pts is not None and picture.pts >= (self._start.pts or 0))
            if not has_arrived:
                continue
            self.index += 1
            self.last_pts = picture.pts
            time_s = self._clock.time_s(picture)
            if not self._is_handled(time_s):
                yield Numbered(picture, is_damaged, self.index, time_s, previous_s)
            previous_s = time_s

    def _is_handled(self, time_s: float) -> bool:
        """Return whether an earlier run handled the picture: by number, after a jump by the surer time."""
        if self._is_beyond or self._resume_after is None:
            return False
        index, handled_s = self._resume_after
        if self._start == FILE_START:
            return self.index <= index
        if time_s <= handled_s:
            self.index = min(self.index, index)
            return True
        self.index = max(self.index, index + 1)
        self._is_beyond = True
        return False
