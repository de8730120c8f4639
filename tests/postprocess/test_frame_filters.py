from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.frame_filters import smooth_frames
from affectline.postprocess.paper_exact import grid_thresholds, smooth_observed
from affectline.postprocess.smoothing import FILTERS
from affectline.postprocess.sweep import DenseSequence, sweep_radii


def by_loops(values: np.ndarray, radius: int, mode: str) -> np.ndarray:
    rows = []
    for i in range(len(values)):
        ahead = 0 if mode == "causal" else radius
        window = range(max(0, i - radius), min(len(values), i + ahead + 1))
        weights = [np.exp(-0.5 * ((j - i) / (radius / 2)) ** 2) if mode == "gaussian" else 1.0 for j in window]
        rows.append(np.average(values[list(window)], axis=0, weights=weights))
    return np.array(rows)


@given(st.integers(1, 20), st.integers(1, 30), st.sampled_from(["centred", "gaussian", "causal"]))
@settings(deadline=None)
def test_equals_the_mean_written_with_loops(n: int, radius: int, mode) -> None:
    values = np.random.default_rng(n).normal(size=(n, 2))
    np.testing.assert_allclose(smooth_frames(values, radius, mode), by_loops(values, radius, mode), atol=1e-12)


@pytest.mark.parametrize("mode", list(FILTERS))
def test_equals_the_filter_over_time_in_a_video_of_constant_rate(mode) -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    over_time = FILTERS[mode](np.arange(60) / 25, values, 5 / 25, 1 / 25)
    np.testing.assert_allclose(smooth_frames(values, 5, mode), over_time, atol=1e-9)


def test_a_radius_of_0_changes_nothing_and_less_is_refused() -> None:
    assert smooth_frames(np.array([[1.0], [5.0]]), 0).tolist() == [[1.0], [5.0]]
    with pytest.raises(InputError, match="0 frames or more, got -1"):
        smooth_frames(np.zeros((2, 1)), -1)


def test_the_paper_smooths_over_what_it_observed() -> None:
    assert smooth_observed(np.array([[0.0], [3.0], [6.0]]), 1)[:, 0].tolist() == [1.5, 3.0, 4.5]


def test_the_papers_thresholds_are_tenths() -> None:
    scores = np.array([[0.05, 0.95], [0.34, 0.85], [0.36, 0.2], [0.9, 0.2]])
    truth = np.array([[0, 1], [0, 1], [1, 0], [1, 0]])
    # 0.35 would part the first column; of the tenths 0.1 to 0.3 take one too many (F1 0.8), the first of them is taken.
    np.testing.assert_allclose(grid_thresholds(scores, truth), [0.1, 0.3])


def example(task: Task, seed: int) -> list[DenseSequence]:
    rng = np.random.default_rng(seed)
    sequences = []
    for n in (7, 30):
        frames = np.sort(rng.choice(n, max(3, n // 2), replace=False))
        k = {Task.VA: 2, Task.EXPR: 8, Task.AU: 12}[task]
        values = rng.random((n, k))
        truth = {
            Task.VA: rng.uniform(-1, 1, (len(frames), 2)),
            Task.EXPR: rng.integers(0, 8, len(frames)),
            Task.AU: rng.integers(0, 2, (len(frames), 12)),
        }[task]
        sequences.append(DenseSequence(values, frames, truth))
    return sequences


@pytest.mark.parametrize("mode", ["centred", "gaussian", "causal"])
@pytest.mark.parametrize("task", list(Task))
def test_a_sweep_equals_one_filter_after_the_other(task: Task, mode) -> None:
    sequences = example(task, 5)
    thresholds = np.linspace(0.3, 0.6, 12)
    radii = [0, 1, 2, 5, 40]
    expected = []
    for radius in radii:
        values = np.concatenate([smooth_frames(one.values, radius, mode)[one.frames] for one in sequences])
        truth = np.concatenate([one.truth for one in sequences])
        decided = np.argmax(values, axis=1) if task is Task.EXPR else values
        decided = values >= thresholds if task is Task.AU else decided
        expected.append(make_report(task, truth, decided, task.official_labels).p)
    found = sweep_radii(task, sequences, radii, thresholds, mode)
    np.testing.assert_allclose(found, expected, atol=1e-9)
