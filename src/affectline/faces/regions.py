"""The turned square of a frame that the landmark network looks at, and the rules that place it.

The network is sensitive to the region: with one an eighth larger, browInnerUp changes by 0.1 on average on the demo
clip. So every rule here aims at the region that MediaPipe's FaceLandmarker uses for single images: 1.5 times the box
of its short-range detector, turned upright by the eyes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.faces.mesh import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER
from affectline.records import KEYPOINTS, FloatArray, UInt8Array

# Against MediaPipe's regions in three clips and six photographs: 1.5 times its detector's box is 1.37 times as long as
# the mesh is high (give or take 0.05), and its centre lies 0.05 of that height below the centre of the mesh.
_SCALE = 1.37
_SHIFT = 0.05

# Whole-frame detections and boxes of one face differ by 3 % on average; small faces, whose whole-frame detections come
# out up to half too large, are better read around their box.
_MAX_GAP = 0.15
_MAX_RATIO = 1.25

_RIGHT_EYE, _LEFT_EYE = KEYPOINTS.index("right eye"), KEYPOINTS.index("left eye")


@dataclass(frozen=True, slots=True)
class Region:
    """A square of a frame, turned about its centre.

    Attributes:
        center_x: pixels of the frame.
        center_y: pixels of the frame.
        side: pixels, above 0.
        angle: radians; positive turns the square clockwise as one sees it, as a head leaning to its left.
    """

    center_x: float
    center_y: float
    side: float
    angle: float

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Return the map from a crop of this region to the frame, shape (2, 3).

        Corner goes to corner without the half pixel between pixel centres and edges, as in MediaPipe's
        image_to_tensor_converter_opencv.cc: on 72 to 472 frames that brings the landmarks 2 to 18 times closer.

        Args:
            size: the side of the crop in its own pixels.
        """
        scale = self.side / size
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = size / 2
        return np.array(
            [
                [cos, -sin, self.center_x - (cos - sin) * half],
                [sin, cos, self.center_y - (sin + cos) * half],
            ]
        )

    def cut(self, rgb: UInt8Array, size: int, border: int = cv2.BORDER_REPLICATE) -> UInt8Array:
        """Return the pixels of this region, shape (size, size, 3), bilinear.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            size: the side of the crop in pixels.
            border: what lies beyond the frame, as an OpenCV border type.
        """
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(rgb, self.matrix(size), (size, size), flags=flags, borderMode=border)
        return np.asarray(crop, dtype=np.uint8)

    def carried(self, before: Region, after: Region) -> Region:
        """Return this region where it would be if it had moved, grown and turned as another one did."""
        growth, turn = after.side / before.side, after.angle - before.angle
        cos, sin = math.cos(turn) * growth, math.sin(turn) * growth
        x, y = self.center_x - before.center_x, self.center_y - before.center_y
        return Region(
            after.center_x + cos * x - sin * y,
            after.center_y + sin * x + cos * y,
            self.side * growth,
            self.angle + turn,
        )

    def distance_to(self, other: Region) -> float:
        """Return how far apart the centres are, in pixels."""
        return math.hypot(self.center_x - other.center_x, self.center_y - other.center_y)

    def agrees_with(self, other: Region) -> bool:
        """Say whether both regions show the same face in the same way: near centres and much the same side."""
        is_near = self.distance_to(other) <= _MAX_GAP * other.side
        return is_near and other.side / _MAX_RATIO <= self.side <= other.side * _MAX_RATIO


def region_of_detection(points: NDArray[np.floating]) -> Region:
    """Return the region that MediaPipe makes of its short-range detector's face.

    Args:
        points: shape (n, 2), n >= 4, pixels: top left and bottom right of the box, right eye, left eye.
    """
    (x1, y1), (x2, y2), right_eye, left_eye = points[:4].astype(np.float64)
    # The network draws squares, to a tenth of a percent.
    side = _at_least_one(float(x2 - x1 + y2 - y1) / 2)
    return Region(float(x1 + x2) / 2, float(y1 + y2) / 2, 1.5 * side, roll(right_eye, left_eye))


def region_of_box(box_xyxy: FloatArray, keypoints: FloatArray) -> Region:
    """Return the region of a face known by its reference box.

    Args:
        box_xyxy: shape (4,), float32, pixels; the tight box of the mesh of the face held upright.
        keypoints: shape (4, 2), float32, pixels, in the order of `KEYPOINTS`.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    length = _at_least_one(max(x2 - x1, y2 - y1))
    # A detector's box is upright however the head is rolled, so the shift is too.
    return Region(
        (x1 + x2) / 2,
        (y1 + y2) / 2 + _SHIFT * length,
        _SCALE * length,
        roll(keypoints[_RIGHT_EYE], keypoints[_LEFT_EYE]),
    )


def region_of_points(points: FloatArray) -> Region:
    """Return the region of a face known by its landmarks.

    Args:
        points: shape (478, 3), float32, pixels.
    """
    angle = roll(points[RIGHT_EYE_OUTER_CORNER], points[LEFT_EYE_OUTER_CORNER])
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    across, down = cos * x + sin * y, cos * y - sin * x
    length = _at_least_one(float(max(np.ptp(across), np.ptp(down))))
    center_across = float(across.min() + across.max()) / 2
    center_down = float(down.min() + down.max()) / 2 + _SHIFT * length
    return Region(
        cos * center_across - sin * center_down,
        sin * center_across + cos * center_down,
        _SCALE * length,
        angle,
    )


def _at_least_one(length: float) -> float:
    # Below one pixel there is nothing to see, and a side of 0 could not be mapped back.
    return max(length, 1.0)


def roll(right_eye: NDArray[np.floating], left_eye: NDArray[np.floating]) -> float:
    """Return how far a head is rolled, in radians as in `Region.angle`, from two points of shape (2,) or (3,)."""
    return math.atan2(float(left_eye[1] - right_eye[1]), float(left_eye[0] - right_eye[0]))
