"""The regions that the landmark network looks at."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.faces.mesh import LEFT_EYE_OUTER_CORNER, MESH_POINTS, RIGHT_EYE_OUTER_CORNER
from affectline.faces.regions import Region, region_of_box, region_of_detection, region_of_points

LEVEL_EYES = np.float32([[40, 50], [60, 50], [50, 60], [50, 70]])


def turned(points: np.ndarray, center: tuple[float, float], angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return (points - center) @ np.array([[cos, sin], [-sin, cos]]) + center


def mesh_filling(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    """A mesh whose tight box is the given one and whose eyes are level."""
    points = np.full((MESH_POINTS, 3), 0, np.float32)
    points[:, 0], points[:, 1] = (x1 + x2) / 2, (y1 + y2) / 2
    points[0, :2], points[1, :2] = (x1, y1), (x2, y2)
    points[RIGHT_EYE_OUTER_CORNER, 0] -= 10
    points[LEFT_EYE_OUTER_CORNER, 0] += 10
    return points


class TestRegion:
    def test_matrix_of_an_upright_region_scales_and_moves(self) -> None:
        # Side 100 around (200, 80) on 50 pixels: 2 frame pixels for each, from (150, 30).
        assert Region(200, 80, 100, 0).matrix(50) == pytest.approx(np.array([[2, 0, 150], [0, 2, 30]]))

    def test_matrix_of_a_region_turned_by_a_quarter(self) -> None:
        # The crop's x axis runs down the frame, its y axis to the left; so its origin is the top right corner.
        matrix = Region(200, 80, 100, math.pi / 2).matrix(50)
        assert matrix == pytest.approx(np.array([[0, -2, 250], [2, 0, 30]]))

    @given(
        st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(1, 1e4), st.floats(-math.pi, math.pi), st.integers(1, 512)
    )
    def test_middle_of_the_crop_is_the_centre(self, x: float, y: float, side: float, angle: float, size: int) -> None:
        middle = Region(x, y, side, angle).matrix(size) @ [size / 2, size / 2, 1]
        assert middle == pytest.approx([x, y], abs=1e-6)

    def test_cut_takes_the_pixels_of_an_unscaled_region(self) -> None:
        rgb = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        assert np.array_equal(Region(30, 20, 16, 0).cut(rgb, 16), rgb[12:28, 22:38])

    def test_cut_turns_with_the_head(self) -> None:
        rgb = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        crop = Region(20, 20, 16, math.pi / 2).cut(rgb, 16)
        # Crop (x, y) is frame (28 - y, 12 + x).
        assert np.array_equal(crop[3, 5], rgb[17, 25])

    def test_cut_replicates_the_border_unless_told_otherwise(self) -> None:
        rgb = np.full((10, 10, 3), 200, np.uint8)
        outside = Region(0, 0, 20, 0)
        assert (outside.cut(rgb, 20) == 200).all()
        assert (outside.cut(rgb, 20, cv2.BORDER_CONSTANT)[:10, :10] == 0).all()

    def test_cut_of_a_single_pixel(self) -> None:
        assert (Region(0.5, 0.5, 1, 0).cut(np.full((1, 1, 3), 7, np.uint8), 4) == 7).all()

    @pytest.mark.parametrize(
        ("other", "agrees"),
        [
            (Region(100, 100, 50, 1.0), True),
            (Region(107, 100, 50, 0), True),
            (Region(108, 100, 50, 0), False),
            (Region(100, 100, 62, 0), True),
            (Region(100, 100, 63, 0), False),
            (Region(100, 100, 41, 0), True),
            (Region(100, 100, 39, 0), False),
        ],
    )
    def test_agreement(self, other: Region, *, agrees: bool) -> None:
        assert other.agrees_with(Region(100, 100, 50, 0)) is agrees


class TestPlacing:
    def test_detection(self) -> None:
        # Box 20 wide and high around (50, 60); eyes from (45, 55) to (55, 65): an eighth of a turn.
        points = np.array([[40, 50], [60, 70], [45, 55], [55, 65], [50, 62]])
        region = region_of_detection(points)
        assert (region.center_x, region.center_y, region.side) == pytest.approx((50, 60, 30))
        assert region.angle == pytest.approx(math.pi / 4)

    def test_box(self) -> None:
        # 80 wide, 100 high: side 137; centre 5 below the box's.
        region = region_of_box(np.float32([10, 20, 90, 120]), LEVEL_EYES)
        assert (region.center_x, region.center_y, region.side, region.angle) == pytest.approx((50, 75, 137, 0))

    def test_box_without_extent_still_has_a_region(self) -> None:
        region = region_of_box(np.float32([10, 20, 10, 20]), np.zeros((4, 2), np.float32))
        assert (region.center_x, region.side, region.angle) == pytest.approx((10, 1.37, 0))

    def test_points_of_an_upright_face_give_the_region_of_their_box(self) -> None:
        from_points = region_of_points(mesh_filling(10, 20, 90, 120))
        from_box = region_of_box(np.float32([10, 20, 90, 120]), LEVEL_EYES)
        assert from_points.distance_to(from_box) == pytest.approx(0, abs=1e-4)
        assert (from_points.side, from_points.angle) == pytest.approx((from_box.side, from_box.angle))

    @pytest.mark.parametrize("angle", [-2.5, -0.4, 0.3, 1.5])
    def test_region_turns_with_the_points(self, angle: float) -> None:
        points = mesh_filling(10, 20, 90, 120)
        upright = region_of_points(points)
        points[:, :2] = turned(points[:, :2], (30, 40), angle)
        region = region_of_points(points)
        expected = turned(np.array([upright.center_x, upright.center_y]), (30, 40), angle)
        assert (region.center_x, region.center_y) == pytest.approx(tuple(expected), abs=1e-3)
        assert (region.side, region.angle) == pytest.approx((upright.side, angle), abs=1e-3)
