"""Gives the faces of a video's stretches their track numbers, in one pass over what was detected.

Each stretch was followed by a `FaceFinder` that knows nothing of those before, with numbers of its own. A track that
begins in a stretch goes on one of the stretches before where place and look fit, by the costs with which detections
continue tracks (`faces.association`). With `max_faces` the places are given here, too: only here it is known who had
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from affectline.faces.association import NO_MATCH, Sight, Track, assign, match_costs
from affectline.faces.finder import FaceFinder
from affectline.faces.motion import BoxMotion, Float64Array
from affectline.faces.places import Places, is_alive
from affectline.faces.scenes import Thumbnail, is_new_scene
from affectline.records import Face, FloatArray, Frame

_MOTION_S: Final = 1.0
"""How much of a track's past says how it moves: beyond that the filter has forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What a frame shows, with the track numbers of its stretch.

    Attributes:
        time_s: of the frame.
        frame_wh: width and height in pixels.
        tracks: n numbers, each once.
        boxes_xyxy: shape (n, 4), pixels.
        looks: n looks of the tracks, of those that begin here; None leaves the look as it was.
        thumbnail: of the frame; may be missing within a stretch.
        begins_stretch: it is the first frame of its stretch that is not corrupt.
        begins_scene: there is a cut before it, within the stretch.
    """

    time_s: float
    frame_wh: tuple[int, int]
    tracks: Sequence[int]
    boxes_xyxy: FloatArray
    looks: Sequence[Float64Array | None]
    thumbnail: Thumbnail | None
    begins_stretch: bool
    begins_scene: bool


def sighting_of(frame: Frame, faces: Sequence[Face], finder: FaceFinder, *, begins_stretch: bool) -> Sighting:
    """Return what a finder has just found in a frame that is not corrupt."""
    return Sighting(
        frame.time_s or 0.0,
        (frame.rgb.shape[1], frame.rgb.shape[0]),
        [face.track_id or 0 for face in faces],
        np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4),
        [face.look for face in faces],
        finder.thumbnail,
        begins_stretch,
        finder.begins_scene,
    )


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track of the video as it can be kept: `_Linked` in plain values."""

    look: tuple[float, ...]
    first_seen_s: float
    times_s: tuple[float, ...]
    boxes_xyxy: tuple[tuple[float, ...], ...]
    number: int | None
    is_followed: bool
    larger_since_s: float | None
    is_cut_off: bool


@dataclass(frozen=True, slots=True)
class LinkerState:
    """What a `Linker` knows between two stretches, in plain values (`json_records`)."""

    tracks: tuple[TrackRecord, ...] = ()
    last_time_s: float | None = None
    thumbnail: tuple[tuple[float, ...], ...] | None = None
    next_number: int = 1


@dataclass(slots=True, eq=False)
class _Linked:
    """A track of the video. `sights` are times and boxes of its last second."""

    look: tuple[float, ...]
    first_seen_s: float
    sights: list[tuple[float, tuple[float, ...]]]
    number: int | None = None
    is_followed: bool = False
    larger_since_s: float | None = None
    is_cut_off: bool = False

    @property
    def last_seen_s(self) -> float:
        return self.sights[-1][0]

    @property
    def area(self) -> float:
        x1, y1, x2, y2 = self.sights[-1][1]
        return max(x2 - x1, 1.0) * max(y2 - y1, 1.0)

    def observe(self, time_s: float, box_xyxy: FloatArray, look: Float64Array | None) -> None:
        self.sights.append((time_s, tuple(box_xyxy.tolist())))
        while time_s - self.sights[0][0] > _MOTION_S:
            self.sights.pop(0)
        if look is not None:
            self.look = tuple(look.tolist())
        self.is_cut_off = False

    def as_track(self) -> Track:
        times_s, boxes = zip(*self.sights, strict=True)
        motion = BoxMotion.start(times_s[0], np.array(boxes[0], np.float32))
        for time_s, box in zip(times_s[1:], boxes[1:], strict=True):
            motion.observe(time_s, np.array(box, np.float32))
        return Track(motion, np.array(self.look), self.first_seen_s, is_cut_off=self.is_cut_off)

    def record(self) -> TrackRecord:
        times_s, boxes = zip(*self.sights, strict=True)
        rest = (self.number, self.is_followed, self.larger_since_s, self.is_cut_off)
        return TrackRecord(self.look, self.first_seen_s, times_s, boxes, *rest)

    @classmethod
    def from_record(cls, record: TrackRecord) -> _Linked:
        sights = list(zip(record.times_s, record.boxes_xyxy, strict=True))
        rest = (record.number, record.is_followed, record.larger_since_s, record.is_cut_off)
        return cls(record.look, record.first_seen_s, sights, *rest)


@dataclass(slots=True)
class Linker:
    """Gives the faces of successive frames their track numbers in the video, from 1 in order of appearance.

    Attributes:
        max_faces: of how many faces at once rows are kept, the largest; None keeps all. A face keeps its place while
            it is there, unless one clearly larger comes (`faces.places`); where a stretch begins, that one need not
            wait. With 1 there is one track, "the largest face", whose number is 1 through gaps of any length and
            whoever it is.
    """

    max_faces: int | None = None
    _tracks: list[_Linked] = field(default_factory=list)
    _of_stretch: dict[int, _Linked] = field(default_factory=dict)
    _last_time_s: float | None = None
    _thumbnail: Thumbnail | None = None
    _next_number: int = 1

    def link(self, sighting: Sighting) -> list[int | None]:
        """Return the track numbers of the next frame's faces; None for those without a place."""
        time_s = sighting.time_s
        is_cut = sighting.begins_scene
        if sighting.begins_stretch:
            self._of_stretch = {}
            if self._thumbnail is not None and sighting.thumbnail is not None:
                is_cut = is_new_scene(self._thumbnail, sighting.thumbnail)
        if sighting.thumbnail is not None:
            self._thumbnail = sighting.thumbnail
        self._link_new(sighting, is_cut=is_cut)
        seen = [self._of_stretch[number] for number in sighting.tracks]
        for track in self._tracks:
            track.is_cut_off |= is_cut
        for track, box_xyxy, look in zip(seen, sighting.boxes_xyxy, sighting.looks, strict=True):
            track.observe(time_s, box_xyxy, look)
        there = {id(track) for track in seen}
        self._tracks = [t for t in self._tracks if id(t) not in there and is_alive(t, time_s, self._last_time_s)] + seen
        self._last_time_s = time_s
        self._seat(seen, time_s, waits=not (is_cut or sighting.begins_stretch))
        return [track.number if track.is_followed else None for track in seen]

    def _link_new(self, sighting: Sighting, *, is_cut: bool) -> None:
        """Find out which tracks of the video those go on that begin with this frame in the stretch."""
        new = [row for row, number in enumerate(sighting.tracks) if number not in self._of_stretch]
        if not new:
            return
        taken = {id(track) for track in self._of_stretch.values()}
        free = [t for t in self._tracks if id(t) not in taken and is_alive(t, sighting.time_s, self._last_time_s)]
        blank = np.zeros_like(next(look for look in sighting.looks if look is not None))
        looks = np.array([blank if look is None else look for look in sighting.looks])
        sight = Sight(sighting.time_s, sighting.frame_wh, sighting.boxes_xyxy, looks, is_cut)
        costs = match_costs([track.as_track() for track in free], sight)
        pairs = assign(costs, range(len(free)), new, NO_MATCH)
        going_on = {row: free[n] for n, row in pairs.items()}
        for row in new:
            begun = _Linked((), sighting.time_s, [])
            self._of_stretch[sighting.tracks[row]] = going_on.get(row, begun)

    def _seat(self, seen: list[_Linked], time_s: float, *, waits: bool) -> None:
        """Say who in sight has a place, and number those that have one for the first time."""
        places = Places(self.max_faces)
        largest_first = sorted(seen, key=lambda track: -track.area)
        places.free(self._tracks, time_s, waits=waits)
        places.give_way(self._tracks, largest_first)
        places.fill(self._tracks, largest_first)
        for track in largest_first:
            if track.is_followed and track.number is None:
                track.number = self._next_number
                # With one face to follow, all tracks are the one track "the largest face".
                self._next_number += self.max_faces != 1

    def state(self) -> LinkerState:
        """Return, behind the last frame of a stretch, everything that the next one depends on."""
        thumbnail = None if self._thumbnail is None else tuple(map(tuple, self._thumbnail.tolist()))
        tracks = tuple(track.record() for track in self._tracks)
        return LinkerState(tracks, self._last_time_s, thumbnail, self._next_number)

    @classmethod
    def from_state(cls, state: LinkerState, max_faces: int | None) -> Linker:
        """Return a linker that goes on exactly like the one that `state()` was asked of."""
        return cls(
            max_faces,
            [_Linked.from_record(record) for record in state.tracks],
            {},
            state.last_time_s,
            None if state.thumbnail is None else np.array(state.thumbnail, np.float32),
            state.next_number,
        )
