"""The default detector: MediaPipe's short-range BlazeFace, shown a frame at several scales, then asked again.

The network sees faces of 0.16 to 0.9 of its 128 pixels. So it gets the frame at several scales, the finest in parts
(it is fully convolutional and takes pictures of any size). What it proposes there is believed only when a second
look finds it again: a close-up with the face in the middle at the size that the network measures best. That allows
weak proposals, which small faces are, and still removes nearly all false alarms; and every face, large or small, gets
a box of the same precision. docs/detectors.md has the measurements behind the numbers below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.faces.blazeface_network import CELL, NATIVE_SIDE, BlazeFaceNetwork, RawFaces
from affectline.faces.crops import check_rgb
from affectline.faces.reference import BoxFit, containments, keep_distinct, overlaps
from affectline.faces.views import PARTS, FrameViews, View
from affectline.records import KEYPOINTS, Detections, FloatArray, UInt8Array

FIT = BoxFit(shift_x=-0.002, shift_y=-0.038, scale_x=0.925, scale_y=1.075)
"""Fitted by `benchmarks/fit_reference_box.py`: mean IoU 0.90."""

# Longer side of the finest scale. In a frame of 1280x720, 960 finds nine tenths of the faces 20 px high, 640 a quarter,
# but nearly all from 40 px on, at less than half the cost.
_SCAN_SIDE = 960
_FOLLOW_SIDE = 640

# While faces are followed, a new one is looked for from 27 pixels of the frame up (20 of the network's): in a frame of
# 640x360 that halves the cost of a part, and what is smaller has a quality under a half.
_FOLLOW_SCALE = 0.75

# The scale between the finest and the whole frame at 128 px: without it, faces that are too large for the one and too
# small for the other would be lost.
_MIDDLE_SIDE = 256

_CYCLE: Final = PARTS + 1  # one call each for the parts, one for the middle scale

# Scores. Small faces propose themselves with 0.2. In the second look, nine tenths of upright faces score above 0.88, of
# heads that lean by 45 degrees above 0.79; what is no face has scored up to 0.76 (a headlamp, a portrait on a coin,
# a blurred letter). What is expected may score less: turned away for a moment, or at the border. At 0.5 that letter
# was held for eleven frames.
_PROPOSE = 0.2
_PROPOSE_NEW = 0.3  # while following, where 0.2 costs a vain second look in three of four calls
_ACCEPT = 0.75
_KEEP = 0.6

# The close-up is this many times as wide as the face. At 0.45 of the picture boxes jitter by 0.8 % of the face's height
# (at 0.2 by 1.7 %), scores are higher than at 0.4 (over the demo clip at least 0.81 against 0.73), and a face that
# moved by half its size since the last frame is still whole.
_CLOSE_UP = 2.2
_SMALLEST = 8.0  # pixels of the frame; no face that small is ever found, but a track's box may shrink to nothing

# A face further off the middle of a close-up than this, in parts of it, may be cut: its own close-up finds it.
_OFF_CENTRE = 0.35

_MAX_SCANNED = 64  # proposals looked at again; a crowd has fewer that are large enough to analyse
_MAX_NEW = 3  # likewise while following, best first, so that textures cannot make a call slow

_MAX_OVERLAP = 0.3
_MAX_CONTAINMENT = 0.6  # a nostril or an eye taken for a face lies inside it


class BlazeFace:
    """MediaPipe's short-range BlazeFace. Not for use by two threads at once."""

    name = "blazeface"

    def __init__(self, task_file: Path, fit: BoxFit = FIT) -> None:
        """Load the network.

        Args:
            task_file: MediaPipe's `face_landmarker.task`.
            fit: from the detector's box to the reference box.

        Raises:
            InputFileError: the file cannot be read.
            ModelFileError: it is no task file, or damaged.
        """
        self._network = BlazeFaceNetwork(task_file)
        self._fit = fit

    def scan(self, rgb: UInt8Array) -> Detections:
        """Search the whole frame, small faces too; see `Detector.scan`."""
        check_rgb(rgb)
        views = FrameViews(rgb, _SCAN_SIDE, CELL)
        searched = [views.square_whole(NATIVE_SIDE)]
        if views.long_side > NATIVE_SIDE:
            searched.append(views.whole(min(_MIDDLE_SIDE, views.long_side)))
        if views.long_side > _MIDDLE_SIDE:
            searched.extend(views.part(number) for number in range(PARTS))
        proposals = self._propose(searched, _PROPOSE).take(slice(_MAX_SCANNED))
        return self._detections(self._look_again(views, proposals.boxes_xyxy, _ACCEPT))

    def follow(self, rgb: UInt8Array, expected_boxes_xyxy: FloatArray, phase: int) -> Detections:
        """Search where faces are expected, the frame for large faces, and for smaller ones what this phase is due.

        See `Detector.follow`: six of seven phases search a sixth of the frame, the other one the middle scale. A call
        costs one close-up for each expected face and new one, and four times as much for the search.
        """
        check_rgb(rgb)
        if expected_boxes_xyxy.ndim != 2 or expected_boxes_xyxy.shape[1] != 4:  # noqa: PLR2004 - rows of four edges
            raise ShapeError(f"expected boxes must be of shape (m, 4), got {expected_boxes_xyxy.shape}")
        if not np.isfinite(expected_boxes_xyxy).all():
            raise ShapeError(f"expected boxes must be finite, got {expected_boxes_xyxy.tolist()}")
        views = FrameViews(rgb, min(_FOLLOW_SIDE, round(_FOLLOW_SCALE * max(rgb.shape[:2]))), CELL)
        known = self._look_again(views, expected_boxes_xyxy, _KEEP)
        proposals = self._propose(_share(views, phase), _PROPOSE_NEW)
        new = proposals.take(_apart(proposals.boxes_xyxy, known.boxes_xyxy)[:_MAX_NEW])
        return self._detections(RawFaces.join([known, self._look_again(views, new.boxes_xyxy, _ACCEPT)]))

    def _propose(self, views: list[View], min_score: float) -> RawFaces:
        """Return what may be faces in these views, in pixels of the frame, best first."""
        found = [(view, self._network.find(view.rgb, min_score)) for view in views]
        return _distinct(RawFaces.join([_to_frame(view, faces) for view, faces in found]))

    def _look_again(self, views: FrameViews, boxes_xyxy: FloatArray, min_score: float) -> RawFaces:
        """Return the faces that close-ups of these boxes show, in pixels of the frame, best first."""
        found = []
        for x1, y1, x2, y2 in boxes_xyxy:
            side = max(_SMALLEST, x2 - x1, y2 - y1) * _CLOSE_UP
            view = views.close_up(np.array(((x1 + x2) / 2, (y1 + y2) / 2), np.float32), side, NATIVE_SIDE)
            faces = self._network.find(view.rgb, min_score)
            off_centre = np.abs(faces.points[:, :2].mean(axis=1) / NATIVE_SIDE - 0.5).max(axis=1)
            found.append(_to_frame(view, faces.take(off_centre < _OFF_CENTRE)))
        return _distinct(RawFaces.join(found))

    def _detections(self, faces: RawFaces) -> Detections:
        """Return the faces as detections, with reference boxes."""
        faces = _distinct(faces)
        keypoints = np.ascontiguousarray(faces.points[:, 2 : 2 + len(KEYPOINTS)])
        return Detections(self._fit.apply(faces.boxes_xyxy), faces.scores, keypoints)


def _share(views: FrameViews, phase: int) -> list[View]:
    """Return what this phase searches: the whole frame coarsely, and one part of it or the middle scale."""
    searched = [views.whole(NATIVE_SIDE)]
    turn = phase % _CYCLE
    if turn == PARTS and views.long_side > NATIVE_SIDE:
        searched.append(views.whole(min(_MIDDLE_SIDE, views.long_side)))
    elif turn < PARTS and views.long_side > _MIDDLE_SIDE:
        searched.append(views.part(turn))
    return searched


def _to_frame(view: View, faces: RawFaces) -> RawFaces:
    return RawFaces(view.to_frame(faces.points), faces.scores)


def _distinct(faces: RawFaces) -> RawFaces:
    """Return the faces without duplicates and parts of others, best first."""
    return faces.take(keep_distinct(faces.boxes_xyxy, faces.scores, _MAX_OVERLAP, _MAX_CONTAINMENT))


def _apart(boxes_xyxy: FloatArray, known_xyxy: FloatArray) -> NDArray[np.intp]:
    """Return the row numbers of the boxes that are none of the known ones."""
    same = (overlaps(boxes_xyxy, known_xyxy) > _MAX_OVERLAP) | (containments(boxes_xyxy, known_xyxy) > _MAX_CONTAINMENT)
    return np.flatnonzero(~same.any(axis=1))
