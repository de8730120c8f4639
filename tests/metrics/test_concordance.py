from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectline.errors import ShapeError
from affectline.metrics.concordance import ccc, concordances

NUMBERS = st.floats(-1, 1, allow_nan=False, width=32)


def by_the_book(x: list[float], y: list[float]) -> float:
    """Lin's formula with loops and population variances."""
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    sxx = sum((a - mx) ** 2 for a in x) / n
    syy = sum((b - my) ** 2 for b in y) / n
    sxy = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / n
    return 2 * sxy / (sxx + syy + (mx - my) ** 2)


def test_a_case_worked_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 2/3, covariance 2/3, shift 1: (4/3) / (4/3 + 1) = 4/7.
    assert ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7, abs=1e-12)


@given(arrays(np.float64, (2, 40), elements=NUMBERS))
def test_equals_the_formula_written_with_loops(pair: np.ndarray) -> None:
    if pair[0].std() < 1e-6 or pair[1].std() < 1e-6:
        return
    assert ccc(*pair) == pytest.approx(by_the_book(pair[0].tolist(), pair[1].tolist()), abs=1e-9)


def test_a_constant_scores_0_on_either_side() -> None:
    varied = np.linspace(-1, 1, 7)
    for constant in (np.full(7, 0.1), np.zeros(7), np.full(7, 1 / 3)):
        assert ccc(varied, constant) == 0.0
        assert ccc(constant, varied) == 0.0
        assert ccc(constant, constant) == 0.0
    assert ccc([0.5], [0.5]) == 0.0


def test_perfect_and_opposite_predictions() -> None:
    x = np.array([-0.5, 0.1, 0.4])
    assert ccc(x, x) == pytest.approx(1.0)
    assert ccc(x - x.mean(), -(x - x.mean())) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [([], []), ([1, 2], [1]), ([[1], [2]], [[1], [2]]), ([1, np.nan], [1, 2]), ([1, 2], [1, np.inf])],
)
def test_refuses_what_cannot_be_compared(truth: list, predicted: list) -> None:
    with pytest.raises(ShapeError, match="CCC"):
        ccc(truth, predicted)


def test_columns_are_compared_one_by_one() -> None:
    truth, predicted = np.array([[1.0, 0], [2, 1], [3, 0]]), np.array([[2.0, 0], [3, 1], [4, 0]])
    np.testing.assert_allclose(concordances(truth, predicted), [4 / 7, 1.0])
    with pytest.raises(ShapeError, match=r"\(3, 2\) and \(3, 1\)"):
        concordances(truth, predicted[:, :1])
