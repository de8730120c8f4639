from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.evaluation.blend_weights import BlendMethod, find_weights


class PlantedMetric:
    """A score with its top at known weights in each fold; sums are the scores themselves."""

    def __init__(self, tops: np.ndarray, unseen_loss: float = 0.0) -> None:
        self.tops = tops
        self.unseen_loss = unseen_loss
        self.n_sums = 0

    def sums(self, weights: np.ndarray) -> np.ndarray:
        self.n_sums += 1
        return -((self.tops - weights) ** 2).sum(axis=1)

    def decided(self, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        return unseen

    def score(self, decided: np.ndarray) -> float:
        return float(decided)


METHODS = pytest.mark.parametrize("method", ["grid", "optimise"])


@METHODS
@pytest.mark.parametrize("top", [(0.3, 0.7), (0.0, 1.0), (0.2, 0.3, 0.5), (0.1, 0.2, 0.3, 0.4)])
def test_the_planted_weights_are_found(method: BlendMethod, top: tuple[float, ...]) -> None:
    metric = PlantedMetric(np.tile(top, (3, 1)))
    found = find_weights(metric, metric, len(top), 3, method)
    assert found.weights == pytest.approx(top, abs=0.021 if method == "optimise" else 1e-9)
    assert found.blend_p >= max(found.part_p)
    assert metric.n_sums < 800


@METHODS
def test_the_best_head_stays_alone_where_no_blend_beats_it_on_other_videos(method: BlendMethod) -> None:
    # What helps in one fold harms in the others: no weights carry over.
    tops = np.array([[1.0, 0.0, 0.0], [-3.0, 2.0, 2.0], [2.5, -1.0, -0.5]])
    found = find_weights(PlantedMetric(tops), PlantedMetric(tops), 3, 3, method)
    assert found.blend_p < max(found.part_p)
    assert sorted(found.weights) == [0.0, 0.0, 1.0]
    assert found.weights[int(np.argmax(found.part_p))] == 1.0


@METHODS
def test_one_head_has_all_the_weight(method: BlendMethod) -> None:
    metric = PlantedMetric(np.array([[1.0], [1.0]]))
    found = find_weights(metric, metric, 1, 2, method)
    assert found.weights == (1.0,)
    assert found.blend_p == found.part_p[0] == 0.0


@given(n_heads=st.integers(1, 12))
def test_the_grid_stays_small_and_holds_every_head_alone(n_heads: int) -> None:
    metric = PlantedMetric(np.tile(np.eye(n_heads)[-1], (2, 1)))
    found = find_weights(metric, metric, n_heads, 2, "grid")
    assert found.weights == tuple(np.eye(n_heads)[-1])
    assert metric.n_sums <= 301 + n_heads


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5).filter(lambda values: sum(values) > 0.1))
def test_weights_are_shares(values: list[float]) -> None:
    top = np.array(values) / sum(values)
    metric = PlantedMetric(np.tile(top, (2, 1)))
    found = find_weights(metric, metric, len(values), 2, "optimise")
    assert sum(found.weights) == pytest.approx(1.0, abs=1e-6)
    assert min(found.weights) >= 0
    assert found.weights == pytest.approx(tuple(top), abs=0.041)
