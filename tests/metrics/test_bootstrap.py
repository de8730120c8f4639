from __future__ import annotations

import numpy as np
import pytest

from affectline.errors import InputError, ShapeError
from affectline.labels import Task
from affectline.metrics.bootstrap import MIN_GROUPS, bootstrap_interval
from affectline.metrics.report import make_report


def example(task: Task, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    groups = np.repeat([f"video{number}" for number in range(10)], n // 10)
    if task is Task.VA:
        truth = rng.uniform(-1, 1, (n, 2))
        return truth, np.clip(truth + rng.normal(0, 0.5, (n, 2)), -1, 1), groups
    if task is Task.EXPR:
        truth = rng.integers(0, 8, n)
        return truth, np.where(rng.random(n) < 0.5, truth, rng.integers(0, 8, n)), groups
    truth = rng.integers(0, 2, (n, 12))
    return truth, np.where(rng.random((n, 12)) < 0.7, truth, 1 - truth).astype(bool), groups


@pytest.mark.parametrize("task", list(Task))
def test_equals_resampling_frames_of_whole_videos(task: Task) -> None:
    truth, predicted, groups = example(task)
    names = np.unique(groups)
    rng = np.random.default_rng(7)
    scores = []
    for counts in rng.multinomial(10, np.full(10, 0.1), size=200):
        rows = np.concatenate(
            [np.tile(np.flatnonzero(groups == name), n) for name, n in zip(names, counts, strict=True)]
        )
        rows = rows.astype(int)
        scores.append(make_report(task, truth[rows], predicted[rows], task.official_labels).p)
    expected = np.quantile(scores, [0.025, 0.975])
    found = bootstrap_interval(task, truth, predicted, groups, task.official_labels, resamples=200, seed=7)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[0] < make_report(task, truth, predicted, task.official_labels).p < found[1]


@pytest.mark.parametrize("task", [Task.EXPR, Task.AU])
def test_labels_of_few_videos_do_not_push_the_interval_of_a_perfect_head_down(task: Task) -> None:
    groups = np.repeat(np.arange(10), 30)
    if task is Task.EXPR:
        truth = np.minimum(groups, 7)
    else:
        truth = (groups[:, None] == np.arange(12) % 10) & (np.arange(300)[:, None] % 2 == 0)
    assert bootstrap_interval(task, truth, truth, groups, task.official_labels) == (1.0, 1.0)


def test_a_label_that_occurs_nowhere_counts_0_as_in_the_score() -> None:
    groups = np.repeat(np.arange(10), 30)
    truth = np.minimum(groups, 5)
    low, high = bootstrap_interval(Task.EXPR, truth, truth, groups, Task.EXPR.official_labels)
    assert make_report(Task.EXPR, truth, truth, Task.EXPR.official_labels).p == 6 / 8
    assert low <= 6 / 8 == high


def test_one_video_has_no_spread() -> None:
    truth, predicted, _ = example(Task.EXPR)
    score = make_report(Task.EXPR, truth, predicted, Task.EXPR.official_labels).p
    interval = bootstrap_interval(Task.EXPR, truth, predicted, ["one"] * len(truth), Task.EXPR.official_labels)
    assert interval == pytest.approx((score, score))


def test_few_videos_are_taken_but_mean_little() -> None:
    # Two videos with known scores: a resample is one of them twice, or both.
    assert MIN_GROUPS == 5
    truth, predicted = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0])
    labels = ("first", "second")
    assert bootstrap_interval(Task.EXPR, truth, predicted, ["a", "a", "b", "b"], labels) == (0.0, 1.0)


def test_a_constant_prediction_stays_0() -> None:
    truth, _, groups = example(Task.VA)
    constant = np.full(truth.shape, 0.3)
    assert bootstrap_interval(Task.VA, truth, constant, groups, ("valence", "arousal")) == (0.0, 0.0)


def test_refuses_nonsense() -> None:
    truth, predicted, groups = example(Task.EXPR)
    with pytest.raises(InputError, match="resamples >= 1"):
        bootstrap_interval(Task.EXPR, truth, predicted, groups, Task.EXPR.official_labels, resamples=0)
    with pytest.raises(ShapeError, match="needs a group, got 2"):
        bootstrap_interval(Task.EXPR, truth, predicted, groups[:2], Task.EXPR.official_labels)
