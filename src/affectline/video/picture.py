"""From a decoded picture to upright RGB with square pixels."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideData
from av.video.reformatter import VideoReformatter

from affectline.records import UInt8Array

WIDEST_PIXEL = 8
"""Pixel aspect ratios beyond this (or its inverse) are mistakes of the file."""


@dataclass(frozen=True, slots=True)
class Upright:
    """How stored pictures are turned upright, by a multiple of 90 degrees, mirrored or not.

    Attributes:
        is_transposed: rows become columns, before the mirroring.
        is_mirrored_x: left and right are exchanged.
        is_mirrored_y: top and bottom are exchanged.
    """

    is_transposed: bool = False
    is_mirrored_x: bool = False
    is_mirrored_y: bool = False

    @property
    def rotation_deg(self) -> int:
        """The clockwise rotation, 0, 90, 180 or 270; of a mirrored picture, what follows a left-right mirroring."""
        if self.is_transposed:
            return 90 if self.is_mirrored_x else 270
        return 180 if self.is_mirrored_y else 0

    def apply(self, rgb: UInt8Array) -> UInt8Array:
        """Return the upright picture, contiguous and in memory of its own.

        Args:
            rgb: shape (height, width, 3), uint8, as stored.
        """
        if self.is_transposed:
            rgb = rgb.transpose(1, 0, 2)
        step_y, step_x = -1 if self.is_mirrored_y else 1, -1 if self.is_mirrored_x else 1
        return np.array(rgb[::step_y, ::step_x], order="C", copy=True)


def upright_of(frame: VideoFrame) -> Upright:
    """Return how the display matrix of a decoded frame turns it.

    The matrix is looked up by name: other side data may come first, such as Dolby's in HDR files of phones.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(side_data, SideData):
        return Upright()
    # Nine numbers by rows: x' = a x + c y, y' = b x + d y, with y pointing down.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Upright(is_transposed=True, is_mirrored_x=c < 0, is_mirrored_y=b < 0)
    return Upright(is_mirrored_x=a < 0, is_mirrored_y=d < 0)


def square_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """Return width and height after scaling to square pixels, which changes the width only."""
    if not pixel_aspect or not Fraction(1, WIDEST_PIXEL) <= pixel_aspect <= WIDEST_PIXEL:
        return width, height
    return max(1, math.floor(width * pixel_aspect + Fraction(1, 2))), height


class RgbConverter:
    """Turns decoded frames of any pixel format into RGB; swscale follows their colour matrix and range.

    Attributes:
        size_wh: width and height with square pixels, before turning. A frame of another size is scaled to it: some
            recorders change the resolution on the way, and players show one picture size.
        upright: how to turn the frames.
    """

    def __init__(self, size_wh: tuple[int, int], upright: Upright) -> None:
        self.size_wh = size_wh
        self.upright = upright
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame) -> UInt8Array:
        """Return a frame as RGB, upright, of shape (height, width, 3), uint8."""
        width, height = self.size_wh
        # One thread: for pictures of this size, handing out the work costs more than it saves.
        plane = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        return self.upright.apply(rows[:, : width * 3].reshape(height, width, 3))
