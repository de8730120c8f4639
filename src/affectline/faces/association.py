"""Which detection is which track: what each pairing costs, and the cheapest pairing.

Motion says where a face should be, its look says whether it is that face; the longer it was not seen, the more the
look counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from affectline.faces.appearance import look_distances
from affectline.faces.motion import BoxMotion, Float64Array, position_of
from affectline.faces.reference import containments
from affectline.records import FloatArray

NO_MATCH = 1.0
"""Pairs that cost this or more are not matched."""

# A face may turn up at this distance from where it was expected, in face sizes: at once, more with each second that it
# was not seen, and at most. From frame to frame at 25 fps that is 1.65: a face of 80 px that moves 60 px a frame may
# even turn back at once.
_REACH_AT_ONCE = 1.25
_REACH_PER_S = 10.0
_REACH_AT_MOST = 4.0

# What a wholly different look costs, where the full reach costs 1. From one frame to the next a light or a hand may
# change the look, and place alone is enough; after a third of a second the look must agree.
_LOOK_WEIGHT_AT_ONCE = 0.5
_LOOK_WEIGHT_PER_S = 1.5
_LOOK_WEIGHT_AT_MOST = 1.2

# What it costs that a face was not seen: of two that fit alike, the one that was just there is meant.
_UNSEEN_COST_PER_S = 0.5
_UNSEEN_COST_AT_MOST = 0.15

_FULL_DOUBT_S = 1.0
"""After a cut a place says as little as that of a face that was not seen for this long."""

_LOOK_WEIGHT_AFTER_CUT = 2.0
"""Two people who are filmed alike often sit at one place; of pairs of 28 portraits, one in a hundred looks alike enough
to pass with this at the same place (with the weight of a second's absence, one in four)."""

_LOOK_MEMORY_S = 0.5
"""The look of a track is a running mean with this time constant."""


@dataclass(slots=True, eq=False)
class Track:
    """One face followed over frames.

    Attributes:
        motion: its box, since the last observation.
        look: running mean of `look_of`.
        first_seen_s: time of the first observation.
        track_id: its number; None before it is followed for the first time.
        is_followed: it has one of the places that `max_faces` allows.
        larger_since_s: since when it has been clearly larger than a followed face, if it waits for a place.
        is_cut_off: a cut came since it was last seen.
        detection_count: in how many frames it was detected, not followed by its pixels.
    """

    motion: BoxMotion
    look: Float64Array
    first_seen_s: float
    track_id: int | None = None
    is_followed: bool = False
    larger_since_s: float | None = None
    is_cut_off: bool = False
    detection_count: int = 1

    @property
    def last_seen_s(self) -> float:
        """Time of the last observation."""
        return self.motion.time_s

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return self.motion.size_px**2

    def learn_look(self, time_s: float, look: Float64Array) -> None:
        """Move the mean look towards the one seen at `time_s`; call it before `motion.observe`."""
        share = 1 - np.exp((self.last_seen_s - time_s) / _LOOK_MEMORY_S)
        self.look = np.round(self.look + share * (look - self.look), 3)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one frame shows of n faces.

    Attributes:
        time_s: the frame's time.
        frame_wh: the frame's width and height in pixels.
        boxes_xyxy: shape (n, 4), pixels.
        looks: shape (n, `LOOK_LENGTH`).
        is_cut: the frame begins a new scene: places of before mean little.
    """

    time_s: float
    frame_wh: tuple[int, int]
    boxes_xyxy: FloatArray
    looks: Float64Array
    is_cut: bool


def match_costs(tracks: Sequence[Track], sight: Sight) -> Float64Array:
    """Return what it costs to take each detection for each track, shape (m, n); below `NO_MATCH` is possible."""
    if not tracks or not len(sight.boxes_xyxy):
        return np.empty((len(tracks), len(sight.boxes_xyxy)))
    positions = np.array([position_of(box) for box in sight.boxes_xyxy])
    differences = look_distances(np.array([track.look for track in tracks]), sight.looks) * _look_reliability(sight)
    costs = np.empty_like(differences)
    for row, track in enumerate(tracks):
        is_cut_off = sight.is_cut or track.is_cut_off
        unseen_s = _FULL_DOUBT_S if is_cut_off else sight.time_s - track.last_seen_s
        reach = min(_REACH_AT_ONCE + _REACH_PER_S * unseen_s, _REACH_AT_MOST)
        look_weight = _LOOK_WEIGHT_AFTER_CUT if is_cut_off else _look_weight(unseen_s)
        unseen_cost = min(_UNSEEN_COST_PER_S * unseen_s, _UNSEEN_COST_AT_MOST)
        distances = _distances(track.motion, sight, positions)
        fitting = unseen_cost + distances / reach + look_weight * differences[row]
        costs[row] = np.where(distances < reach, fitting, NO_MATCH)
    return costs


def assign(costs: Float64Array, rows: Sequence[int], columns: Sequence[int], max_cost: float) -> dict[int, int]:
    """Return the cheapest pairing of some rows with some columns, as column by row; pairs cost less than `max_cost`.

    To leave a row or a column alone costs as much as a pair that is not allowed, so that a good pair is never given
    up to make two bad ones possible.
    """
    if not rows or not columns:
        return {}
    part = np.minimum(costs[np.ix_(rows, columns)], max_cost)
    picked = zip(*linear_sum_assignment(part), strict=True)
    return {rows[i]: columns[j] for i, j in picked if part[i, j] < max_cost}


def _look_weight(unseen_s: float) -> float:
    return min(_LOOK_WEIGHT_AT_ONCE + _LOOK_WEIGHT_PER_S * unseen_s, _LOOK_WEIGHT_AT_MOST)


def _look_reliability(sight: Sight) -> FloatArray:
    """Return the weight of each box's look, shape (n,): the square of the part that is clear of any other box.

    The square, since a fifth of a foreign face already makes a look as strange as a stranger's.
    """
    covered = containments(sight.boxes_xyxy, sight.boxes_xyxy)
    np.fill_diagonal(covered, 0)
    reliability: FloatArray = np.square(1 - covered.max(axis=1))
    return reliability


def _distances(motion: BoxMotion, sight: Sight, positions: Float64Array) -> Float64Array:
    """Return how far detections are from a track, in face sizes, shape (n,).

    For the centre this is the mean of two distances: to the place expected, and to the way there from the place where
    the face was last seen. An unseen face may have stopped anywhere on its way, or turned at the border.
    """
    wh = np.array(sight.frame_wh)
    start = motion.position[:2]
    expected = np.clip(motion.position_at(sight.time_s), 0, [*wh, np.inf, np.inf])[:2]
    way = motion.velocity[:2] * (sight.time_s - motion.time_s)
    offsets = positions[:, :2] - start
    share = np.clip(offsets @ way / max(float(way @ way), 1e-9), 0, 1)
    from_way = np.linalg.norm(offsets - share[:, None] * way, axis=1)
    from_expected = np.linalg.norm(positions[:, :2] - expected, axis=1)
    log_sizes = positions[:, 2:].mean(axis=1)
    growth = np.abs(log_sizes - np.log(motion.size_px))
    # A face that fills the frame and one of 20 px are not near each other, whichever of the two sizes is the unit.
    unit = np.exp((log_sizes + np.log(motion.size_px)) / 2)
    distances: Float64Array = (from_way + from_expected) / 2 / unit + growth
    return distances
