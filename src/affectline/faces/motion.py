"""How the box of one face moves: a Kalman filter that works in seconds and in sizes of the face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.records import FloatArray

Float64Array = NDArray[np.float64]

VELOCITY_DECAY_S = 1.0
"""A face that is not seen is expected to slow down with this time constant: people stop, few keep running."""

# The four coordinates are centre x, centre y, log width and log height. Noise of the centre is in sizes of the face,
# so that one set of figures fits faces of 20 and of 500 pixels.
_CENTRE_THEN_LOG_SIZE = np.repeat(np.arange(2), 2)
# Detectors scatter by about a fiftieth of the face from frame to frame, in place and in size (BlazeFace, demo clip).
_MEASUREMENT_VARIANCE = np.array([0.02, 0.02])[_CENTRE_THEN_LOG_SIZE] ** 2
# A first sight says nothing of the speed. 60 px a frame at 25 fps is 19 sizes/s for a face of 80 px.
_FIRST_VELOCITY_VARIANCE = np.array([10.0, 1.0])[_CENTRE_THEN_LOG_SIZE] ** 2
# How much the velocity wanders within a second (variance per second): a head may start or stop within a few frames.
_VELOCITY_WANDER = np.array([3.0, 0.5])[_CENTRE_THEN_LOG_SIZE] ** 2


@dataclass(slots=True)
class BoxMotion:
    """The box of one face and its velocity at the time of its last observation.

    Attributes:
        time_s: time of the last observation, seconds.
        position: shape (4,), float64: centre x, centre y in pixels, natural logarithms of width and height.
        velocity: shape (4,), float64, the same per second.
        variances: shape (3, 4), float64: of position, position with velocity, and velocity; lengths in face sizes.
    """

    time_s: float
    position: Float64Array
    velocity: Float64Array
    variances: Float64Array

    @classmethod
    def start(cls, time_s: float, box_xyxy: FloatArray) -> BoxMotion:
        """Return the motion of a face that was seen once, `box_xyxy` of shape (4,) in pixels."""
        variances = np.stack([_MEASUREMENT_VARIANCE, np.zeros(4), _FIRST_VELOCITY_VARIANCE])
        return cls(time_s, position_of(box_xyxy), np.zeros(4), variances)

    @property
    def size_px(self) -> float:
        """The geometric mean of the box's width and height."""
        return math.exp((self.position[2] + self.position[3]) / 2)

    def position_at(self, time_s: float) -> Float64Array:
        """Return the position expected at a later time, shape (4,): the face moves on and slows down."""
        reach_s, _ = _reach_and_decay(time_s - self.time_s)
        return self.position + self.velocity * reach_s

    def box_at(self, time_s: float) -> FloatArray:
        """Return the box expected at a later time (or now), shape (4,), float32, pixels."""
        position = self.position_at(time_s)
        half = np.exp(position[2:]) / 2
        return np.concatenate([position[:2] - half, position[:2] + half]).astype(np.float32)

    def observe(self, time_s: float, box_xyxy: FloatArray) -> None:
        """Take in the box seen at `time_s`, shape (4,), pixels: prediction and observation, weighed by variance."""
        elapsed_s = time_s - self.time_s
        reach_s, decay = _reach_and_decay(elapsed_s)
        place, cross, speed = self.variances
        place = place + 2 * reach_s * cross + reach_s**2 * speed + _VELOCITY_WANDER * elapsed_s**3 / 3
        cross = decay * (cross + reach_s * speed) + _VELOCITY_WANDER * elapsed_s**2 / 2
        speed = decay**2 * speed + _VELOCITY_WANDER * elapsed_s
        surprise = position_of(box_xyxy) - (self.position + self.velocity * reach_s)
        total = place + _MEASUREMENT_VARIANCE
        self.position = self.position + self.velocity * reach_s + surprise * place / total
        self.velocity = self.velocity * decay + surprise * cross / total
        kept = _MEASUREMENT_VARIANCE / total
        self.variances = np.stack([place * kept, cross * kept, speed - cross**2 / total])
        self.time_s = time_s


def position_of(box_xyxy: FloatArray) -> Float64Array:
    """Return centre x, centre y, log width and log height, shape (4,), float64; a side counts as 1 px or more."""
    box = box_xyxy.astype(np.float64)
    size = np.maximum(box[2:] - box[:2], 1.0)
    return np.concatenate([(box[:2] + box[2:]) / 2, np.log(size)])


def _reach_and_decay(elapsed_s: float) -> tuple[float, float]:
    """Return how many seconds' worth of the velocity are travelled, and what part of the velocity is left."""
    decay = math.exp(-elapsed_s / VELOCITY_DECAY_S)
    return VELOCITY_DECAY_S * (1 - decay), decay
