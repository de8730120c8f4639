"""The reference box, and how each detector's own box is brought to it.

The reference box of a face is the tight upright rectangle around the 468 points of MediaPipe's face mesh: forehead
to chin and cheek to cheek, as far as the mesh goes. Detectors draw boxes of their own shape; a network that was
trained on one of them would see another part of the face under the next. So each detector carries a fitted
`BoxFit`. `benchmarks/fit_reference_box.py` makes the fits, docs/detectors.md shows how well they hold.

The reference box of a leaning head is as large as if it were upright: detectors draw it so, and a crop then shows the
face at the same size. (The upright rectangle around a leaning mesh would be larger, by a fifth at 30 degrees.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.records import FloatArray

KEYPOINTS_IN_BOX = ((0.27, 0.31), (0.73, 0.31), (0.5, 0.52), (0.5, 0.73))
"""Where the points of an upright face lie on average, in parts of the reference box (BlazeFace's, same script)."""


@dataclass(frozen=True, slots=True)
class BoxFit:
    """An affine map from a detector's box to the reference box, in parts of the detector's box.

    Attributes:
        shift_x: how far right the centre moves, in widths.
        shift_y: how far down the centre moves, in heights.
        scale_x: reference width over the detector's width.
        scale_y: reference height over the detector's height.
    """

    shift_x: float
    shift_y: float
    scale_x: float
    scale_y: float

    def apply(self, boxes_xyxy: FloatArray) -> FloatArray:
        """Return reference boxes, float32 of shape (n, 4), for detector boxes of the same shape, in pixels."""
        shift = np.array((self.shift_x, self.shift_y), np.float32)
        scale = np.array((self.scale_x, self.scale_y), np.float32)
        sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
        centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2 + sizes * shift
        halves = sizes * scale / 2
        return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def average_keypoints(boxes_xyxy: FloatArray) -> FloatArray:
    """Return the points of an average upright face in each reference box, shape (n, 4, 2), float32, pixels."""
    corners, sizes = boxes_xyxy[:, None, :2], (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2])[:, None]
    return np.asarray(corners + sizes * np.array(KEYPOINTS_IN_BOX, np.float32), dtype=np.float32)


def overlaps(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """Return the intersection over union of every box of one list with every box of another.

    Args:
        first_xyxy: shape (n, 4), pixels.
        second_xyxy: shape (m, 4), pixels.

    Returns:
        shape (n, m), float32, in [0, 1]; 0 where both boxes are empty.
    """
    shared, first, second = _areas(first_xyxy, second_xyxy)
    return _ratio(shared, first + second - shared)


def containments(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """Return the intersection over the smaller of two boxes, for every pair; shapes and range as in `overlaps`."""
    shared, first, second = _areas(first_xyxy, second_xyxy)
    return _ratio(shared, np.minimum(first, second))


def keep_distinct(
    boxes_xyxy: FloatArray, scores: FloatArray, max_overlap: float, max_containment: float = 1.0
) -> NDArray[np.intp]:
    """Return the row numbers of the boxes that no better one covers, best score first.

    Args:
        boxes_xyxy: shape (n, 4), pixels.
        scores: shape (n,).
        max_overlap: a box whose intersection over union with a better one is above this goes.
        max_containment: likewise for the intersection over the smaller box; 1 switches that off.

    Raises:
        ShapeError: the lengths differ.
    """
    if len(boxes_xyxy) != len(scores):
        raise ShapeError(f"{len(boxes_xyxy)} boxes came with {len(scores)} scores; expected one score a box")
    if len(scores) < 2:  # noqa: PLR2004 - the usual case, which needs no comparison
        return np.arange(len(scores), dtype=np.intp)
    covers = (overlaps(boxes_xyxy, boxes_xyxy) > max_overlap) | (containments(boxes_xyxy, boxes_xyxy) > max_containment)
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not covers[row, kept].any():
            kept.append(int(row))
    return np.asarray(kept, dtype=np.intp)


def _areas(first_xyxy: FloatArray, second_xyxy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the areas of all intersections (n, m), of the first boxes (n, 1) and of the second (1, m)."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    first = np.clip(first_xyxy[:, 2:] - first_xyxy[:, :2], 0, None).prod(axis=1)[:, None]
    second = np.clip(second_xyxy[:, 2:] - second_xyxy[:, :2], 0, None).prod(axis=1)[None]
    return shared, first, second


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return part / whole, and 0 where the whole is empty."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
