"""A weighted mean of the scores of several heads; itself a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError
from affectline.heads.head import BackboneRef, Head, HeadCard, adjust, normalise
from affectline.records import FaceFeatures, FloatArray


class BlendHead:
    """The weighted mean of what its parts say, each part's own logit adjustment included.

    Args:
        card: what it says of itself; its backbones are those of the parts.
        parts: at least one, all of the card's task and labels.
        weights: shape (number of parts,), 0 or above, not all 0; used as shares of their sum.

    Raises:
        InputError: parts and weights are not as said.
    """

    kind: ClassVar[str] = "blend"

    def __init__(self, card: HeadCard, parts: tuple[Head, ...], weights: FloatArray) -> None:
        _check(card, parts, weights)
        self.card = card
        self.parts = parts
        self.weights = np.asarray(weights / weights.sum(), np.float32)

    def with_card(self, card: HeadCard) -> BlendHead:
        """Return the same blend with another card."""
        return BlendHead(card, self.parts, self.weights)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32; see `heads.head.Head`."""
        total: FloatArray | None = None
        for part, weight in zip(self.parts, self.weights, strict=True):
            # A weight of 0 spares the work, but never the check that the part's backbone is there.
            scores = weight * _adjusted(part, features)
            total = scores if total is None else total + scores
        return np.asarray(total, np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the blend itself; those of the parts are added by `head_file`."""
        return {"weights": self.weights}


def _adjusted(part: Head, features: Mapping[str, FaceFeatures]) -> FloatArray:
    adjustment = part.card.decision.logit_adjustment
    scores = part.score(features)
    return normalise(adjust(scores, adjustment)) if adjustment else scores


def joint_backbones(parts: tuple[Head, ...]) -> tuple[BackboneRef, ...]:
    """Return every backbone that the parts need, each once, in the order of the parts."""
    return tuple({ref.digest: ref for part in parts for ref in part.card.backbones}.values())


def _check(card: HeadCard, parts: tuple[Head, ...], weights: FloatArray) -> None:
    if not parts or np.shape(weights) != (len(parts),):
        raise InputError(f"a blend needs a weight for each part, got {np.shape(weights)} weights, {len(parts)} parts")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise InputError(f"the weights of a blend must be 0 or above and not all 0, got {np.asarray(weights).tolist()}")
    for number, part in enumerate(parts, start=1):
        if part.card.task is not card.task or part.card.labels != card.labels:
            raise InputError(
                f"part {number} of the blend predicts {part.card.task.value} ({', '.join(part.card.labels)}), the "
                f"blend {card.task.value} ({', '.join(card.labels)}); blend heads of one task with the same labels"
            )
    needed = {ref.digest for ref in joint_backbones(parts)}
    if needed != {ref.digest for ref in card.backbones}:
        raise InputError("the card of a blend must name the backbones of its parts, all of them and no other")
