"""Expressions from the backbone's own logits, with a trained gate for the class that AffectNet does not have: Other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from affectline.errors import InputError, ModelFileError
from affectline.heads.head import BackboneRef, HeadCard
from affectline.heads.mlp import MlpHead, features_of
from affectline.json_records import JsonValue
from affectline.labels import ABAW_EXPRESSION_8, Expression, Task
from affectline.records import FaceFeatures, FloatArray

OTHER: Final = Expression.OTHER.value
GATE_LABELS: Final = ("not Other", OTHER)
"""The two classes of a gate."""

_LABELS: Final = tuple(label.value for label in ABAW_EXPRESSION_8)

PAPER_WEIGHT: Final = 0.1
"""The weight of the raw logits in the notebook's rule."""


class GatedHead:
    """P(Other) from a trained binary classifier; the rest is shared by a softmax over the seven basic expressions.

    The logits of the backbone's other classes (Contempt) are left out of the softmax. "Pre-trained logits" in the
    paper's Table 2, with probabilities instead of a hard choice.

    Args:
        card: an EXPR card with the eight ABAW labels.
        gate: a binary perceptron with the labels `GATE_LABELS`.
        logit_labels: the expressions that the backbone's logits stand for, in their order.
        temperature: by which the logits are divided before the softmax.

    Raises:
        InputError: card, gate or backbone do not fit.
    """

    kind: ClassVar[str] = "gated"

    def __init__(
        self, card: HeadCard, gate: MlpHead, logit_labels: Sequence[Expression], temperature: float = 1.0
    ) -> None:
        _check_card(card, gate, GATE_LABELS, temperature)
        self.card = card
        self.gate = gate
        self.logit_labels = tuple(logit_labels)
        self.temperature = temperature
        self._columns = shared_columns(self.logit_labels)

    def with_card(self, card: HeadCard) -> GatedHead:
        """Return the same head with another card."""
        return GatedHead(card, self.gate, self.logit_labels, self.temperature)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the probabilities of n faces, shape (n, 8), float32; see `heads.head.Head`."""
        (ref,) = self.card.backbones
        other = self.gate.score(features)[:, 1:]
        logits = features_of(ref.digest, ref.name, features).logits[:, self._columns]
        basic = softmax(logits / self.temperature, axis=1) * (1.0 - other)
        return np.asarray(np.concatenate([basic, other], axis=1), np.float32)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return _settings(self.gate, self.logit_labels) | {"temperature": self.temperature}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the gate."""
        return self.gate.arrays()

    @classmethod
    def restore(
        cls, card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[np.generic]]
    ) -> GatedHead:
        """Return the head of a file.

        Raises:
            ModelFileError: something is missing or does not fit.
        """
        gate, labels = _restored(card, settings, arrays, GATE_LABELS)
        temperature = settings.get("temperature")
        if not isinstance(temperature, int | float):
            raise ModelFileError(f"a gated head needs a temperature, got {temperature!r}; train it again")
        try:
            return cls(card, gate, labels, float(temperature))
        except InputError as error:
            raise ModelFileError(str(error)) from error


class PaperGatedHead:
    """The rule of the notebook behind the paper.

    Where the argmax of a trained perceptron with eight classes is Other, its probabilities stand. Elsewhere the scores
    are 0.9 times its probabilities plus 0.1 times the backbone's *raw* logits, in ABAW order and with Contempt in the
    place of Other. These are no probabilities: they may be below 0 and do not sum to 1. The argmax is meant.

    Args:
        card: an EXPR card with the eight ABAW labels.
        mlp: the perceptron, with the same labels.
        logit_labels: the expressions that the backbone's logits stand for, in their order; eight with Contempt.

    Raises:
        InputError: card, perceptron or backbone do not fit.
    """

    kind: ClassVar[str] = "gated_paper"

    def __init__(self, card: HeadCard, mlp: MlpHead, logit_labels: Sequence[Expression]) -> None:
        _check_card(card, mlp, _LABELS, 1.0)
        self.card = card
        self.mlp = mlp
        self.logit_labels = tuple(logit_labels)
        if Expression.CONTEMPT not in self.logit_labels:
            raise InputError("the notebook's rule puts Contempt in the place of Other, and this backbone has none")
        self._columns = [*shared_columns(self.logit_labels), self.logit_labels.index(Expression.CONTEMPT)]

    def with_card(self, card: HeadCard) -> PaperGatedHead:
        """Return the same head with another card."""
        return PaperGatedHead(card, self.mlp, self.logit_labels)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, 8), float32; see the class."""
        (ref,) = self.card.backbones
        probabilities = self.mlp.score(features)
        logits = features_of(ref.digest, ref.name, features).logits[:, self._columns]
        mixed = PAPER_WEIGHT * logits + (1 - PAPER_WEIGHT) * probabilities
        is_other = np.argmax(probabilities, axis=1) == _LABELS.index(OTHER)
        return np.asarray(np.where(is_other[:, None], probabilities, mixed), np.float32)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return _settings(self.mlp, self.logit_labels)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the perceptron."""
        return self.mlp.arrays()

    @classmethod
    def restore(
        cls, card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[np.generic]]
    ) -> PaperGatedHead:
        """Return the head of a file.

        Raises:
            ModelFileError: something is missing or does not fit.
        """
        mlp, labels = _restored(card, settings, arrays, _LABELS)
        try:
            return cls(card, mlp, labels)
        except InputError as error:
            raise ModelFileError(str(error)) from error


def parse_logit_labels(settings: Mapping[str, JsonValue]) -> tuple[Expression, ...]:
    """Return the expressions that a backbone's logits stand for, in their order, from the settings of a head's file.

    Raises:
        ModelFileError: they are not there, or are no expressions.
    """
    words = settings.get("logit_labels")
    known = {label.value: label for label in Expression}
    if not isinstance(words, list) or not all(isinstance(word, str) and word in known for word in words):
        raise ModelFileError(f"a head needs the labels of the backbone's logits, got {words!r}; train it again")
    return tuple(known[str(word)] for word in words)


def gate_card(backbones: tuple[BackboneRef, ...]) -> HeadCard:
    """Return the card of a gate on these backbones."""
    return HeadCard(Task.EXPR, GATE_LABELS, backbones)


def shared_columns(logit_labels: Sequence[Expression]) -> list[int]:
    """Return where the seven basic expressions stand among a backbone's logits, in ABAW order.

    Raises:
        InputError: the backbone lacks one.
    """
    basic = [label for label in ABAW_EXPRESSION_8 if label is not Expression.OTHER]
    missing = [label.value for label in basic if label not in logit_labels]
    if missing:
        raise InputError(f"a gated head needs the logits of all seven basic expressions; missing: {', '.join(missing)}")
    return [list(logit_labels).index(label) for label in basic]


def _check_card(card: HeadCard, inner: MlpHead, labels: tuple[str, ...], temperature: float) -> None:
    if card.task is not Task.EXPR or card.labels != _LABELS or inner.card.labels != labels:
        raise InputError(
            f"a gated head predicts {', '.join(_LABELS)} with a perceptron for {', '.join(labels)}; got "
            f"{', '.join(card.labels)} and {', '.join(inner.card.labels)}"
        )
    if card.backbones != inner.card.backbones or not temperature > 0:
        raise InputError("a gated head and its perceptron need the same backbone, and a temperature above 0")


def _settings(inner: MlpHead, logit_labels: Sequence[Expression]) -> dict[str, JsonValue]:
    return inner.settings() | {"logit_labels": [label.value for label in logit_labels]}


def _restored(
    card: HeadCard,
    settings: Mapping[str, JsonValue],
    arrays: Mapping[str, NDArray[np.generic]],
    labels: tuple[str, ...],
) -> tuple[MlpHead, tuple[Expression, ...]]:
    logit_labels = parse_logit_labels(settings)
    return MlpHead.restore(HeadCard(Task.EXPR, labels, card.backbones), settings, arrays), logit_labels
