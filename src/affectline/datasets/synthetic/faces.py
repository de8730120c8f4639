"""Small drawn faces whose geometry shows the evidence, so that a network can learn to read it from pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.records import FloatArray, UInt8Array

Point = NDArray[np.float64]

SIZE: Final = 112
"""Height and width of the pictures, pixels."""

ALIGNED_SIZE: Final = 36
"""The harder pictures lose what is finer than this many pixels across."""

_SHIFT: Final = 4
_SCALE: Final = 2**_SHIFT
"""OpenCV draws with whole coordinates; shifted by 4 bits they are sixteenths of a pixel."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Subject:
    """How one person looks.

    Attributes:
        skin, background: RGB.
        light: brightness of the picture, about 1.
        face_width: half the width of the face, pixels.
    """

    skin: Colour
    background: Colour
    light: float
    face_width: float


def make_subject(rng: np.random.Generator) -> Subject:
    """Return a person: skin from dark to light, any background."""
    depth = rng.uniform(0.25, 1.0)
    skin = tuple(int(channel) for channel in np.array([238, 196, 164]) * depth)
    background = tuple(int(channel) for channel in rng.integers(20, 230, 3))
    return Subject(skin, background, float(rng.uniform(0.75, 1.15)), float(rng.uniform(34, 42)))  # type: ignore[arg-type]  # three channels each


def draw_face(evidence: FloatArray, subject: Subject, rng: np.random.Generator) -> UInt8Array:
    """Return a picture, shape (112, 112, 3), uint8, RGB.

    Args:
        evidence: shape (20,): 0 bends the mouth, 1 opens the eyes, 2 to 7 tilt, shift and scale parts, 8 to 19 move
            what their action unit moves (brows, lids, cheeks, nose, lips, jaw).
        subject: how the person looks.
        rng: for the pose and the noise of the camera.
    """
    e = np.clip(evidence.astype(np.float64), -4.0, 4.0)
    picture = np.full((SIZE, SIZE, 3), subject.background, np.uint8)
    centre = np.array([56.0, 58.0]) + rng.normal(0, 1.0, 2)
    ink: Colour = tuple(channel // 4 for channel in subject.skin)  # type: ignore[assignment]  # three channels
    _ellipse(picture, centre, (subject.face_width, 46 + 1.2 * e[19]), subject.skin, -1)
    _eyes(picture, centre, e, ink)
    _brows(picture, centre, e, ink)
    _nose(picture, centre, e, ink)
    _mouth(picture, centre, e, ink)
    noisy = picture * subject.light + rng.normal(0, 4.0, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def degrade(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return the harder picture: moved, scaled, blurred by a lower resolution, with more noise."""
    scale = rng.uniform(0.9, 1.15)
    shift = rng.normal(0, 2.5, 2) + (1 - scale) * SIZE / 2
    moved = cv2.warpAffine(
        picture, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE
    )
    small = cv2.resize(moved, (ALIGNED_SIZE, ALIGNED_SIZE), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(back + rng.normal(0, 9.0, back.shape), 0, 255), np.uint8)


def _eyes(picture: UInt8Array, centre: Point, e: Point, ink: Colour) -> None:
    for side in (-1, 1):
        place = _moved(centre, *(side * (16 + 0.8 * e[2]), -10 + 0.8 * e[3]))
        # AU7 tightens the lids, arousal opens the eye.
        _ellipse(picture, place, (7.0, max(4.0 + 0.9 * e[1] - 0.9 * e[12], 0.8)), (245, 245, 245), -1)
        _ellipse(picture, _moved(place, *(0.8 * e[4], 0)), (2.6, 2.6), ink, -1)
        # AU6 raises the cheek: a line below the eye.
        cheek = _moved(place, *(0, 11 - 1.3 * e[11]))
        _ellipse(picture, cheek, (7.0, 2.5), ink, 1, (190, 350))


def _brows(picture: UInt8Array, centre: Point, e: Point, ink: Colour) -> None:
    for side in (-1, 1):
        # AU1 raises the inner end, AU2 the outer one, AU4 lowers and draws in both.
        inner = _moved(centre, *(side * (9 - 0.9 * e[10]), -21 - 1.8 * e[8] + 1.2 * e[10]))
        outer = _moved(centre, *(side * 24, -21 - 1.8 * e[9] + 0.5 * e[10] + 0.6 * side * e[5]))
        _line(picture, inner, outer, ink, 3)


def _nose(picture: UInt8Array, centre: Point, e: Point, ink: Colour) -> None:
    # AU10 raises the upper lip: the wings of the nose go up.
    tip = _moved(centre, *(0.7 * e[6], 8 - 1.4 * e[13]))
    _line(picture, _moved(centre, *(0, -6)), tip, ink, 1)
    _line(picture, _moved(tip, *(-5, 0)), _moved(tip, *(5, 0)), ink, 2)


def _mouth(picture: UInt8Array, centre: Point, e: Point, ink: Colour) -> None:
    place = _moved(centre, *(0.7 * e[7], 25))
    # AU12 and AU15 pull the corners up and down, AU23 makes the mouth narrow, AU24 presses it, AU25 and AU26 open it.
    corner = 1.6 * e[0] + 1.6 * e[14] - 1.6 * e[15]
    half = 14 - 1.3 * e[16]
    opening = max(3.0 + 1.5 * e[18] + 1.0 * e[19] - 0.8 * e[17], 0.0)
    xs = np.linspace(-1, 1, 15)
    middle = corner * (0.5 - xs**2)
    lips = opening * (1 - xs**2)
    upper = place + np.stack([half * xs, middle - lips / 2], axis=1)
    lower = place + np.stack([half * xs, middle + lips / 2 + 0.3], axis=1)
    outline = np.round(np.concatenate([upper, lower[::-1]]) * _SCALE).astype(np.int32)
    cv2.fillPoly(picture, [outline], (110, 30, 40), cv2.LINE_AA, _SHIFT)
    thickness = 1 if e[17] > 0.8 else 2  # noqa: PLR2004 - pressed lips are thin
    cv2.polylines(picture, [outline], isClosed=True, color=ink, thickness=thickness, lineType=cv2.LINE_AA, shift=_SHIFT)


def _moved(place: Point, right: float, down: float) -> Point:
    return np.asarray(place + np.array([right, down]))


def _ellipse(
    picture: UInt8Array,
    centre: Point,
    axes: tuple[float, float],
    colour: Colour,
    thickness: int,
    angles: tuple[float, float] = (0, 360),
) -> None:
    place = (round(centre[0] * _SCALE), round(centre[1] * _SCALE))
    size = (round(axes[0] * _SCALE), round(axes[1] * _SCALE))
    cv2.ellipse(picture, place, size, 0, *angles, colour, thickness, cv2.LINE_AA, _SHIFT)


def _line(picture: UInt8Array, start: Point, end: Point, colour: Colour, thickness: int) -> None:
    first, second = ((round(x * _SCALE), round(y * _SCALE)) for x, y in (start, end))
    cv2.line(picture, first, second, colour, thickness, cv2.LINE_AA, _SHIFT)
