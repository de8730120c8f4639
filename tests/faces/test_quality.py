from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.faces.quality import LOW_QUALITY, QUALITY_MEANING, face_quality
from affectline.records import Face

BOX = (100.0, 80.0, 200.0, 200.0)

FRONTAL = ((130.0, 120.0), (170.0, 120.0), (150.0, 145.0), (150.0, 170.0))


def portrait() -> np.ndarray:
    """A drawn face with the sharp edges that eyes, mouth and the outline have."""
    rgb = np.full((300, 400, 3), 110, np.uint8)
    cv2.ellipse(rgb, (150, 140), (48, 58), 0, 0, 360, (200, 160, 140), -1)
    for x in (130, 170):
        cv2.ellipse(rgb, (x, 120), (9, 5), 0, 0, 360, (40, 30, 30), -1)
        cv2.line(rgb, (x - 10, 105), (x + 10, 105), (70, 50, 40), 3)
    cv2.line(rgb, (150, 125), (150, 145), (160, 120, 100), 2)
    cv2.ellipse(rgb, (150, 172), (18, 5), 0, 0, 360, (150, 60, 60), -1)
    return rgb


def face(
    box: tuple[float, ...] = BOX, score: float = 0.9, keypoints: tuple[tuple[float, float], ...] = FRONTAL
) -> Face:
    return Face(np.array(box, np.float32), score, np.array(keypoints, np.float32))


def test_a_sharp_large_frontal_face_has_quality_1() -> None:
    assert face_quality(portrait(), face()) == 1.0


@pytest.mark.parametrize(("score", "quality"), [(0.2, 0), (0.3, 0), (0.4, 0.25), (0.5, 0.5), (0.7, 1), (1.0, 1)])
def test_the_score_counts_from_0_3_to_0_7(score: float, quality: float) -> None:
    assert face_quality(portrait(), face(score=score)) == pytest.approx(quality)


@pytest.mark.parametrize(("height", "quality"), [(12, 0), (30, 0.5), (48, 1)])
def test_the_height_counts_from_12_to_48_px(height: float, quality: float) -> None:
    # A checkerboard is sharp at any size.
    rgb = np.kron(np.indices((50, 50)).sum(axis=0) % 2, np.full((4, 4), 200))[..., None].repeat(3, axis=2)
    small = face((60, 60, 110, 60 + height))
    assert face_quality(rgb.astype(np.uint8), small) == pytest.approx(quality)


@pytest.mark.parametrize(
    ("nose_x", "quality"),
    [(150, 1), (161, 1), (139, 1), (170, 1 / 1.45), (130, 1 / 1.45), (175.5, 0.725 / 1.45), (190, 0), (60, 0)],
)
def test_a_turned_head_counts_less(nose_x: float, quality: float) -> None:
    turned = (FRONTAL[0], FRONTAL[1], (nose_x, 145.0), FRONTAL[3])
    assert face_quality(portrait(), face(keypoints=turned)) == pytest.approx(quality, abs=1e-6)


def test_a_head_tilted_in_the_picture_is_not_turned() -> None:
    middle = np.array([150, 120])
    turn = np.array([[0, -1], [1, 0]])
    upright = np.array(FRONTAL) - middle
    lying = tuple((float(x), float(y)) for x, y in upright @ turn.T + middle)
    assert face_quality(portrait(), face(keypoints=lying)) == 1.0


def test_eyes_in_one_place_are_a_profile() -> None:
    assert face_quality(portrait(), face(keypoints=((150.0, 120.0),) * 4)) == 0.0


def test_blur_lowers_quality_more_the_stronger_it_is() -> None:
    def blurred(sigma: float) -> float:
        return face_quality(cv2.GaussianBlur(portrait(), (0, 0), sigma), face())

    width = BOX[2] - BOX[0]
    assert blurred(0.5) == 1.0
    assert blurred(width / 12) < 0.3
    assert blurred(width / 40) > blurred(width / 24) > blurred(width / 12)


def test_brightness_and_contrast_do_not_count() -> None:
    dim = (portrait() * 0.3 + 5).astype(np.uint8)
    assert face_quality(dim, face()) == 1.0


def test_a_face_of_one_colour_has_quality_0() -> None:
    assert face_quality(np.full((300, 400, 3), 128, np.uint8), face()) == 0.0


@pytest.mark.parametrize(("shift", "quality"), [(20, 1), (40, 0.5), (60, 0), (500, 0)])
def test_a_face_half_outside_the_frame_counts_less(shift: float, quality: float) -> None:
    # 100 px wide, of which `shift` are cut off.
    rgb = np.ascontiguousarray(portrait()[:, 100:])
    box = (-shift, 80.0, 100.0 - shift, 200.0)
    rolled = np.roll(rgb, -int(shift), axis=1)
    assert face_quality(rolled, face(box)) == pytest.approx(quality)


def test_conditions_multiply() -> None:
    turned = (FRONTAL[0], FRONTAL[1], (175.5, 145.0), FRONTAL[3])
    assert face_quality(portrait(), face(score=0.5, keypoints=turned)) == pytest.approx(0.25)


def test_the_meaning_names_the_threshold() -> None:
    assert f"below {LOW_QUALITY} are low_quality" in QUALITY_MEANING
    assert LOW_QUALITY == 0.25


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.floats(-300, 500, width=32)] * 4),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(-300, 500, width=32), st.floats(-300, 500, width=32)), min_size=4, max_size=4),
    st.sampled_from([(1, 1), (2, 40), (60, 90)]),
)
def test_quality_is_between_0_and_1_whatever_the_face(
    box: tuple[float, ...], score: float, keypoints: list[tuple[float, float]], shape: tuple[int, int]
) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert 0.0 <= face_quality(rgb, face(box, score, tuple(keypoints))) <= 1.0
