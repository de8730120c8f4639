"""From the pixels of a face to the input of a network."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from affectline.backbones.spec import BackboneSpec, Colour, Interpolation
from affectline.errors import ShapeError
from affectline.records import FloatArray, UInt8Array

_OPENCV_FLAG: Final = {Interpolation.LINEAR: cv2.INTER_LINEAR, Interpolation.AREA: cv2.INTER_AREA}
_CHANNELS: Final = 3


class Preprocessor:
    """Resizes and normalises crops as one backbone wants them."""

    def __init__(self, spec: BackboneSpec) -> None:
        self._colour = spec.colour
        self._resize = spec.resize
        self._shape = (_CHANNELS, spec.size, spec.size)
        # A pixel has 256 values: looking the result up costs less than computing it, and rounds but once.
        values = np.arange(256) / 255
        self._tables = [
            ((values - mean) / std).astype(np.float32) for mean, std in zip(spec.mean, spec.std, strict=True)
        ]

    def __call__(self, crop_rgb: UInt8Array) -> FloatArray:
        """Return the network's input for one crop.

        Args:
            crop_rgb: shape (height, width, 3), uint8, RGB, at least one pixel.

        Returns:
            Shape (3, S, S), float32, normalised.

        Raises:
            ShapeError: the crop is no such array.
        """
        if crop_rgb.ndim != 3 or crop_rgb.shape[2] != _CHANNELS or not crop_rgb.size:  # noqa: PLR2004 - h, w, channel
            raise ShapeError(f"a crop must have shape (height, width, 3) and some pixels, got {crop_rgb.shape}")
        if crop_rgb.dtype != np.uint8:
            raise ShapeError(f"a crop must be uint8, got {crop_rgb.dtype}")
        planes = np.empty(self._shape, np.float32)
        picture = cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2GRAY) if self._colour is Colour.GREY else crop_rgb
        for step in self._resize:
            picture = cv2.resize(picture, (step.size, step.size), interpolation=_OPENCV_FLAG[step.interpolation])
        for channel, table in enumerate(self._tables):
            pixels = picture if self._colour is Colour.GREY else cv2.extractChannel(picture, channel)
            cv2.LUT(pixels, table, dst=planes[channel])
        return planes
