"""The records that flow through the pipeline: frame, detections, face. Arrays are numpy, colour is RGB."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

MAX_GAP_S = 1.0
"""A face that comes back within this time, in seconds, is still the same track, and the frames between are filled."""

TIME_DECIMALS = 6
"""Decimals of `Frame.time_s` and of times in the result table: timestamps of video are no finer."""

KEYPOINTS = ("right eye", "left eye", "nose tip", "mouth centre")
"""The points that every detector reports. Right and left are the subject's: the right eye lies left in the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture, upright and with square pixels.

    Attributes:
        index: position among all decoded frames of the input, from 0, sampled or not.
        time_s: seconds from the start that a player counts from; None for an independent image.
        rgb: shape (height, width, 3), uint8, RGB.
        is_corrupt: the decoder had to invent part of the picture.
        missed: how many pictures before it, behind the sampled one before, came out damaged or not at all.
    """

    index: int
    time_s: float | None
    rgb: UInt8Array
    is_corrupt: bool = False
    missed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces that a detector found in one frame, as reference boxes (`faces.reference`).

    Attributes:
        boxes_xyxy: shape (n, 4), float32, pixels of the frame, x1, y1, x2, y2; may reach beyond the border.
        scores: shape (n,), float32, in [0, 1].
        keypoints: shape (n, 4, 2), float32, x and y in pixels, in the order of `KEYPOINTS`.
    """

    boxes_xyxy: FloatArray
    scores: FloatArray
    keypoints: FloatArray

    def __post_init__(self) -> None:
        n = len(self.scores)
        expected = {"boxes_xyxy": (n, 4), "scores": (n,), "keypoints": (n, len(KEYPOINTS), 2)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                raise ShapeError(f"{name} must be float32 of shape {shape}, got {array.dtype} of {array.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Return zero faces."""
        return cls(
            np.empty((0, 4), np.float32),
            np.empty(0, np.float32),
            np.empty((0, len(KEYPOINTS), 2), np.float32),
        )

    def take(self, rows: NDArray[np.intp] | list[int]) -> Detections:
        """Return the detections with these row numbers, in this order."""
        picked = np.asarray(rows, dtype=np.intp)
        return Detections(self.boxes_xyxy[picked], self.scores[picked], self.keypoints[picked])


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one frame.

    Attributes:
        box_xyxy: shape (4,), float32, the reference box in pixels of the frame.
        score: the detector's score in [0, 1], the last detection's where the box was propagated.
        keypoints: shape (4, 2), float32, pixels, in the order of `KEYPOINTS`.
        track_id: the track it belongs to, from 1; None in an independent image.
        is_detected: False where the box was propagated from earlier frames.
        look: shape (`faces.appearance.LOOK_LENGTH`,), what its track has looked like so far; None without a track.
    """

    box_xyxy: FloatArray
    score: float
    keypoints: FloatArray = field(repr=False)
    track_id: int | None = None
    is_detected: bool = True
    look: NDArray[np.float64] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CropPolicy:
    """How a backbone wants a face cut out, relative to the reference box (`faces.reference`).

    Attributes:
        margin: how much wider and higher than the reference box the crop is, in parts of the box: 0.2 adds a
            tenth on each side. May be negative.
        square: the crop is a square on the longer side; else it keeps the box's proportions.
        top: added above the reference box before anything else, in parts of its height: the forehead, for networks
            that learned from boxes which reach higher.
    """

    margin: float = 0.0
    square: bool = True
    top: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FaceFeatures:
    """What a backbone says of n crops, one row each.

    Attributes:
        embedding: shape (n, D), float32.
        logits: shape (n, K), float32, expression logits in the order of the backbone's labels; K may be 0.
        valence: shape (n,), float32, nominally in [-1, 1]; None where the backbone has no such output.
        arousal: likewise.
        au_logits: shape (n, U), float32, logits in the order of the backbone's action units; None without.
    """

    embedding: FloatArray
    logits: FloatArray
    valence: FloatArray | None = None
    arousal: FloatArray | None = None
    au_logits: FloatArray | None = None
