"""Where one scene ends and the next one begins, seen on tiny copies of successive frames."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.records import UInt8Array

CUT_CHANGE: Final = 0.08
"""`_change` from which two successive frames are two scenes. Cuts have 0.1 to 0.8, in dark films too; whip pans and
shaken cameras up to 0.07, lights switched on or off up to 0.015."""

_THUMBNAIL_WH: Final = (16, 9)
_SAMPLES_WH: Final = (64, 36)

Thumbnail = NDArray[np.float32]


def thumbnail_of(rgb: UInt8Array) -> Thumbnail:
    """Return the green channel of a frame, of shape (height, width, 3), in a size of 9 rows of 16."""
    samples = cv2.resize(rgb, _SAMPLES_WH, interpolation=cv2.INTER_NEAREST)[..., 1]
    thumbnail = cv2.resize(samples.astype(np.float32), _THUMBNAIL_WH, interpolation=cv2.INTER_AREA)
    return thumbnail.astype(np.float32)


def is_new_scene(before: Thumbnail, after: Thumbnail) -> bool:
    """Return whether there is a cut between two successive frames, given by their thumbnails."""
    return _change(before, after) > CUT_CHANGE


def _change(before: Thumbnail, after: Thumbnail) -> float:
    """Return how much of a picture is another one, from 0: difference over brightness, times decorrelation.

    The first alone would take a flash of light for a new scene, the second alone any move before a plain wall.
    """
    (first, first_std), (second, second_std) = (cv2.meanStdDev(thumbnail) for thumbnail in (before, after))
    # A few grey levels more, or the noise of a black picture would change it by half.
    brightness = 4 + max(float(first[0, 0]), float(second[0, 0]))
    difference = cv2.norm(before, after, cv2.NORM_L1) / before.size / brightness
    # One grey level of contrast is noise: to and from black or white, nothing correlates.
    contrasts = max(float(first_std[0, 0] * second_std[0, 0]), 1.0)
    covariance = float(np.vdot(before, after)) / before.size - float(first[0, 0] * second[0, 0])
    correlation = covariance / contrasts
    return difference * (1 - correlation)
