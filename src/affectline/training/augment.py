"""Random changes of a face picture that leave its expression as it is. Each is a function of a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.records import UInt8Array


@dataclass(frozen=True, slots=True)
class AugmentParams:
    """How far pictures are changed. Lengths are shares of the side.

    Attributes:
        flip: probability of a mirror image.
        angle: standard deviation of the turn in the plane, degrees; at most two and a half of it.
        scale: logarithm of the largest factor by which the face becomes larger or smaller.
        aspect: likewise of height against width: a head that nods or turns is seen shortened.
        shear: the largest shear.
        shift: the largest move.
        corner: how far each corner may go on its own: a head turned up to some 30 degrees is seen in perspective.
        light: standard deviation of the logarithms of gamma and contrast, and half its square that of brightness: skin
            from dark to light, lamps and shadows.
        colour: the largest share by which a channel becomes stronger or weaker (colour pictures only).
        grey: probability that a colour picture loses its colours: black-and-white film, infrared cameras.
        coarse: probability of a picture that was smaller or blurred.
        noise: probability of camera noise.
        erase: probability of a covered rectangle: a hand, hair, glasses.
    """

    flip: float = 0.5
    angle: float = 8.0
    scale: float = 0.15
    aspect: float = 0.10
    shear: float = 0.08
    shift: float = 0.06
    corner: float = 0.06
    light: float = 0.25
    colour: float = 0.15
    grey: float = 0.1
    coarse: float = 0.2
    noise: float = 0.2
    erase: float = 0.25


NO_AUGMENTATION = AugmentParams(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def augment(picture: UInt8Array, size: int, params: AugmentParams, rng: np.random.Generator) -> UInt8Array:
    """Return a changed picture of another size.

    Args:
        picture: shape (height, width), grey, or (height, width, 3), RGB; uint8.
        size: of the result: (size, size) or (size, size, 3).
        params: how far.
        rng: the same state gives the same picture.
    """
    view = _view(picture.shape[:2], size, params, rng)
    moved = cv2.warpPerspective(picture, view, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    changed = _relit(np.asarray(moved, np.uint8), params, rng)
    if rng.random() < params.coarse:
        small = max(8, int(size * rng.uniform(0.25, 0.7)))
        coarse = cv2.resize(changed, (small, small), interpolation=cv2.INTER_AREA)
        changed = np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < params.noise:
        noise = rng.normal(0.0, rng.uniform(2.0, 10.0), changed.shape)
        changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    return _covered(changed, rng) if rng.random() < params.erase else changed


def _view(shape: tuple[int, ...], size: int, params: AugmentParams, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the projective map from the picture to the result: the picture's corners, moved."""
    angle = np.deg2rad(np.clip(rng.normal(0.0, 1.0), -2.5, 2.5) * params.angle)
    scale, aspect, shear = np.exp(rng.uniform(-1, 1) * params.scale), rng.uniform(-1, 1), rng.uniform(-1, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(np.exp(np.array([0.5, -0.5]) * aspect * params.aspect)) @ np.array(
        [[1, shear * params.shear], [0, 1]]
    )
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    placed = corners @ (scale * turn @ stretch).T + rng.uniform(-1, 1, 2) * params.shift
    placed += rng.uniform(-1, 1, (4, 2)) * params.corner
    if rng.random() < params.flip:
        placed[:, 0] *= -1
    height, width = shape
    # Pixel centres: a picture of n pixels reaches from -0.5 to n - 0.5.
    given = (corners + 0.5) * [width, height] - 0.5
    wanted = (placed + 0.5) * size - 0.5
    return np.asarray(cv2.getPerspectiveTransform(given.astype(np.float32), wanted.astype(np.float32)))


def _relit(picture: UInt8Array, params: AugmentParams, rng: np.random.Generator) -> UInt8Array:
    gamma, contrast, brightness = rng.normal(0.0, params.light, 3)
    levels = np.linspace(0.0, 1.0, 256) ** np.exp(gamma)
    levels = (levels - 0.5) * np.exp(contrast) + 0.5 + 0.5 * brightness * params.light
    gains = 1.0 + params.colour * rng.uniform(-1, 1, 3)
    tables = np.clip(255 * levels[:, None] * (gains if picture.ndim == 3 else np.ones(1)), 0, 255)  # noqa: PLR2004
    lit = np.asarray(cv2.LUT(picture, tables.astype(np.uint8)[:, None]), np.uint8)
    if picture.ndim == 3 and rng.random() < params.grey:  # noqa: PLR2004 - height, width, channel
        return np.repeat(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return lit


def _covered(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return the picture with a rectangle of 2 to 20 % of it in one colour."""
    size = len(picture)
    area, aspect = rng.uniform(0.02, 0.2), np.exp(rng.uniform(-1.0, 1.0))
    height, width = (int(np.clip(size * np.sqrt(area * factor), 1, size)) for factor in (aspect, 1 / aspect))
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    changed = picture.copy()
    changed[top : top + height, left : left + width] = rng.integers(0, 256, picture.shape[2:], np.uint8)
    return changed
