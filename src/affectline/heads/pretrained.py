"""Scores without a trained head: what a backbone gives by itself; valence and arousal by norms where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from affectline.backbones.spec import BackboneSpec
from affectline.errors import ShapeError
from affectline.heads.norms import NORMS, NORMS_SOURCE
from affectline.labels import ABAW_ACTION_UNITS, Expression, HeadKind, Task
from affectline.records import FaceFeatures, FloatArray


@dataclass(frozen=True, slots=True)
class HeadOrigin:
    """Where the scores of one task come from, in the words of `summary.json`."""

    kind: HeadKind
    source: str


_MIN_LABELS: Final = 2


def own_scores(task: Task, features: FaceFeatures, spec: BackboneSpec) -> FloatArray:
    """Return the scores of n faces that a backbone gives by itself.

    Args:
        task: EXPR and AU need outputs for them; VA is made from the expressions where the backbone has no such outputs.
        features: what the backbone said.
        spec: of the backbone.

    Returns:
        float32. VA: shape (n, 2), in [-1, 1]. EXPR: shape (n, K), rows sum to 1, in the order of the backbone's labels.
        AU: shape (n, 12), in [0, 1], in the order of `ABAW_ACTION_UNITS`, NaN for units that it does not know.
    """
    if task is Task.AU:
        table = np.full((len(features.logits), len(ABAW_ACTION_UNITS)), np.nan, np.float32)
        table[:, [ABAW_ACTION_UNITS.index(unit) for unit in spec.action_units]] = expit(features.au_logits)
        return table
    if task is Task.VA and features.valence is not None and features.arousal is not None:
        # The network's outputs are not bounded; the scale is.
        return np.clip(np.stack([features.valence, features.arousal], axis=1), -1.0, 1.0)
    probabilities = expression_probabilities(features.logits, spec.temperature)
    return probabilities if task is Task.EXPR else zero_shot_valence_arousal(probabilities, spec.labels)


def origin(task: Task, spec: BackboneSpec) -> HeadOrigin:
    """Return where the scores of `own_scores` come from."""
    if task is Task.VA and not spec.has_valence_arousal:
        return HeadOrigin(
            HeadKind.ZERO_SHOT, f"expectation of word norms under the expression probabilities: {NORMS_SOURCE}"
        )
    what = "logits" if task is Task.EXPR else "outputs"
    return HeadOrigin(HeadKind.PRETRAINED, f"{what} of {spec.name} ({spec.training_data})")


def expression_probabilities(logits: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Return the softmax of the logits divided by the temperature.

    Args:
        logits: shape (n, K), K >= 2.
        temperature: above 0; above 1 makes the probabilities less sure of themselves (Guo et al. 2017, On Calibration
            of Modern Neural Networks).

    Returns:
        Shape (n, K), float32, rows sum to 1.

    Raises:
        ShapeError: logits or temperature are not as said.
    """
    if logits.ndim != 2 or logits.shape[1] < _MIN_LABELS:  # noqa: PLR2004 - face, label
        raise ShapeError(f"logits must have shape (n, K) with K >= {_MIN_LABELS}, got {logits.shape}")
    if not temperature > 0:
        raise ShapeError(f"the temperature must be above 0, got {temperature}")
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def zero_shot_valence_arousal(probabilities: FloatArray, labels: tuple[Expression, ...]) -> FloatArray:
    """Return the mean of the labels' valence and arousal norms (`norms.NORMS`), weighted by their probabilities.

    Args:
        probabilities: shape (n, K), rows sum to 1.
        labels: the K classes, in column order.

    Returns:
        Shape (n, 2), float32, valence and arousal, in [-1, 1].

    Raises:
        ShapeError: K is not the number of labels.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):  # noqa: PLR2004 - face, label
        raise ShapeError(f"probabilities must have shape (n, {len(labels)}), got {probabilities.shape}")
    places = np.array([(NORMS[label].valence, NORMS[label].arousal) for label in labels], np.float32)
    return np.asarray(probabilities @ places, np.float32)
