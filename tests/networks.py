"""Networks with random weights, in the architectures and the file layout of EmotiEffLib's ONNX files.

Batch norm is folded into the convolutions, as an exporter does it, after it was calibrated on a few pictures: left as
initialised, a deep network's output hardly depends on its input, and a comparison of two programs that run it proves
nothing. To calibrate, the network is built a first time with a normalisation behind each layer that reports the mean
and variance it found; the second time these are folded in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
Pictures = list[NDArray[np.uint8]]

CALIBRATION_PICTURES = 6
_EPSILON = 1e-5


def pictures(number: int, seed: int = 0, size: int | None = None) -> Pictures:
    """Return crops of differing sizes, or of one size: smooth blobs with some noise, uint8 RGB."""
    random = np.random.default_rng(seed)
    crops = []
    for _ in range(number):
        height, width = (size, size) if size else random.integers(40, 300, 2)
        coarse = random.integers(0, 256, (6, 6, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_CUBIC)
        crops.append(np.clip(smooth + random.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8))
    return crops


@dataclass
class Builder:
    """Adds nodes to a graph. With `statistics` given, normalisations are folded; without, they report theirs."""

    random: np.random.Generator
    statistics: dict[str, Array] | None = None
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    _count: int = 0
    _norms: int = 0

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        self._count += 1
        names = [f"{operator}_{self._count}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0]

    def weight(self, values: NDArray) -> str:
        self._count += 1
        name = f"weight_{self._count}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def normal(self, *shape: int, fan_in: int) -> Array:
        return (self.random.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)

    def _norm_key(self) -> str:
        self._norms += 1
        return f"norm_{self._norms}"

    def _mean(self, x: str, axes: list[int]) -> str:
        return self.add("ReduceMean", x, axes=axes, keepdims=1)

    def _measure(self, x: str, axes: list[int], key: str) -> str:
        """Normalise x over the axes and report the mean and the variance."""
        mean = self._mean(x, axes)
        centred = self.add("Sub", x, mean)
        variance = self._mean(self.add("Mul", centred, centred), axes)
        for name, value in (("mean", mean), ("variance", variance)):
            self.nodes.append(helper.make_node("Identity", [value], [f"{key}.{name}"]))
            self.reported.append(f"{key}.{name}")
        spread = self.add("Sqrt", self.add("Add", variance, self.weight(np.float32([_EPSILON]))))
        return self.add("Div", centred, spread)

    def _folding(self, key: str) -> tuple[Array, Array]:
        """Return scale and shift, one each for a channel, that do what was measured under the key."""
        scale = 1 / np.sqrt(self.statistics[f"{key}.variance"].reshape(-1) + _EPSILON)
        return scale, -self.statistics[f"{key}.mean"].reshape(-1) * scale

    def conv(self, x: str, channels: tuple[int, int], kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        """Convolution and batch norm, padded so that the size stays, or is divided by the stride."""
        entering, leaving = channels
        fan_in = entering // groups * kernel * kernel
        weight = self.normal(leaving, entering // groups, kernel, kernel, fan_in=fan_in)
        padding = "VALID" if kernel == 7 else "SAME_UPPER"
        layout = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "group": groups, "auto_pad": padding}
        key = self._norm_key()
        if self.statistics is None:
            return self._measure(self.add("Conv", x, self.weight(weight), **layout), [0, 2, 3], key)
        scale, shift = self._folding(key)
        return self.add("Conv", x, self.weight(weight * scale[:, None, None, None]), self.weight(shift), **layout)

    def linear_with_norm(self, x: str, entering: int, leaving: int, spread: float = 1.0) -> str:
        """Gemm and batch norm over the batch; as the last node it makes logits that differ from face to face."""
        weight = self.normal(leaving, entering, fan_in=entering)
        key = self._norm_key()
        if self.statistics is None:
            product = self.add("MatMul", x, self.weight(weight.T.copy()))
            return self._measure(product, [0], key)
        scale, shift = self._folding(key)
        return self.add("Gemm", x, self.weight(spread * weight * scale[:, None]), self.weight(spread * shift), transB=1)

    def matmul(self, x: str, entering: int, leaving: int) -> str:
        product = self.add("MatMul", x, self.weight(self.normal(entering, leaving, fan_in=entering)))
        return self.add("Add", product, self.weight(self.normal(leaving, fan_in=100)))

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.weight(np.array(shape, np.int64)))

    def silu(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def prelu(self, x: str, channels: int) -> str:
        slope = np.abs(self.normal(channels, 1, 1, fan_in=16))
        return self.add("PRelu", x, self.weight(slope))

    def squeeze_excite(self, x: str, channels: int, reduced: int) -> str:
        def narrow(value: str, entering: int, leaving: int) -> str:
            weight = self.normal(leaving, entering, 1, 1, fan_in=entering)
            return self.add("Conv", value, self.weight(weight), self.weight(self.normal(leaving, fan_in=4)))

        inner = self.silu(narrow(self.add("GlobalAveragePool", x), channels, reduced))
        return self.add("Mul", x, self.add("Sigmoid", narrow(inner, reduced, channels)))

    def pooled(self, x: str) -> str:
        return self.add("Flatten", self.add("GlobalAveragePool", x), axis=1)


def _divisible(value: float) -> int:
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


# kernel, stride, expansion, channels, repeats of EfficientNet-B0 (Tan and Le 2019, table 1).
_EFFICIENTNET = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def _efficientnet(b: Builder, x: str, width: float, depth: float) -> tuple[str, int]:
    channels = _divisible(32 * width)
    x = b.silu(b.conv(x, (3, channels), 3, 2))
    for kernel, stride, expansion, base, repeats in _EFFICIENTNET:
        for number in range(int(np.ceil(repeats * depth))):
            leaving, step, inner = _divisible(base * width), stride if number == 0 else 1, channels * expansion
            y = b.silu(b.conv(x, (channels, inner))) if expansion > 1 else x
            y = b.silu(b.conv(y, (inner, inner), kernel, step, inner))
            y = b.conv(b.squeeze_excite(y, inner, channels // 4), (inner, leaving))
            x = b.add("Add", x, y) if step == 1 and leaving == channels else y
            channels = leaving
    head = _divisible(1280 * width)
    return b.pooled(b.silu(b.conv(x, (channels, head)))), head


def _mobile_block(b: Builder, x: str, channels: tuple[int, int], stride: int) -> str:
    entering, leaving = channels
    y = b.silu(b.conv(x, (entering, 4 * entering)))
    y = b.silu(b.conv(y, (4 * entering,) * 2, 3, stride, 4 * entering))
    y = b.conv(y, (4 * entering, leaving))
    return b.add("Add", x, y) if stride == 1 and entering == leaving else y


def _layer_norm(b: Builder, x: str, width: int) -> str:
    centred = b.add("Sub", x, b.add("ReduceMean", x, axes=[-1], keepdims=1))
    variance = b.add("ReduceMean", b.add("Mul", centred, centred), axes=[-1], keepdims=1)
    spread = b.add("Sqrt", b.add("Add", variance, b.weight(np.float32([_EPSILON]))))
    return b.add("Mul", b.add("Div", centred, spread), b.weight(1 + b.normal(width, fan_in=25)))


def _transformer(b: Builder, x: str, width: int, tokens: int) -> str:
    heads, depth = 4, width // 4
    normed = _layer_norm(b, x, width)
    q, k, v = (
        b.add("Transpose", b.reshape(b.matmul(normed, width, width), -1, tokens, heads, depth), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = b.add("Mul", b.add("MatMul", q, k), b.weight(np.float32([depth**-0.5])))
    mixed = b.add("MatMul", b.add("Softmax", scores, axis=3), v)
    mixed = b.reshape(b.add("Transpose", mixed, perm=[0, 2, 1, 3]), -1, tokens, width)
    x = b.add("Add", x, b.matmul(mixed, width, width))
    inner = b.silu(b.matmul(_layer_norm(b, x, width), width, 2 * width))
    return b.add("Add", x, b.matmul(inner, 2 * width, width))


def _resize(b: Builder, x: str, channels: int, size: int, to: int) -> str:
    scale = np.float32([1, 1, to / size, to / size])
    resized = b.add(
        "Resize", x, b.weight(np.zeros(0, np.float32)), b.weight(scale), mode="linear",
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    return b.reshape(resized, -1, channels, to, to)


def _vision_block(b: Builder, x: str, channels: int, width: int, depth: int, size: int) -> str:
    """Convolution, transformer over 2x2 patches by unfolding and folding, fusion (Mehta and Rastegari 2022)."""
    even = size + size % 2
    across, tokens = even // 2, (even // 2) ** 2
    y = b.conv(b.silu(b.conv(x, (channels, channels), 3)), (channels, width))
    if even != size:
        y = _resize(b, y, width, size, even)
    y = b.add("Transpose", b.reshape(y, -1, 2, across, 2), perm=[0, 2, 1, 3])
    y = b.add("Transpose", b.reshape(y, -1, width, tokens, 4), perm=[0, 3, 2, 1])
    y = b.reshape(y, -1, tokens, width)
    for _ in range(depth):
        y = _transformer(b, y, width, tokens)
    y = b.add("Transpose", b.reshape(_layer_norm(b, y, width), -1, 4, tokens, width), perm=[0, 3, 2, 1])
    y = b.add("Transpose", b.reshape(y, -1, across, 2, 2), perm=[0, 2, 1, 3])
    y = b.reshape(y, -1, width, even, even)
    if even != size:
        y = _resize(b, y, width, even, size)
    y = b.silu(b.conv(y, (width, channels)))
    return b.silu(b.conv(b.add("Concat", x, y, axis=1), (2 * channels, channels), 3))


def _mobilevit(b: Builder, x: str) -> tuple[str, int]:
    x = b.silu(b.conv(x, (3, 16), 3, 2))
    x = _mobile_block(b, x, (16, 32), 1)
    for entering, stride in ((32, 2), (64, 1), (64, 1)):
        x = _mobile_block(b, x, (entering, 64), stride)
    channels = 64
    for leaving, width, depth, size in ((96, 144, 2, 28), (128, 192, 4, 14), (160, 240, 3, 7)):
        x = _mobile_block(b, x, (channels, leaving), 2)
        x = _vision_block(b, x, leaving, width, depth, size)
        channels = leaving
    return b.pooled(b.silu(b.conv(x, (channels, 640)))), 640


def _mobilefacenet(b: Builder, x: str) -> tuple[str, int]:
    """EmotiEffLib's backbones/mobilefacenet.py with blocks (1, 4, 6, 2) and scale 2."""

    def block(x: str, kernel: int, stride: int, channels: tuple[int, int], groups: int) -> str:
        return b.prelu(b.conv(x, channels, kernel, stride, groups), channels[1])

    def depthwise(x: str, channels: tuple[int, int], groups: int, stride: int) -> str:
        y = block(x, 1, 1, (channels[0], groups), 1)
        y = b.conv(block(y, 3, stride, (groups, groups), groups), (groups, channels[1]))
        return b.add("Add", x, y) if stride == 1 else y

    x = block(x, 3, 2, (3, 128), 1)
    x = block(x, 3, 1, (128, 128), 64)
    for channels, groups, repeats, following in (
        ((128, 128), 128, 4, 128),
        ((128, 256), 256, 6, 256),
        ((256, 256), 512, 2, 256),
    ):
        x = depthwise(x, channels, groups, 2)
        for _ in range(repeats):
            x = depthwise(x, (channels[1],) * 2, following, 1)
    x = block(x, 1, 1, (256, 512), 1)
    x = b.add("Flatten", b.conv(x, (512, 512), 7, 1, 512), axis=1)
    return b.linear_with_norm(x, 512, 512), 512


@dataclass(frozen=True)
class Architecture:
    """A network up to its embedding, and the input it takes."""

    body: Callable[[Builder, str], tuple[str, int]]
    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


ARCHITECTURES = {
    "b0": Architecture(lambda b, x: _efficientnet(b, x, 1.0, 1.0), 224),
    "b2": Architecture(lambda b, x: _efficientnet(b, x, 1.1, 1.2), 260),
    "mobilevit": Architecture(_mobilevit, 224),
    "mobilefacenet": Architecture(_mobilefacenet, 112, (0.5,) * 3, (0.5,) * 3),
}


def _graph(b: Builder, architecture: Architecture, width: int) -> ModelProto:
    embedding, size = architecture.body(b, "input")
    output = b.linear_with_norm(embedding, size, width, spread=2.0)
    if b.statistics is not None:
        b.nodes[-1].output[0] = output = "output"
    image = ["batch_size", 3, architecture.size, architecture.size]
    outputs = [output] if b.statistics is not None else b.reported
    graph = helper.make_graph(
        b.nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        b.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def random_network(architecture: str, width: int, seed: int = 0) -> bytes:
    """Return an ONNX file with one input `input` and one output `output`, shape (n, width), made by a last Gemm."""
    spec = ARCHITECTURES[architecture]
    first = Builder(np.random.default_rng(seed))
    options = onnxruntime.SessionOptions()
    # It runs once: optimising it would take longer.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    measuring = _graph(first, spec, width).SerializeToString()
    session = onnxruntime.InferenceSession(measuring, options, providers=["CPUExecutionProvider"])
    crops = np.stack(pictures(CALIBRATION_PICTURES, seed + 1, spec.size)) / 255
    normalised = ((crops - np.array(spec.mean)) / np.array(spec.std)).transpose(0, 3, 1, 2).astype(np.float32)
    found = session.run(first.reported, {"input": normalised})
    second = Builder(np.random.default_rng(seed), dict(zip(first.reported, found, strict=True)))
    return _graph(second, spec, width).SerializeToString()
