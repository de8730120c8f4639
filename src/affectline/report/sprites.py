"""Small pictures with soft edges, drawn once and pasted onto many frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from affectline.records import UInt8Array
from affectline.report.colours import RGB

SMOOTHING = 4
"""Shapes are drawn this many times larger and then reduced: Pillow draws shapes without soft edges."""

CACHED_SPRITES = 1024
"""A label, its percentage and its track are one sprite; the most recent ones are kept."""

RGBA = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A small picture, ready to be pasted.

    Attributes:
        colour: shape (height, width, 3), uint16, RGB times alpha, in [0, 255 * 255].
        transparency: shape (height, width, 1), uint16, 255 - alpha.
    """

    colour: NDArray[np.uint16]
    transparency: NDArray[np.uint16]

    @classmethod
    def from_image(cls, image: Image.Image) -> Sprite:
        """Return the sprite of an RGBA image."""
        rgba = np.asarray(image.convert("RGBA"), dtype=np.uint16)
        alpha = rgba[:, :, 3:]
        return cls(rgba[:, :, :3] * alpha, 255 - alpha)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.colour.shape[1], self.colour.shape[0]

    def paste(self, rgb: UInt8Array, x: int, y: int) -> None:
        """Blend the sprite into a frame with its top left corner at (x, y); what lies outside is cut off."""
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + self.size_wh[0], rgb.shape[1]), min(y + self.size_wh[1], rgb.shape[0])
        if left >= right or top >= bottom:
            return
        part = np.s_[top - y : bottom - y, left - x : right - x]
        below = rgb[top:bottom, left:right]
        # 255 * 255 + 127 fits into 16 bits.
        below[:] = (below * self.transparency[part] + self.colour[part] + 127) // 255


@lru_cache(maxsize=CACHED_SPRITES)
def tag(parts: tuple[tuple[str, RGB, RGB], ...], text_px: int, opacity: int = 255) -> Sprite:
    """Return words in a row, each on its own ground, with rounded outer corners.

    Args:
        parts: word, ground and ink of each.
        text_px: the size of the letters in pixels.
        opacity: of the ground, in [0, 255].
    """
    font, pad = _font(text_px), max(2, round(text_px * 0.4))
    widths = [round(font.getlength(word)) + 2 * pad for word, _, _ in parts]
    height = round(text_px * 1.5)
    image = Image.new("RGBA", (sum(widths), height))
    draw = ImageDraw.Draw(image)
    x = 0
    for (word, ground, ink), width in zip(parts, widths, strict=True):
        draw.rectangle((x, 0, x + width - 1, height - 1), fill=(*ground, opacity))
        draw.text((x + pad, height / 2), word, font=font, fill=(*ink, 255), anchor="lm")
        x += width
    corners = panel(image.width, height, (0, 0, 0, 255), height // 5)
    image.putalpha(Image.fromarray(np.minimum(np.asarray(image)[:, :, 3], np.asarray(corners)[:, :, 3])))
    return Sprite.from_image(image)


@lru_cache(maxsize=CACHED_SPRITES)
def text(word: str, text_px: int, ink: RGB = (255, 255, 255)) -> Sprite:
    """Return a word as a sprite; arguments as `text_image`."""
    return Sprite.from_image(text_image(word, text_px, ink))


def text_image(word: str, text_px: int, ink: RGB = (255, 255, 255)) -> Image.Image:
    """Return a word with a dark outline, so that it can be read on any ground, as an RGBA image."""
    font, line = _font(text_px), max(1, text_px // 10)
    width, height = round(font.getlength(word)) + 2 * line, round(text_px * 1.2) + 2 * line
    image = Image.new("RGBA", (width, height))
    ImageDraw.Draw(image).text(
        (line, height / 2), word, font=font, fill=ink, anchor="lm", stroke_width=line, stroke_fill=(0, 0, 0, 160)
    )
    return image


def panel(width: int, height: int, fill: RGBA, radius: int) -> Image.Image:
    """Return a rectangle with rounded corners and soft edges, as an RGBA image."""
    large = Image.new("RGBA", (width * SMOOTHING, height * SMOOTHING), (*fill[:3], 0))
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * SMOOTHING, fill=fill)
    return large.resize((width, height), Image.Resampling.BOX)


def font_path() -> Path:
    """Return the font of all pictures, the one that comes with matplotlib and that it uses itself."""
    return Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path()), size_px, layout_engine=ImageFont.Layout.BASIC)
