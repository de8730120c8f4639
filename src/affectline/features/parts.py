"""Which of a backbone's outputs a head looks at, side by side in one array."""

from __future__ import annotations

from enum import Enum

import numpy as np

from affectline.errors import InputError
from affectline.records import FaceFeatures, FloatArray


class FeaturePart(str, Enum):
    """One output of a backbone. The value is the word of the command line."""

    EMBEDDING = "embedding"
    LOGITS = "logits"
    VALENCE_AROUSAL = "va"


def parse_parts(text: str) -> tuple[FeaturePart, ...]:
    """Return the parts that a text such as `embedding+logits` names, in its order.

    Raises:
        InputError: a part is unknown or named twice.
    """
    words = [word.strip() for word in text.split("+")]
    known = {part.value: part for part in FeaturePart}
    if not set(words) <= known.keys() or len(set(words)) < len(words):
        raise InputError(f"input {text!r} is not understood; join any of {', '.join(known)} by +, each once")
    return tuple(known[word] for word in words)


def input_width(parts: tuple[FeaturePart, ...], embedding_size: int, n_logits: int) -> int:
    """Return how many numbers the parts hold for each face."""
    widths = {FeaturePart.EMBEDDING: embedding_size, FeaturePart.LOGITS: n_logits, FeaturePart.VALENCE_AROUSAL: 2}
    return sum(widths[part] for part in parts)


def stack_inputs(features: FaceFeatures, parts: tuple[FeaturePart, ...]) -> FloatArray:
    """Return the parts side by side, shape (n, width), float32.

    Raises:
        InputError: valence and arousal are asked of a backbone that does not give them.
    """
    arrays = [_part(features, part) for part in parts]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)


def _part(features: FaceFeatures, part: FeaturePart) -> FloatArray:
    if part is FeaturePart.EMBEDDING:
        return features.embedding
    if part is FeaturePart.LOGITS:
        return features.logits
    if features.valence is None or features.arousal is None:
        raise InputError("input `va` was asked for, but the backbone gives neither valence nor arousal; leave it out")
    return np.stack([features.valence, features.arousal], axis=1)
