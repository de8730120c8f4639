"""Follows faces from frame to frame: each keeps its number while it is in the picture.

Confident detections choose first, faint ones only continue faces that were just there (the idea of ByteTrack, Zhang
et al., ECCV 2022). Everything is in seconds, so that any frame rate and any sampling tracks alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from affectline.errors import InputError
from affectline.faces.appearance import LOOK_LENGTH, look_of
from affectline.faces.association import NO_MATCH, Sight, Track, assign, match_costs
from affectline.faces.motion import BoxMotion
from affectline.faces.places import ROUNDING_S, Places, is_alive, is_awaited
from affectline.faces.reference import overlaps
from affectline.records import KEYPOINTS, MAX_GAP_S, Detections, Face, FloatArray, UInt8Array

CERTAIN_FROM = 3
"""Frames in which a face must have been detected before it is followed by its pixels: a false alarm is soon gone, but
its pixels stay."""

_FAINT_MAX_COST = 0.5
"""Faint detections are often background: they continue a face only where it just was, looking as it did."""

_FAINT_MAX_GAP_S = 0.25

_CROWDED_IOU = 0.1
"""Boxes that overlap by more show parts of each other's faces: no look is learnt from them."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How to track.

    Attributes:
        max_faces: follow at most so many, the largest; None follows all. A followed face keeps its place while it is
            seen, unless one `TAKE_OVER_AREA` times larger is there for `TAKE_OVER_S`. Within a second from the
            first frame, up to so many again are followed that might have had a place before it: who has is for
            `faces.linking` to say.
        confident_score: detections from this score up start tracks and choose first.
    """

    max_faces: int | None = None
    confident_score: float = 0.6

    def __post_init__(self) -> None:
        if self.max_faces is not None and self.max_faces < 1:
            raise InputError(f"max_faces is {self.max_faces}; give 1 or more, or None to follow every face")


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Which detection of a frame continues which track. Nothing is changed before `Tracker.commit`.

    Attributes:
        sight: what the frame shows, n faces.
        detections: the same n faces.
        detection_of: detection number by the track's position in the tracker's list.
        missing_count: how many followed faces are awaited but not in this frame.
    """

    sight: Sight
    detections: Detections
    detection_of: dict[int, int]
    missing_count: int


class _InSight(NamedTuple):
    """A track in the last frame: its detector's score when it was detected, and where it was."""

    track: Track
    score: float
    box_xyxy: FloatArray
    keypoints: FloatArray


class Tracker:
    """Gives the faces of successive frames their track numbers, from 1 in order of appearance, the largest first.

    It knows of no frame before its first: where a video is followed stretch by stretch, `faces.linking` makes its
    numbers those of the video.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._tracks: list[Track] = []
        self._last_time_s: float | None = None
        self._first_time_s: float | None = None
        self._next_id = 1
        self._places = Places(self._settings.max_faces)
        self._in_sight: list[_InSight] = []

    def predict(self, time_s: float) -> FloatArray:
        """Return where faces are expected, shape (m, 4), float32, pixels: all those that could still come back."""
        boxes = [track.motion.box_at(time_s) for track in self._tracks if self._is_alive(track, time_s)]
        return np.array(boxes, np.float32).reshape(-1, 4)

    def update(self, time_s: float, rgb: UInt8Array, detections: Detections, *, is_cut: bool = False) -> list[Face]:
        """Return the faces of this frame with their track numbers, in order of these.

        Faint detections that continue no track are left out, and so are faces beyond `max_faces`.

        Args:
            time_s: seconds, never less than in the frame before.
            rgb: shape (height, width, 3), uint8, RGB.
            detections: the faces found in it.
            is_cut: the frame begins a new scene: only its look can say that a face is one of before.

        Raises:
            InputError: time went backwards.
        """
        return self.commit(self.match(time_s, rgb, detections, is_cut=is_cut))

    def match(self, time_s: float, rgb: UInt8Array, detections: Detections, *, is_cut: bool = False) -> Matches:
        """Return which detection continues which track, changing nothing. Arguments and errors are `update`'s."""
        if self._last_time_s is not None and time_s < self._last_time_s:
            raise InputError(f"frame at {time_s} s follows one at {self._last_time_s} s; give frames in order of time")
        looks = np.array([look_of(rgb, box) for box in detections.boxes_xyxy]).reshape(-1, LOOK_LENGTH)
        sight = Sight(time_s, (rgb.shape[1], rgb.shape[0]), detections.boxes_xyxy, looks, is_cut)
        alive = [n for n, track in enumerate(self._tracks) if self._is_alive(track, time_s)]
        row_of = self._assign_by_score([self._tracks[n] for n in alive], sight, detections.scores)
        detection_of = {alive[row]: detection for row, detection in row_of.items()}
        missing_count = sum(
            track.is_followed and is_awaited(track, time_s)
            for n, track in enumerate(self._tracks)
            if n not in detection_of
        )
        return Matches(sight, detections, detection_of, missing_count)

    def commit(self, matches: Matches) -> list[Face]:
        """Return the faces of the frame that was matched last, as `update` does, and remember them."""
        sight = matches.sight
        seen = {self._tracks[n]: detection for n, detection in matches.detection_of.items()}
        # Each box overlaps itself.
        is_alone = (overlaps(sight.boxes_xyxy, sight.boxes_xyxy) > _CROWDED_IOU).sum(axis=1) <= 1
        for track, row in seen.items():
            if is_alone[row]:
                track.learn_look(sight.time_s, sight.looks[row])
            track.motion.observe(sight.time_s, sight.boxes_xyxy[row])
            track.detection_count += 1
        for track in self._tracks:
            track.is_cut_off = track not in seen and (track.is_cut_off or sight.is_cut)
        alive = [track for track in self._tracks if track in seen or self._is_alive(track, sight.time_s)]
        started = self._start_tracks(matches)
        self._tracks = alive + list(started)
        self._last_time_s = sight.time_s
        seen |= started
        self._seat(list(seen), sight.time_s, is_cut=sight.is_cut)
        found = matches.detections
        self._in_sight = [
            # The detection's own box, not the filter's: on the demo clip raw boxes scatter by 0.006 of the face in
            # place and 0.01 in size, a crop's pixel or two. The filter thirds the scatter of the size, but in a turn
            # at 19 face sizes a second it lags by a third of the face.
            _InSight(track, float(found.scores[row]), found.boxes_xyxy[row], found.keypoints[row])
            for track, row in seen.items()
        ]
        return self._faces(is_detected=True)

    @property
    def in_sight(self) -> tuple[FloatArray, FloatArray]:
        """Boxes (n, 4) and key points (n, 4, 2) of all tracks in the last frame, followed or not, float32, pixels."""
        boxes = np.array([one.box_xyxy for one in self._in_sight], np.float32).reshape(-1, 4)
        keypoints = np.array([one.keypoints for one in self._in_sight], np.float32)
        return boxes, keypoints.reshape(-1, len(KEYPOINTS), 2)

    @property
    def is_certain(self) -> bool:
        """Whether every track in the last frame was detected in `CERTAIN_FROM` frames or more."""
        return all(one.track.detection_count >= CERTAIN_FROM for one in self._in_sight)

    def is_missing(self, time_s: float) -> bool:
        """Return whether a followed face was not in the last frame and is still awaited."""
        return any(
            track.is_followed and not self._was_just_seen(track) and is_awaited(track, time_s) for track in self._tracks
        )

    def carry(self, time_s: float, boxes_xyxy: FloatArray, keypoints: FloatArray) -> list[Face]:
        """Return the faces of a frame in which those in sight were followed by their pixels, not detected.

        Args:
            time_s: seconds, never less than in the frame before.
            boxes_xyxy: shape (n, 4), float32, pixels: those of `in_sight`, as they are in this frame.
            keypoints: shape (n, 4, 2), float32, pixels: likewise.
        """
        moved = zip(self._in_sight, boxes_xyxy, keypoints, strict=True)
        self._in_sight = [one._replace(box_xyxy=box_xyxy, keypoints=points) for one, box_xyxy, points in moved]
        for one in self._in_sight:
            one.track.motion.observe(time_s, one.box_xyxy)
        seen = [one.track for one in self._in_sight]
        self._tracks = [track for track in self._tracks if track in seen or self._is_alive(track, time_s)]
        self._last_time_s = time_s
        self._seat(seen, time_s)
        return self._faces(is_detected=False)

    def _faces(self, *, is_detected: bool) -> list[Face]:
        """Return the followed faces in sight, in order of their track numbers."""
        faces = [
            Face(one.box_xyxy, one.score, one.keypoints, one.track.track_id, is_detected, one.track.look)
            for one in self._in_sight
            if one.track.is_followed
        ]
        return sorted(faces, key=lambda face: face.track_id or 0)

    def _assign_by_score(self, tracks: list[Track], sight: Sight, scores: FloatArray) -> dict[int, int]:
        costs = match_costs(tracks, sight)
        is_confident = scores >= self._settings.confident_score
        pairs = assign(costs, range(len(tracks)), np.flatnonzero(is_confident).tolist(), NO_MATCH)
        just_lost = [
            row
            for row, track in enumerate(tracks)
            if row not in pairs and sight.time_s - track.last_seen_s <= _FAINT_MAX_GAP_S
        ]
        return pairs | assign(costs, just_lost, np.flatnonzero(~is_confident).tolist(), _FAINT_MAX_COST)

    def _start_tracks(self, matches: Matches) -> dict[Track, int]:
        """Return a new track for each confident detection that continues none."""
        sight, taken = matches.sight, set(matches.detection_of.values())
        return {
            Track(BoxMotion.start(sight.time_s, sight.boxes_xyxy[row]), sight.looks[row], sight.time_s): row
            for row, score in enumerate(matches.detections.scores)
            if row not in taken and score >= self._settings.confident_score
        }

    def _seat(self, seen: list[Track], time_s: float, *, is_cut: bool = False) -> None:
        """Say who of the tracks in sight is followed, and number those that are for the first time."""
        seen = sorted(seen, key=lambda track: -track.area)
        self._places.free(self._tracks, time_s, waits=not is_cut)
        self._places.fill(self._tracks, seen)
        if self._first_time_s is None:
            self._first_time_s = time_s
        if time_s - self._first_time_s <= MAX_GAP_S + ROUNDING_S:
            self._places.add(self._tracks, seen)
        for track in seen:
            if track.is_followed and track.track_id is None:
                track.track_id = self._next_id
                self._next_id += 1

    def _was_just_seen(self, track: Track) -> bool:
        return track.last_seen_s == self._last_time_s

    def _is_alive(self, track: Track, time_s: float) -> bool:
        """Return whether the face could still be found: it came within the gap, or was missing from no frame yet."""
        return is_alive(track, time_s, self._last_time_s)
