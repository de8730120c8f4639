"""Follows the faces of a whole video, one frame after the other."""

from __future__ import annotations

from dataclasses import replace

from affectline.faces.detector import Detector
from affectline.faces.finder import FaceFinder
from affectline.faces.linking import Linker, sighting_of
from affectline.faces.stretches import Stretches
from affectline.records import Face, Frame


class FaceFollower:
    """Finds and tracks the faces of a video's frames, stretch by stretch; see `faces.stretches`.

    Args:
        detector: searches single frames.
        max_faces: keep at most so many, the largest; None keeps all.
        detect_every: as in `FaceFinder`.

    Raises:
        InputError: `max_faces` or `detect_every` is below 1.
    """

    def __init__(self, detector: Detector, max_faces: int | None = None, detect_every: int | None = 1) -> None:
        self._detector = detector
        self._max_faces = max_faces
        self._detect_every = detect_every
        self._stretches = Stretches()
        self._linker = Linker(max_faces)
        self._finder = self._fresh_finder()
        self._is_first = True

    def _fresh_finder(self) -> FaceFinder:
        return FaceFinder(self._detector, self._max_faces, self._detect_every)

    def find(self, frame: Frame) -> list[Face]:
        """Return the tracked faces of the next frame, in order of their track numbers; errors as `FaceFinder.find`."""
        if self._stretches.begins_with(frame.time_s):
            self._finder, self._is_first = self._fresh_finder(), True
        faces = self._finder.find(frame)
        if frame.is_corrupt:
            return []
        sighting = sighting_of(frame, faces, self._finder, begins_stretch=self._is_first)
        self._is_first = False
        numbers = self._linker.link(sighting)
        linked = [replace(face, track_id=number) for face, number in zip(faces, numbers, strict=True)]
        return sorted((face for face in linked if face.track_id is not None), key=lambda face: face.track_id or 0)
