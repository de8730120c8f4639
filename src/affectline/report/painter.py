"""Draws faces onto frames: box, label, valence and arousal, the strongest action units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from affectline.labels import Status
from affectline.records import UInt8Array
from affectline.report.colours import RGB, expression_rgb, lighten, text_rgb, track_rgb
from affectline.report.marks import STRONGEST, Mark, expression_word
from affectline.report.sprites import SMOOTHING, Sprite, panel, tag, text, text_image

Box = tuple[int, int, int, int]

_SHIFT = 4
"""Binary places that OpenCV gets of a coordinate, so that slow movement does not jump from pixel to pixel."""
_DARK: RGB = (20, 20, 20)
_GROUND = (16, 18, 22, 165)
_WHITE: RGB = (255, 255, 255)
_SMALL_FACE = 60
"""In a picture of 360 lines: lower faces get a smaller label and no card."""


class Painter:
    """Draws onto frames of one size.

    Args:
        size_wh: width and height of the frames in pixels. Lines and letters grow with the shorter side, if
            more slowly.
    """

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self._width, self._height = size_wh
        # Slower than the picture: what can be read at 360 lines needs less of the picture at 1080.
        self._unit: float = min(max((min(size_wh) / 360) ** 0.75, 0.5), 4.0)
        self._card = _Card(self._unit)
        self._sides: dict[int, int] = {}
        self._label_sides: dict[int, int] = {}

    def draw(self, rgb: UInt8Array, marks: Sequence[Mark]) -> None:
        """Draw faces onto a frame, in place.

        Args:
            rgb: shape (height, width, 3), uint8, RGB, contiguous.
            marks: the faces, with boxes in pixels of this frame.
        """
        boxes = [_rounded(mark.box_xyxy) for mark in marks]
        for mark in marks:
            self._draw_box(rgb, mark)
        # Large faces choose first where their label and their card go.
        by_size = sorted(range(len(marks)), key=lambda n: boxes[n][1] - boxes[n][3])
        taken: list[Box] = []
        for number in by_size:
            others = boxes[:number] + boxes[number + 1 :] + taken
            taken.append(self._draw_label(rgb, marks[number], boxes[number], others))
        for number in by_size:
            others = boxes[:number] + boxes[number + 1 :] + taken
            place = self._card_place(marks[number], boxes[number], others)
            if place is not None:
                self._card.draw(rgb, place, marks[number])
                taken.append((*place, place[0] + self._card.width, place[1] + self._card.height))

    def _px(self, units: float) -> int:
        return max(1, round(units * self._unit))

    def _draw_box(self, rgb: UInt8Array, mark: Mark) -> None:
        colour = _colour(mark)
        thin, thick = self._px(1), self._px(2)
        thickness = thin if mark.status is Status.LOW_QUALITY else thick
        lines = _sides(mark.box_xyxy)
        if mark.status is Status.INTERPOLATED:
            lines = [dash for line in lines for dash in _dashes(line, 7 * self._unit)]
        points = [np.rint(np.array(line) * 2**_SHIFT).astype(np.int32) for line in lines]
        for shade, width in ((_DARK, thickness + 2), (colour, thickness)):
            cv2.polylines(rgb, points, False, shade, width, cv2.LINE_AA, _SHIFT)

    def _draw_label(self, rgb: UInt8Array, mark: Mark, box: Box, others: list[Box]) -> Box:
        """Draw a face's label, away from other faces and labels where that can be, and return its place."""
        is_small = box[3] - box[1] < self._px(_SMALL_FACE)
        word = (mark.expression or "face") if is_small else expression_word(mark)
        colour = _colour(mark)
        parts = [(word, colour, text_rgb(colour))]
        if mark.track_id is not None:
            parts.insert(0, (str(mark.track_id), track_rgb(mark.track_id), _WHITE))
        sprite = tag(tuple(parts), max(7, self._px(9 if is_small else 13)))
        width, height = sprite.size_wh
        places = list(self._label_places(box, sprite.size_wh))
        last = self._label_sides.get(mark.track_id or 0, 0)
        sides = sorted(range(len(places)), key=lambda n: n != last)
        side = next((n for n in sides if self._is_free(places[n], sprite.size_wh, others)), 0)
        self._label_sides[mark.track_id or 0] = side
        x, y = places[side]
        sprite.paste(rgb, x, y)
        return x, y, x + width, y + height

    def _label_places(self, box: Box, size_wh: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Return where a label may go, the usual place first: above the box, else below, from its left or right."""
        width, height = size_wh
        gap, most = self._px(1), max(self._height - height, 0)
        above = box[1] - height - gap
        top = above if above >= 0 else max(box[1] + self._px(2), 0)
        for y in (min(top, most), min(max(box[3] + gap, 0), most)):
            for x in (box[0] - gap, box[2] + gap - width):
                yield max(min(max(x, 0), self._width - width), 0), y

    def _card_place(self, mark: Mark, box: Box, others: list[Box]) -> tuple[int, int] | None:
        """Return where a face's card goes: beside it, where it was last if that is free; else inside a large box."""
        if box[3] - box[1] < self._px(_SMALL_FACE) or not math.isfinite(mark.valence + mark.arousal):
            return None
        places = list(self._places_beside(box))
        last = self._sides.get(mark.track_id or 0, 0)
        for side in sorted(range(len(places)), key=lambda n: n != last):
            if self._is_free(places[side], self._card.size_wh, others):
                self._sides[mark.track_id or 0] = side
                return places[side]
        inside = (
            min(box[2], self._width) - self._card.width - self._px(4),
            min(box[3], self._height) - self._card.height - self._px(4),
        )
        has_room = inside[0] - box[0] > 1.2 * self._card.width and inside[1] - box[1] > 1.2 * self._card.height
        return inside if has_room and self._is_free(inside, self._card.size_wh, others) else None

    def _places_beside(self, box: Box) -> Iterator[tuple[int, int]]:
        gap = self._px(6)
        low, high = self._px(2), self._height - self._card.height - self._px(2)
        y = min(max(box[1], low), max(high, low))
        yield box[2] + gap, y
        yield box[0] - gap - self._card.width, y
        x = min(max(box[0], low), max(self._width - self._card.width - low, low))
        yield x, box[3] + gap

    def _is_free(self, place: tuple[int, int], size_wh: tuple[int, int], others: list[Box]) -> bool:
        x1, y1 = place
        x2, y2 = x1 + size_wh[0], y1 + size_wh[1]
        if x1 < 0 or y1 < 0 or x2 > self._width or y2 > self._height:
            return False
        return not any(x1 < box[2] and box[0] < x2 and y1 < box[3] and box[1] < y2 for box in others)


class _Card:
    """The gauge of valence and arousal, with the bars of the strongest action units below it."""

    def __init__(self, unit: float) -> None:
        self._unit = unit
        self.width = round(68 * unit)
        self._gauge_height = self.width
        self._row_height = round(11 * unit)
        self.height = self._gauge_height + STRONGEST * self._row_height + round(4 * unit)
        self.size_wh = self.width, self.height
        self._radius = 24 * unit
        self._bare = self._ground(self._gauge_height)
        self._full = self._ground(self.height)

    def draw(self, rgb: UInt8Array, place: tuple[int, int], mark: Mark) -> None:
        """Draw the card with its top left corner at a place in pixels."""
        x, y = place
        (self._full if mark.action_units else self._bare).paste(rgb, x, y)
        middle = np.array([x + self.width / 2, y + self._gauge_height / 2])
        dot = middle + self._radius * np.array([mark.valence, -mark.arousal])
        centre = tuple(int(value) for value in np.rint(dot * 2**_SHIFT))
        for shade, radius in ((_WHITE, 4.5), (_colour(mark), 3.4)):
            size = round(radius * self._unit * 2**_SHIFT)
            cv2.circle(rgb, (centre[0], centre[1]), size, shade, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        for row, (action_unit, value) in enumerate(mark.action_units):
            top = y + self._gauge_height + row * self._row_height
            self._draw_bar(rgb, (x, top), action_unit.value, value)

    def _draw_bar(self, rgb: UInt8Array, place: tuple[int, int], word: str, value: float) -> None:
        x, y = place
        unit = self._unit
        name = text(word, max(6, round(9 * unit)))
        middle = y + self._row_height // 2
        name.paste(rgb, x + round(5 * unit), middle - name.size_wh[1] // 2)
        left, right, half = x + round(34 * unit), x + self.width - round(6 * unit), max(1, round(2.2 * unit))
        filled = left + round((right - left) * min(max(value, 0.0), 1.0))
        rgb[middle - half : middle + half, left:right] = 90
        rgb[middle - half : middle + half, left:filled] = 235

    def _ground(self, height: int) -> Sprite:
        """Return the parts that never change: panel, circle, axes, letters."""
        unit = self._unit
        image = panel(self.width, height, _GROUND, round(5 * unit))
        side = self.width * SMOOTHING
        gauge = Image.new("RGBA", (side, self._gauge_height * SMOOTHING), (255, 255, 255, 0))
        draw = ImageDraw.Draw(gauge)
        middle, radius, line = side / 2, self._radius * SMOOTHING, max(SMOOTHING, round(SMOOTHING * unit))
        ends = (middle - radius, middle + radius)
        draw.ellipse((ends[0], ends[0], ends[1], ends[1]), outline=(255, 255, 255, 190), width=line)
        draw.line((ends[0], middle, ends[1], middle), fill=(255, 255, 255, 120), width=line)
        draw.line((middle, ends[0], middle, ends[1]), fill=(255, 255, 255, 120), width=line)
        image.alpha_composite(gauge.resize((self.width, self._gauge_height), Image.Resampling.BOX))
        for letter, x, y in (("V", middle + radius, middle), ("A", middle, middle - radius)):
            name = text_image(letter, max(6, round(8 * unit)))
            place = round(x / SMOOTHING - name.width * 0.3), round(y / SMOOTHING - name.height * 0.9)
            image.alpha_composite(name, (min(place[0], self.width - name.width), max(place[1], 0)))
        return Sprite.from_image(image)


def _colour(mark: Mark) -> RGB:
    colour = expression_rgb(mark.expression)
    return lighten(colour, 0.5) if mark.status is Status.INTERPOLATED else colour


def _rounded(box_xyxy: tuple[float, float, float, float]) -> Box:
    x1, y1, x2, y2 = (round(value) for value in box_xyxy)
    return x1, y1, x2, y2


Line = list[tuple[float, float]]


def _sides(box_xyxy: tuple[float, float, float, float]) -> list[Line]:
    x1, y1, x2, y2 = box_xyxy
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    return [[corners[k], corners[(k + 1) % 4]] for k in range(4)]


def _dashes(line: Line, length: float) -> list[Line]:
    """Return a line's dashes, about `length` pixels long, with gaps as long; both ends are dashes."""
    (x1, y1), (x2, y2) = line
    pieces = 2 * max(1, round(math.hypot(x2 - x1, y2 - y1) / length / 2)) + 1
    at = [(x1 + (x2 - x1) * k / pieces, y1 + (y2 - y1) * k / pieces) for k in range(pieces + 1)]
    return [[at[k], at[k + 1]] for k in range(0, pieces, 2)]
