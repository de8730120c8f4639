from __future__ import annotations

import numpy as np
import pytest

from affectline.evaluation.blend_metrics import blend_metric
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.thresholds import best_threshold

N, FOLDS = 400, 3
WEIGHTS = np.array([0.5, 0.2, 0.3])
LABELS = {Task.VA: ("valence", "arousal"), Task.EXPR: Task.EXPR.official_labels, Task.AU: ("AU1", "AU2")}


def example(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    fold = rng.integers(0, FOLDS, N)
    n_labels = len(LABELS[task])
    if task is Task.EXPR:
        truth = rng.integers(0, 8, N)
        scores = rng.random((3, N, 8)) + np.eye(8)[truth] * 0.3
    elif task is Task.AU:
        truth = rng.integers(0, 2, (N, n_labels)).astype(np.float32)
        # Sums of thirty-seconds fall on bounds of no bin, so that the histogram loses nothing.
        scores = (rng.integers(0, 16, (3, N, n_labels)) + 8 * truth) / 32
    else:
        truth = rng.uniform(-1, 1, (N, n_labels)).astype(np.float32)
        scores = 0.5 * truth + rng.normal(size=(3, N, n_labels)) / 3
    return scores.astype(np.float32), truth, fold


@pytest.mark.parametrize("task", [Task.VA, Task.EXPR])
def test_the_score_is_that_of_the_report(task: Task) -> None:
    scores, truth, fold = example(task)
    metric = blend_metric(task, scores, truth, fold, FOLDS)
    blended = np.tensordot(WEIGHTS, scores.astype(np.float64), axes=1)
    for kept in (fold >= 0, fold != 1, fold == 2):
        sums = metric.sums(WEIGHTS)[np.unique(fold[kept])].sum(axis=0)
        decided = blended[kept] if task is Task.VA else np.argmax(blended[kept], axis=1)
        expected = make_report(task, truth[kept], decided, LABELS[task]).p
        assert metric.score(metric.decided(sums, sums)) == pytest.approx(expected, abs=1e-6)


def test_thresholds_of_units_are_the_best_on_the_seen_frames() -> None:
    scores, truth, fold = example(Task.AU)
    weights = np.array([0.5, 0.25, 0.25])
    metric = blend_metric(Task.AU, scores, truth, fold, FOLDS)
    blended = np.tensordot(weights, scores.astype(np.float64), axes=1)
    sums = metric.sums(weights)
    everything = sums.sum(axis=0)
    best = [best_threshold(blended[:, k], truth[:, k])[1] for k in range(2)]
    assert metric.score(metric.decided(everything, everything)) == pytest.approx(np.mean(best), abs=1e-9)

    seen, unseen = fold != 0, fold == 0
    thresholds = [best_threshold(blended[seen, k], truth[seen, k])[0] for k in range(2)]
    expected = make_report(Task.AU, truth[unseen], blended[unseen] >= thresholds, LABELS[Task.AU]).p
    held_out = metric.decided(sums[1:].sum(axis=0), sums[0])
    assert metric.score(held_out) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
def test_a_fold_without_frames_adds_nothing(task: Task) -> None:
    scores, truth, fold = example(task)
    metric = blend_metric(task, scores, truth, fold, FOLDS + 1)
    assert metric.sums(WEIGHTS)[FOLDS].sum() == 0
    np.testing.assert_allclose(
        metric.sums(WEIGHTS)[:FOLDS], blend_metric(task, scores, truth, fold, FOLDS).sums(WEIGHTS), atol=1e-9
    )


def test_what_never_varies_scores_zero() -> None:
    truth = np.random.default_rng(0).uniform(-1, 1, (N, 2)).astype(np.float32)
    scores = np.full((2, N, 2), 0.3, np.float32)
    metric = blend_metric(Task.VA, scores, truth, np.zeros(N, np.intp), 1)
    assert metric.score(metric.sums(np.array([0.5, 0.5]))[0]) == 0.0
