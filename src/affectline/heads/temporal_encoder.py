"""What a temporal head reads a single frame with: a perceptron, and perhaps the backbone's outputs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from affectline.heads.mlp import DenseLayer, fold_standardising, run_layers
from affectline.heads.temporal_spec import TemporalSpec
from affectline.records import FloatArray

ENCODER: Final = "encoder."
"""Before `0.weight`, `0.bias`, `1.weight`, ... of the perceptron's layers."""

MOST_PASSED: Final = 64
"""Backbones' outputs up to this number stand beside what the perceptron makes of them: logits do, embeddings do not."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """The perceptron of a temporal head.

    Attributes:
        layers: for raw inputs of D numbers, ReLUs between them; K outputs.
        mean, scale: shape (D,), float32, of the inputs.
        passes: whether the standardised inputs follow the K outputs in an encoding.
    """

    layers: tuple[DenseLayer, ...]
    mean: FloatArray
    scale: FloatArray
    passes: bool

    @classmethod
    def of(cls, numbers: Mapping[str, FloatArray], spec: TemporalSpec, n_labels: int) -> Encoder:
        """Return the encoder of a head's arrays, which `encoder_shapes` describes."""
        layers = tuple(
            DenseLayer(numbers[f"{ENCODER}{n}.weight"], numbers[f"{ENCODER}{n}.bias"]) for n in range(_depth(numbers))
        )
        mean, scale = numbers["mean"], numbers["scale"]
        return cls(fold_standardising(layers, mean, scale), mean, scale, spec.inputs > n_labels)

    @property
    def width(self) -> int:
        """D, how many numbers of a backbone it takes."""
        return len(self.mean)

    def run(self, values: FloatArray) -> FloatArray:
        """Return encodings, shape (n, K) or (n, K + D), float32, of a backbone's outputs (n, D)."""
        outputs = run_layers(values, self.layers)
        if not self.passes:
            return outputs
        return np.concatenate([outputs, (values - self.mean) / self.scale], axis=1)


def encoder_arrays(layers: tuple[DenseLayer, ...], mean: FloatArray, scale: FloatArray) -> dict[str, FloatArray]:
    """Return the arrays of a head's encoder: layers for standardised inputs, and what these are standardised by."""
    arrays = {"mean": mean, "scale": scale}
    for number, layer in enumerate(layers):
        arrays |= {f"{ENCODER}{number}.weight": layer.weight, f"{ENCODER}{number}.bias": layer.bias}
    return arrays


def encoder_shapes(numbers: Mapping[str, FloatArray], spec: TemporalSpec, n_labels: int) -> dict[str, tuple[int, ...]]:
    """Return which arrays, of which shapes, an encoder has that fits a head's network.

    Args:
        numbers: of the head, not checked yet: they say how many layers there are and how wide they are.
        spec: of the network.
        n_labels: K.
    """
    depth = max(1, _depth(numbers))
    width = spec.inputs - n_labels
    if width <= 0:
        width = numbers["mean"].size if "mean" in numbers else 0
    shapes: dict[str, tuple[int, ...]] = {"mean": (width,), "scale": (width,)}
    for number in range(depth):
        name = f"{ENCODER}{number}"
        is_last = number == depth - 1
        after = n_labels if is_last else numbers[f"{name}.weight"].shape[0]
        shapes |= {f"{name}.weight": (after, width), f"{name}.bias": (after,)}
        width = after
    return shapes


def _depth(numbers: Mapping[str, FloatArray]) -> int:
    depth = 0
    while f"{ENCODER}{depth}.weight" in numbers:
        depth += 1
    return depth
