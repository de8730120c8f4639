"""A loaded network, whatever runs it; and the few changes that a file needs before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from affectline.errors import ModelFileError
from affectline.records import FloatArray
from affectline.runtime import DEFAULT_RUNTIME, Device, Runtime


class Network(Protocol):
    """A network with one input of float32. Calls from several threads are safe.

    Attributes:
        place: the file, for messages.
        runtime: what runs it, and how.
        metadata: what the file says of itself.
        input_shape: a number, or None where the file leaves the size open, for each axis.
        output_names: in the file's order.
    """

    place: str
    runtime: Runtime
    metadata: Mapping[str, str]
    input_shape: tuple[int | None, ...]
    output_names: tuple[str, ...]

    def run(self, batch: FloatArray, output_names: Sequence[str]) -> list[FloatArray]:
        """Return the named outputs for a batch, float32; they are the caller's own.

        Raises:
            ModelFileError: the network cannot be run on such a batch.
        """


def open_network(content: bytes, place: str, runtime: Runtime = DEFAULT_RUNTIME) -> Network:
    """Return a network that is ready to run.

    Args:
        content: of an ONNX file.
        place: the file, for messages.
        runtime: what runs it, and how.

    Raises:
        ModelFileError: the content is no ONNX network, cannot be run there, or has more than one input.
        MissingExtraError: the device needs something that is not installed, or does not start.
        InputError: this very machine cannot compute in the precision.
    """
    # Each takes a good part of a second to import, or is an extra.
    if runtime.device is Device.OPENVINO:
        from affectline.backbones.openvino_network import OpenVinoNetwork  # noqa: PLC0415

        return OpenVinoNetwork(content, place, runtime)
    from affectline.backbones.onnx_runtime import OnnxRuntimeNetwork  # noqa: PLC0415

    return OnnxRuntimeNetwork(content, place, runtime)


def expose_embedding(content: bytes, place: str) -> bytes:
    """Return a network in the EmotiEffLib form with a second output, the embedding: the last Gemm's input.

    Args:
        content: of a file that is known to be an ONNX network.
        place: the file, for messages.

    Raises:
        ModelFileError: the content is no ONNX network, has more than one output or does not end in a Gemm.
    """
    import onnx  # noqa: PLC0415 - it takes 0.3 s, which nobody pays who uses the embedded default
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with onnx

    try:
        network = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise damaged(place, error) from error
    graph = network.graph
    last = graph.node[-1] if graph.node else onnx.NodeProto()
    if last.op_type != "Gemm" or len(graph.output) != 1 or graph.output[0].name not in last.output:
        raise ModelFileError(
            f"{place} is not in the EmotiEffLib form, one output made by a Gemm as the last node: it has "
            f"{len(graph.output)} and ends in {last.op_type or 'no node'}; docs/backbones.md describes the forms"
        )
    graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    return bytes(network.SerializeToString())


def damaged(place: str, error: Exception) -> ModelFileError:
    """Return the error for a content that nothing can read as a network."""
    return ModelFileError(
        f"{place} is damaged or no ONNX network; get the file again or name another one ({first_line(error)})"
    )


def refuse_inputs(place: str, found: str) -> ModelFileError:
    """Return the error for a network with other inputs than one of float32."""
    return ModelFileError(f"{place} must have one input of float32, but has {found or 'none'}")


def cannot_run(place: str, batch: FloatArray, error: Exception) -> ModelFileError:
    """Return the error for a batch that a network cannot be run on."""
    return ModelFileError(f"{place} cannot be run on {batch.shape}: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Return what an error says, without the trace that libraries put behind it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
