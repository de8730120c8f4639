"""Parts of a frame at the size at which a small network can search them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from affectline.records import FloatArray, UInt8Array

PARTS = 6
"""Into how many parts `FrameViews.part` cuts a frame: three along its long side, two along the short one."""

_PARTS_LONG, _PARTS_SHORT = 3, 2

# Pixels that neighbouring parts share. A face on the seam that is larger than this is cut in both; the middle scale
# sees it whole, and the second look puts its box right.
_SHARED = 32


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A rectangle of the frame; outside the frame the border is repeated.

    Attributes:
        rgb: shape (height, width, 3), uint8, RGB.
        origin_xy: shape (2,), float32, where its top left corner lies, in pixels of the frame.
        scale_xy: shape (2,), float32, frame pixels for one pixel of the view.
    """

    rgb: UInt8Array
    origin_xy: FloatArray
    scale_xy: FloatArray

    def to_frame(self, points: FloatArray) -> FloatArray:
        """Return points of the view, x and y on the last axis, in pixels of the frame."""
        return np.asarray(points * self.scale_xy + self.origin_xy, dtype=np.float32)


class FrameViews:
    """Cuts views out of one frame. It is scaled down once; all views but close-ups of small faces come from that."""

    def __init__(self, rgb: UInt8Array, long_side: int, cell: int) -> None:
        """Scale the frame down.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            long_side: the scaled frame's longer side in pixels; a smaller frame stays as it is.
            cell: sides of views are multiples of this many pixels.
        """
        self._frame = rgb
        self._small = shrink(rgb, long_side)
        self._cell = cell

    @property
    def long_side(self) -> int:
        """The longer side of the scaled frame in pixels."""
        return int(max(self._small.shape[:2]))

    def whole(self, long_side: int) -> View:
        """Return the whole frame with this longer side, scaled up where need be, padded to whole cells."""
        scaled = _resized(self._small, long_side)
        height, width = (_round_up(side, self._cell) for side in scaled.shape[:2])
        return _padded_view(scaled, self._frame, height, width)

    def square_whole(self, side: int) -> View:
        """Return the whole frame in the middle of a square, scaled up where need be."""
        return _padded_view(_resized(self._small, side), self._frame, side, side)

    def part(self, number: int) -> View:
        """Return one of the `PARTS` overlapping parts of the scaled frame, in reading order."""
        height, width = self._small.shape[:2]
        columns, rows = (_PARTS_LONG, _PARTS_SHORT) if width >= height else (_PARTS_SHORT, _PARTS_LONG)
        row, column = divmod(number, columns)
        left, part_width = self._stretch(width, columns, column)
        top, part_height = self._stretch(height, rows, row)
        scale = _scale(self._frame, self._small)
        rgb = _cut(self._small, left, top, part_width, part_height)
        return View(rgb, _pair(left, top) * scale, scale)

    def close_up(self, center_xy: FloatArray, side: float, view_side: int) -> View:
        """Return a square of the frame, scaled to `view_side` pixels.

        Args:
            center_xy: shape (2,), pixels of the frame.
            side: of the square, in pixels of the frame.
            view_side: of the view.
        """
        shrunk = max(self._small.shape[:2]) / max(self._frame.shape[:2])
        # The scaled frame is quicker to cut from, the frame itself sharper where that would have to be scaled up.
        source = self._small if side * shrunk >= view_side else self._frame
        scale = _scale(self._frame, source)
        width, height = (max(1, round(float(side / factor))) for factor in scale)
        left, top = (
            round(float(center / factor - length / 2))
            for center, factor, length in zip(center_xy, scale, (width, height), strict=True)
        )
        cut = _cut(source, left, top, width, height)
        method = cv2.INTER_AREA if width > view_side else cv2.INTER_LINEAR
        rgb = np.asarray(cv2.resize(cut, (view_side, view_side), interpolation=method), dtype=np.uint8)
        return View(rgb, _pair(left, top) * scale, _pair(width, height) * scale / np.float32(view_side))

    def _stretch(self, length: int, count: int, number: int) -> tuple[int, int]:
        """Return start and length of one of `count` overlapping stretches of the scaled frame's side."""
        whole = _round_up(length, self._cell)
        stretch = min(whole, _round_up(-(-(length + (count - 1) * _SHARED) // count), self._cell))
        return max(0, round((length - stretch) * number / (count - 1))), stretch


def shrink(rgb: UInt8Array, long_side: int) -> UInt8Array:
    """Return the frame with its longer side scaled down to this many pixels, or as it is where it is smaller."""
    return _resized(rgb, long_side) if max(rgb.shape[:2]) > long_side else rgb


def _resized(rgb: UInt8Array, long_side: int) -> UInt8Array:
    height, width = rgb.shape[:2]
    scale = long_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Down to a half, bilinear skips no pixel and is several times as fast as averaging areas.
    method = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # noqa: PLR2004 - the half of the comment
    return np.asarray(cv2.resize(rgb, size, interpolation=method), dtype=np.uint8)


def _padded_view(scaled: UInt8Array, frame: UInt8Array, height: int, width: int) -> View:
    """Return a scaled frame in the middle of a larger picture."""
    left, top = (width - scaled.shape[1]) // 2, (height - scaled.shape[0]) // 2
    scale = _scale(frame, scaled)
    return View(_cut(scaled, -left, -top, width, height), -_pair(left, top) * scale, scale)


def _cut(rgb: UInt8Array, left: int, top: int, width: int, height: int) -> UInt8Array:
    """Return a rectangle of a picture, its border repeated outside, black where nothing of the picture is in it.

    MediaPipe pads with black; of the faces with 30 % outside the frame, that finds 71 %, this 94 %.
    """
    y1, y2 = max(top, 0), min(top + height, rgb.shape[0])
    x1, x2 = max(left, 0), min(left + width, rgb.shape[1])
    if (y2 - y1, x2 - x1) == (height, width):
        return rgb[y1:y2, x1:x2]
    if y1 >= y2 or x1 >= x2:
        return np.zeros((height, width, 3), np.uint8)
    borders = (y1 - top, top + height - y2, x1 - left, left + width - x2)
    return np.asarray(cv2.copyMakeBorder(rgb[y1:y2, x1:x2], *borders, cv2.BORDER_REPLICATE), dtype=np.uint8)


def _scale(frame: UInt8Array, scaled: UInt8Array) -> FloatArray:
    """Return how many frame pixels one pixel of its scaled copy is, x and y; rounding makes them differ a little."""
    return _pair(frame.shape[1] / scaled.shape[1], frame.shape[0] / scaled.shape[0])


def _pair(x: float, y: float) -> FloatArray:
    return np.array((x, y), dtype=np.float32)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
