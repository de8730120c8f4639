"""Looking at one frame in so many seconds (`--stride`): which frames the networks see."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from affectline.errors import InputError
from affectline.records import Frame
from affectline.video.source import TIME_TOLERANCE_S


class Stride:
    """Says of successive frames which ones the networks see.

    The first of each stretch is seen (`faces.stretches`), and from there on the first at or after each multiple of the
    stride: what is seen does not depend on the stretches before, so that an analysis can begin with any of them.

    Args:
        stride_s: seconds; None sees every frame.
    """

    def __init__(self, stride_s: float | None) -> None:
        self.stride_s = stride_s
        self._begin_s = 0.0
        self._last_point = -1

    def takes(self, frame: Frame, *, begins_stretch: bool) -> bool:
        """Return whether the networks see the next frame. One that is corrupt is passed over for the one behind it.

        Raises:
            InputError: the frame is an independent image.
        """
        if self.stride_s is None:
            return True
        if frame.time_s is None:
            raise InputError(
                "independent images have no times, and nothing lies between them that --stride could fill in; leave "
                "it out, or make them a video (--sequence FPS)"
            )
        if begins_stretch:
            self._begin_s, self._last_point = frame.time_s, -1
        point = math.floor((frame.time_s - self._begin_s + TIME_TOLERANCE_S) / self.stride_s)
        if frame.is_corrupt or point <= self._last_point:
            return False
        self._last_point = point
        return True


def mark_last(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Give each frame and whether it is the last one; a frame comes once the next one is there."""
    iterator = iter(frames)
    held = next(iterator, None)
    while held is not None:
        following = next(iterator, None)
        yield held, following is None
        held = following
