"""Looks for the weights of a blend, and tests on held-out videos whether the blend is worth it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from affectline.evaluation.blend_metrics import BlendMetric, Sums

BlendMethod = Literal["grid", "optimise"]

_GRID_POINTS: Final = 300
"""The finest grid with no more points is searched: steps of 0.1 for up to four heads."""

_FINEST_STEPS: Final = 10
_STEPS: Final = (0.25, 0.1, 0.05, 0.02)
"""How much weight `optimise` moves from one head to another."""

Weights = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WeightsFound:
    """The weights of a blend.

    Attributes:
        weights: one for each head, sum 1.
        blend_p: score on held-out videos of blends whose weights (and thresholds) were chosen on the others.
        part_p: score on held-out videos of each head alone, with thresholds chosen on the others.
    """

    weights: Weights
    blend_p: float
    part_p: tuple[float, ...]


def find_weights(
    metric: BlendMetric,
    alone: BlendMetric,
    n_heads: int,
    n_folds: int,
    method: BlendMethod,
    *,
    is_tested: bool = True,
) -> WeightsFound:
    """Return the best weights; all weight goes to the best head where no blend beats it on held-out videos.

    Args:
        metric: of blends; its sums have `n_folds` rows.
        alone: likewise of each head alone, which may be smoothed otherwise.
        n_heads: one or more.
        n_folds: two or more; with one nothing is held out, and only the weights are found.
        method: `grid` tries all weights in equal steps; `optimise` moves weight between heads as long as it helps.
        is_tested: whether the best head alone is taken where no blend beats it; else the weights that are best on all
            folds are.
    """
    search, search_alone = _Search(metric, n_heads, method), _Search(alone, n_heads, method)
    if n_folds == 1:
        return WeightsFound(search.best(np.ones(1, np.bool_)), float("nan"), (float("nan"),) * n_heads)
    part_p = tuple(search_alone.held_out(n_folds, _always(_alone(head, n_heads))) for head in range(n_heads))
    blend_p = search.held_out(n_folds, search.best)
    best_part = int(np.argmax(part_p))
    is_worth_it = not is_tested or blend_p >= part_p[best_part]
    weights = search.best(np.ones(n_folds, np.bool_)) if is_worth_it else _alone(best_part, n_heads)
    return WeightsFound(weights, blend_p, part_p)


class _Search:
    """Compares weights; sums are computed once for each."""

    def __init__(self, metric: BlendMetric, n_heads: int, method: BlendMethod) -> None:
        self._metric = metric
        self._n_heads = n_heads
        self._method = method
        self._sums: dict[Weights, Sums] = {}

    def held_out(self, n_folds: int, choose: Callable[[NDArray[np.bool_]], Weights]) -> float:
        """Return the score over all folds, each with what was chosen on the other ones."""
        decided = []
        for fold in range(n_folds):
            is_seen = np.arange(n_folds) != fold
            sums = self._of(choose(is_seen))
            decided.append(self._metric.decided(sums[is_seen].sum(axis=0), sums[fold]))
        return self._metric.score(np.sum(decided, axis=0))

    def best(self, is_seen: NDArray[np.bool_]) -> Weights:
        """Return the weights with the highest score on some folds."""
        if self._method == "grid":
            return max(_grid(self._n_heads), key=lambda weights: self._score(weights, is_seen))
        starts = [(1 / self._n_heads,) * self._n_heads, *(_alone(head, self._n_heads) for head in range(self._n_heads))]
        best = max(starts, key=lambda weights: self._score(weights, is_seen))
        for step in _STEPS:
            best = self._climb(best, step, is_seen)
        return best

    def _climb(self, best: Weights, step: float, is_seen: NDArray[np.bool_]) -> Weights:
        """Return weights from which no move of `step` (or of all that a head has) helps."""
        while True:
            found = max([best, *_moved(best, step)], key=lambda weights: self._score(weights, is_seen))
            if found == best:
                return best
            best = found

    def _score(self, weights: Weights, is_seen: NDArray[np.bool_]) -> float:
        seen = self._of(weights)[is_seen].sum(axis=0)
        return self._metric.score(self._metric.decided(seen, seen))

    def _of(self, weights: Weights) -> Sums:
        if weights not in self._sums:
            self._sums[weights] = self._metric.sums(np.array(weights))
        return self._sums[weights]


def _always(weights: Weights) -> Callable[[NDArray[np.bool_]], Weights]:
    return lambda is_seen: weights


def _alone(head: int, n_heads: int) -> Weights:
    return tuple(float(number == head) for number in range(n_heads))


def _grid(n_heads: int) -> Iterator[Weights]:
    """Yield equal weights, then all weights in equal steps that sum to 1."""
    steps = _FINEST_STEPS
    while steps > 1 and math.comb(steps + n_heads - 1, n_heads - 1) > _GRID_POINTS:
        steps -= 1
    yield (1 / n_heads,) * n_heads
    # Bars between stars: the gaps between `n_heads - 1` bars are the shares.
    for bars in itertools.combinations(range(steps + n_heads - 1), n_heads - 1):
        ends = (-1, *bars, steps + n_heads - 1)
        yield tuple((after - before - 1) / steps for before, after in itertools.pairwise(ends))


def _moved(weights: Weights, step: float) -> Iterator[Weights]:
    """Yield the weights with up to `step` moved from one head to another, for every pair."""
    for giver, taker in itertools.permutations(range(len(weights)), 2):
        amount = min(step, weights[giver])
        if amount > 0:
            moved = list(weights)
            moved[giver] -= amount
            moved[taker] += amount
            # Sums of steps are rounded, so that the same weights are met again as equal.
            yield tuple(round(weight, 9) for weight in moved)
