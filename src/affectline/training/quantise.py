"""A backbone file in int8: weights and activations, scaled by what real faces give."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from affectline.atomic_file import complete_file
from affectline.backbones import load_backbone
from affectline.backbones.files import find_backbone, is_quantised
from affectline.errors import InputError
from affectline.records import FloatArray, UInt8Array
from affectline.runtime import Precision, Runtime
from affectline.training.pooling import with_plain_pooling

CALIBRATION_PICTURES: Final = 512
LEAST_PICTURES: Final = 16
_BATCH: Final = 16
FIRST_OPSET: Final = 13
"""The first version of ONNX in which weights may have a scale for each channel."""


def write_int8(network: onnx.ModelProto, inputs: FloatArray, path: Path) -> None:
    """Write a network with 8-bit weights (a scale for each channel) and activations (a scale for each tensor).

    Scales are chosen by what the inputs give (static quantisation, Jacob et al. 2018). The layers behind the embedding
    stay float32: they are small and decide.

    Args:
        network: float32, in one of the two forms; a description in it is kept.
        inputs: shape (n, 3, S, S), float32, pictures of the training data, unchanged.
        path: of the ONNX file.

    Raises:
        OutputError: the file cannot be written.
    """
    properties = {entry.key: entry.value for entry in network.metadata_props}
    network = _prepare(network)
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        onnx.save(network, whole)
        quietly = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # It warns of a shape inference that this network does not need.
        try:
            quantize_static(
                str(whole),
                str(small),
                _Reader(network.graph.input[0].name, inputs),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=[node.name for node in network.graph.node if node.op_type in {"Gemm", "MatMul"}],
            )
        finally:
            logging.getLogger().setLevel(quietly)
        found = onnx.load(small)
    onnx.helper.set_model_props(found, properties)
    with complete_file(path) as file:
        file.write(found.SerializeToString())


def _prepare(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network that has the operators for a scale for each channel, and a name for every node.

    Without names, a node that is to stay float32 cannot be told from the others.
    """
    version = max(entry.version for entry in network.opset_import if not entry.domain)
    if version < FIRST_OPSET:
        network = onnx.version_converter.convert_version(network, FIRST_OPSET)
    network = with_plain_pooling(network)
    for number, node in enumerate(network.graph.node):
        node.name = node.name or f"node_{number}"
    return network


def quantise_backbone(name_or_path: str | Path, faces: Iterable[UInt8Array], *, offline: bool = False) -> Path:
    """Write the int8 form of a backbone to where `--precision int8` looks for it, and return that place.

    Args:
        name_or_path: a name in `BACKBONES` or a backbone file in float32.
        faces: crops of faces as the backbone gets them, uint8 RGB; `CALIBRATION_PICTURES` of them are enough.
        offline: fetch nothing.

    Raises:
        InputError: there are fewer than `LEAST_PICTURES` faces, or the file is quantised already.
        AffectlineError: there is no such backbone, or the file cannot be written.
    """
    file = find_backbone(name_or_path, offline=offline)
    content = file.read()
    if is_quantised(content):
        raise InputError(f"{file.path} holds 8-bit weights already; name the file that it was made of")
    backbone = load_backbone(name_or_path, offline=offline)
    inputs = [backbone.prepare(face) for face in islice(faces, CALIBRATION_PICTURES)]
    if len(inputs) < LEAST_PICTURES:
        raise InputError(
            f"{len(inputs)} faces are too few to scale a network by: give at least {LEAST_PICTURES} crops of different "
            f"faces, better {CALIBRATION_PICTURES}"
        )
    file.int8_path.parent.mkdir(parents=True, exist_ok=True)
    write_int8(onnx.load_model_from_string(content), np.stack(inputs), file.int8_path)
    load_backbone(name_or_path, Runtime(precision=Precision.INT8), offline=offline)  # raises where it cannot be run
    return file.int8_path


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types for it
    """Gives the inputs in batches."""

    def __init__(self, name: str, inputs: FloatArray) -> None:
        self._batches: Iterator[dict[str, FloatArray]] = iter(
            {name: inputs[start : start + _BATCH]} for start in range(0, len(inputs), _BATCH)
        )

    def get_next(self) -> dict[str, FloatArray] | None:
        return next(self._batches, None)
