"""The score of a weighted mean of several heads as a function of the weights, from sums over folds of videos.

Sums of folds add up, so that one pass over the frames serves every split into seen and held-out videos.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from affectline.evaluation.tuning import ThresholdRule
from affectline.labels import Task
from affectline.metrics.concordance import ccc_of_moments
from affectline.metrics.counts import f1_of_counts
from affectline.records import FloatArray

Sums = NDArray[np.float64]

_FIXED: Final = 0.5
_BINS: Final = 1000
"""Thresholds of action units that are tried while weights are compared; the final ones are exact."""


class BlendMetric(Protocol):
    """The official score of blended scores."""

    def sums(self, weights: NDArray[np.float64]) -> Sums:
        """Return what the score needs, for each fold, shape (folds, ...); rows may be added."""

    def decided(self, seen: Sums, unseen: Sums) -> Sums:
        """Return the sums of unseen frames with what had to be chosen (thresholds) chosen on the seen ones."""

    def score(self, decided: Sums) -> float:
        """Return the score that (added) decided sums stand for."""


def blend_metric(
    task: Task,
    scores: FloatArray,
    truth: NDArray[np.generic],
    fold: NDArray[np.intp],
    n_folds: int,
    thresholds: ThresholdRule = "best",
) -> BlendMetric:
    """Return the metric of a task.

    Args:
        task: which.
        scores: shape (number of heads, n, K), smoothed scores of labelled frames.
        truth: shape (n, K), or (n,) for EXPR.
        fold: shape (n,), from 0 to `n_folds` - 1.
        n_folds: how many.
        thresholds: of action units: each the best one, or `fixed` at 0.5.
    """
    if task is Task.VA:
        return _Concordance(scores, truth, fold, n_folds)
    if task is Task.EXPR:
        return _MacroF1(scores, truth, fold, n_folds)
    return (_FixedThresholdF1 if thresholds == "fixed" else _BestThresholdF1)(scores, truth, fold, n_folds)


class _Concordance:
    """Mean CCC. The moments of a weighted mean follow from those of its parts: no pass over the frames is needed."""

    def __init__(self, scores: FloatArray, truth: NDArray[np.generic], fold: NDArray[np.intp], n_folds: int) -> None:
        self._n_heads = len(scores)
        # One column for each head, the truth, and 1: products of columns are all the moments there are.
        columns = np.concatenate(
            [scores.astype(np.float64), truth[None].astype(np.float64), np.ones((1, *truth.shape))]
        )
        by_fold = (columns[:, fold == number] for number in range(n_folds))
        self._products = np.stack([np.einsum("ink,jnk->kij", part, part) for part in by_fold])

    def sums(self, weights: NDArray[np.float64]) -> Sums:
        # Rows of `mix`: the blend, the truth, 1.
        mix = np.zeros((3, self._n_heads + 2))
        mix[0, : self._n_heads] = weights
        mix[1:, self._n_heads :] = np.eye(2)
        return np.asarray(mix @ self._products @ mix.T)

    def decided(self, seen: Sums, unseen: Sums) -> Sums:
        return unseen

    def score(self, decided: Sums) -> float:
        found = []
        for products in decided:
            moments = products / products[2, 2]
            mean_y, mean_x = moments[0, 2], moments[1, 2]
            variance_y, variance_x = moments[0, 0] - mean_y**2, moments[1, 1] - mean_x**2
            # Differences of large sums leave some 1e-16 behind where nothing varies.
            is_constant = min(variance_x, variance_y) < 1e-12  # noqa: PLR2004
            covariance = moments[0, 1] - mean_x * mean_y
            found.append(0.0 if is_constant else ccc_of_moments(variance_x, variance_y, covariance, mean_x - mean_y))
        return float(np.mean(found))


class _MacroF1:
    """Macro F1 of the class with the highest score."""

    def __init__(self, scores: FloatArray, truth: NDArray[np.generic], fold: NDArray[np.intp], n_folds: int) -> None:
        self._scores = scores
        self._shape = (n_folds, scores.shape[2], scores.shape[2])
        self._offset = (fold * scores.shape[2] + truth.astype(np.int64)) * scores.shape[2]

    def sums(self, weights: NDArray[np.float64]) -> Sums:
        chosen = np.argmax(np.tensordot(weights.astype(np.float32), self._scores, axes=1), axis=1)
        counts = np.bincount(self._offset + chosen, minlength=math.prod(self._shape))
        return counts.reshape(self._shape).astype(np.float64)

    def decided(self, seen: Sums, unseen: Sums) -> Sums:
        return unseen

    def score(self, decided: Sums) -> float:
        return float(f1_of_counts(np.diag(decided), decided.sum(axis=0), decided.sum(axis=1)).mean())


class _FixedThresholdF1:
    """Mean F1 with the threshold 0.5 for each unit."""

    def __init__(self, scores: FloatArray, truth: NDArray[np.generic], fold: NDArray[np.intp], n_folds: int) -> None:
        self._scores, self._truth = scores, truth.astype(np.bool_)
        self._in_fold = [fold == number for number in range(n_folds)]

    def sums(self, weights: NDArray[np.float64]) -> Sums:
        is_on = np.tensordot(weights.astype(np.float32), self._scores, axes=1) >= _FIXED
        counted = (is_on & self._truth, is_on, self._truth)
        return np.array([[part[rows].sum(axis=0) for part in counted] for rows in self._in_fold], np.float64)

    def decided(self, seen: Sums, unseen: Sums) -> Sums:
        return unseen

    def score(self, decided: Sums) -> float:
        return float(f1_of_counts(*decided).mean())


class _BestThresholdF1:
    """Mean F1 with the best threshold of each unit, from histograms of the scores of frames with and without it."""

    def __init__(self, scores: FloatArray, truth: NDArray[np.generic], fold: NDArray[np.intp], n_folds: int) -> None:
        self._scores = scores
        self._n_folds, self._n_labels = n_folds, scores.shape[2]
        block = np.arange(self._n_labels) * 2 + truth.astype(np.int64)
        self._offset = (fold[:, None] * 2 * self._n_labels + block) * _BINS

    def sums(self, weights: NDArray[np.float64]) -> Sums:
        blended = np.tensordot(weights.astype(np.float32), self._scores, axes=1)
        cells = self._offset + np.clip((blended * _BINS).astype(np.int64), 0, _BINS - 1)
        counts = np.bincount(cells.reshape(-1), minlength=self._n_folds * self._n_labels * 2 * _BINS)
        return counts.reshape(self._n_folds, self._n_labels, 2, _BINS).astype(np.float64)

    def decided(self, seen: Sums, unseen: Sums) -> Sums:
        seen_at, unseen_at = _counts_from(seen), _counts_from(unseen)
        best = np.argmax(f1_of_counts(*seen_at), axis=1)
        return unseen_at[:, np.arange(self._n_labels), best]

    def score(self, decided: Sums) -> float:
        return float(f1_of_counts(*decided).mean())


def _counts_from(histogram: Sums) -> Sums:
    """Return hits, predicted and actual counts for a threshold at the start of each bin, shape (3, K, bins)."""
    from_bin = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]
    hits = from_bin[:, 1]
    return np.stack([hits, from_bin.sum(axis=1), np.broadcast_to(hits[:, :1], hits.shape)])
