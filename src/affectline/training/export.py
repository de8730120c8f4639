"""From a trained network to an ONNX file in the affectline form, compared with PyTorch on the way."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from affectline.atomic_file import complete_file
from affectline.backbones.files import METADATA_KEY
from affectline.backbones.network import open_network
from affectline.backbones.spec import BackboneSpec, describe
from affectline.errors import ModelFileError
from affectline.labels import Task
from affectline.records import FloatArray
from affectline.training.cnn import FaceNetwork
from affectline.training.onnx_start import ARCHITECTURE_KEY
from affectline.training.pooling import with_plain_pooling

OPSET: Final = 18
TOLERANCE: Final = 1e-4
"""Of the largest value: how far the float32 file may be from PyTorch."""

LARGE: Final = 200_000
"""Weights with more numbers are stored as float16."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        path: where.
        sha256: of its content.
        size_bytes: of its content.
        difference: of the float32 network to PyTorch, by output, relative to the largest value.
        half_difference: of the file to the float32 network, by output, absolute; 0 where float32 was kept.
        plain: the float32 network.
    """

    path: Path
    sha256: str
    size_bytes: int
    difference: dict[str, float]
    half_difference: dict[str, float]
    plain: onnx.ModelProto = field(repr=False)


def export_backbone(
    network: FaceNetwork, spec: BackboneSpec, path: Path, probes: FloatArray, *, half: bool = True
) -> Exported:
    """Write a network as a backbone file, if it computes what PyTorch does.

    Args:
        network: its outputs are of the one task that the spec gives, in the order of the spec's labels.
        spec: written into the file.
        path: of the ONNX file.
        probes: shape (n, 3, S, S), inputs on which outputs are compared: faces, not noise.
        half: store large weights as float16.

    Raises:
        ModelFileError: the outputs differ by more than `TOLERANCE`.
        OutputError: the file cannot be written.
    """
    named = _NamedOutputs(network, spec).eval()
    plain = with_plain_pooling(_simplified(_exported(named, spec)))
    onnx.helper.set_model_props(plain, {METADATA_KEY: describe(spec), ARCHITECTURE_KEY: network.arch})
    expected = _run_torch(named, probes, spec)
    given = _run_onnx(plain.SerializeToString(), probes, spec)
    difference = {
        name: float(np.abs(given[name] - expected[name]).max() / np.abs(expected[name]).max()) for name in spec.outputs
    }
    if not all(value <= TOLERANCE for value in difference.values()):
        raise ModelFileError(f"the ONNX file differs from PyTorch by {difference}, more than {TOLERANCE}; report this")
    content = (_halved(plain) if half else plain).SerializeToString()
    stored = _run_onnx(content, probes, spec)
    with complete_file(path) as file:
        file.write(content)
    return Exported(
        path,
        hashlib.sha256(content).hexdigest(),
        len(content),
        difference,
        {name: float(np.abs(stored[name] - given[name]).max()) for name in spec.outputs},
        plain,
    )


class _NamedOutputs(nn.Module):
    """A network whose outputs are those of the affectline form."""

    def __init__(self, network: FaceNetwork, spec: BackboneSpec) -> None:
        super().__init__()
        self.network = network
        self.has_values = spec.gives(Task.VA)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        embedding, outputs = self.network(pictures)
        if self.has_values:
            return embedding, *torch.tanh(outputs).unbind(dim=1)
        return embedding, outputs


def _exported(network: nn.Module, spec: BackboneSpec) -> onnx.ModelProto:
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, spec.size, spec.size),),
        input_names=["input"],
        output_names=list(spec.outputs),
        dynamic_shapes={"pictures": {0: torch.export.Dim("n")}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise ModelFileError("PyTorch gave no ONNX program; install a version that has torch.onnx.export(dynamo=True)")
    return program.model_proto


def _simplified(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with constants folded and padding merged into the convolutions, in standard operators."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "simple.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(place)
        onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
        simple = onnx.load(place)
    standard = [entry for entry in simple.opset_import if not entry.domain]
    del simple.opset_import[:]
    simple.opset_import.extend(standard)
    onnx.checker.check_model(simple)
    return simple


def _halved(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its large weights kept as float16; a Cast, run once on loading, makes them float32.

    The small weights of the first layers, in float16 too, would save little and move the outputs more.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(network)
    casts = []
    for tensor in halved.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        wide, narrow = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), narrow))
        casts.append(onnx.helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved


def _run_torch(network: nn.Module, probes: FloatArray, spec: BackboneSpec) -> dict[str, FloatArray]:
    with torch.inference_mode():
        outputs = network(torch.from_numpy(probes))
    return {name: output.numpy() for name, output in zip(spec.outputs, outputs, strict=True)}


def _run_onnx(content: bytes, probes: FloatArray, spec: BackboneSpec) -> dict[str, FloatArray]:
    network = open_network(content, "the exported network")
    # One by one and together: the number of pictures must be open.
    parts = [network.run(probes[start:stop], spec.outputs) for start, stop in ((0, 1), (1, len(probes)))]
    return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(spec.outputs)}
