"""Scores without a trained head: expression from the logits, valence and arousal from the backbone or by norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from affectline.backbones.spec import BackboneSpec
from affectline.errors import ShapeError
from affectline.heads.norms import NORMS, NORMS_SOURCE
from affectline.labels import Expression, HeadKind
from affectline.records import FaceFeatures, FloatArray


@dataclass(frozen=True, slots=True)
class HeadOrigin:
    """Where the scores of one task come from, in the words of `summary.json`."""

    kind: HeadKind
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class FaceScores:
    """Scores of n faces.

    Attributes:
        probabilities: shape (n, K), float32, rows sum to 1, in the order of the backbone's labels.
        valence: shape (n,), float32, in [-1, 1].
        arousal: likewise.
    """

    probabilities: FloatArray
    valence: FloatArray
    arousal: FloatArray


_MIN_LABELS: Final = 2


def score_features(features: FaceFeatures, spec: BackboneSpec) -> FaceScores:
    """Return the scores of what a backbone said; valence and arousal are its own where it has them."""
    probabilities = expression_probabilities(features.logits, spec.temperature)
    if features.valence is None or features.arousal is None:
        valence, arousal = zero_shot_valence_arousal(probabilities, spec.labels).T
    else:
        # The network's outputs are not bounded; the scale is.
        valence, arousal = (np.clip(column, -1.0, 1.0) for column in (features.valence, features.arousal))
    return FaceScores(probabilities, valence, arousal)


def expression_origin(spec: BackboneSpec) -> HeadOrigin:
    """Return where expression scores of `score_features` come from."""
    return HeadOrigin(HeadKind.PRETRAINED, f"logits of {spec.name} ({spec.training_data})")


def valence_arousal_origin(spec: BackboneSpec) -> HeadOrigin:
    """Return where valence and arousal of `score_features` come from."""
    if spec.has_valence_arousal:
        return HeadOrigin(HeadKind.PRETRAINED, f"outputs of {spec.name} ({spec.training_data})")
    return HeadOrigin(
        HeadKind.ZERO_SHOT, f"expectation of word norms under the expression probabilities: {NORMS_SOURCE}"
    )


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
