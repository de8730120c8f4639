"""A small network on a backbone's outputs: linear, or with hidden layers. Inference needs numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from affectline.errors import InputError, ModelFileError
from affectline.features.parts import FeaturePart, parse_parts, stack_inputs
from affectline.heads.head import HeadCard
from affectline.json_records import JsonValue
from affectline.labels import Task
from affectline.records import FaceFeatures, FloatArray


class DenseLayer(NamedTuple):
    """One layer: `weight @ x + bias`, with weight (out, in) and bias (out,), float32."""

    weight: FloatArray
    bias: FloatArray


class MlpHead:
    """A perceptron: standardised input, ReLU between layers, and the task's own activation behind the last one.

    That is tanh for VA, softmax for EXPR and the logistic function for AU (paper, section 2).

    Args:
        card: what it says of itself; one backbone.
        parts: which outputs of the backbone it sees, in this order.
        layers: at least one.
        mean, scale: shape (width of the input,), float32: the network sees `(x - mean) / scale`.

    Attributes:
        folded: the layers for the raw input: standardising is part of the first.

    Raises:
        ModelFileError: the shapes do not fit each other or the labels, or a number is not finite.
    """

    kind: ClassVar[str] = "mlp"

    def __init__(
        self,
        card: HeadCard,
        parts: tuple[FeaturePart, ...],
        layers: tuple[DenseLayer, ...],
        mean: FloatArray,
        scale: FloatArray,
    ) -> None:
        _check(card, layers, mean, scale)
        self.card = card
        self.parts = parts
        self.layers = layers
        self.mean = mean
        self.scale = scale
        self.folded = fold_standardising(layers, mean, scale)

    def with_card(self, card: HeadCard) -> MlpHead:
        """Return the same network with another card."""
        return MlpHead(card, self.parts, self.layers, self.mean, self.scale)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32; see `heads.head.Head`.

        Raises:
            InputError: the features of the head's backbone are missing, of another width, or not finite.
        """
        values = head_inputs(features, self.card, self.parts, len(self.mean))
        return activated(run_layers(values, self.folded), self.card.task)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return {"input": "+".join(part.value for part in self.parts), "layers": len(self.layers)}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the file: `mean`, `scale`, `0.weight`, `0.bias`, `1.weight`, ..."""
        arrays: dict[str, NDArray[np.generic]] = {"mean": self.mean, "scale": self.scale}
        for number, layer in enumerate(self.layers):
            arrays |= {f"{number}.weight": layer.weight, f"{number}.bias": layer.bias}
        return arrays

    @classmethod
    def restore(
        cls, card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[np.generic]]
    ) -> MlpHead:
        """Return the head that `settings` and `arrays` describe.

        Raises:
            ModelFileError: something is missing or does not fit.
        """
        try:
            parts = parse_parts(str(settings["input"]))
            numbers = range(int(str(settings["layers"])))
            layers = tuple(DenseLayer(_floats(arrays, f"{n}.weight"), _floats(arrays, f"{n}.bias")) for n in numbers)
            mean, scale = _floats(arrays, "mean"), _floats(arrays, "scale")
        except (KeyError, ValueError) as error:
            raise ModelFileError(f"a perceptron of the head is not complete: {error}; train the head again") from error
        return cls(card, parts, layers, mean, scale)


def _floats(arrays: Mapping[str, NDArray[np.generic]], name: str) -> FloatArray:
    array = arrays[name]
    if array.dtype != np.float32:
        raise ValueError(f"{name} must be float32, got {array.dtype}")
    return np.asarray(array, np.float32)


def _check(card: HeadCard, layers: tuple[DenseLayer, ...], mean: FloatArray, scale: FloatArray) -> None:
    if len(card.backbones) != 1:
        raise ModelFileError(f"a perceptron has one backbone, got {len(card.backbones)}; blend heads of several")
    if not layers or any(layer.weight.ndim != 2 or layer.bias.ndim != 1 for layer in layers):  # noqa: PLR2004 - out, in
        raise ModelFileError("a perceptron needs layers, each with a weight (out, in) and a bias (out,)")
    widths = [layers[0].weight.shape[1], *(len(layer.weight) for layer in layers)]
    fits = all(before == layer.weight.shape[1] for before, layer in zip(widths, layers, strict=False))
    fits = fits and all(layer.weight.shape[0] == len(layer.bias) for layer in layers)
    if not fits or mean.shape != (widths[0],) or scale.shape != (widths[0],) or widths[-1] != len(card.labels):
        shapes = ", ".join(f"{layer.weight.shape} + {layer.bias.shape}" for layer in layers)
        raise ModelFileError(
            f"the layers {shapes} with mean {mean.shape} and scale {scale.shape} do not fit each other and the "
            f"{len(card.labels)} labels {', '.join(card.labels)}"
        )
    numbers = [mean, scale, *(array for layer in layers for array in layer)]
    if not all(np.isfinite(array).all() for array in numbers) or not (scale > 0).all():
        raise ModelFileError(
            "a number of the perceptron is not finite, or a scale is not above 0; train the head again"
        )


def fold_standardising(layers: tuple[DenseLayer, ...], mean: FloatArray, scale: FloatArray) -> tuple[DenseLayer, ...]:
    """Return layers for raw input instead of `(x - mean) / scale`: that spares a pass over the input."""
    first = layers[0]
    weight = first.weight.astype(np.float64) / scale
    folded = DenseLayer(weight.astype(np.float32), (first.bias - weight @ mean).astype(np.float32))
    return (folded, *layers[1:])


def run_layers(values: FloatArray, layers: tuple[DenseLayer, ...]) -> FloatArray:
    """Return the outputs of the last layer, shape (n, K), with a ReLU between layers.

    Args:
        values: shape (n, width), float32.
        layers: at least one.
    """
    *hidden, last = layers
    for layer in hidden:
        values = values @ layer.weight.T
        values += layer.bias
        np.maximum(values, 0.0, out=values)
    return np.asarray(values @ last.weight.T + last.bias, np.float32)


def head_inputs(
    features: Mapping[str, FaceFeatures], card: HeadCard, parts: tuple[FeaturePart, ...], width: int
) -> FloatArray:
    """Return what a head with one backbone looks at, shape (n, width), float32.

    Raises:
        InputError: the features of the backbone are missing, of another width, or not finite.
    """
    (ref,) = card.backbones
    values = stack_inputs(features_of(ref.digest, ref.name, features), parts)
    if values.shape[1] != width:
        raise InputError(f"{ref.name} gives {values.shape[1]} numbers for each face, the head was trained on {width}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise InputError(f"features of {ref.name} are not finite for {bad} of {len(values)} faces; extract them again")
    return values


def features_of(digest: str, name: str, features: Mapping[str, FaceFeatures]) -> FaceFeatures:
    """Return the features of one backbone.

    Raises:
        InputError: they are not there; the digests are named.
    """
    if digest not in features:
        there = ", ".join(f"sha256 {other}" for other in features) or "none"
        raise InputError(f"the head needs features of {name} (sha256 {digest}), got those of {there}")
    return features[digest]


def activated(values: FloatArray, task: Task) -> FloatArray:
    """Return the task's activation of raw outputs, shape (n, K): tanh, softmax or the logistic function."""
    if task is Task.VA:
        return np.tanh(values)
    return np.asarray(softmax(values, axis=1) if task is Task.EXPR else expit(values), np.float32)
