from __future__ import annotations

import numpy as np
import pytest

from affectline.faces.appearance import LOOK_LENGTH, look_distances, look_of


def face(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(60, 200, (6, 6, 3))
    return np.kron(blocks, np.ones((10, 10, 1))).astype(np.uint8)


BOX = np.array([0, 0, 60, 60], np.float32)


def test_a_look_is_lightness_of_mean_0_and_deviation_1_and_colour_in_tens() -> None:
    look = look_of(face(0), BOX)
    assert look.shape == (LOOK_LENGTH,) == (108,)
    assert look[:36].mean() == pytest.approx(0, abs=1e-3)
    assert look[:36].std() == pytest.approx(1, abs=1e-3)
    # CIELAB of pure sRGB red: a = 80.1, b = 67.2.
    red = look_of(np.full((60, 60, 3), (255, 0, 0), np.uint8), BOX)
    assert red[:36] == pytest.approx(np.zeros(36), abs=1e-3)
    assert red[36:].reshape(36, 2).mean(axis=0) == pytest.approx([8.01, 6.72], abs=0.03)


def test_the_same_look_has_distance_0_and_another_face_much_more() -> None:
    looks = np.array([look_of(face(seed), BOX) for seed in range(3)])
    distances = look_distances(looks, looks)
    assert np.diag(distances) == pytest.approx(np.zeros(3))
    assert distances[~np.eye(3, dtype=bool)].min() > 0.5
    assert distances.max() <= 1.0


def test_more_light_does_not_change_a_look_much() -> None:
    grey = face(0).mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    dim = (grey * 0.5 + 10).astype(np.uint8)
    assert look_distances(look_of(grey, BOX)[None], look_of(dim, BOX)[None])[0, 0] < 0.02


def test_distances_without_faces_are_empty() -> None:
    assert look_distances(np.empty((0, LOOK_LENGTH)), look_of(face(0), BOX)[None]).shape == (0, 1)


@pytest.mark.parametrize("box", [(-500, -500, -400, -400), (900, 10, 950, 60), (5, 5, 5, 5), (-20, -20, 80, 80)])
def test_boxes_beyond_the_frame_see_its_border(box: tuple[float, ...]) -> None:
    look = look_of(np.full((60, 60, 3), 90, np.uint8), np.array(box, np.float32))
    assert look == pytest.approx(np.zeros(LOOK_LENGTH), abs=0.01)


def test_a_frame_of_one_pixel_has_a_look() -> None:
    assert look_of(np.full((1, 1, 3), 90, np.uint8), BOX).shape == (LOOK_LENGTH,)
