"""Valence and arousal straight from a multi-task backbone, as a head: "pre-trained VA only" in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, ModelFileError
from affectline.features.parts import FeaturePart, stack_inputs
from affectline.heads.head import HeadCard
from affectline.heads.mlp import features_of
from affectline.json_records import JsonValue
from affectline.labels import VALENCE_AROUSAL, Task
from affectline.records import FaceFeatures, FloatArray


class PretrainedHead:
    """The backbone's own valence and arousal, clipped to [-1, 1].

    Args:
        card: a VA card with one backbone; its labels are `valence`, `arousal` or both.

    Raises:
        InputError: the card is of another task.
    """

    kind: ClassVar[str] = "pretrained"

    def __init__(self, card: HeadCard) -> None:
        if card.task is not Task.VA or len(card.backbones) != 1 or not set(card.labels) <= set(VALENCE_AROUSAL):
            raise InputError(
                f"a pretrained head gives valence and arousal of one backbone, not {card.task.value} of "
                f"{len(card.backbones)}; for expressions train a gated head"
            )
        self.card = card
        self._columns = [VALENCE_AROUSAL.index(label) for label in card.labels]

    def with_card(self, card: HeadCard) -> PretrainedHead:
        """Return the same head with another card."""
        return PretrainedHead(card)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32; see `heads.head.Head`."""
        (ref,) = self.card.backbones
        values = stack_inputs(features_of(ref.digest, ref.name, features), (FeaturePart.VALENCE_AROUSAL,))
        return np.clip(values[:, self._columns], -1.0, 1.0)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card: nothing."""
        return {}

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
            ModelFileError: the file holds more than a card, or the card is of another task.
        """
        if settings or arrays:
            raise ModelFileError("a pretrained head holds a card only; train it again")
        try:
            return cls(card)
        except InputError as error:
            raise ModelFileError(str(error)) from error
