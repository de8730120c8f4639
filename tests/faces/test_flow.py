from __future__ import annotations

import cv2
import numpy as np
import pytest

from affectline.faces.flow import FaceFlow
from affectline.faces.reference import overlaps

BOX = np.array((120, 80, 180, 160), np.float32)
POINTS = np.array([(135, 105), (165, 105), (150, 120), (150, 140)], np.float32)


def texture(seed: int = 0, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A picture with contrasts of all sizes, as faces and rooms have."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 1, (size[0] // cell, size[1] // cell)), size[::-1], interpolation=cv2.INTER_CUBIC)
        for cell in (4, 8, 16, 40)
    ]
    grey = np.clip(128 + 25 * np.sum(layers, axis=0), 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def moved(picture: np.ndarray, shift: tuple[float, float], growth: float = 1.0) -> np.ndarray:
    """The picture with everything moved, and grown around the middle of the box."""
    center = (BOX[:2] + BOX[2:]) / 2
    offset = center - growth * center + shift
    matrix = np.array([[growth, 0, offset[0]], [0, growth, offset[1]]])
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def where(flow: FaceFlow, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = flow.move(picture)
    assert found is not None
    boxes, keypoints = found
    assert boxes.dtype == keypoints.dtype == np.float32
    return boxes[0], keypoints[0]


@pytest.mark.parametrize(("shift", "growth"), [((0, 0), 1.0), ((6, -4), 1.0), ((-3.4, 2.7), 1.05), ((0, 0), 0.93)])
def test_box_and_key_points_move_with_the_pixels(shift: tuple[float, float], growth: float) -> None:
    first = texture()
    box, keypoints = where(FaceFlow(first, BOX[None], POINTS[None]), moved(first, shift, growth))
    center = (BOX[:2] + BOX[2:]) / 2
    expected = ((BOX.reshape(2, 2) - center) * growth + center + shift).reshape(4)
    np.testing.assert_allclose(box, expected, atol=0.7)
    np.testing.assert_allclose(keypoints, (POINTS - center) * growth + center + shift, atol=0.7)


def test_steps_add_up() -> None:
    first = texture()
    flow = FaceFlow(first, BOX[None], POINTS[None])
    for step in range(1, 7):
        box, _ = where(flow, moved(first, (4 * step, -3 * step)))
    expected = BOX + np.array((24, -18, 24, -18), np.float32)
    assert overlaps(box[None], expected[None])[0, 0] > 0.95


def test_the_background_moves_otherwise() -> None:
    background, face = texture(1), texture(2)
    x1, y1, x2, y2 = BOX.astype(int)

    def shown(shift: int) -> np.ndarray:
        picture = moved(background, (-3 * shift, 0))
        picture[y1:y2, x1 + shift : x2 + shift] = face[y1:y2, x1:x2]
        return picture

    box, _ = where(FaceFlow(shown(0), BOX[None], POINTS[None]), shown(5))
    np.testing.assert_allclose(box, BOX + np.array((5, 0, 5, 0)), atol=0.7)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(texture(5), id="another picture"),
        pytest.param(moved(texture(), (30, 0)), id="further than flow can tell"),
        pytest.param(moved(texture(), (0, 0), 1.3), id="much larger"),
        pytest.param(np.zeros_like(texture()), id="black"),
    ],
)
def test_what_is_not_sure_is_told(later: np.ndarray) -> None:
    assert FaceFlow(texture(), BOX[None], POINTS[None]).move(later) is None


def test_one_face_that_is_not_sure_is_enough() -> None:
    first = texture()
    other = np.array((20, 20, 70, 80), np.float32)
    boxes = np.stack([BOX, other])
    covered = first.copy()
    covered[15:90, 15:80] = texture(9)[15:90, 15:80]
    keypoints = np.stack([POINTS, POINTS])
    assert FaceFlow(first, boxes, keypoints).move(covered) is None
    found = FaceFlow(first, boxes, keypoints).move(first)
    assert found is not None
    np.testing.assert_allclose(found[0], boxes, atol=0.1)


def test_a_face_that_goes_far_is_detected_anew() -> None:
    first = texture()
    flow = FaceFlow(first, BOX[None], POINTS[None])
    results = [flow.move(moved(first, (6 * step, 0))) for step in range(1, 6)]
    # The box is 80 px high: from 28 px on.
    assert [result is not None for result in results] == [True] * 4 + [False]


def test_no_faces_are_always_sure() -> None:
    flow = FaceFlow(texture(), np.empty((0, 4), np.float32), np.empty((0, 4, 2), np.float32))
    found = flow.move(texture(3))
    assert found is not None
    assert (found[0].shape, found[1].shape) == ((0, 4), (0, 4, 2))


@pytest.mark.parametrize("box", [(-30, -20, 40, 60), (300, 220, 340, 270), (0, 0, 320, 240), (10, 10, 12, 13)])
def test_boxes_at_the_border_and_of_any_size(box: tuple[float, ...]) -> None:
    picture = texture()
    flow = FaceFlow(picture, np.array([box], np.float32), POINTS[None])
    found = flow.move(picture)
    if found is not None:
        np.testing.assert_allclose(found[0][0], box, atol=1.0)
