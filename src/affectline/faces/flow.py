"""Moves faces from one frame to the next by what their pixels do: cheaper than to search for them again.

The median of the flow of a grid of points, with those left out that do not come back where they were when followed
backwards (Kalal, Mikolajczyk and Matas, Forward-backward error: Automatic detection of tracking failures, ICPR 2010).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.faces.scaling import scaled
from affectline.records import KEYPOINTS, FloatArray, UInt8Array

_FACE_SIDE: Final = 48
"""A face has this longer side, in pixels of its patch."""

_PATCH_SIDE: Final = 2 * _FACE_SIDE
_GRID: Final = 5
_INNER: Final = 0.8
"""Share of the box that the grid of points covers: at its border the background moves otherwise."""

_LARGEST_ERROR: Final = 1.0
"""Pixels of the patch by which a point may miss its place when it is followed forth and back."""

_FEWEST_SURE: Final = 0.5
"""Share of the points that must come back."""

_LARGEST_STEP: Final = 0.25
"""Face sides from one frame to the next; beyond that flow is a guess."""

_FARTHEST: Final = 0.35
"""Face sides from where the face was detected; further on it is detected anew."""

_LARGEST_GROWTH: Final = 1.15
"""Likewise, how much larger or smaller it may have become."""

_OFF_CENTRE: Final = 0.2
"""Face sides from the middle of its patch, beyond which a face gets a new one."""

_TICKS: Final = np.linspace(-_INNER / 2, _INNER / 2, _GRID)
_GRID_POINTS: Final = np.stack(np.meshgrid(_TICKS, _TICKS), axis=2).reshape(-1, 2)
"""From the middle of a box, in parts of its width and height."""

FloatArray64 = NDArray[np.float64]

_FLOW: Final = {
    "winSize": (11, 11),
    "maxLevel": 2,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03),
}


class FaceFlow:
    """Follows some faces from the frame in which they were detected on.

    Args:
        rgb: shape (height, width, 3), uint8, RGB: that frame.
        boxes_xyxy: shape (n, 4), float32, pixels.
        keypoints: shape (n, 4, 2), float32, pixels.
    """

    def __init__(self, rgb: UInt8Array, boxes_xyxy: FloatArray, keypoints: FloatArray) -> None:
        self._faces = [_Followed(rgb, box, points) for box, points in zip(boxes_xyxy, keypoints, strict=True)]

    def move(self, rgb: UInt8Array) -> tuple[FloatArray, FloatArray] | None:
        """Return boxes (n, 4) and key points (n, 4, 2) in the next frame; None if they are not sure for every face.

        After None the faces must be detected anew.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
        """
        if not all(face.move(rgb) for face in self._faces):
            return None
        boxes = np.array([face.box for face in self._faces], np.float32).reshape(-1, 4)
        keypoints = np.array([face.keypoints for face in self._faces], np.float32)
        return boxes, keypoints.reshape(-1, len(KEYPOINTS), 2)


class _Followed:
    """One face, with the pixels around it as they were in the last frame."""

    def __init__(self, rgb: UInt8Array, box_xyxy: FloatArray, keypoints: FloatArray) -> None:
        self.box = box_xyxy.astype(np.float64)
        self.keypoints = keypoints.astype(np.float64)
        self._first_center, self._first_side = _center_and_side(self.box)
        self._look(rgb)

    def _look(self, rgb: UInt8Array) -> None:
        """Take a new patch with the face in its middle."""
        center, side = _center_and_side(self.box)
        wanted = max(_PATCH_SIDE // 4, round(side * _PATCH_SIDE / _FACE_SIDE))
        # A side that can be halved as often as it will be is scaled down by the quickest way.
        step = 2 ** max(0, (wanted // _PATCH_SIDE).bit_length() - 1)
        self._patch_side = wanted // step * step
        self._origin = np.round(center - self._patch_side / 2).astype(np.int64)
        self._patch = self._cut(rgb)

    def _cut(self, rgb: UInt8Array) -> UInt8Array:
        """Return the green channel of the patch's place in a frame, its border repeated outside."""
        (x1, y1), side = self._origin, self._patch_side
        x2, y2 = x1 + side, y1 + side
        left, top = min(max(x1, 0), rgb.shape[1] - 1), min(max(y1, 0), rgb.shape[0] - 1)
        right, bottom = max(min(x2, rgb.shape[1]), left + 1), max(min(y2, rgb.shape[0]), top + 1)
        inside = np.asarray(cv2.extractChannel(rgb[top:bottom, left:right], 1), np.uint8)
        if inside.shape != (side, side):
            above, below, before, behind = (
                max(0, int(value)) for value in (top - y1, y2 - bottom, left - x1, x2 - right)
            )
            padded = cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_REPLICATE)
            inside = np.asarray(padded, np.uint8)
        return scaled(inside, _PATCH_SIDE, _PATCH_SIDE)

    def move(self, rgb: UInt8Array) -> bool:
        """Move box and key points to where the face is in the next frame; return whether that is sure."""
        patch, scale = self._cut(rgb), self._patch_side / _PATCH_SIDE
        center, side = _center_and_side(self.box)
        points = center + _GRID_POINTS * (self.box[2:] - self.box[:2])
        before = ((points - self._origin) / scale).astype(np.float32)
        after, is_sure = _flow(self._patch, patch, before)
        if is_sure.mean() < _FEWEST_SURE:
            return False
        shift = np.median(after[is_sure] - before[is_sure], axis=0) * scale
        growth = _growth(before[is_sure], after[is_sure])
        if np.abs(shift).max() > _LARGEST_STEP * side:
            return False
        self.box = ((self.box.reshape(2, 2) - center) * growth + center + shift).reshape(4)
        self.keypoints = (self.keypoints - center) * growth + center + shift
        if not self._is_near():
            return False
        if np.abs(center + shift - self._origin - self._patch_side / 2).max() > _OFF_CENTRE * side:
            self._look(rgb)
        else:
            self._patch = patch
        return True

    def _is_near(self) -> bool:
        """Return whether the face is still near the place and the size at which it was detected."""
        center, side = _center_and_side(self.box)
        growth = side / self._first_side
        is_there = np.abs(center - self._first_center).max() <= _FARTHEST * self._first_side
        return bool(is_there and 1 / _LARGEST_GROWTH <= growth <= _LARGEST_GROWTH)


def _center_and_side(box: FloatArray64) -> tuple[FloatArray64, float]:
    return (box[:2] + box[2:]) / 2, max(float((box[2:] - box[:2]).max()), 1.0)


def _flow(before: UInt8Array, after: UInt8Array, points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return where points of one patch are in the next one, shape (n, 2), and for which of them that is sure."""
    forth, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, **_FLOW)  # type: ignore[call-overload]  # the keywords are in a mapping
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, forth, None, **_FLOW)  # type: ignore[call-overload]
    is_back = np.abs(back - points).max(axis=1) <= _LARGEST_ERROR
    return np.asarray(forth, np.float32), is_back & (found[:, 0] > 0) & (found_back[:, 0] > 0)


def _growth(before: FloatArray, after: FloatArray) -> float:
    """Return the median factor by which the distances between points have grown."""
    if len(before) < 2:  # noqa: PLR2004 - a pair
        return 1.0
    first, second = _pairs(len(before))
    lengths = [np.hypot(*(points[first] - points[second]).T) for points in (before, after)]
    return float(np.median(lengths[1] / lengths[0]))


@cache
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(n, 1)
