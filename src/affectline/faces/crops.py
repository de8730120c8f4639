"""Cutting a face out of a frame."""

from __future__ import annotations

import math

import numpy as np

from affectline.errors import ShapeError
from affectline.records import CropPolicy, FloatArray, UInt8Array


def crop_face(rgb: UInt8Array, box_xyxy: FloatArray, policy: CropPolicy) -> UInt8Array:
    """Return the pixels of the grown box; the border pixels are repeated where it reaches outside the frame.

    The box keeps its centre. Nothing is resampled: width and height are rounded to whole pixels, then the top left
    corner is (both half up), so the crop's centre is at most half a pixel away from the box's on each axis.

    Args:
        rgb: shape (height, width, 3), uint8, RGB.
        box_xyxy: shape (4,), the reference box in pixels of the frame.
        policy: margin, squareness and forehead, relative to the reference box.

    Returns:
        shape (crop height, crop width, 3), uint8, RGB, contiguous, at least 1x1, sharing no memory with `rgb`.

    Raises:
        ShapeError: `rgb` is no RGB picture, or the box has another shape or is not finite.
    """
    check_rgb(rgb)
    left, top, right, bottom = _pixel_edges(box_xyxy, policy)
    height, width = rgb.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return rgb[top:bottom, left:right].copy()
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    columns = np.clip(np.arange(left, right), 0, width - 1)
    # Whole rows first: copying them is much faster than picking single pixels.
    return np.ascontiguousarray(rgb[rows][:, columns])


def check_rgb(rgb: UInt8Array) -> None:
    """Raise ShapeError unless `rgb` is uint8 of shape (height, width, 3) with at least one pixel."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0 or rgb.dtype != np.uint8:  # noqa: PLR2004 - 3 axes, RGB
        raise ShapeError(f"a frame must be uint8 of shape (height, width, 3), got {rgb.dtype} of {rgb.shape}")


def _pixel_edges(box_xyxy: FloatArray, policy: CropPolicy) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the crop in whole pixels; right and bottom are exclusive."""
    if box_xyxy.shape != (4,) or not np.isfinite(box_xyxy).all():
        raise ShapeError(f"a face box must be four finite numbers x1, y1, x2, y2, got {box_xyxy.tolist()}")
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    y1 -= (y2 - y1) * policy.top
    width, height = x2 - x1, y2 - y1
    if policy.square:
        width = height = max(width, height)
    columns = max(1, _round_half_up(width * (1 + policy.margin)))
    rows = max(1, _round_half_up(height * (1 + policy.margin)))
    left = _round_half_up((x1 + x2 - columns) / 2)
    top = _round_half_up((y1 + y2 - rows) / 2)
    return left, top, left + columns, top + rows


def _round_half_up(value: float) -> int:
    """Return the nearest whole number; Python's `round` goes to even, which makes crops of moving faces jitter."""
    return math.floor(value + 0.5)
