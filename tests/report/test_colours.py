from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from affectline.labels import UNCERTAIN, Expression
from affectline.report.colours import (
    EXPRESSION_RGB,
    RGB,
    UNCERTAIN_RGB,
    expression_rgb,
    lighten,
    text_rgb,
    to_unit,
    track_rgb,
)

# Machado, Oliveira and Fernandes 2009, IEEE TVCG 15, 1291: full severity, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip


def linear(rgb: RGB) -> np.ndarray:
    part = np.array(rgb) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: RGB, vision: np.ndarray) -> np.ndarray:
    """Return a colour in CIELAB (D65) as somebody with that vision sees it."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(vision @ linear(rgb), 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION.values(), ids=VISION)
def test_expressions_differ_for_colour_blind_readers(vision: np.ndarray) -> None:
    differences = [
        np.linalg.norm(lab(one, vision) - lab(other, vision)) for one, other in combinations(EXPRESSION_RGB.values(), 2)
    ]
    assert min(differences) > 15  # 2.3 can just be told apart side by side


def test_every_expression_has_a_colour() -> None:
    assert set(EXPRESSION_RGB) == set(Expression)
    assert expression_rgb("Happiness") == EXPRESSION_RGB[Expression.HAPPINESS]


@pytest.mark.parametrize("word", [UNCERTAIN, None])
def test_undecided_rows_have_a_colour_of_their_own(word: str | None) -> None:
    assert expression_rgb(word) == UNCERTAIN_RGB
    assert UNCERTAIN_RGB not in EXPRESSION_RGB.values()


def test_an_unknown_expression_is_an_error() -> None:
    with pytest.raises(ValueError, match="Boredom"):
        expression_rgb("Boredom")


def test_text_contrasts_with_every_ground() -> None:
    for ground in [*EXPRESSION_RGB.values(), UNCERTAIN_RGB, (0, 0, 0), (255, 255, 255)]:
        luminances = sorted(np.array([0.2126, 0.7152, 0.0722]) @ linear(rgb) for rgb in (ground, text_rgb(ground)))
        assert (luminances[1] + 0.05) / (luminances[0] + 0.05) >= 4.5


def test_white_letters_can_be_read_on_every_track_colour() -> None:
    colours = {track_rgb(number) for number in range(1, 9)}
    assert len(colours) == 8
    assert track_rgb(9) == track_rgb(1)
    assert {text_rgb(colour) for colour in colours} == {(255, 255, 255)}


def test_lighten_moves_towards_white() -> None:
    assert lighten((0, 100, 255), 0.5) == (128, 178, 255)
    assert lighten((0, 100, 255), 0.0) == (0, 100, 255)
    assert to_unit((0, 51, 255)) == (0, 0.2, 1)
