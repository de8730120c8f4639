"""ONNX files that are small enough to be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from affectline.backbones import BACKBONES
from affectline.backbones.spec import Interpolation, ResizeStep
from affectline.labels import Expression

SIZE = 8
TWO = (Expression.ANGER, Expression.FEAR)
SPEC = replace(
    BACKBONES["enet_b0_8_best_vgaf"],
    name="tiny",
    labels=TWO,
    size=SIZE,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    resize=(ResizeStep(Interpolation.LINEAR, SIZE),),
)


def tiny_network(
    width: int = 2, batch: object = "n", outputs: tuple[str, ...] = ("output",), channels: int = 3
) -> bytes:
    """The embedding is the mean of each channel; score k is k plus the sum of the three."""
    weight, bias = np.ones((width, channels), np.float32), np.arange(width, dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "weight", "bias"], ["output"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def named_network(names: dict[str, int], description: str | None) -> bytes:
    """The embedding as above, and each name with its width: 0 for no second axis."""
    network = onnx.load_model_from_string(tiny_network(1))
    for name, width in names.items():
        rows = np.arange(max(width, 1), dtype=np.float32)
        network.graph.initializer.append(numpy_helper.from_array(rows, f"{name}.row"))
        network.graph.node.append(helper.make_node("Add", ["output", f"{name}.row"], [name if width else f"{name}.2"]))
        if not width:
            network.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), f"{name}.shape"))
            network.graph.node.append(helper.make_node("Reshape", [f"{name}.2", f"{name}.shape"], [name]))
    del network.graph.output[:]
    for name in ("embedding", *names):
        network.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    if description is not None:
        helper.set_model_props(network, {"affectline": description})
    return network.SerializeToString()


def save(folder: Path, content: bytes, description: str | None = None) -> Path:
    path = folder / "tiny.onnx"
    path.write_bytes(content)
    if description is not None:
        path.with_suffix(".json").write_text(description, encoding="utf-8")
    return path
