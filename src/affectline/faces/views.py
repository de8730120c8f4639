"""Parts of a frame at the size at which a small network can search them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from affectline.faces.scaling import scaled
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
    """Cuts views out of one frame. Larger rectangles are cut from a halved frame, made once for all views."""

    def __init__(self, rgb: UInt8Array, long_side: int, cell: int) -> None:
        """Prepare to cut.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            long_side: the longer side, in pixels of the views, of the whole frame in `part`; a smaller frame stays as
                it is.
            cell: sides of views are multiples of this many pixels.
        """
        self._levels = [rgb]
        self._width, self._height = _fitting(rgb, min(long_side, max(rgb.shape[:2])))
        self._cell = cell

    @property
    def long_side(self) -> int:
        """The longer side in pixels of the frame of which `part` shows parts."""
        return max(self._width, self._height)

    def whole(self, long_side: int) -> View:
        """Return the whole frame with this longer side, scaled up where need be, padded to whole cells."""
        width, height = _fitting(self._levels[0], long_side)
        return self._padded_whole(width, height, _round_up(width, self._cell), _round_up(height, self._cell))

    def square_whole(self, side: int) -> View:
        """Return the whole frame in the middle of a square, scaled up where need be."""
        return self._padded_whole(*_fitting(self._levels[0], side), side, side)

    def part(self, number: int) -> View:
        """Return one of the `PARTS` overlapping parts of the scaled frame, in reading order."""
        columns, rows = (_PARTS_LONG, _PARTS_SHORT) if self._width >= self._height else (_PARTS_SHORT, _PARTS_LONG)
        row, column = divmod(number, columns)
        left, width = self._stretch(self._width, columns, column)
        top, height = self._stretch(self._height, rows, row)
        scale = _scale(self._levels[0], self._width, self._height)
        return self._cut(_pair(left, top) * scale, _pair(width, height) * scale, width, height)

    def close_up(self, center_xy: FloatArray, side: float, view_side: int) -> View:
        """Return a square of the frame, scaled to `view_side` pixels.

        Args:
            center_xy: shape (2,), pixels of the frame.
            side: of the square, in pixels of the frame.
            view_side: of the view.
        """
        square = _pair(side, side)
        return self._cut(np.asarray(center_xy - square / 2, np.float32), square, view_side, view_side)

    def _cut(self, origin_xy: FloatArray, size_xy: FloatArray, width: int, height: int) -> View:
        """Return a rectangle of the frame, rounded to whole pixels of what it is cut from, as a view of this size."""
        source = self._source(min(float(size_xy[0]) / width, float(size_xy[1]) / height))
        scale = _scale(self._levels[0], source.shape[1], source.shape[0])
        columns, rows = (max(1, round(float(length))) for length in size_xy / scale)
        left, top = (round(float(start)) for start in origin_xy / scale)
        rgb = scaled(_cut(source, left, top, columns, rows), width, height)
        return View(rgb, _pair(left, top) * scale, _pair(columns, rows) * scale / _pair(width, height))

    def _padded_whole(self, width: int, height: int, padded_width: int, padded_height: int) -> View:
        """Return the frame at this size in the middle of a larger picture."""
        frame = self._levels[0]
        small = scaled(self._source(min(frame.shape[1] / width, frame.shape[0] / height)), width, height)
        left, top = (padded_width - width) // 2, (padded_height - height) // 2
        scale = _scale(frame, width, height)
        return View(_cut(small, -left, -top, padded_width, padded_height), -_pair(left, top) * scale, scale)

    def _source(self, frame_pixels: float) -> UInt8Array:
        """Return the frame, halved as often as one pixel of a view, so many of the frame's, allows."""
        halvings = max(0, math.floor(math.log2(frame_pixels)))
        while len(self._levels) <= halvings:
            rows, columns = self._levels[-1].shape[:2]
            self._levels.append(scaled(self._levels[-1], (columns + 1) // 2, (rows + 1) // 2))
        return self._levels[halvings]

    def _stretch(self, length: int, count: int, number: int) -> tuple[int, int]:
        """Return start and length of one of `count` overlapping stretches of the scaled frame's side."""
        whole = _round_up(length, self._cell)
        stretch = min(whole, _round_up(-(-(length + (count - 1) * _SHARED) // count), self._cell))
        return max(0, round((length - stretch) * number / (count - 1))), stretch


def shrink(rgb: UInt8Array, long_side: int) -> UInt8Array:
    """Return the frame with its longer side scaled down to this many pixels, or as it is where it is smaller."""
    return scaled(rgb, *_fitting(rgb, long_side)) if max(rgb.shape[:2]) > long_side else rgb


def _fitting(rgb: UInt8Array, long_side: int) -> tuple[int, int]:
    """Return width and height of the frame when its longer side has so many pixels."""
    height, width = rgb.shape[:2]
    scale = long_side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


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


def _scale(frame: UInt8Array, width: int, height: int) -> FloatArray:
    """Return how many frame pixels one pixel of its scaled copy is, x and y; rounding makes them differ a little."""
    return _pair(frame.shape[1] / width, frame.shape[0] / height)


def _pair(x: float, y: float) -> FloatArray:
    return np.array((x, y), dtype=np.float32)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
