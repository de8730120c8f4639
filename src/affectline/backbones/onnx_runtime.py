"""Networks in ONNX Runtime: on the processor, or on an NVIDIA GPU through CUDA or TensorRT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from affectline.assets import cache_folder
from affectline.backbones.network import cannot_run, damaged, first_line, refuse_inputs
from affectline.errors import MissingExtraError
from affectline.records import FloatArray
from affectline.runtime import Device, Precision, Runtime

# ONNX Runtime's errors have no common base but Exception.
_ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

_PROVIDERS: Final = {
    Device.CPU: "CPUExecutionProvider",
    Device.CUDA: "CUDAExecutionProvider",
    Device.TENSORRT: "TensorrtExecutionProvider",
}
_ERRORS_ONLY = 3

Provider = tuple[str, dict[str, str]]


class OnnxRuntimeNetwork:
    """An ONNX Runtime session with one input; attributes, `run` and errors as `Network` and `open_network` have them.

    Args:
        content: of an ONNX file.
        place: the file, for messages.
        runtime: its device is `cpu`, `cuda` or `tensorrt`.
    """

    def __init__(self, content: bytes, place: str, runtime: Runtime) -> None:
        self.place = place
        self.runtime = runtime
        self._session = _open_session(content, place, runtime)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise refuse_inputs(place, ", ".join(f"{entry.name} {entry.type}" for entry in inputs))
        self._input_name: str = inputs[0].name
        self.input_shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.output_names: tuple[str, ...] = tuple(entry.name for entry in self._session.get_outputs())

    def run(self, batch: FloatArray, output_names: Sequence[str]) -> list[FloatArray]:
        """Return the named outputs for a batch; see `Network.run`."""
        try:
            outputs: list[FloatArray] = self._session.run(list(output_names), {self._input_name: batch})
        except _ORT_ERRORS as error:
            raise cannot_run(self.place, batch, error) from error
        return outputs


def _open_session(content: bytes, place: str, runtime: Runtime) -> onnxruntime.InferenceSession:
    provider = _PROVIDERS[runtime.device]
    if provider not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            f"device {runtime.device.value!r} needs onnxruntime-gpu: `pip uninstall onnxruntime`, then `pip install "
            "onnxruntime-gpu`"
        )
    try:
        session = onnxruntime.InferenceSession(content, _options(runtime), providers=_providers(runtime))
    except _ORT_ERRORS as error:
        if runtime.device.is_gpu and provider in first_line(error):
            raise _not_started(provider, runtime, f": {first_line(error)}") from error
        raise damaged(place, error) from error
    # ONNX Runtime falls back to the CPU and only logs it; later, when a batch cannot be run, it prints it.
    if provider not in session.get_providers():
        raise _not_started(provider, runtime, "")
    session.disable_fallback()
    return session


def _not_started(provider: str, runtime: Runtime, reason: str) -> MissingExtraError:
    needs = "CUDA, cuDNN and TensorRT" if runtime.device is Device.TENSORRT else "CUDA and cuDNN"
    return MissingExtraError(
        f"ONNX Runtime could not start {provider}{reason}; check the {needs} versions that onnxruntime-gpu "
        f"{onnxruntime.__version__} needs, or use device 'cpu'"
    )


def _providers(runtime: Runtime) -> list[Provider]:
    """Return what runs the network first, and what takes the nodes that it cannot run."""
    # TF32 would round products to 10 bits, which nobody asked for.
    cuda = (_PROVIDERS[Device.CUDA], {"use_tf32": "0"})
    if runtime.device is Device.CPU:
        return [(_PROVIDERS[Device.CPU], {})]
    if runtime.device is Device.CUDA:
        return [cuda]
    folder = cache_folder() / "tensorrt"
    folder.mkdir(parents=True, exist_ok=True)
    # Building an engine takes minutes; it depends on the GPU and on the network, and TensorRT checks both.
    options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    if runtime.precision is Precision.BF16:
        options["trt_bf16_enable"] = "1"
    return [(_PROVIDERS[Device.TENSORRT], options), cuda]


def _options(runtime: Runtime) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # The threads of a session serve all lanes, and each lane adds the one that it calls from.
    options.intra_op_num_threads = runtime.lane_threads - runtime.lanes + 1
    # Detection, landmarks and decoding run beside the backbone: threads that spin while they wait take their cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
