"""The networks of temporal heads as ONNX graphs, put together from a head's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectline.heads.temporal_encoder import Encoder
from affectline.heads.temporal_spec import (
    ATTENTION_HEADS,
    FARTHEST,
    FILTER,
    SMALLEST_SHARE,
    TAPS,
    TINY,
    TemporalSpec,
)
from affectline.labels import Task
from affectline.records import FloatArray

OPSET: Final = 17
IR_VERSION: Final = 8
"""That of ONNX 1.12: old versions of ONNX Runtime read it."""

FEATURES, MASK, SCORES = "features", "mask", "scores"
STEPS: Final = "steps"
"""Input of `core_graph`: encodings with the mask behind them."""

_HIDDEN_KEY: Final = -1e9
"""Added to what attention thinks of a step that it must not see: finite, so that a window without any gives no NaN."""

_NORM_EPSILON: Final = 1e-5


def core_graph(spec: TemporalSpec, numbers: Mapping[str, FloatArray], n_labels: int, task: Task) -> bytes:
    """Return the network behind the encodings as the bytes of an ONNX file.

    Input `steps`: (B, T, d + 1) float32, encodings that are 0 where the mask, the last column, is 0. Output
    `scores`: (B, T, K) float32, activated.

    Args:
        spec: of the network.
        numbers: as `TemporalSpec.shapes` says, under these names.
        n_labels: K.
        task: whose activation the scores have.
    """
    nodes = _Nodes()
    outputs = _core(nodes, spec, numbers, STEPS)
    _activate(nodes, outputs, task)
    return nodes.file({STEPS: ("batch", "time", spec.inputs + 1)}, n_labels, {})


def head_graph(
    spec: TemporalSpec,
    encoder: Encoder,
    numbers: Mapping[str, FloatArray],
    n_labels: int,
    task: Task,
    metadata: Mapping[str, str],
) -> bytes:
    """Return a whole head as the bytes of an ONNX file.

    Inputs: `features` (B, T, D) float32, as the backbone gives them, `spec.interval_s` apart, and `mask` (B, T)
    float32, 1 where there is a face and 0 where there is none: features are not looked at there and scores mean
    nothing. Output: `scores` (B, T, K) float32, activated.

    Args:
        spec: of the network.
        encoder: of single frames.
        numbers: of filter and network, as `TemporalSpec.shapes` says.
        n_labels: K.
        task: whose activation the scores have.
        metadata: text by key, for the file.
    """
    nodes = _Nodes()
    flags = nodes.add("Unsqueeze", MASK, nodes.integers([2]))
    is_seen = nodes.add("Greater", flags, nodes.number(0.5))
    # Whatever stands for a face that is not there, NaN too, must not reach the network: times 0 it would stay NaN.
    encoded = nodes.add("Where", is_seen, _encode(nodes, encoder), nodes.number(0.0))
    seen = nodes.add("Cast", is_seen, to=1)
    outputs = _core(nodes, spec, numbers, nodes.add("Concat", encoded, seen, axis=2))
    _activate(nodes, outputs, task)
    return nodes.file({FEATURES: ("batch", "time", encoder.width), MASK: ("batch", "time")}, n_labels, metadata)


class _Nodes:
    """A graph while it is put together."""

    def __init__(self) -> None:
        import onnx  # noqa: PLC0415 - it takes 0.3 s, which nobody pays who has no temporal head

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401 - as onnx takes them
        """Add a node with one output and return the output's name."""
        name = output or f"{operator.lower()}.{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Return the name of an array."""
        name = f"constant.{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.asarray(value, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.asarray(values, np.int64))

    def dense(self, values: str, weight: FloatArray, bias: FloatArray) -> str:
        """Add `values @ weight.T + bias`."""
        return self.add("Add", self.add("MatMul", values, self.constant(weight.T)), self.constant(bias))

    def norm(self, values: str, weight: FloatArray, bias: FloatArray) -> str:
        return self.add(
            "LayerNormalization", values, self.constant(weight), self.constant(bias), axis=-1, epsilon=_NORM_EPSILON
        )

    def length(self, values: str, axis: int) -> str:
        """Return the name of a scalar: how long an axis of some values is."""
        return self.add("Gather", self.add("Shape", values), self.constant(np.asarray(axis, np.int64)))

    def file(self, inputs: Mapping[str, Sequence[object]], n_labels: int, metadata: Mapping[str, str]) -> bytes:
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "temporal_head",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(SCORES, kind, ("batch", "time", n_labels))],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, dict(metadata))
        return bytes(model.SerializeToString())


def _activate(nodes: _Nodes, outputs: str, task: Task) -> None:
    if task is Task.VA:
        nodes.add("Tanh", outputs, output=SCORES)
    elif task is Task.EXPR:
        nodes.add("Softmax", outputs, output=SCORES, axis=-1)
    else:
        nodes.add("Sigmoid", outputs, output=SCORES)


def _encode(nodes: _Nodes, encoder: Encoder) -> str:
    """Add the perceptron; return the name of the encodings (B, T, d)."""
    values = FEATURES
    for layer in encoder.layers[:-1]:
        values = nodes.add("Relu", nodes.dense(values, layer.weight, layer.bias))
    values = nodes.dense(values, *encoder.layers[-1])
    if encoder.projection is not None:
        return nodes.add("Concat", values, nodes.dense(FEATURES, *encoder.projection), axis=2)
    if not encoder.passes:
        return values
    centred = nodes.add("Sub", FEATURES, nodes.constant(encoder.mean))
    return nodes.add("Concat", values, nodes.add("Div", centred, nodes.constant(encoder.scale)), axis=2)


def _core(nodes: _Nodes, spec: TemporalSpec, numbers: Mapping[str, FloatArray], steps: str) -> str:
    """Add filter and network; return the name of the sum of their outputs, before the activation."""
    width = spec.inputs
    mask = nodes.add("Slice", steps, nodes.integers([width]), nodes.integers([width + 1]), nodes.integers([2]))
    build = {"gru": _gru, "tcn": _tcn, "transformer": _transformer}[spec.model]
    return nodes.add(
        "Add", _filter(nodes, spec, numbers[FILTER], steps, mask), build(nodes, spec, numbers, steps, mask)
    )


def _filter(nodes: _Nodes, spec: TemporalSpec, weight: FloatArray, steps: str, mask: str) -> str:
    """Add the filter: a weighted sum of the perceptron's outputs, as large as if no step were masked."""
    n_labels = len(weight)
    outputs = nodes.add("Slice", steps, nodes.integers([0]), nodes.integers([n_labels]), nodes.integers([2]))
    pads = [spec.reach, 0 if spec.is_causal else spec.reach]

    def summed(values: str, taps: FloatArray, groups: int) -> str:
        turned = nodes.add("Transpose", values, perm=[0, 2, 1])
        found = nodes.add("Conv", turned, nodes.constant(taps), pads=pads, group=groups)
        return nodes.add("Transpose", found, perm=[0, 2, 1])

    total = np.abs(weight).sum(axis=2)[:, 0]
    seen = nodes.add("Max", summed(mask, np.abs(weight), 1), nodes.constant(SMALLEST_SHARE * total + TINY))
    scaled = nodes.add("Mul", summed(outputs, weight, n_labels), nodes.constant(total))
    return nodes.add("Div", scaled, seen)


def _dense(nodes: _Nodes, numbers: Mapping[str, FloatArray], name: str, values: str) -> str:
    return nodes.dense(values, numbers[f"{name}.weight"], numbers[f"{name}.bias"])


def _norm(nodes: _Nodes, numbers: Mapping[str, FloatArray], name: str, values: str) -> str:
    return nodes.norm(values, numbers[f"{name}.weight"], numbers[f"{name}.bias"])


def _gru(nodes: _Nodes, spec: TemporalSpec, numbers: Mapping[str, FloatArray], steps: str, mask: str) -> str:
    ends = ("",) if spec.is_causal else ("", "_reverse")
    states = nodes.add("Transpose", steps, perm=[1, 0, 2])
    for layer in range(spec.layers):
        weights = [
            np.stack([_update_first(numbers[f"gru.{kind}_l{layer}{end}"]) for end in ends])
            for kind in ("weight_ih", "weight_hh")
        ]
        biases = np.stack(
            [
                np.concatenate([_update_first(numbers[f"gru.bias_{kind}_l{layer}{end}"]) for kind in ("ih", "hh")])
                for end in ends
            ]
        )
        # (T, ends, B, d) becomes (T, B, ends * d).
        found = nodes.add(
            "GRU",
            states,
            *(nodes.constant(array) for array in (*weights, biases)),
            hidden_size=spec.size,
            direction="forward" if spec.is_causal else "bidirectional",
            linear_before_reset=1,
        )
        turned = nodes.add("Transpose", found, perm=[0, 2, 1, 3])
        states = nodes.add("Reshape", turned, nodes.integers([0, 0, spec.size * len(ends)]))
    return _dense(nodes, numbers, "out", nodes.add("Transpose", states, perm=[1, 0, 2]))


def _update_first(array: FloatArray) -> FloatArray:
    """Return a gate's numbers in ONNX's order, update before reset; PyTorch has reset before update."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def _tcn(nodes: _Nodes, spec: TemporalSpec, numbers: Mapping[str, FloatArray], steps: str, mask: str) -> str:
    values = nodes.add("Mul", _dense(nodes, numbers, "start", steps), mask)
    for number in range(spec.layers):
        block, reach = f"blocks.{number}", (TAPS - 1) * 2**number
        seen = nodes.add(
            "Conv",
            nodes.add("Transpose", values, perm=[0, 2, 1]),
            nodes.constant(numbers[f"{block}.dilated.weight"]),
            nodes.constant(numbers[f"{block}.dilated.bias"]),
            dilations=[2**number],
            pads=[reach, 0] if spec.is_causal else [reach // 2, reach // 2],
        )
        mixed = _dense(nodes, numbers, f"{block}.mix", nodes.add("Transpose", nodes.add("Relu", seen), perm=[0, 2, 1]))
        values = nodes.add("Mul", nodes.add("Add", values, mixed), mask)
    return _dense(nodes, numbers, "out", nodes.add("Relu", values))


def _transformer(nodes: _Nodes, spec: TemporalSpec, numbers: Mapping[str, FloatArray], steps: str, mask: str) -> str:
    values = _dense(nodes, numbers, "start", steps)
    zero, one = (nodes.constant(np.asarray(value, np.int64)) for value in (0, 1))
    places = nodes.add("Range", zero, nodes.length(steps, 1), one)
    # Row: the step that looks; column: the step that it looks at, how far ahead.
    distance = nodes.add(
        "Sub", nodes.add("Unsqueeze", places, nodes.integers([0])), nodes.add("Unsqueeze", places, nodes.integers([1]))
    )
    limits = [nodes.constant(np.asarray(limit, np.int64)) for limit in (-FARTHEST, FARTHEST)]
    column = nodes.add("Add", nodes.add("Clip", distance, *limits), nodes.constant(np.asarray(FARTHEST, np.int64)))
    is_hidden = nodes.add(
        "Sub",
        nodes.number(1.0),
        nodes.add("Unsqueeze", nodes.add("Squeeze", mask, nodes.integers([2])), nodes.integers([1, 2])),
    )
    hidden = nodes.add("Mul", is_hidden, nodes.number(_HIDDEN_KEY))
    if spec.is_causal:
        ahead = nodes.add("Cast", nodes.add("Greater", distance, zero), to=1)
        hidden = nodes.add("Add", hidden, nodes.add("Mul", ahead, nodes.number(_HIDDEN_KEY)))
    for number in range(spec.layers):
        block = f"blocks.{number}"
        bias = nodes.add("Gather", nodes.constant(numbers[f"{block}.distance"]), column, axis=1)
        values = nodes.add(
            "Add", values, _attention(nodes, spec, numbers, block, values, nodes.add("Add", bias, hidden))
        )
        wide = _dense(nodes, numbers, f"{block}.widen", _norm(nodes, numbers, f"{block}.before_mixing", values))
        values = nodes.add("Add", values, _dense(nodes, numbers, f"{block}.narrow", nodes.add("Relu", wide)))
    return _dense(nodes, numbers, "out", _norm(nodes, numbers, "norm", values))


def _attention(
    nodes: _Nodes, spec: TemporalSpec, numbers: Mapping[str, FloatArray], block: str, values: str, bias: str
) -> str:
    """Add self-attention with a bias (B, heads, T, T); return the name of what is added to the values."""
    part = spec.size // ATTENTION_HEADS
    joint = _dense(nodes, numbers, f"{block}.attention", _norm(nodes, numbers, f"{block}.before_attention", values))
    split = nodes.add("Reshape", joint, nodes.integers([0, 0, 3, ATTENTION_HEADS, part]))
    turned = nodes.add("Transpose", split, perm=[2, 0, 3, 1, 4])
    query, key, value = (
        nodes.add("Gather", turned, nodes.constant(np.asarray(number, np.int64)), axis=0) for number in range(3)
    )
    products = nodes.add("MatMul", query, nodes.add("Transpose", key, perm=[0, 1, 3, 2]))
    scaled = nodes.add("Mul", products, nodes.number(part**-0.5))
    shares = nodes.add("Softmax", nodes.add("Add", scaled, bias), axis=-1)
    seen = nodes.add("Transpose", nodes.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    flat = nodes.add("Reshape", seen, nodes.integers([0, 0, spec.size]))
    return _dense(nodes, numbers, f"{block}.project", flat)
