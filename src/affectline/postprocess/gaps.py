"""Short gaps in a track, filled on the straight line between the observations before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.records import MAX_GAP_S

TIME_TOLERANCE_S = 1e-5
"""Times this close count as equal.

Timestamps are rounded to microseconds, and 25 fps times are no round numbers in binary: without a tolerance, the
three frames before and after that a window of 0.12 s reaches would be two or three, by chance.
"""


@dataclass(frozen=True, slots=True, eq=False)
class GapRows:
    """Rows that fill the gaps of tracks.

    Attributes:
        before: shape (m,), row number of the last observation before the gap; the row after it ends the gap.
        frame_number: shape (m,), position of the filled frame among the sampled frames.
        values: shape (m, d), float64, linear in time between the two observations; NaN where one of them is NaN.
    """

    before: NDArray[np.intp]
    frame_number: NDArray[np.intp]
    values: NDArray[np.float64]


def stretch_numbers(
    track_ids: NDArray[np.int64], times_s: NDArray[np.float64], max_gap_s: float = MAX_GAP_S
) -> NDArray[np.intp]:
    """Return the number of the stretch that each row belongs to, from 0, shape (n,).

    A stretch is a run of rows of one track without a hole longer than `max_gap_s`. Gaps are filled, and scores are
    smoothed, only inside a stretch.

    Args:
        track_ids: shape (n,); the rows are in the order of track and time.
        times_s: shape (n,), seconds.
        max_gap_s: the longest hole inside a stretch, seconds.
    """
    if not len(track_ids):
        return np.empty(0, np.intp)
    is_new_track = track_ids[1:] != track_ids[:-1]
    is_hole = times_s[1:] - times_s[:-1] > max_gap_s + TIME_TOLERANCE_S
    return np.concatenate([[0], np.cumsum(is_new_track | is_hole)]).astype(np.intp)


def gap_rows(
    stretches: NDArray[np.intp],
    frame_numbers: NDArray[np.intp],
    frame_times_s: NDArray[np.float64],
    values: NDArray[np.float64],
) -> GapRows:
    """Return one row for each sampled frame between two neighbouring rows of a stretch.

    With 0 before the gap and 4 after it, three missing frames at equal spacing get 1, 2 and 3.

    Args:
        stretches: shape (n,), from `stretch_numbers`; the rows are in the order of stretch and frame.
        frame_numbers: shape (n,), position of each row's frame among the sampled frames.
        frame_times_s: shape (f,), seconds, the times of all sampled frames, never decreasing.
        values: shape (n, d).
    """
    n_missing = np.where(np.diff(stretches) == 0, np.diff(frame_numbers) - 1, 0)
    before = np.repeat(np.arange(len(n_missing)), n_missing)
    place_in_gap = np.arange(len(before)) - np.repeat(np.cumsum(n_missing) - n_missing, n_missing)
    missing = frame_numbers[before] + 1 + place_in_gap
    start_s = frame_times_s[frame_numbers[before]]
    length_s = frame_times_s[frame_numbers[before + 1]] - start_s
    # Frames that share one timestamp leave no length to divide by; the observation before them stands.
    share = np.divide(frame_times_s[missing] - start_s, length_s, out=np.zeros(len(before)), where=length_s > 0)
    filled = values[before] * (1 - share)[:, None] + values[before + 1] * share[:, None]
    return GapRows(before, missing, filled)
