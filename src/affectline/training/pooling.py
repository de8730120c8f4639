"""The mean over the picture at the end of a network, as one operator."""

from __future__ import annotations

import onnx
import onnx.checker
import onnx.helper


def with_plain_pooling(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its mean over the picture as one operator, where the exporter made several of it.

    It writes a view of the mean as Reshape, Gather, Reshape. Of that OpenVINO 2026.4.1 makes something else when the
    network holds 8-bit weights, and says nothing.
    """
    maker = {output: node for node in network.graph.node for output in node.output}
    chain = [maker.get("embedding")]
    while chain[-1] is not None and chain[-1].op_type in {"Reshape", "Gather", "Squeeze", "Flatten"}:
        chain.append(maker.get(chain[-1].input[0]))
    mean = chain[-1]
    if mean is None or mean.op_type != "ReduceMean" or len(chain) == 1:
        return network
    plain = onnx.ModelProto()
    plain.CopyFrom(network)
    removed = {node.output[0] for node in chain if node is not None}
    nodes = []
    for node in plain.graph.node:
        if node.output[0] == mean.output[0]:
            nodes.append(onnx.helper.make_node("GlobalAveragePool", [mean.input[0]], ["pooled"], "pool"))
            nodes.append(onnx.helper.make_node("Flatten", ["pooled"], ["embedding"], "flatten", axis=1))
        elif node.output[0] not in removed:
            nodes.append(node)
    del plain.graph.node[:]
    plain.graph.node.extend(nodes)
    drop_unused(plain.graph)
    onnx.checker.check_model(plain)
    return plain


def drop_unused(graph: onnx.GraphProto) -> None:
    """Take out, in place, the nodes and constants on which no output depends."""
    used = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):  # Sorted, as ONNX wants it: whoever uses a value comes behind its maker.
        if used.intersection(node.output):
            nodes.append(node)
            used.update(node.input)
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(constants)
