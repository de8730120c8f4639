"""ONNX Runtime sessions of backbone files, and the few changes that a file needs before one is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from affectline.errors import InputError, MissingExtraError, ModelFileError
from affectline.records import FloatArray

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

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


class Network:
    """An ONNX Runtime session with one input. Calls from several threads are safe.

    Args:
        content: of an ONNX file.
        place: the file, for messages.
        device: `cpu` or `cuda`.
        threads: how many it may use; all cores if None.

    Attributes:
        place, device: as given.
        metadata: what the file says of itself.
        input_shape: a number, or None where the file leaves the size open, for each axis.
        output_names: in the file's order.

    Raises:
        ModelFileError: ONNX Runtime cannot read the file, or it has more than one input.
        MissingExtraError: `cuda` is wanted and this installation has none.
        InputError: no such device.
    """

    def __init__(self, content: bytes, place: str, device: str = "cpu", threads: int | None = None) -> None:
        self.place = place
        self.device = device
        self._session = _open_session(content, place, device, threads)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{entry.name} {entry.type}" for entry in inputs)
            raise ModelFileError(f"{place} must have one input of float32, but has {found}")
        self._input_name: str = inputs[0].name
        self.input_shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.output_names: tuple[str, ...] = tuple(entry.name for entry in self._session.get_outputs())

    def run(self, batch: FloatArray, output_names: Sequence[str]) -> list[FloatArray]:
        """Return the named outputs for a batch.

        Raises:
            ModelFileError: the network cannot be run on such a batch.
        """
        try:
            outputs: list[FloatArray] = self._session.run(list(output_names), {self._input_name: batch})
        except _ORT_ERRORS as error:
            raise ModelFileError(f"{self.place} cannot be run on {batch.shape}: {_first_line(error)}") from error
        return outputs


def _open_session(content: bytes, place: str, device: str, threads: int | None) -> onnxruntime.InferenceSession:
    if device not in _PROVIDERS:
        raise InputError(f"device must be one of {', '.join(_PROVIDERS)}, got {device!r}")
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            f"device {device!r} needs onnxruntime-gpu: `pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`"
        )
    try:
        session = onnxruntime.InferenceSession(content, _options(threads), providers=[provider])
    except _ORT_ERRORS as error:
        raise ModelFileError(
            f"{place} is damaged or no ONNX network; get the file again or name another one ({_first_line(error)})"
        ) from error
    # ONNX Runtime falls back to the CPU and only logs it.
    if provider not in session.get_providers():
        raise MissingExtraError(
            f"ONNX Runtime could not start {provider}: check the CUDA and cuDNN versions that onnxruntime-gpu "
            f"{onnxruntime.__version__} needs, or use device 'cpu'"
        )
    return session


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if threads is not None:
        options.intra_op_num_threads = threads
    # Detection, landmarks and decoding run beside the backbone: threads that spin while they wait take their cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def expose_embedding(content: bytes, place: str) -> bytes:
    """Return a network in the EmotiEffLib form with a second output, the embedding: the last Gemm's input.

    Args:
        content: of a file that is known to be an ONNX network.
        place: the file, for messages.

    Raises:
        ModelFileError: the network has more than one output or does not end in a Gemm.
    """
    import onnx  # noqa: PLC0415 - it takes 0.3 s, which nobody pays who uses the embedded default

    network = onnx.load_model_from_string(content)
    graph = network.graph
    last = graph.node[-1] if graph.node else onnx.NodeProto()
    if last.op_type != "Gemm" or len(graph.output) != 1 or graph.output[0].name not in last.output:
        raise ModelFileError(
            f"{place} is not in the EmotiEffLib form, one output made by a Gemm as the last node: it has "
            f"{len(graph.output)} and ends in {last.op_type or 'no node'}; docs/backbones.md describes the forms"
        )
    graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    return bytes(network.SerializeToString())
