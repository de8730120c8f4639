"""The official score of each task, and the figures of each label behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.labels import Task
from affectline.metrics.concordance import concordances
from affectline.metrics.counts import binary_counts, confusion, f1_of_counts


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The figures of one label.

    Attributes:
        label: which.
        values: VA: `ccc`. EXPR and AU: `f1`, `precision`, `recall`, and `support`, the number of frames that have it.
    """

    label: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """How good predictions are.

    Attributes:
        task: of what.
        p: the official score. VA: mean CCC. EXPR: macro F1 over all labels, 0 for one that is neither true nor
            predicted anywhere. AU: mean binary F1.
        frames: how many frames were compared.
        per_label: in the order of the labels.
        accuracy: EXPR: share of right frames; None for other tasks.
    """

    task: Task
    p: float
    frames: int
    per_label: tuple[LabelScore, ...]
    accuracy: float | None = None


def make_report(
    task: Task, truth: NDArray[np.generic], predicted: NDArray[np.generic], labels: tuple[str, ...]
) -> Report:
    """Return the report on n frames.

    Args:
        task: what is compared.
        truth: VA: shape (n, K), floats. EXPR: shape (n,), positions in the labels. AU: shape (n, K), 0 or 1.
        predicted: likewise; AU as bool, or 0 and 1.
        labels: the K labels.

    Raises:
        ShapeError: wrong shapes, no frames, NaN, or codes that are no positions in the labels.
    """
    if task is not Task.EXPR and (truth.ndim != 2 or truth.shape[1] != len(labels)):  # noqa: PLR2004 - frame, label
        raise ShapeError(f"{task.value} needs labels of shape (n, {len(labels)}), got {truth.shape}")
    if task is Task.VA:
        values = concordances(np.asarray(truth, np.float64), np.asarray(predicted, np.float64))
        scores = tuple(LabelScore(label, {"ccc": float(value)}) for label, value in zip(labels, values, strict=True))
        return Report(task, float(values.mean()), len(truth), scores)
    if task is Task.EXPR:
        table = confusion(np.asarray(truth), np.asarray(predicted), len(labels))
        hits, n_predicted, n_actual = np.diag(table), table.sum(axis=0), table.sum(axis=1)
        accuracy = float(hits.sum() / table.sum())
    else:
        hits, n_predicted, n_actual = binary_counts(truth, predicted)
        accuracy = None
    f1 = f1_of_counts(hits, n_predicted, n_actual)
    columns = (f1, _share(hits, n_predicted), _share(hits, n_actual), n_actual)
    scores = tuple(
        LabelScore(label, dict(zip(("f1", "precision", "recall", "support"), map(float, row), strict=True)))
        for label, *row in zip(labels, *columns, strict=True)
    )
    return Report(task, float(f1.mean()), len(truth), scores, accuracy)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
