"""Expressions by a cascade: the backbone's own decision where it is sure, a trained head's elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, ModelFileError
from affectline.heads.gated import parse_logit_labels
from affectline.heads.head import HeadCard
from affectline.heads.mlp import MlpHead
from affectline.heads.pretrained_head import PretrainedHead
from affectline.json_records import JsonValue
from affectline.labels import Task
from affectline.records import FaceFeatures, FloatArray

SURE_FROM: Final = 0.7
"""What the author of the paper took on Aff-Wild2 (Savchenko 2025, arXiv 2503.10399)."""

SURE_FROM_GRID: Final = tuple(step / 20 for step in range(21, 5, -1))
"""What is tried where labelled videos decide; with the first, 1.05, the backbone is never sure enough."""


class CascadeHead:
    """The backbone's probabilities where the highest is `sure_from` or more; a perceptron's where it is lower.

    The method of Savchenko (2025, arXiv 2503.10399), on single frames; a filter over time comes behind it.

    Args:
        card: an EXPR card with the eight ABAW labels.
        own: what the backbone says by itself.
        trained: a perceptron for the same labels and backbone.
        sure_from: above 0; above 1 the perceptron always decides.

    Raises:
        InputError: the parts do not fit each other.
    """

    kind: ClassVar[str] = "cascade"

    def __init__(self, card: HeadCard, own: PretrainedHead, trained: MlpHead, sure_from: float = SURE_FROM) -> None:
        parts = (own.card, trained.card)
        if card.task is not Task.EXPR or any(
            part.labels != card.labels or part.backbones != card.backbones for part in parts
        ):
            raise InputError("a cascade and its two parts need the same eight expressions and the same backbone")
        if not sure_from > 0:
            raise InputError(f"a cascade is sure from a probability above 0, got {sure_from}")
        self.card = card
        self.own = own
        self.trained = trained
        self.sure_from = float(sure_from)

    def with_card(self, card: HeadCard) -> CascadeHead:
        """Return the same head with another card."""
        return CascadeHead(card, self.own, self.trained, self.sure_from)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the probabilities of n faces, shape (n, 8), float32; see `heads.head.Head`."""
        return cascaded(self.own.score(features), self.trained.score(features), self.sure_from)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return {**self.own.settings(), **self.trained.settings(), "sure_from": self.sure_from}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the perceptron."""
        return self.trained.arrays()

    @classmethod
    def restore(
        cls, card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[np.generic]]
    ) -> CascadeHead:
        """Return the head of a file.

        Raises:
            ModelFileError: something is missing or does not fit.
        """
        temperature, sure_from = settings.get("temperature"), settings.get("sure_from")
        if not isinstance(temperature, int | float) or not isinstance(sure_from, int | float):
            raise ModelFileError("a cascade needs `temperature` and `sure_from`; train it again")
        plain = HeadCard(card.task, card.labels, card.backbones)
        try:
            own = PretrainedHead(plain, parse_logit_labels(settings), float(temperature))
            return cls(card, own, MlpHead.restore(plain, settings, arrays), float(sure_from))
        except InputError as error:
            raise ModelFileError(str(error)) from error


def cascaded(first: FloatArray, second: FloatArray, sure_from: float) -> FloatArray:
    """Return the rows of `first` whose highest value is `sure_from` or more, those of `second` elsewhere, (n, K)."""
    is_sure = first.max(axis=1, initial=0.0) >= sure_from
    return np.asarray(np.where(is_sure[:, None], first, second), np.float32)
