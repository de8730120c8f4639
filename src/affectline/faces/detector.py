"""What every face detector offers."""

from __future__ import annotations

from typing import Protocol

from affectline.records import Detections, FloatArray, UInt8Array


class Detector(Protocol):
    """Finds faces in one frame. It keeps nothing between calls: tracking is somebody else's job.

    Boxes come out as reference boxes (`faces.reference`), duplicates removed, best score first. Frames of any
    size from 1x1 up are accepted.
    """

    name: str

    def scan(self, rgb: UInt8Array) -> Detections:
        """Search the whole frame, small faces too.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.

        Raises:
            ShapeError: `rgb` is no such array.
        """

    def follow(self, rgb: UInt8Array, expected_boxes_xyxy: FloatArray, phase: int) -> Detections:
        """Search where faces are expected, and a share of the rest of the frame.

        Seven successive phases (0.28 s at 25 frames a second) cover the whole frame, small faces too.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            expected_boxes_xyxy: shape (m, 4), float32, reference boxes in pixels.
            phase: counts the calls; says which share of the rest is searched.

        Raises:
            ShapeError: an array has another shape, or a box is not finite.
        """
