"""What a temporal head reads a frame with: a perceptron, perhaps with the backbone's outputs beside what it says."""

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


PROJECTION: Final = ENCODER + "projection"
"""Before `.weight` and `.bias` of the linear layer, where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """The perceptron of a temporal head, and what stands beside its outputs.

    Attributes:
        layers: for raw inputs of D numbers, ReLUs between them; K outputs.
        mean, scale: shape (D,), float32, of the inputs.
        passes: whether the standardised inputs follow the K outputs in an encoding.
        projection: for raw inputs: its P outputs follow instead; None where there is none.
    """

    layers: tuple[DenseLayer, ...]
    mean: FloatArray
    scale: FloatArray
    passes: bool
    projection: DenseLayer | None

    @classmethod
    def of(cls, numbers: Mapping[str, FloatArray], spec: TemporalSpec, n_labels: int) -> Encoder:
        """Return the encoder of a head's arrays, which `encoder_shapes` describes."""
        mean, scale = numbers["mean"], numbers["scale"]

        def layer(name: str) -> DenseLayer:
            return DenseLayer(numbers[f"{name}.weight"], numbers[f"{name}.bias"])

        layers = tuple(layer(f"{ENCODER}{number}") for number in range(_depth(numbers)))
        projection = None
        if f"{PROJECTION}.weight" in numbers:
            (projection,) = fold_standardising((layer(PROJECTION),), mean, scale)
        passes = projection is None and spec.inputs > n_labels
        return cls(fold_standardising(layers, mean, scale), mean, scale, passes, projection)

    @property
    def width(self) -> int:
        """D, how many numbers of a backbone it takes."""
        return len(self.mean)

    def run(self, values: FloatArray) -> FloatArray:
        """Return encodings, shape (n, K), (n, K + D) or (n, K + P), float32, of a backbone's outputs (n, D)."""
        outputs = run_layers(values, self.layers)
        if self.projection is not None:
            return np.concatenate([outputs, run_layers(values, (self.projection,))], axis=1)
        return np.concatenate([outputs, (values - self.mean) / self.scale], axis=1) if self.passes else outputs


def encoder_arrays(layers: tuple[DenseLayer, ...], mean: FloatArray, scale: FloatArray) -> dict[str, FloatArray]:
    """Return the arrays of a head's encoder: layers for standardised inputs, and what these are standardised by."""
    arrays = {"mean": mean, "scale": scale}
    for number, layer in enumerate(layers):
        arrays |= {f"{ENCODER}{number}.weight": layer.weight, f"{ENCODER}{number}.bias": layer.bias}
    return arrays


def encoder_shapes(numbers: Mapping[str, FloatArray], spec: TemporalSpec, n_labels: int) -> dict[str, tuple[int, ...]]:
    """Return which arrays, of which shapes, an encoder has that fits a head's network.

    Args:
        numbers: of the head, not checked yet: they say how many layers there are and how wide they are, and whether
            there is a projection.
        spec: of the network.
        n_labels: K.
    """
    beside, depth = spec.inputs - n_labels, max(1, _depth(numbers))
    has_projection = any(name.startswith(PROJECTION) for name in numbers)
    width = beside if beside > 0 and not has_projection else numbers.get("mean", np.empty(0)).size
    shapes: dict[str, tuple[int, ...]] = {"mean": (width,), "scale": (width,)}
    if has_projection:
        shapes |= {f"{PROJECTION}.weight": (beside, width), f"{PROJECTION}.bias": (beside,)}
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
