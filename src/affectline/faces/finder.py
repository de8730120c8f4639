"""Finds the faces of each frame: decides when to search everywhere and when to follow, and tracks."""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError
from affectline.faces.detector import Detector
from affectline.faces.flow import FaceFlow
from affectline.faces.tracking import Matches, Tracker, TrackerSettings, TrackerState
from affectline.records import Face, Frame, UInt8Array

RESCUE_INTERVAL_S = 0.25
"""A face that a whole search did not find either is searched for again after this time."""

SPARSE_S = 0.18
"""Frames further apart (sampling below about 5 a second) are each searched as a whole: following covers the rest of
the frame over seven calls, which would take a second and more, and faces are no longer where they were."""

BLOCK_FRAMES = 48
"""Frames, two seconds of ordinary video, of which the first is always searched: whoever goes on behind a block from
`FaceFinder.state` has not seen its pixels."""

DETECT_S = 0.15
"""With `detect_every` left open, the longest time between two searches."""

CUT_CHANGE = 0.08
"""`_change` from which two successive frames are two scenes. Cuts have 0.1 to 0.8, in dark films too; whip pans and
shaken cameras up to 0.07, lights switched on or off up to 0.015."""

_THUMBNAIL_WH = (16, 9)
_THUMBNAIL_SAMPLES_WH = (64, 36)


class FinderState(TypedDict):
    """A `FaceFinder` as JSON, without its detector."""

    tracker: TrackerState
    phase: int
    thumbnail: list[list[float]] | None
    last_time_s: float | None
    next_rescue_s: float


class FaceFinder:
    """Finds and tracks the faces of a video's frames, or finds those of independent images."""

    def __init__(self, detector: Detector, max_faces: int | None = None, detect_every: int | None = 1) -> None:
        """Prepare for a new video.

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
        self._taken = 0
        self._tracker = Tracker(TrackerSettings(max_faces=max_faces))
        self._phase = 0
        self._thumbnail: NDArray[np.float32] | None = None
        self._last_time_s: float | None = None
        self._next_rescue_s = 0.0

    @classmethod
    def from_state(cls, state: FinderState, detector: Detector, detect_every: int | None = 1) -> FaceFinder:
        """Return a finder that goes on exactly like the one that `state()` was asked of, given the same detector.

        With searches that are not in every frame, that is so between blocks of `BLOCK_FRAMES` frames.
        """
        finder = cls(detector, state["tracker"]["settings"]["max_faces"], detect_every)
        finder._tracker = Tracker.from_state(state["tracker"])
        finder._phase = state["phase"]
        finder._thumbnail = None if state["thumbnail"] is None else np.array(state["thumbnail"], np.float32)
        finder._last_time_s = state["last_time_s"]
        finder._next_rescue_s = state["next_rescue_s"]
        return finder

    def state(self) -> FinderState:
        """Return everything that the next frame depends on, as JSON."""
        return {
            "tracker": self._tracker.state(),
            "phase": self._phase,
            "thumbnail": None if self._thumbnail is None else self._thumbnail.tolist(),
            "last_time_s": self._last_time_s,
            "next_rescue_s": self._next_rescue_s,
        }

    def find_independent(self, frame: Frame) -> list[Face]:
        """Return the faces of an image that belongs to no video, the largest first, without track numbers."""
        found = self._detector.scan(frame.rgb)
        areas = np.prod(found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2], axis=1)
        order = np.argsort(-areas, kind="stable")[: self._max_faces]
        return [Face(found.boxes_xyxy[n], float(found.scores[n]), found.keypoints[n]) for n in order]

    def pass_by(self) -> None:
        """Let the next frame of a video pass unseen (`--stride`): only the blocks count it."""
        if self._taken % BLOCK_FRAMES == 0:
            self._flow = None
        self._taken += 1

    def find(self, frame: Frame) -> list[Face]:
        """Return the tracked faces of the next frame of a video, in order of their track numbers.

        A corrupt frame shows none, and changes nothing: what the decoder invented would only mislead.

        Raises:
            InputError: the frame has no time, or an earlier one than the frame before.
        """
        begins_block = self._taken % BLOCK_FRAMES == 0
        self._taken += 1
        if begins_block:
            self._flow = None
        if frame.is_corrupt:
            return []
        if frame.time_s is None:
            raise InputError(f"frame {frame.index} has no time; use find_independent for an image")
        is_sparse = self._last_time_s is None or frame.time_s - self._last_time_s > SPARSE_S
        is_cut = self._is_cut(frame.rgb)
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
        """Compare this frame with the one before, on thumbnails of the green channel."""
        samples = cv2.resize(rgb, _THUMBNAIL_SAMPLES_WH, interpolation=cv2.INTER_NEAREST)[..., 1]
        thumbnail = cv2.resize(samples.astype(np.float32), _THUMBNAIL_WH, interpolation=cv2.INTER_AREA)
        before, self._thumbnail = self._thumbnail, thumbnail.astype(np.float32)
        return before is not None and _change(before, self._thumbnail) > CUT_CHANGE


def _change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return how much of a picture is another one, from 0: difference over brightness, times decorrelation.

    The first alone would take a flash of light for a new scene, the second alone any move before a plain wall.
    """
    # A few grey levels more, or the noise of a black picture would change it by half.
    brightness = 4 + max(float(before.mean()), float(after.mean()))
    difference = float(np.abs(after - before).mean()) / brightness
    contrasts = float(before.std()) * float(after.std())
    # One grey level of contrast is noise: to and from black or white, nothing correlates.
    correlation = float(((before - before.mean()) * (after - after.mean())).mean()) / max(contrasts, 1.0)
    return difference * (1 - correlation)
