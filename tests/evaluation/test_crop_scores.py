from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from affectline.datasets.labelled_crops import LabelledCrops
from affectline.evaluation.calibration import fit_temperature
from affectline.evaluation.crop_scores import judge, official_score
from affectline.labels import Task


def crops(task: Task, target: np.ndarray, n_videos: int = 12) -> LabelledCrops:
    groups = np.array([f"video{number % n_videos}" for number in range(len(target))])
    labels = task.official_labels
    return LabelledCrops(task, labels, (Path("none.jpg"),) * len(target), target, groups, "made up")


def test_expressions_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 8, 600)
    scores = rng.normal(0, 1, (600, 8)) + 1.5 * np.eye(8)[truth]
    found = judge(crops(Task.EXPR, truth), scores)
    each = f1_score(truth, scores.argmax(axis=1), average=None)
    assert found.report.p == pytest.approx(each.mean())
    assert official_score(crops(Task.EXPR, truth), scores).p == found.report.p
    assert found.videos == 12
    assert found.interval is not None
    assert found.interval[0] < found.report.p < found.interval[1]
    for value, (low, high) in zip(each, found.label_intervals, strict=True):
        assert low < value < high
        assert high - low < 0.3


def test_action_units_are_on_from_a_half() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((400, 12)) < 0.3).astype(np.float32)
    scores = np.clip(0.25 + 0.4 * truth + rng.normal(0, 0.15, truth.shape), 0, 1)
    found = judge(crops(Task.AU, truth), scores)
    assert found.report.p == pytest.approx(f1_score(truth, scores >= 0.5, average="macro"))
    assert len(found.label_intervals) == 12


def test_few_videos_give_no_interval() -> None:
    truth = np.random.default_rng(2).uniform(-1, 1, (50, 2)).astype(np.float32)
    found = judge(crops(Task.VA, truth, 4), truth)
    assert found.report.p == pytest.approx(1)
    assert (found.interval, found.label_intervals) == (None, ())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_of_logits_that_were_scaled(temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (20_000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (shares.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature(temperature * logits, truth) == pytest.approx(temperature, rel=0.03)
