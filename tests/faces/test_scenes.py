from __future__ import annotations

import numpy as np
import pytest

from affectline.faces.scenes import CUT_CHANGE, is_new_scene


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Difference over brightness, times decorrelation, in plain float64."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    difference = np.abs(after - before).mean() / (4 + max(before.mean(), after.mean()))
    covariance = ((before - before.mean()) * (after - after.mean())).mean()
    return float(difference * (1 - covariance / max(before.std() * after.std(), 1.0)))


@pytest.mark.parametrize("contrast", [0, 1, 20, 250])
@pytest.mark.parametrize("noise", [0, 0.5, 8, 100])
def test_a_cut_is_a_change_above_the_limit(contrast: float, noise: float) -> None:
    rng = np.random.default_rng(int(contrast + noise))
    answers = set()
    for brightness in (0, 3, 120):
        before = (brightness + contrast * rng.random((9, 16))).clip(0, 255).astype(np.float32)
        after = (before + noise * rng.normal(size=before.shape)).clip(0, 255).astype(np.float32)
        wanted = change(before, after)
        if abs(wanted - CUT_CHANGE) > 1e-5:
            assert is_new_scene(before, after) == (wanted > CUT_CHANGE)
            answers.add(wanted > CUT_CHANGE)
    assert answers == {False} or noise > 1


def test_another_picture_is_a_cut_and_a_light_switched_on_is_none() -> None:
    rng = np.random.default_rng(3)
    first, second = (rng.integers(0, 200, (9, 16)).astype(np.float32) for _ in range(2))
    assert is_new_scene(first, second)
    assert not is_new_scene(first, first + 50)
    assert not is_new_scene(first, first)
