"""How far the pixels of a face can be trusted: one figure from size, score, blur, pose and the border of the frame."""

from __future__ import annotations

import cv2
import numpy as np

from affectline.faces.scaling import scaled
from affectline.records import Face, FloatArray, UInt8Array

LOW_QUALITY = 0.25
"""Rows with less are `low_quality`: one bad condition, or two middling ones (half of each leaves a quarter)."""

HEIGHT_PX = (12.0, 48.0)
"""At 12 px the eyes are two pixels wide; from 48 px the networks' inputs of 112 and 224 px gain little."""

SCORE = (0.3, 0.7)
"""Detectors begin to report faces at about 0.3; faces in good view score 0.75 and more (demo clip, BlazeFace)."""

SHARPNESS = (0.01, 0.1)
"""Variance of the Laplacian over variance, of the face at 64x64, on a logarithmic scale. The frames of the demo clip
have 0.22 to 0.6, sharp photographs 0.2 to 0.6; blurred with a Gaussian of 1/12 of their width, none has over 0.015.
The division makes dark and bright pictures alike."""

TURN = (2.0, 0.55)
"""How far the nose tip lies from the middle between the eyes, along their line, in half eye distances: about 0.9 times
the tangent of the angle, so 0.55 is 30 degrees and 2 is 65. Near the profile the second eye is a guess."""

VISIBLE_SHARE = (0.4, 0.8)
"""Part of the box inside the frame: networks never saw faces of which half is a smeared border."""

QUALITY_MEANING = (
    f"How far the face's pixels can be trusted: the product of five ramps from 0 to 1, of its height ({HEIGHT_PX[0]:g} "
    f"to {HEIGHT_PX[1]:g} px), detector score ({SCORE[0]:g} to {SCORE[1]:g}), sharpness ({SHARPNESS[0]:g} to "
    f"{SHARPNESS[1]:g} of its contrast), turn to the side (about 65 to 30 degrees) and part inside the frame "
    f"({VISIBLE_SHARE[0]:g} to {VISIBLE_SHARE[1]:g}); rows below {LOW_QUALITY:g} are low_quality."
)

_SIDE = 64
_MAX_SIDE = 192
"""Larger faces are thinned to about this before they are averaged down: it costs a tenth and changes little."""


def face_quality(rgb: UInt8Array, face: Face) -> float:
    """Return how far the pixels of a face can be trusted, in [0, 1]: the product of the ramps of this module.

    Args:
        rgb: shape (height, width, 3), uint8, RGB: the frame that shows the face.
        face: its box and key points, in pixels of the frame.
    """
    x1, y1, x2, y2 = (float(value) for value in face.box_xyxy)
    inside = _inside(rgb, face.box_xyxy)
    visible_share = inside.shape[0] * inside.shape[1] / max((x2 - x1) * (y2 - y1), 1.0)
    quality = (
        _ramp(y2 - y1, HEIGHT_PX)
        * _ramp(face.score, SCORE)
        * _ramp(_turn(face.keypoints), TURN)
        * _ramp(visible_share, VISIBLE_SHARE)
    )
    if quality == 0:
        return 0.0
    return quality * _ramp(
        float(np.log(_sharpness(inside))), (float(np.log(SHARPNESS[0])), float(np.log(SHARPNESS[1])))
    )


def _ramp(value: float, worst_to_best: tuple[float, float]) -> float:
    """Return 0 at the worst value and beyond, 1 at the best and beyond, and a straight line between."""
    worst, best = worst_to_best
    return min(max((value - worst) / (best - worst), 0.0), 1.0)


def _inside(rgb: UInt8Array, box_xyxy: FloatArray) -> UInt8Array:
    """Return the pixels of the box that lie in the frame; none where it lies wholly outside."""
    x1, y1, x2, y2 = np.maximum(np.round(box_xyxy), 0).astype(int)
    return rgb[y1:y2, x1:x2]


def _sharpness(face_rgb: UInt8Array) -> float:
    """Return the variance of the Laplacian over the variance of the grey values, at 64x64; above 0."""
    step = max(min(face_rgb.shape[:2]) // _MAX_SIDE, 1)
    # OpenCV reads rows wherever they lie, but not every other pixel of a row.
    thinned = face_rgb if step == 1 else np.ascontiguousarray(face_rgb[::step, ::step])
    grey = cv2.cvtColor(thinned, cv2.COLOR_RGB2GRAY)
    # Enlarged faces look blurred, and they are: the networks get them enlarged too.
    small = scaled(np.asarray(grey, np.uint8), _SIDE, _SIDE)
    contrast, edges = (float(cv2.meanStdDev(of)[1][0, 0]) ** 2 for of in (small, cv2.Laplacian(small, cv2.CV_32F)))
    # A face without any contrast is as blurred as can be, not undefined.
    return max(edges / max(contrast, 1.0), 1e-9)


def _turn(keypoints: FloatArray) -> float:
    """Return how far the nose is from the middle between the eyes, along their line, in half eye distances."""
    right_eye, left_eye, nose = keypoints[:3].astype(np.float64)
    eyes = left_eye - right_eye
    squared_distance = float(eyes @ eyes)
    if squared_distance == 0:
        return float("inf")
    return abs(2 * float((nose - right_eye) @ eyes) / squared_distance - 1)
