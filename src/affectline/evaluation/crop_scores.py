"""How good a backbone's own scores are on labelled crops, one by one, without smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.backbones import Backbone
from affectline.datasets.labelled_crops import LabelledCrops
from affectline.evaluation.calibration import calibration_error
from affectline.evaluation.sequence_scores import decide
from affectline.heads.pretrained import own_scores
from affectline.images import read_image
from affectline.labels import Task
from affectline.metrics.bootstrap import MIN_GROUPS, bootstrap_interval
from affectline.metrics.report import Report, make_report

_BATCH: Final = 64

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class CropEvaluation:
    """How good a backbone is.

    Attributes:
        report: the official score and the figures of each label.
        videos: how many there are.
        interval: 95 % bootstrap interval of the official score over videos; None with fewer than `MIN_GROUPS`.
        label_intervals: likewise of each label's CCC or F1, in the order of the labels; empty where there is none.
        calibration_error: expected, in 15 bins; of expressions, None for other tasks.
    """

    report: Report
    videos: int
    interval: Interval | None
    label_intervals: tuple[Interval, ...]
    calibration_error: float | None = None


def evaluate_crops(backbone: Backbone, crops: LabelledCrops) -> CropEvaluation:
    """Return how good a backbone is; action units are on from 0.5.

    Raises:
        InputFileError: a crop cannot be read.
    """
    parts = []
    for start in range(0, len(crops), _BATCH):
        pictures = [read_image(file) for file in crops.files[start : start + _BATCH]]
        parts.append(own_scores(crops.task, backbone.features(pictures), backbone.spec))
    scores = np.concatenate(parts)
    if crops.task is Task.AU:
        scores = scores[:, [Task.AU.official_labels.index(label) for label in crops.labels]]
    found = judge(crops, scores)
    if crops.task is not Task.EXPR:
        return found
    return replace(found, calibration_error=calibration_error(scores, np.asarray(crops.target, np.int64)))


def judge(crops: LabelledCrops, scores: NDArray[np.floating]) -> CropEvaluation:
    """Return how good scores of labelled crops are, shape (n, number of labels), with intervals."""
    decided = decide(crops.task, scores)
    report = make_report(crops.task, crops.target, decided, crops.labels)
    videos = len(np.unique(crops.groups))
    if videos < MIN_GROUPS:
        return CropEvaluation(report, videos, None, ())
    whole = bootstrap_interval(crops.task, crops.target, decided, crops.groups, crops.labels)
    each = tuple(_label_interval(crops, decided, number) for number in range(len(crops.labels)))
    return CropEvaluation(report, videos, whole, each)


def official_score(crops: LabelledCrops, scores: NDArray[np.floating]) -> Report:
    """Return the official score of scores of labelled crops, shape (n, number of labels)."""
    return make_report(crops.task, crops.target, decide(crops.task, scores), crops.labels)


def _label_interval(crops: LabelledCrops, decided: NDArray[np.generic], number: int) -> Interval:
    """Return the interval of one label: of its CCC, or of its F1 against all others."""
    kind = Task.VA if crops.task is Task.VA else Task.AU
    if crops.task is Task.EXPR:
        truth, predicted = (np.asarray(codes == number)[:, None] for codes in (crops.target, decided))
    else:
        truth, predicted = (np.asarray(columns)[:, [number]] for columns in (crops.target, decided))
    return bootstrap_interval(kind, truth, predicted, crops.groups, (crops.labels[number],))
