"""Networks in OpenVINO, on the processor."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from affectline.backbones.network import cannot_run, damaged, first_line, refuse_inputs
from affectline.errors import InputError, MissingExtraError, ModelFileError
from affectline.records import FloatArray
from affectline.runtime import Precision, Runtime

INSTALL: Final = "pip install 'affectline[openvino]'"

_CPU: Final = "CPU"
_HINTS: Final = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""What the layers are computed in that the file does not hold in 8 bits. Left alone, OpenVINO takes bfloat16 or float16
wherever the processor has it."""


class OpenVinoNetwork:
    """A network that OpenVINO compiled; attributes, `run` and errors as `Network` and `open_network` have them.

    Args:
        content: of an ONNX file.
        place: the file, for messages.
        runtime: its device is `openvino`.
    """

    def __init__(self, content: bytes, place: str, runtime: Runtime) -> None:
        openvino = import_openvino()
        _check_precision(runtime.precision)
        self.place = place
        self.runtime = runtime
        try:
            # OpenVINO renames what it optimises and drops the file's metadata.
            network = onnx.load_model_from_string(content)
            model = core().read_model(model=content)
        except (DecodeError, RuntimeError) as error:
            raise damaged(place, error) from error
        self.metadata: Mapping[str, str] = {entry.key: entry.value for entry in network.metadata_props}
        self.output_names: tuple[str, ...] = tuple(entry.name for entry in network.graph.output)
        if len(model.inputs) != 1 or model.input(0).get_element_type() != openvino.Type.f32:
            found = [f"{port.any_name} {port.get_element_type().get_type_name()}" for port in model.inputs]
            raise refuse_inputs(place, ", ".join(found))
        shape = model.input(0).get_partial_shape()
        self.input_shape = tuple(None if axis.is_dynamic else int(axis.get_length()) for axis in shape)
        try:
            self._compiled = core().compile_model(model, _CPU, _properties(runtime))
        except RuntimeError as error:
            raise ModelFileError(f"OpenVINO cannot compile {place}: {first_line(error)}; use device 'cpu'") from error
        self._requests = threading.local()

    def run(self, batch: FloatArray, output_names: Sequence[str]) -> list[FloatArray]:
        """Return the named outputs for a batch; see `Network.run`."""
        # A request may not be shared: it holds the arrays of the run.
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        try:
            outputs = self._requests.own.infer([np.ascontiguousarray(batch)], share_inputs=True)
        except RuntimeError as error:
            raise cannot_run(self.place, batch, error) from error
        return [outputs[self.output_names.index(name)] for name in output_names]


def _properties(runtime: Runtime) -> dict[str, str | int | bool]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
        "NUM_STREAMS": runtime.lanes,
        "INFERENCE_NUM_THREADS": runtime.lane_threads,
        # Decoding and detection run beside it and must be free to take a core that waits.
        "ENABLE_CPU_PINNING": False,
    }


def import_openvino() -> ModuleType:
    """Return the module.

    Raises:
        MissingExtraError: it is not installed, or does not load.
    """
    try:
        import openvino  # noqa: PLC0415 - the extra may be missing
    except (ImportError, OSError) as error:
        raise MissingExtraError(f"device 'openvino' needs OpenVINO: run `{INSTALL}` ({error})") from error
    module: ModuleType = openvino
    return module


@cache
def core() -> Any:  # noqa: ANN401 - OpenVINO is an extra, and its class not known without it
    """Return OpenVINO's one entry; making it takes a while, and it keeps nothing of the networks."""
    return import_openvino().Core()


def can_bf16() -> bool:
    """Return whether this processor has arithmetic for bfloat16 (AVX512_BF16, AMX), as OpenVINO sees it."""
    return "BF16" in core().get_property(_CPU, "OPTIMIZATION_CAPABILITIES")


def _check_precision(precision: Precision) -> None:
    if precision is Precision.BF16 and not can_bf16():
        has = ", ".join(core().get_property(_CPU, "OPTIMIZATION_CAPABILITIES"))
        raise InputError(
            f"precision bf16 needs a processor with bfloat16 arithmetic (AVX512_BF16 or AMX); this one has {has}; "
            "take fp32, or int8 with a quantised file"
        )
