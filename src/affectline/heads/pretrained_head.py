"""What a backbone says by itself, as a head: "pre-trained VA only" in the paper's Table 1, and its expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from affectline.errors import InputError, ModelFileError
from affectline.features.parts import FeaturePart, stack_inputs
from affectline.heads.gated import parse_logit_labels, shared_columns
from affectline.heads.head import HeadCard
from affectline.heads.mlp import features_of
from affectline.json_records import JsonValue
from affectline.labels import VALENCE_AROUSAL, Expression, Task
from affectline.records import FaceFeatures, FloatArray


class PretrainedHead:
    """The backbone's own valence and arousal, clipped to [-1, 1]; or a softmax over its seven basic expressions.

    Other, which backbones do not know, has the probability 0.

    Args:
        card: VA with `valence`, `arousal` or both, or EXPR with the eight ABAW labels; one backbone.
        logit_labels: EXPR: the expressions that the backbone's logits stand for, in their order.
        temperature: EXPR: by which the logits are divided before the softmax, above 0.

    Raises:
        InputError: the card is of another task, or backbone and labels do not fit.
    """

    kind: ClassVar[str] = "pretrained"

    def __init__(self, card: HeadCard, logit_labels: Sequence[Expression] = (), temperature: float = 1.0) -> None:
        known = VALENCE_AROUSAL if card.task is Task.VA else Task.EXPR.official_labels
        is_whole = card.task is Task.VA or card.labels == known
        if card.task is Task.AU or len(card.backbones) != 1 or not set(card.labels) <= set(known) or not is_whole:
            raise InputError(
                f"a pretrained head gives valence and arousal or the eight ABAW expressions of one backbone, not "
                f"{card.task.value} ({', '.join(card.labels)}) of {len(card.backbones)}"
            )
        if not temperature > 0:
            raise InputError(f"the temperature of a head must be above 0, got {temperature}")
        self.card = card
        self.logit_labels = tuple(logit_labels)
        self.temperature = temperature
        if card.task is Task.VA:
            self._columns = [VALENCE_AROUSAL.index(label) for label in card.labels]
        else:
            self._columns = shared_columns(self.logit_labels)

    def with_card(self, card: HeadCard) -> PretrainedHead:
        """Return the same head with another card."""
        return PretrainedHead(card, self.logit_labels, self.temperature)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32; see `heads.head.Head`."""
        (ref,) = self.card.backbones
        found = features_of(ref.digest, ref.name, features)
        if self.card.task is Task.VA:
            return np.clip(stack_inputs(found, (FeaturePart.VALENCE_AROUSAL,))[:, self._columns], -1.0, 1.0)
        basic = softmax(found.logits[:, self._columns] / self.temperature, axis=1)
        return np.asarray(np.concatenate([basic, np.zeros((len(basic), 1))], axis=1), np.float32)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        if self.card.task is Task.VA:
            return {}
        return {"logit_labels": [label.value for label in self.logit_labels], "temperature": self.temperature}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the file: none."""
        return {}

    @classmethod
    def restore(
        cls,
        card: HeadCard,
        settings: Mapping[str, JsonValue],
        arrays: Mapping[str, NDArray[np.generic]],
    ) -> PretrainedHead:
        """Return the head of a file.

        Raises:
            ModelFileError: the file holds other things than it should, or the card is of another task.
        """
        if arrays or (settings and card.task is Task.VA):
            raise ModelFileError("a pretrained head holds no numbers; train it again")
        try:
            if card.task is Task.VA:
                return cls(card)
            temperature = settings.get("temperature")
            if not isinstance(temperature, int | float):
                raise ModelFileError(f"a pretrained head needs a temperature, got {temperature!r}; train it again")
            return cls(card, parse_logit_labels(settings), float(temperature))
        except InputError as error:
            raise ModelFileError(str(error)) from error
