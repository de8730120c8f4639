from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.faces.motion import BoxMotion, position_of


def box_at(x: float, y: float = 100, width: float = 80, height: float = 100) -> np.ndarray:
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)


def moved(fps: float, seconds: float, speed: float) -> BoxMotion:
    motion = BoxMotion.start(0.0, box_at(0))
    for n in range(1, round(fps * seconds) + 1):
        motion.observe(n / fps, box_at(speed * n / fps))
    return motion


def test_position_is_centre_and_log_size() -> None:
    assert position_of(box_at(40, 60)) == pytest.approx([40, 60, np.log(80), np.log(100)])
    assert position_of(np.array([5, 5, 5, 3], np.float32)) == pytest.approx([5, 4, 0, 0])


def test_a_face_seen_once_is_expected_where_it_is() -> None:
    motion = BoxMotion.start(2.0, box_at(50))
    assert motion.box_at(2.5) == pytest.approx(box_at(50), abs=1e-3)
    assert motion.size_px == pytest.approx(np.sqrt(80 * 100))


@pytest.mark.parametrize("fps", [60, 25, 5])
def test_the_velocity_is_learnt_alike_at_any_frame_rate(fps: float) -> None:
    motion = moved(fps, 2.0, speed=120)
    # A little low, since each prediction assumes that the face slows down.
    assert motion.velocity[0] == pytest.approx(120, rel=0.07)
    assert motion.velocity[1] == pytest.approx(0)
    assert motion.box_at(2.04) == pytest.approx(box_at(120 * 2.04), abs=2)


def test_an_unseen_face_slows_down() -> None:
    motion = moved(25, 2.0, speed=100)
    # A velocity that decays with a time constant of 1 s travels 1 - exp(-1) of a second's way in the first second.
    expected = motion.position[0] + motion.velocity[0] * (1 - np.exp(-1))
    assert motion.position_at(3.0)[0] == pytest.approx(expected)


def test_an_observation_at_the_same_time_is_taken_in() -> None:
    motion = BoxMotion.start(0.0, box_at(0))
    motion.observe(0.0, box_at(10))
    assert motion.position[0] == pytest.approx(5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-5000, 5000), st.floats(0, 4000)), max_size=20))
def test_variances_stay_positive(steps: list[tuple[float, float, float]]) -> None:
    motion = BoxMotion.start(0.0, box_at(0))
    t = 0.0
    for elapsed, x, size in steps:
        t += elapsed
        motion.observe(t, box_at(x, width=size, height=size))
        place, cross, speed = motion.variances
        assert (place > 0).all()
        assert (place * speed - cross**2 > -1e-9 * place * speed).all()
