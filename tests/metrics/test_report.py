from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from affectline.errors import ShapeError
from affectline.labels import Task
from affectline.metrics.report import make_report

EXPR = Task.EXPR.official_labels
AU = Task.AU.official_labels
CODES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


@given(CODES)
@settings(deadline=None)
def test_expressions_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    report = make_report(Task.EXPR, truth, predicted, EXPR)
    assert report.p == pytest.approx(
        f1_score(truth, predicted, labels=range(8), average="macro", zero_division=0), abs=1e-9
    )
    assert report.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
    expected = precision_recall_fscore_support(truth, predicted, labels=range(8), zero_division=0)
    for values, name in zip(expected, ("precision", "recall", "f1", "support"), strict=True):
        np.testing.assert_allclose([score.values[name] for score in report.per_label], values, atol=1e-12)


def test_an_absent_class_counts_as_0() -> None:
    truth = np.array([0, 0, 1, 1])
    assert make_report(Task.EXPR, truth, truth, EXPR).p == pytest.approx(2 / 8)
    assert [score.label for score in make_report(Task.EXPR, truth, truth, EXPR).per_label] == list(EXPR)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
@settings(deadline=None)
def test_action_units_equal_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    truth, is_on = rng.integers(0, 2, (n, 12)), rng.random((n, 12)) < 0.4
    report = make_report(Task.AU, truth, is_on, AU)
    expected = [f1_score(truth[:, unit], is_on[:, unit], zero_division=0) for unit in range(12)]
    np.testing.assert_allclose([score.values["f1"] for score in report.per_label], expected, atol=1e-12)
    assert report.p == pytest.approx(np.mean(expected), abs=1e-9)
    assert report.accuracy is None


def test_valence_and_arousal_worked_by_hand() -> None:
    truth = np.array([[0.1, 0.0], [0.2, 0.5], [0.3, 0.0]])
    predicted = np.array([[0.2, 0.0], [0.3, 0.5], [0.4, 0.0]])
    report = make_report(Task.VA, truth, predicted, ("valence", "arousal"))
    assert report.p == pytest.approx((4 / 7 + 1) / 2, abs=1e-9)
    assert report.frames == 3
    assert report.per_label[1].values == {"ccc": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("task", "truth", "predicted", "match"),
    [
        (Task.EXPR, [], [], "n >= 1"),
        (Task.EXPR, [0, 8], [0, 1], "from 0 to 7"),
        (Task.EXPR, [0, -1], [0, 1], "from 0 to 7"),
        (Task.EXPR, [0.0, 1.0], [0, 1], "whole numbers"),
        (Task.EXPR, [0, 1], [0], "two arrays"),
        (Task.AU, np.zeros((0, 12)), np.zeros((0, 12)), "n >= 1"),
        (Task.AU, np.zeros((3, 11)), np.zeros((3, 11)), r"\(n, 12\)"),
        (Task.AU, np.full((2, 12), -1), np.zeros((2, 12)), "0 or 1"),
        (Task.AU, np.full((2, 12), np.nan), np.zeros((2, 12)), "0 or 1"),
        (Task.VA, np.zeros((0, 2)), np.zeros((0, 2)), "n >= 1"),
        (Task.VA, np.full((2, 2), np.nan), np.zeros((2, 2)), "finite"),
        (Task.VA, np.zeros((2, 2)), np.zeros((3, 2)), "one shape"),
    ],
)
def test_refuses_wrong_arrays(task: Task, truth, predicted, match: str) -> None:
    with pytest.raises(ShapeError, match=match):
        make_report(task, np.asarray(truth), np.asarray(predicted), task.official_labels)
