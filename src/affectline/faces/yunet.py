"""YuNet (Wu et al. 2023, MIT), run by OpenCV's `FaceDetectorYN`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from affectline.errors import ModelFileError
from affectline.faces import libfacedetection
from affectline.faces.crops import check_rgb
from affectline.faces.reference import BoxFit
from affectline.faces.views import shrink
from affectline.records import Detections, FloatArray, UInt8Array

FIT = libfacedetection.FIT
"""Not fitted: libfacedetection's, which is the same network family trained on the same boxes (WIDER FACE)."""

_LONG_SIDE = 640  # the network sees faces of 10 to 300 pixels: of 20 to 600 in a frame of 1280x720
_MIN_SCORE = 0.6  # of OpenCV zoo's own wrapper
_MAX_OVERLAP = 0.3  # likewise
_TOP = 5000  # likewise


class YuNet:
    """OpenCV's YuNet, on a frame scaled down to 640 pixels. Not for use by two threads at once."""

    name = "yunet"

    def __init__(self, weights: Path, fit: BoxFit = FIT) -> None:
        """Load the network.

        Args:
            weights: OpenCV zoo's `face_detection_yunet_2023mar.onnx`.
            fit: from the detector's box to the reference box.

        Raises:
            ModelFileError: OpenCV cannot read the file.
        """
        side = (_LONG_SIDE, _LONG_SIDE)
        try:
            self._network = cv2.FaceDetectorYN.create(str(weights), "", side, _MIN_SCORE, _MAX_OVERLAP, _TOP)
        except cv2.error as error:
            raise ModelFileError(
                f"OpenCV cannot read {weights} as YuNet: {error.err}; run `affectline models verify`"
            ) from error
        self._fit = fit

    def scan(self, rgb: UInt8Array) -> Detections:
        """Search the whole frame; see `Detector.scan`."""
        check_rgb(rgb)
        small = shrink(rgb, _LONG_SIDE)
        height, width = small.shape[:2]
        self._network.setInputSize((width, height))
        found = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return Detections.none()
        scale = np.array((rgb.shape[1] / width, rgb.shape[0] / height), np.float32)
        rows = np.asarray(found, dtype=np.float32)
        return to_detections(rows[np.argsort(-rows[:, 14], kind="stable")], scale, self._fit)

    def follow(self, rgb: UInt8Array, expected_boxes_xyxy: FloatArray, phase: int) -> Detections:
        """Search the whole frame: one pass is all that this detector has."""
        return self.scan(rgb)


def to_detections(found: FloatArray, scale_xy: FloatArray, fit: BoxFit) -> Detections:
    """Return what `FaceDetectorYN.detect` found as detections.

    Args:
        found: shape (n, 15): left, top, width, height, then x and y of right eye, left eye, nose tip and the right
            and left corners of the mouth, then the score.
        scale_xy: shape (2,), frame pixels for one pixel of the picture that was searched.
        fit: from the detector's box to the reference box.
    """
    pairs = found[:, :14].reshape(-1, 7, 2) * scale_xy
    boxes = np.concatenate([pairs[:, 0], pairs[:, 0] + pairs[:, 1]], axis=1)
    mouth = pairs[:, 5:7].mean(axis=1, keepdims=True)
    keypoints = np.concatenate([pairs[:, 2:5], mouth], axis=1).astype(np.float32)
    scores = np.clip(found[:, 14], 0, 1).astype(np.float32)
    return Detections(fit.apply(boxes.astype(np.float32)), scores, keypoints)
