"""How far a score may be from what other videos would give: bootstrap intervals that resample whole videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, ShapeError
from affectline.labels import Task
from affectline.metrics.concordance import ccc_of_moments
from affectline.metrics.counts import binary_counts, confusion, f1_of_counts

Sums = NDArray[np.float64]

MIN_GROUPS: Final = 5
"""With fewer groups an interval means nothing: three videos give ten different resamples in all."""


def bootstrap_interval(  # noqa: PLR0913 - the last three have defaults
    task: Task,
    truth: NDArray[np.generic],
    predicted: NDArray[np.generic],
    groups: Sequence[str] | NDArray[np.generic],
    labels: tuple[str, ...],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the official score (Efron and Tibshirani 1993).

    Frames of one video are no independent observations, so whole groups are drawn with replacement. Any number of
    groups is taken; with fewer than `MIN_GROUPS` the interval should not be shown. F1 of a label that occurs, but in
    none of the videos drawn, is left out of that draw's mean: counted as 0 it would push the interval down.

    Args:
        task: see `report.make_report`, also for the next two.
        truth: labels of n frames.
        predicted: decisions of n frames.
        groups: the video of each frame, n of them.
        labels: the K labels.
        resamples: how often the groups are drawn.
        level: the share of resamples inside the interval.
        seed: of the draws.

    Raises:
        ShapeError: as `make_report`, or the number of groups differs.
        InputError: resamples or level make no sense.
    """
    if resamples < 1 or not 0 < level < 1:
        raise InputError(f"a bootstrap needs resamples >= 1 and a level between 0 and 1, got {resamples} and {level}")
    if len(groups) != len(truth):
        raise ShapeError(f"each of the {len(truth)} frames needs a group, got {len(groups)}")
    score, sums = _sums_by_group(task, truth, predicted, np.asarray(groups), len(labels))
    n = len(sums)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    totals = (counts @ sums.reshape(n, -1)).reshape(resamples, *sums.shape[1:])
    scores = np.array([score(total) for total in totals])
    low, high = np.nanquantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _sums_by_group(
    task: Task, truth: NDArray[np.generic], predicted: NDArray[np.generic], groups: NDArray[np.generic], n_labels: int
) -> tuple[Callable[[Sums], float], Sums]:
    """Return what turns sums into the score, and the sums of each group, shape (groups, ...): a resample adds sums."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    parts = np.split(order, starts[1:])
    if task is Task.VA:
        return _score_of_moments, np.array([_moments(truth[part], predicted[part]) for part in parts])
    if task is Task.EXPR:
        codes, decided = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
        tables = np.array([confusion(codes[part], decided[part], n_labels) for part in parts])
        return partial(_macro_f1, tables.sum(axis=(0, 2)) > 0), tables
    counts = np.array([binary_counts(truth[part], predicted[part]) for part in parts])
    return partial(_mean_f1, counts.sum(axis=0)[2] > 0), counts


def _moments(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> Sums:
    x, y = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if x.shape != y.shape or x.ndim != 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):  # noqa: PLR2004
        raise ShapeError(f"truth and prediction must be finite and of one shape (n, K), got {x.shape} and {y.shape}")
    return np.stack([np.full(x.shape[1], len(x)), x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)])


def _score_of_moments(total: Sums) -> float:
    n, x, y, xx, yy, xy = total
    mean_x, mean_y = x / n, y / n
    moments = (xx / n - mean_x**2, yy / n - mean_y**2, xy / n - mean_x * mean_y, mean_x - mean_y)
    # Differences of large sums leave more rounding behind than centred ones: 1e-12 of the scale [-1, 1].
    clean = [np.where(np.abs(moment) < 1e-12, 0.0, moment) for moment in moments]  # noqa: PLR2004
    return float(np.mean([ccc_of_moments(*values) for values in zip(*clean, strict=True)]))


def _macro_f1(occurs: NDArray[np.bool_], table: Sums) -> float:
    return _mean_where_known(occurs, np.diag(table), table.sum(axis=0), table.sum(axis=1))


def _mean_f1(occurs: NDArray[np.bool_], counts: Sums) -> float:
    return _mean_where_known(occurs, *counts)


def _mean_where_known(occurs: NDArray[np.bool_], hits: Sums, predicted: Sums, actual: Sums) -> float:
    """Return the mean F1 without the labels that occur somewhere but not in these videos: nothing is known of them."""
    known = f1_of_counts(hits, predicted, actual)[(actual > 0) | ~occurs]
    return float(known.mean()) if len(known) else np.nan
