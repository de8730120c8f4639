from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from affectline.errors import InputError, ShapeError
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.adjustment import best_adjustment, macro_f1
from affectline.postprocess.thresholds import (
    best_threshold,
    best_thresholds,
    cross_validated_thresholds,
    deal_folds,
)

PAIRS = st.lists(
    st.tuples(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32)), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(PAIRS, st.sampled_from([np.float32, np.float64]))
@settings(deadline=None)
def test_no_threshold_at_all_is_better(pairs: list[tuple[float, bool]], dtype: type) -> None:
    scores = np.array([score for score, _ in pairs], dtype)
    truth = np.array([flag for _, flag in pairs])
    threshold, f1 = best_threshold(scores, truth)
    tried = [*scores.tolist(), *(np.unique(scores)[:-1] + np.diff(np.unique(scores)) / 2).tolist(), 2.0, -1.0]
    best = max(f1_score(truth, scores >= cut, zero_division=0) for cut in tried)
    assert f1 == pytest.approx(best, abs=1e-12)
    assert f1_score(truth, scores >= threshold, zero_division=0) == pytest.approx(best, abs=1e-12)


def test_lies_halfway_and_takes_the_highest_of_equals() -> None:
    assert best_threshold(np.array([0.1, 0.4, 0.8]), np.array([0, 1, 1])) == (0.25, 1.0)
    assert best_threshold(np.array([0.2, 0.6]), np.array([1, 1])) == (0.2, 1.0)
    # Everything above 0.9 or everything at all: F1 2/3 both.
    assert best_threshold(np.array([0.9, 0.5, 0.4, 0.1]), np.array([1, 0, 0, 1]))[0] == 0.7


def test_a_unit_that_is_never_on_keeps_one_half() -> None:
    assert best_threshold(np.array([0.1, 0.9]), np.array([0, 0])) == (0.5, 0.0)


def test_neighbours_of_float64_are_parted() -> None:
    low = 0.5
    high = np.nextafter(low, 1.0)
    threshold, f1 = best_threshold(np.array([low, high]), np.array([0, 1]))
    assert (f1, low < threshold <= high) == (1.0, True)


@pytest.mark.parametrize(("scores", "truth"), [([], []), ([0.1], [0, 1]), ([np.nan], [1])])
def test_refuses_wrong_arrays(scores: list, truth: list) -> None:
    with pytest.raises(ShapeError, match="n >= 1 finite scores"):
        best_threshold(np.array(scores), np.array(truth))


def test_cross_validation_tests_on_videos_that_it_did_not_see() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(["a", "b", "c", "d", "e", "f"], 200)
    truth = rng.integers(0, 2, (1200, 2))
    scores = 0.3 * truth + 0.5 * rng.random((1200, 2))
    thresholds, held_out = cross_validated_thresholds(scores, truth, groups, folds=3)
    seen = make_report(Task.AU, truth, scores >= best_thresholds(scores, truth), ("AU1", "AU2")).p
    assert held_out <= seen
    assert held_out == pytest.approx(seen, abs=0.02)
    np.testing.assert_allclose(thresholds, best_thresholds(scores, truth), atol=0.05)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60), st.integers(2, 6))
def test_folds_keep_videos_whole(groups: list[str], folds: int) -> None:
    if len(set(groups)) < 2:
        return
    fold_of = deal_folds(groups, folds)
    assert all(len({fold for fold, name in zip(fold_of, groups, strict=True) if name == one}) == 1 for one in groups)
    assert set(fold_of) == set(range(min(folds, len(set(groups)))))


def test_folds_need_two_videos() -> None:
    with pytest.raises(InputError, match="2 videos or more, got 5 and 1"):
        deal_folds(["a", "a"], 5)


class TestAdjustment:
    @given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 5))
    @settings(deadline=None, max_examples=50)
    def test_is_never_worse_than_none(self, seed: int, n: int, k: int) -> None:
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet(np.ones(k), n)
        truth = rng.integers(0, k, n)
        offsets = best_adjustment(probabilities, truth)
        adjusted = np.argmax(np.log(np.maximum(probabilities, 1e-30)) + offsets, axis=1)
        assert macro_f1(adjusted, truth, k) >= macro_f1(np.argmax(probabilities, axis=1), truth, k) - 1e-12
        assert offsets.mean() == pytest.approx(0, abs=1e-9)

    def test_finds_the_best_offset_of_two_classes(self) -> None:
        rng = np.random.default_rng(1)
        truth = (rng.random(400) < 0.1).astype(int)
        rare = np.clip(0.15 + 0.2 * truth + 0.1 * rng.standard_normal(400), 0.01, 0.99)
        probabilities = np.stack([1 - rare, rare], axis=1)
        cuts = np.linspace(0.01, 0.99, 2000)
        best = max(macro_f1((rare >= cut).astype(int), truth, 2) for cut in cuts)
        offsets = best_adjustment(probabilities, truth)
        found = macro_f1(np.argmax(np.log(probabilities) + offsets, axis=1), truth, 2)
        assert found == pytest.approx(best, abs=1e-9)
        assert offsets[1] > offsets[0]

    def test_refuses_wrong_arrays(self) -> None:
        with pytest.raises(ShapeError, match=r"\(n, K\) probabilities and n labels"):
            best_adjustment(np.zeros((3, 2)), np.zeros(2, int))
        with pytest.raises(ShapeError, match="finite"):
            best_adjustment(np.full((2, 2), np.nan), np.zeros(2, int))
