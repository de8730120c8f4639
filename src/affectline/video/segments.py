"""Splitting a video into parts that can be read side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from affectline.video.decoding import Clock
from affectline.video.key_frames import closed_key_frames
from affectline.video.opening import opened
from affectline.video.seeking import Start
from affectline.video.source import Sampling


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a video.

    Attributes:
        start: where decoding begins.
        from_s: its first frame is the first at or after this time; None for whatever comes first.
        to_s: it ends before this time; None at the end of the file.
        after_frame: it is gone on with behind this frame, which an earlier run handled, ...
        after_s: ... at this time.
    """

    start: Start
    from_s: float | None
    to_s: float | None
    after_frame: int | None = None
    after_s: float | None = None

    @property
    def resume_after(self) -> tuple[int, float] | None:
        """Index and time of the last frame that an earlier run handled."""
        return None if self.after_frame is None or self.after_s is None else (self.after_frame, self.after_s)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where reading begins: the start for decoding, the time, and what an earlier run handled."""

    start: Start
    after_s: float
    resume_after: tuple[int, float] | None

    def segment(self, to_s: float | None) -> Segment:
        """Return the part from here to a time in seconds, or to the end of the file."""
        frame, handled_s = self.resume_after or (None, None)
        return Segment(self.start, None, to_s, frame, handled_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of a video, in order; where it cannot be split there is one, and `problem` says why."""

    segments: tuple[Segment, ...]
    problem: str = ""


def plan_segments(path: Path, sampling: Sampling, count: int, begin: Begin, grid_s: float) -> Plan:
    """Return the parts of a video.

    Parts meet at multiples of `grid_s` that have a closed-GOP key frame before them. They meet at the same places
    wherever an earlier run has stopped, as long as the count is the same.

    Args:
        path: the file.
        sampling: which frames will be read.
        count: about how many parts are wanted.
        begin: where reading begins.
        grid_s: seconds.

    Raises:
        VideoError: the file cannot be opened.
    """
    found = closed_key_frames(path)
    with opened(path) as (container, stream):
        clock = Clock(container, stream)
        keys = [(clock.time_of(key.pts), key) for key in found.starts if key.pts is not None]
        last_s = clock.time_of(found.last_pts)
        rate = stream.average_rate or stream.guessed_rate
    # Behind the last sampled frame there is nothing to share: a part without one would not know that it is the last.
    end_s = (last_s if sampling.end_s is None else min(sampling.end_s, last_s)) - _most_between_s(sampling, rate)
    start_s = sampling.start_s or 0.0
    step = max(1, round((end_s - start_s) / count / grid_s))
    borders = [one for one in _borders(keys, start_s, end_s, step, grid_s) if one[0] > begin.after_s]
    times_s = [*(time_s for time_s, _ in borders), sampling.end_s]
    others = [Segment(key, time_s, to_s) for (time_s, key), to_s in zip(borders, times_s[1:], strict=True)]
    problem = "" if borders else found.problem or "it is too short, or its closed-GOP key frames are too far apart"
    return Plan((begin.segment(times_s[0]), *others), problem)


def _most_between_s(sampling: Sampling, rate: Fraction | None) -> float:
    """Return more than lies between two sampled frames; 0 where each frame is one."""
    if sampling.fps is not None:
        return 1 / sampling.fps
    return 0.0 if sampling.every == 1 else 2 * sampling.every / float(rate or 1)


def _borders(
    keys: Sequence[tuple[float, Start]], start_s: float, end_s: float, step: int, grid_s: float
) -> list[tuple[float, Start]]:
    """Return where parts begin behind the first: the time, and the key frame before it.

    Of each `step` places on the grid it is the one with the nearest key frame; one that is further away than a part is
    long would have more decoded twice than it is worth.
    """
    times_s = np.array([time_s for time_s, _ in keys])
    number, borders = math.floor(start_s / grid_s) + step, list[tuple[float, Start]]()
    while number * grid_s < end_s:
        grid = np.arange(number, number + step) * grid_s
        grid = grid[grid < end_s]
        # Strictly before: the frame before a part's first one says whether that one is sampled.
        places = np.searchsorted(times_s, grid, side="left") - 1
        leads = np.where(places >= 0, grid - times_s[np.maximum(places, 0)], np.inf) if len(keys) else grid + np.inf
        best = int(np.argmin(leads))
        if leads[best] <= step * grid_s:
            borders.append((float(grid[best]), keys[places[best]][1]))
        number += step
    return borders
