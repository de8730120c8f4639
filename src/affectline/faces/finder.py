"""Finds the faces of each frame: decides when to search everywhere and when to follow, and tracks."""

from __future__ import annotations

import numpy as np

from affectline.errors import InputError
from affectline.faces.detector import Detector
from affectline.faces.flow import FaceFlow
from affectline.faces.scenes import Thumbnail, is_new_scene, thumbnail_of
from affectline.faces.tracking import Matches, Tracker, TrackerSettings
from affectline.records import Face, Frame, UInt8Array

RESCUE_INTERVAL_S = 0.25
"""A face that a whole search did not find either is searched for again after this time."""

SPARSE_S = 0.18
"""Frames further apart (sampling below about 5 a second) are each searched as a whole: following covers the rest of
the frame over seven calls, which would take a second and more, and faces are no longer where they were."""

DETECT_S = 0.15
"""With `detect_every` left open, the longest time between two searches."""


class FaceFinder:
    """Finds and tracks the faces of a stretch of a video, or finds those of independent images.

    A stretch depends on nothing before it; `faces.linking` says which of its tracks are those of the stretch before.

    Attributes:
        thumbnail: of the last frame that was not corrupt; None before the first.
        begins_scene: the last frame begins a new scene; what begins the stretch does not count as one.
    """

    def __init__(self, detector: Detector, max_faces: int | None = None, detect_every: int | None = 1) -> None:
        """Prepare for a new stretch.

        Args:
            detector: searches single frames.
            max_faces: keep at most so many, the largest; None keeps all. See `TrackerSettings`.
            detect_every: of so many frames at least one is searched; in those between, faces are followed by their
                pixels (`faces.flow`), as long as that is sure, none is new and none is missing. None: one frame in
                `DETECT_S`.

        Raises:
            InputError: `max_faces` or `detect_every` is below 1.
        """
        if detect_every is not None and detect_every < 1:
            raise InputError(
                f"detect_every is {detect_every}; give 1 for every frame or more, or None to leave it open"
            )
        self._detector = detector
        self._max_faces = max_faces
        self._detect_every = detect_every
        self._flow: FaceFlow | None = None
        self._detected_s = 0.0
        self._carried = 0
        self._tracker = Tracker(TrackerSettings(max_faces=max_faces))
        self._phase = 0
        self.thumbnail: Thumbnail | None = None
        self.begins_scene = False
        self._last_time_s: float | None = None
        self._next_rescue_s = 0.0

    def find_independent(self, frame: Frame) -> list[Face]:
        """Return the faces of an image that belongs to no video, the largest first, without track numbers."""
        found = self._detector.scan(frame.rgb)
        areas = np.prod(found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2], axis=1)
        order = np.argsort(-areas, kind="stable")[: self._max_faces]
        return [Face(found.boxes_xyxy[n], float(found.scores[n]), found.keypoints[n]) for n in order]

    def find(self, frame: Frame) -> list[Face]:
        """Return the tracked faces of the next frame of the stretch, in order of their track numbers.

        A corrupt frame shows none, and changes nothing: what the decoder invented would only mislead.

        Raises:
            InputError: the frame has no time, or an earlier one than the frame before.
        """
        if frame.is_corrupt:
            self.begins_scene = False
            return []
        if frame.time_s is None:
            raise InputError(f"frame {frame.index} has no time; use find_independent for an image")
        is_sparse = self._last_time_s is None or frame.time_s - self._last_time_s > SPARSE_S
        is_cut = self.begins_scene = self._is_cut(frame.rgb)
        if not (is_cut or is_sparse):
            carried = self._carry(frame.rgb, frame.time_s)
            if carried is not None:
                self._last_time_s = frame.time_s
                return carried
        if is_cut or is_sparse:
            matches = self._scan(frame.rgb, frame.time_s, is_cut=is_cut)
        else:
            matches = self._follow_or_rescue(frame.rgb, frame.time_s)
        self._last_time_s = frame.time_s
        faces = self._tracker.commit(matches)
        can_be_followed = self._detect_every != 1 and self._tracker.is_certain
        self._flow = FaceFlow(frame.rgb, *self._tracker.in_sight) if can_be_followed else None
        self._detected_s, self._carried = frame.time_s, 0
        return faces

    def _carry(self, rgb: UInt8Array, time_s: float) -> list[Face] | None:
        """Return the faces of the last frame where flow brings them; None where a search is due."""
        if self._flow is None or self._tracker.is_missing(time_s):
            return None
        is_due = (
            time_s - self._detected_s > DETECT_S
            if self._detect_every is None
            else self._carried + 1 >= self._detect_every
        )
        moved = None if is_due else self._flow.move(rgb)
        if moved is None:
            self._flow = None
            return None
        self._carried += 1
        return self._tracker.carry(time_s, *moved)

    def _scan(self, rgb: UInt8Array, time_s: float, *, is_cut: bool = False) -> Matches:
        return self._tracker.match(time_s, rgb, self._detector.scan(rgb), is_cut=is_cut)

    def _follow_or_rescue(self, rgb: UInt8Array, time_s: float) -> Matches:
        """Look where faces should be; search everywhere if one is lost, unless that was tried in vain just now."""
        detections = self._detector.follow(rgb, self._tracker.predict(time_s), self._phase)
        self._phase += 1
        followed = self._tracker.match(time_s, rgb, detections)
        if not followed.missing_count or time_s < self._next_rescue_s:
            return followed
        best = min(self._scan(rgb, time_s), followed, key=lambda matches: matches.missing_count)
        if best.missing_count:
            self._next_rescue_s = time_s + RESCUE_INTERVAL_S
        return best

    def _is_cut(self, rgb: UInt8Array) -> bool:
        """Compare this frame with the one before."""
        before, self.thumbnail = self.thumbnail, thumbnail_of(rgb)
        return before is not None and is_new_scene(before, self.thumbnail)
