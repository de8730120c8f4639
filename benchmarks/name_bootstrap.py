"""Make a start for training out of the first default backbone, whose tensors have the names of another library.

    python benchmarks/name_bootstrap.py src/affectline/data/lite0_ferplus.onnx start.onnx

The file that is written computes the same; its tensors have timm's names and its metadata the architecture, so that
`affectline finetune --arch tf_efficientnet_lite0 --init start.onnx` takes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx

from affectline.backbones.network import open_network
from affectline.training.cnn import FaceNetwork
from affectline.training.onnx_start import ARCHITECTURE_KEY, convolutions_of

ARCH = "tf_efficientnet_lite0"
OUTPUTS = ("embedding", "expression_logits")


def main() -> None:
    """Read, rename, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    given = arguments.bootstrap.read_bytes()
    renamed = with_timm_names(onnx.load_model_from_string(given)).SerializeToString()
    inputs = np.random.default_rng(0).uniform(-1, 1, (4, 3, 96, 96)).astype(np.float32)
    before, after = (open_network(content, "the network").run(inputs, OUTPUTS) for content in (given, renamed))
    for name, one, other in zip(OUTPUTS, before, after, strict=True):
        print(f"{name}: largest difference {np.abs(one - other).max():.1e}")
    arguments.out.write_bytes(renamed)


def with_timm_names(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its tensors named as `affectline finetune` names them; its layers are in timm's order."""
    graph = network.graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    (classifier,) = (node for node in graph.node if node.op_type == "Gemm")
    names = {
        classifier.input[1]: "network.classifier.weight",
        classifier.input[2]: "network.classifier.bias",
    }
    for node, name in zip(convolutions, convolutions_of(FaceNetwork(ARCH, 8)), strict=True):
        names |= {node.input[1]: f"network.{name}.weight", node.input[2]: f"network.{name}.weight_bias"}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    network.metadata_props.add(key=ARCHITECTURE_KEY, value=ARCH)
    onnx.checker.check_model(network)
    return network


if __name__ == "__main__":
    main()
