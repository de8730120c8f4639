from __future__ import annotations

import numpy as np
import pytest

from affectline.faces.views import PARTS, FrameViews, shrink

CELL = 16


def ramp(height: int, width: int) -> np.ndarray:
    """A picture that grows brighter from 50 at the left to 250 at the right in red, and downwards in green."""
    red, green = np.broadcast_arrays(np.linspace(50, 250, width), np.linspace(50, 250, height)[:, None])
    return np.stack([red, green, np.full((height, width), 50.0)], axis=-1).round().astype(np.uint8)


def column_of(value: float, width: int) -> float:
    """The position in pixels at which the ramp has this red."""
    return (value - 50) / 200 * (width - 1) + 0.5


def test_shrink_keeps_small_frames_and_proportions_of_large_ones() -> None:
    picture = ramp(100, 200)
    assert shrink(picture, 200) is picture
    assert shrink(picture, 100).shape == (50, 100, 3)
    assert shrink(ramp(1, 4000), 640).shape == (1, 640, 3)


def test_whole_is_padded_to_cells_and_maps_back() -> None:
    view = FrameViews(ramp(300, 500), 256, CELL).whole(256)
    assert view.rgb.shape == (160, 256, 3)
    # 300 x 500 becomes 154 x 256: the first row is there four times, then the ramp begins.
    assert (view.rgb[:4] == view.rgb[3]).all()
    assert (view.rgb[6, :, 1] > view.rgb[3, :, 1]).all()
    np.testing.assert_allclose(view.to_frame(np.array([[0, 3], [256, 157]])), [[0, 0], [500, 300]], atol=1e-3)


def test_square_whole_scales_a_tiny_frame_up() -> None:
    view = FrameViews(ramp(10, 20), 640, CELL).square_whole(128)
    assert view.rgb.shape == (128, 128, 3)
    np.testing.assert_allclose(view.to_frame(np.array([[0, 32], [128, 96]])), [[0, 0], [20, 10]], atol=1e-4)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (360, 640), (20, 300), (300, 20), (500, 500)])
def test_parts_cover_the_frame_in_whole_cells(size: tuple[int, int]) -> None:
    views = FrameViews(ramp(*size), 640, CELL)
    seen = np.zeros(size, bool)
    for number in range(PARTS):
        view = views.part(number)
        height, width = view.rgb.shape[:2]
        assert height % CELL == width % CELL == 0
        (x1, y1), (x2, y2) = view.to_frame(np.array([[0, 0], [width, height]])).round().astype(int)
        seen[max(y1, 0) : y2, max(x1, 0) : x2] = True
    assert seen.all()


def test_parts_show_what_they_say_they_show() -> None:
    views = FrameViews(ramp(720, 1280), 640, CELL)
    for number in range(PARTS):
        view = views.part(number)
        where = view.to_frame(np.array([100.5, 50.5]))
        assert column_of(float(view.rgb[50, 100, 0]), 1280) == pytest.approx(where[0], abs=8)


@pytest.mark.parametrize("side", [60.0, 400.0])
def test_close_up_shows_what_it_says_it_shows(side: float) -> None:
    view = FrameViews(ramp(720, 1280), 640, CELL).close_up(np.array([700, 300], np.float32), side, 128)
    assert view.rgb.shape == (128, 128, 3)
    np.testing.assert_allclose(view.to_frame(np.array([64, 64])), [700, 300], atol=1.5)
    assert view.scale_xy * 128 == pytest.approx([side, side], abs=2)
    # A step of the ramp is 6 pixels.
    assert column_of(float(view.rgb[64, 64, 0]), 1280) == pytest.approx(700, abs=8)


def test_close_up_repeats_the_border_and_is_black_where_nothing_of_the_frame_is() -> None:
    views = FrameViews(ramp(100, 100), 640, CELL)
    half = views.close_up(np.array([0, 50], np.float32), 80, 128).rgb
    assert (half[:, :60, 0] == 50).all()
    assert half[0, 127, 0] == pytest.approx(50 + 200 * 40 / 100, abs=3)
    assert views.close_up(np.array([-500, 50], np.float32), 80, 128).rgb.max() == 0
