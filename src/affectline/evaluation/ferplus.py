"""How good a backbone's expressions are on the photographs of FER+, by the protocols that papers use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from affectline.backbones import Backbone
from affectline.datasets.ferplus import FerPlusSplit, official_labels, plurality_labels, vote_shares
from affectline.errors import InputError, ShapeError
from affectline.evaluation.calibration import calibration_error, fit_temperature
from affectline.labels import FERPLUS_8, Expression, Task
from affectline.metrics.report import Report, make_report
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FloatArray

MANY: Final = 50
"""Classes with more images than that make up the macro F1 that says something: of the test set, six."""

_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class FerPlusScores:
    """What one protocol gives.

    Attributes:
        report: accuracy, macro F1 of the eight classes and the figures of each, on the images that count.
        f1_of_many: macro F1 over the classes with more than `MANY` images.
        recall_intervals: for each class the 95 % Wilson interval of its recall; None where it has no image.
    """

    report: Report
    f1_of_many: float
    recall_intervals: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True, slots=True)
class FerPlusEvaluation:
    """How good a backbone is.

    Attributes:
        official: by the official protocol (`datasets.ferplus.official_labels`).
        plurality: by the most votes alone.
        calibration_error: expected calibration error in 15 bins on the images of `plurality`, of the
            probabilities at the backbone's temperature.
        likelihood: mean log likelihood of a vote, nats, at most 0: how well the probabilities tell how people
            disagree.
    """

    official: FerPlusScores
    plurality: FerPlusScores
    calibration_error: float
    likelihood: float


def ferplus_logits(backbone: Backbone, split: FerPlusSplit, on_progress: ProgressHook = ignore_progress) -> FloatArray:
    """Return a backbone's logits for the images of a split in the order of `labels.FERPLUS_8`, shape (n, 8), float32.

    A class that the backbone does not know gets minus infinity.

    Args:
        backbone: any.
        split: n images; they are faces already and taken whole.
        on_progress: told how many images are done.

    Raises:
        InputError: the backbone knows none of the classes.
    """
    logits = []
    for start in range(0, len(split), _BATCH):
        crops = [np.dstack([image] * 3) for image in split.images[start : start + _BATCH]]
        logits.append(backbone.features(crops).logits)
        on_progress(min(start + _BATCH, len(split)), len(split))
    return _in_order(np.concatenate(logits), backbone.spec.labels)


def _in_order(logits: FloatArray, labels: Sequence[Expression]) -> FloatArray:
    known = {label: column for column, label in enumerate(labels)}
    if not known.keys() & set(FERPLUS_8):
        raise InputError(f"a backbone for {', '.join(labels)} knows no class of FER+")
    ordered = np.full((len(logits), len(FERPLUS_8)), -np.inf, np.float32)
    for place, label in enumerate(FERPLUS_8):
        if label in known:
            ordered[:, place] = logits[:, known[label]]
    return ordered


def evaluate_ferplus(logits: FloatArray, votes: NDArray[np.integer], temperature: float = 1.0) -> FerPlusEvaluation:
    """Return how good logits are.

    Args:
        logits: shape (n, 8), in the order of `labels.FERPLUS_8`.
        votes: shape (n, 10).
        temperature: by which the logits are divided before the softmax.

    Raises:
        ShapeError: the arrays do not fit each other, or no image counts.
    """
    if logits.shape != (len(votes), len(FERPLUS_8)):
        raise ShapeError(f"{len(votes)} images need logits of shape (n, {len(FERPLUS_8)}), got {logits.shape}")
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    plurality = plurality_labels(votes)
    counts = plurality >= 0
    return FerPlusEvaluation(
        _scores(logits, official_labels(votes)),
        _scores(logits, plurality),
        calibration_error(probabilities[counts], plurality[counts]),
        vote_likelihood(logits, votes, temperature),
    )


def _scores(logits: FloatArray, labels: NDArray[np.int64]) -> FerPlusScores:
    counts = labels >= 0
    truth, predicted = labels[counts], np.argmax(logits[counts], axis=1)
    report = make_report(Task.EXPR, truth, predicted, tuple(label.value for label in FERPLUS_8))
    supports = np.array([score.values["support"] for score in report.per_label])
    f1 = np.array([score.values["f1"] for score in report.per_label])
    hits = np.array([score.values["recall"] for score in report.per_label]) * supports
    intervals = tuple(wilson(hit, n) if n else None for hit, n in zip(hits.tolist(), supports.tolist(), strict=True))
    many = f1[supports > MANY]
    return FerPlusScores(report, float(many.mean()) if len(many) else 0.0, intervals)


def wilson(hits: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of a share, 95 % by default (Wilson 1927): it holds for few cases and shares near 0 and 1."""
    share = hits / n
    middle = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return float((middle - reach) / scale), float((middle + reach) / scale)


def vote_likelihood(logits: FloatArray, votes: NDArray[np.integer], temperature: float) -> float:
    """Return the mean over images of the log likelihood of a vote for the classes that the logits know, nats."""
    known = np.isfinite(logits).all(axis=0)
    shares = vote_shares(votes)[:, known]
    logs = log_softmax(logits[:, known].astype(np.float64) / temperature, axis=1)
    return float((shares * logs).sum(axis=1).mean())


def fit_to_plurality(logits: FloatArray, votes: NDArray[np.integer]) -> float:
    """Return the temperature with the highest likelihood of the plurality vote; fit it on the validation split.

    A probability then says how likely it is that most people would name the class. (The likelihood of single votes
    would make it say what share of people name it: as people disagree, that is less, and the expected calibration error
    against the plurality of a good network is some 6 %.)

    Args:
        logits: shape (n, 8), in the order of `labels.FERPLUS_8`.
        votes: shape (n, 10).
    """
    plurality = plurality_labels(votes)
    counts = plurality >= 0
    return fit_temperature(logits[counts], plurality[counts])
