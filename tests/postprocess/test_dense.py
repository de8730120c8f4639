from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.errors import ShapeError
from affectline.postprocess.dense import fill_frames
from affectline.postprocess.paper_exact import fill_gaps_reversed

FRAMES = st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True).map(sorted)


def test_a_gap_lies_on_a_straight_line_and_edges_are_copied() -> None:
    filled = fill_frames(np.array([2, 6, 7]), np.array([[0.0], [4.0], [10.0]]), 10)
    assert filled[:, 0].tolist() == [0, 0, 0, 1, 2, 3, 4, 10, 10, 10]


@given(FRAMES)
def test_equals_interpolation(frames: list[int]) -> None:
    values = np.random.default_rng(1).normal(size=(len(frames), 2))
    filled = fill_frames(np.array(frames), values, 31)
    for column in range(2):
        np.testing.assert_allclose(filled[:, column], np.interp(np.arange(31), frames, values[:, column]), atol=1e-12)


def test_one_frame_and_all_frames() -> None:
    assert fill_frames(np.array([1]), np.array([[5.0]]), 3).tolist() == [[5.0]] * 3
    assert fill_frames(np.arange(3), np.array([[1.0], [2], [3]]), 3).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(("frames", "n"), [([], 3), ([0, 0], 3), ([1, 0], 3), ([3], 3), ([-1], 3)])
def test_refuses_frames_that_do_not_fit(frames: list[int], n: int) -> None:
    for fill in (fill_frames, fill_gaps_reversed):
        with pytest.raises(ShapeError):
            fill(np.array(frames, int), np.zeros((len(frames), 1)), n)


def notebook(frames: list[int], values: np.ndarray, n: int) -> np.ndarray:
    """The loop of the notebook, whose frames count from 1, with the last prediction copied to the end."""
    indices = [frame + 1 for frame in frames]
    filled, cur = [], 0
    for i in range(indices[-1]):
        if indices[cur] - 1 == i:
            filled.append(values[cur])
            cur += 1
        elif cur == 0:
            filled.append(values[cur])
        else:
            w = (i - indices[cur - 1] + 1) / (indices[cur] - indices[cur - 1])
            filled.append(w * values[cur - 1] + (1 - w) * values[cur])
    filled += [values[cur - 1]] * (n - indices[-1])
    return np.array(filled)


@given(FRAMES)
def test_the_papers_gaps_equal_the_notebooks_loop(frames: list[int]) -> None:
    values = np.random.default_rng(2).normal(size=(len(frames), 3))
    np.testing.assert_allclose(
        fill_gaps_reversed(np.array(frames), values, 31), notebook(frames, values, 31), atol=1e-12
    )


def test_the_papers_gaps_have_their_weights_exchanged() -> None:
    # One frame behind the first of a gap of ten, the first weighs 0.1 instead of 0.9.
    ours = fill_frames(np.array([0, 10]), np.array([[1.0], [0.0]]), 11)[1, 0]
    theirs = fill_gaps_reversed(np.array([0, 10]), np.array([[1.0], [0.0]]), 11)[1, 0]
    assert (ours, theirs) == pytest.approx((0.9, 0.1))
