"""One network of a MediaPipe task file, run by LiteRT."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from affectline.errors import InputFileError, ModelFileError
from affectline.records import FloatArray, UInt8Array


class TaskNetwork:
    """A float network with one input. Other Python threads go on while it runs.

    An object must not be used by two threads at once.
    """

    def __init__(
        self,
        task_file: Path,
        member: str,
        input_shape: tuple[int, ...],
        output_sizes: tuple[int, ...],
        num_threads: int = 1,
    ) -> None:
        """Load the network and check its shape.

        Args:
            task_file: a zip of `.tflite` files, such as MediaPipe's `face_landmarker.task`.
            member: the network's name in it.
            input_shape: the shape that its input must have.
            output_sizes: how many numbers each output must have; further outputs are left alone.
            num_threads: how many threads it may use.

        Raises:
            InputFileError: the file is missing or unreadable.
            ModelFileError: the file is not such a zip, or the network in it has another shape.
        """
        self._interpreter = _interpreter(task_file, member, num_threads)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        found = (
            tuple(int(size) for size in inputs[0]["shape"]),
            tuple(int(np.prod(output["shape"])) for output in outputs),
        )
        if found[0] != input_shape or found[1][: len(output_sizes)] != output_sizes:
            raise ModelFileError(
                f"{member} in {task_file} has input {found[0]} and outputs of {found[1]} numbers, expected"
                f" {input_shape} and {output_sizes}; use the face_landmarker.task that `affectline models pull` fetches"
            )
        self._input = inputs[0]["index"]
        self._outputs = [output["index"] for output in outputs[: len(output_sizes)]]

    def run(self, values: FloatArray) -> list[FloatArray]:
        """Return the outputs, each flat, for one input.

        Args:
            values: float32, of the input's shape.
        """
        self._interpreter.set_tensor(self._input, values)
        return self._invoke()

    def run_picture(self, picture: UInt8Array) -> list[FloatArray]:
        """Return the outputs, each flat, for the pixels of a picture, brought to [0, 1].

        Args:
            picture: shape (height, width, 3), uint8, of the input's size.
        """
        # Straight into the network's memory, of which nothing may be held when it runs.
        np.divide(picture, np.float32(255), out=self._interpreter.tensor(self._input)()[0])
        return self._invoke()

    def _invoke(self) -> list[FloatArray]:
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index).ravel() for index in self._outputs]


def member_bytes(task_file: Path, member: str) -> bytes:
    """Return the bytes of one network of a task file.

    Raises:
        InputFileError: the file is missing or unreadable.
        ModelFileError: it is no zip, or has no such member.
    """
    try:
        with zipfile.ZipFile(task_file) as archive:
            return archive.read(member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(
            f"{task_file} is not a MediaPipe task file with {member} in it ({error}); fetch it again with "
            "`affectline models pull face_landmarker`"
        ) from error
    except OSError as error:
        raise InputFileError(f"cannot read the task file {task_file}: {error.strerror or error}") from error


def _interpreter(task_file: Path, member: str, num_threads: int) -> Interpreter:
    content = member_bytes(task_file, member)
    try:
        interpreter = Interpreter(model_content=content, num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelFileError(f"{member} in {task_file} is no network that LiteRT can run: {error}") from error
    return interpreter
