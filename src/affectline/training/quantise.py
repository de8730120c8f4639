"""A backbone file in int8: weights and activations, scaled by what real faces give."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from affectline.atomic_file import complete_file
from affectline.backbones.session import METADATA_KEY
from affectline.records import FloatArray

CALIBRATION_PICTURES: Final = 512
_BATCH: Final = 16


def write_int8(network: onnx.ModelProto, inputs: FloatArray, path: Path) -> None:
    """Write a network with 8-bit weights (a scale for each channel) and activations (a scale for each tensor).

    Scales are chosen by what the inputs give (static quantisation, Jacob et al. 2018). The layers behind the embedding
    stay float32: they are small and decide.

    Args:
        network: float32, in the affectline form; its description is kept.
        inputs: shape (n, 3, S, S), float32, pictures of the training data, unchanged.
        path: of the ONNX file.

    Raises:
        OutputError: the file cannot be written.
    """
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
    description = next(entry.value for entry in network.metadata_props if entry.key == METADATA_KEY)
    onnx.helper.set_model_props(found, {METADATA_KEY: description})
    with complete_file(path) as file:
        file.write(found.SerializeToString())


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types for it
    """Gives the inputs in batches."""

    def __init__(self, name: str, inputs: FloatArray) -> None:
        self._batches: Iterator[dict[str, FloatArray]] = iter(
            {name: inputs[start : start + _BATCH]} for start in range(0, len(inputs), _BATCH)
        )

    def get_next(self) -> dict[str, FloatArray] | None:
        return next(self._batches, None)
