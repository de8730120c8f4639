"""One face's rows on a regular grid in time, for networks that learned at one frame rate.

Nothing here looks further ahead than from a grid point to the row behind it, and no row is scored from a grid point
that lies after it where a head must not look ahead: so frames can be placed one by one, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.records import FloatArray

SNAP_STEPS: Final = 0.02
"""Rows this close to a grid point, in grid steps, are on it: containers that keep milliseconds round 30 fps by 0.01."""

NEAR: Final = 1.5
"""Between rows that are further apart than that many intervals, frames are missing."""

USUAL_OF: Final = 31
"""A video's own interval is the median of so many of the latest steps from row to row."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRows:
    """One face's rows with their places on the grid.

    Attributes:
        place: shape (m,), float64, grid steps from the first row, strictly increasing.
        is_linked: shape (m,), bool: no frame is missing between the row and the one before it.
        values: shape (m, d), float32.
    """

    place: NDArray[np.float64]
    is_linked: NDArray[np.bool_]
    values: FloatArray

    def on_grid(self, start: int, stop: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the values at the grid points from `start` on and before `stop`, and where there are any.

        A grid point between linked rows lies on the straight line between them. The first row of a run stands for the
        grid point before it as well. Elsewhere the values are 0.

        Returns:
            Values of shape (stop - start, d), float32, and their mask of shape (stop - start,), bool.
        """
        points = np.arange(start, stop, dtype=np.float64)
        last = len(self.place) - 1
        before = np.searchsorted(self.place, points, side="right") - 1
        after = np.minimum(before + 1, last)
        left, right = self.place[np.maximum(before, 0)], self.place[after]
        is_hit = (before >= 0) & (left == points)
        is_between = (before >= 0) & (before < last) & ~is_hit & self.is_linked[after]
        is_begin = (before < last) & ~is_hit & ~self.is_linked[after] & (np.floor(right) == points)
        share = np.divide(points - left, right - left, out=np.zeros(len(points)), where=is_between)
        share[is_begin] = 1.0
        share = share.astype(np.float32)[:, None]
        values = self.values[np.maximum(before, 0)] * (1 - share) + self.values[after] * share
        mask = is_hit | is_between | is_begin
        values[~mask] = 0.0
        return values, mask


def places(time_s: NDArray[np.float64], start_s: float, interval_s: float) -> NDArray[np.float64]:
    """Return times in grid steps from a start, those within `SNAP_STEPS` of a grid point on it."""
    exact = (np.asarray(time_s, np.float64) - start_s) / interval_s
    nearest = np.round(exact)
    return np.where(np.abs(exact - nearest) <= SNAP_STEPS, nearest, exact)


def distinct(place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each of n places, never decreasing, whether it lies behind the one before it, shape (n,)."""
    return np.concatenate([np.ones(min(len(place), 1), np.bool_), np.diff(place) > 0])


def links(place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each row whether no frame is missing between it and the row before it, shape (m,), False at first.

    That is so where they are at most `NEAR` intervals apart, of the grid or of the video (the median, the lower one of
    two, of its latest `USUAL_OF` steps up to there), whichever is longer. A first step tells no interval of the video.

    Args:
        place: shape (m,), strictly increasing.
    """
    steps = np.diff(place)
    is_near = steps <= NEAR
    for number in np.flatnonzero(~is_near):
        latest = np.sort(steps[max(0, number + 1 - USUAL_OF) : number + 1])
        is_near[number] = number > 0 and steps[number] <= NEAR * latest[(len(latest) - 1) // 2]
    return np.concatenate([np.zeros(min(len(place), 1), np.bool_), is_near])


def pieces(time_s: NDArray[np.float64], longest_s: float) -> list[slice]:
    """Return the runs of rows between which a face is away for longer than `longest_s` seconds.

    Args:
        time_s: shape (n,), never decreasing.
        longest_s: above 0.
    """
    cuts = np.flatnonzero(np.diff(time_s) > longest_s) + 1
    ends = [0, *cuts.tolist(), len(time_s)]
    return [slice(start, stop) for start, stop in pairwise(ends) if stop > start]
