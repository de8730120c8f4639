from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.errors import ShapeError
from affectline.faces.crops import crop_face
from affectline.records import CropPolicy

TIGHT = CropPolicy(margin=0.0, square=False)
SQUARE = CropPolicy(margin=0.0, square=True)


def ramp(height: int, width: int) -> np.ndarray:
    """A picture whose red is the column, green the row and blue 7."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([columns, rows, np.full_like(rows, 7)], axis=-1)


def box(*edges: float) -> np.ndarray:
    return np.array(edges, np.float32)


def test_inside_box_gives_its_own_pixels() -> None:
    crop = crop_face(ramp(40, 60), box(10, 5, 20, 12), TIGHT)
    np.testing.assert_array_equal(crop, ramp(40, 60)[5:12, 10:20])
    assert crop.flags.c_contiguous


def test_crop_does_not_share_memory() -> None:
    picture = ramp(10, 10)
    crop_face(picture, box(0, 0, 10, 10), TIGHT)[:] = 99
    assert picture.max() == 9


def test_top_is_added_above_the_box_only() -> None:
    crop = crop_face(ramp(60, 60), box(20, 20, 30, 40), CropPolicy(square=False, top=0.25))
    assert np.array_equal(crop, ramp(60, 60)[15:40, 20:30])


def test_square_is_on_the_longer_side_about_the_same_centre() -> None:
    # 10 x 20 about (30, 30): 20 x 20 from (20, 20).
    crop = crop_face(ramp(60, 60), box(25, 20, 35, 40), SQUARE)
    np.testing.assert_array_equal(crop, ramp(60, 60)[20:40, 20:40])


def test_margin_adds_half_of_itself_on_each_side() -> None:
    crop = crop_face(ramp(60, 60), box(20, 20, 30, 40), CropPolicy(margin=0.2, square=False))
    np.testing.assert_array_equal(crop, ramp(60, 60)[18:42, 19:31])


def test_negative_margin_cuts_into_the_face() -> None:
    crop = crop_face(ramp(60, 60), box(20, 20, 30, 40), CropPolicy(margin=-0.4, square=False))
    np.testing.assert_array_equal(crop, ramp(60, 60)[24:36, 22:28])


def test_border_is_repeated() -> None:
    crop = crop_face(ramp(8, 8), box(-2, 6, 2, 10), TIGHT)
    assert crop[:, :, 0].tolist() == [[0, 0, 0, 1]] * 4
    assert crop[:, :, 1].tolist() == [[6] * 4, [7] * 4, [7] * 4, [7] * 4]


@pytest.mark.parametrize(
    ("edges", "pixel"),
    [((-50, -50, -40, -40), (0, 0, 7)), ((100, 2, 104, 3), (9, 2, 7)), ((3, 900, 4, 904), (3, 9, 7))],
)
def test_box_outside_shows_the_nearest_pixels(edges: tuple[float, ...], pixel: tuple[int, ...]) -> None:
    crop = crop_face(ramp(10, 10), box(*edges), TIGHT)
    assert crop.shape == (round(edges[3] - edges[1]), round(edges[2] - edges[0]), 3)
    assert np.unique(crop.reshape(-1, 3), axis=0).tolist() == [list(pixel)]


def test_empty_box_is_one_pixel() -> None:
    assert crop_face(ramp(10, 10), box(4.5, 6.5, 4.5, 6.5), SQUARE).tolist() == [[[4, 6, 7]]]


def test_one_pixel_frame() -> None:
    assert crop_face(ramp(1, 1), box(-3, -3, 3, 3), SQUARE).shape == (6, 6, 3)


def test_halves_are_rounded_up_so_that_a_moving_face_does_not_jitter() -> None:
    lefts = [int(crop_face(ramp(40, 40), box(x, 0, x + 4, 4), TIGHT)[0, 0, 0]) for x in (0.5, 1.5, 2.5, 3.4)]
    assert lefts == [1, 2, 3, 3]


finite = st.floats(-300, 300, width=32)


@given(finite, finite, st.floats(0, 200, width=32), st.floats(0, 200, width=32), st.floats(-0.9, 2), st.booleans())
def test_every_box_gives_the_nearest_pixels(
    x: float, y: float, width: float, height: float, margin: float, square: bool
) -> None:
    edges = box(x, y, x + width, y + height)
    crop = crop_face(ramp(30, 50), edges, CropPolicy(margin, square))
    rows, columns = crop.shape[:2]
    if square:
        assert rows == columns
    wanted = np.array((width, height)) * (1 + margin)
    wanted = np.maximum(1, wanted.max() if square else wanted)
    assert np.abs(np.array((columns, rows)) - wanted).max() <= 0.51
    # Where the crop's first pixel must lie, to half a pixel of rounding for the size and half for the place.
    centre = (edges[:2] + edges[2:]) / 2
    for axis, (length, limit) in enumerate(((columns, 49), (rows, 29))):
        first = crop[0, 0, axis]
        start = centre[axis] - length / 2
        assert np.clip(np.floor(start - 0.01), 0, limit) <= first <= np.clip(np.ceil(start + 0.01), 0, limit)
        assert np.abs(np.diff(crop.take(0, axis=axis)[:, axis].astype(int))).max(initial=0) <= 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(ShapeError, match="four finite numbers"):
        crop_face(ramp(5, 5), box(0, bad, 3, 3), SQUARE)


def test_a_box_of_another_shape_is_an_error() -> None:
    with pytest.raises(ShapeError, match="four finite numbers"):
        crop_face(ramp(5, 5), box(0, 1, 2), SQUARE)


@pytest.mark.parametrize(
    "picture", [np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_a_picture_that_is_not_rgb_is_an_error(picture: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="a frame must be uint8 of shape"):
        crop_face(picture, box(0, 0, 3, 3), SQUARE)
