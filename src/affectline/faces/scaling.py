"""Making pictures smaller without skipping pixels, at a tenth of what OpenCV's averaging of areas costs."""

from __future__ import annotations

import cv2
import numpy as np

from affectline.records import UInt8Array


def scaled(picture: UInt8Array, width: int, height: int) -> UInt8Array:
    """Return a picture at another size: halved while it is twice as large or more, then bilinear.

    Down to a half, bilinear skips no pixel; a half exactly is the mean of four. `cv2.INTER_AREA` is as smooth, and slow
    unless the factor is a whole number: 640x360 to 128x72 takes 0.5 ms by way of 480x270, this 0.1.

    Args:
        picture: shape (rows, columns) or (rows, columns, channels), uint8, at least one pixel.
        width: in pixels, at least 1; may be larger than the picture, too.
        height: likewise.
    """
    while True:
        rows, columns = picture.shape[:2]
        if (columns, rows) == (width, height):
            return picture
        step = (_half_way(columns, width), _half_way(rows, height))
        picture = np.asarray(cv2.resize(picture, step, interpolation=cv2.INTER_LINEAR), np.uint8)


def _half_way(length: int, wanted: int) -> int:
    return (length + 1) // 2 if length >= 2 * wanted else wanted
