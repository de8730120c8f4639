"""A network with YuNet's inputs and outputs that sees one planted face wherever the picture is red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write(path: Path, size_wh: tuple[int, int], cell: tuple[int, int], values: dict[str, list[float]]) -> Path:
    """Write a network for pictures of this size with a face planted in one cell of stride 16.

    Args:
        path: the ONNX file.
        size_wh: multiples of 32.
        cell: column and row.
        values: `cls`, `obj`, `bbox` and `kps` of that cell; all other cells are 0.
    """
    width, height = size_wh
    nodes = [
        # FaceDetectorYN passes BGR: channel 2 is red. The factor is 1 for a wholly red picture.
        helper.make_node("Gather", ["input", "two"], ["red"], axis=1),
        helper.make_node("ReduceMean", ["red"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "full"], ["redness"]),
    ]
    constants = {"two": np.array(2, np.int64), "full": np.array(255, np.float32)}
    outputs = []
    for kind, columns in WIDTHS.items():
        for stride in STRIDES:
            grid = np.zeros((1, (height // stride) * (width // stride), columns), np.float32)
            if stride == 16:
                grid[0, cell[1] * (width // stride) + cell[0]] = values[kind]
            name = f"{kind}_{stride}"
            constants[f"planted_{name}"] = grid
            factor = "redness" if kind == "cls" else "one"
            nodes.append(helper.make_node("Mul", [f"planted_{name}", factor], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, grid.shape))
    constants["one"] = np.array(1, np.float32)
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, height, width))],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
