"""A weighted mean of the scores of several heads; itself a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError, ShapeError
from affectline.heads.head import (
    BackboneRef,
    Context,
    FaceFollower,
    Head,
    HeadCard,
    adjust,
    context_head,
    normalise,
)
from affectline.records import FaceFeatures, FloatArray


class BlendHead:
    """The weighted mean of what its parts say, each part's own logit adjustment included.

    Where a part looks at a face over time, so does the blend: its encoding of a frame is that of each such part, and
    the scores of each other part, side by side.

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
        return self._mean([_adjusted(part, part.score(features)) for part in self.parts])

    def _mean(self, scores: Sequence[FloatArray]) -> FloatArray:
        total = self.weights[0] * scores[0]
        for weight, one in zip(self.weights[1:], scores[1:], strict=True):
            total = total + weight * one
        return np.asarray(total, np.float32)

    @property
    def context(self) -> Context:
        """What the score of a frame rests on: all that a part's rests on."""
        found = {context.context for context in map(context_head, self.parts) if context is not None}
        return Context.WINDOW if Context.WINDOW in found else next(iter(found), Context.NONE)

    @property
    def encoding_size(self) -> int:
        """How many numbers an encoding has."""
        return sum(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        contexts = [context_head(part) for part in self.parts]
        return [len(self.card.labels) if context is None else context.encoding_size for context in contexts]

    @property
    def memory_s(self) -> float:
        """A face that stays away for longer, in seconds, is begun anew by every part."""
        return max((context.memory_s for context in map(context_head, self.parts) if context is not None), default=0.0)

    def encode(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the encodings of n faces, shape (n, encoding size), float32; see `heads.head.ContextHead`."""
        found = []
        for part in self.parts:
            context = context_head(part)
            found.append(_adjusted(part, part.score(features)) if context is None else context.encode(features))
        return np.concatenate(found, axis=1)

    def score_encoded(self, encoded: FloatArray, time_s: NDArray[np.float64]) -> FloatArray:
        """Return the scores of one face over time, shape (n, number of labels); see `heads.head.ContextHead`."""
        found = []
        for part, own in zip(self.parts, self._split(encoded), strict=True):
            context = context_head(part)
            found.append(own if context is None else _adjusted(part, context.score_encoded(own, time_s)))
        return self._mean(found)

    def _split(self, encoded: FloatArray) -> list[FloatArray]:
        """Return what each part has said in encodings, shape (..., encoding size)."""
        if encoded.shape[-1] != self.encoding_size:
            raise ShapeError(f"encodings of the blend have {self.encoding_size} numbers, got {encoded.shape}")
        return np.split(encoded, np.cumsum(self._sizes)[:-1], axis=-1)

    def follow(self) -> BlendFollower:
        """Return what scores one face frame by frame, with the numbers that `score_encoded` gives.

        Raises:
            InputError: a part looks ahead.
        """
        contexts = [context_head(part) for part in self.parts]
        return BlendFollower(self, [None if context is None else context.follow() for context in contexts])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the blend itself; those of the parts are added by `head_file`."""
        return {"weights": self.weights}


class BlendFollower:
    """Scores one face frame by frame by all parts of a blend.

    Args:
        head: the blend.
        followers: of each part; None for one that looks at single frames.
    """

    def __init__(self, head: BlendHead, followers: Sequence[FaceFollower | None]) -> None:
        self._head = head
        self._followers = followers

    def push(self, encoded: FloatArray, time_s: float) -> FloatArray:
        """Return the scores of the face's next frame, shape (number of labels,); see `heads.head.FaceFollower`."""
        found = []
        for part, follower, own in zip(self._head.parts, self._followers, self._head._split(encoded), strict=True):
            found.append(own if follower is None else _adjusted(part, follower.push(own, time_s)[None])[0])
        return self._head._mean(found)


def _adjusted(part: Head, scores: FloatArray) -> FloatArray:
    adjustment = part.card.decision.logit_adjustment
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
