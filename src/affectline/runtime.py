"""Where a network is computed, how exactly, and on how many cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeVar

from affectline.errors import InputError


class Device(str, Enum):
    """What runs a network. The value is the word of the command line."""

    CPU = "cpu"
    """ONNX Runtime on the processor."""

    OPENVINO = "openvino"
    """OpenVINO on the processor."""

    CUDA = "cuda"
    """ONNX Runtime on an NVIDIA GPU."""

    TENSORRT = "tensorrt"
    """TensorRT through ONNX Runtime, on an NVIDIA GPU."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is apart from the processor."""
        return self in {Device.CUDA, Device.TENSORRT}


class Precision(str, Enum):
    """The numbers that a network computes with. The value is the word of the command line."""

    FP32 = "fp32"
    BF16 = "bf16"
    """The products are of bfloat16 numbers, which have 8 bits of precision; files and results stay float32."""

    INT8 = "int8"
    """The file holds 8-bit weights, and scales for 8-bit activations."""


PRECISIONS: Final[Mapping[Device, tuple[Precision, ...]]] = MappingProxyType(
    {
        Device.CPU: (Precision.FP32, Precision.INT8),
        Device.OPENVINO: (Precision.FP32, Precision.BF16, Precision.INT8),
        Device.CUDA: (Precision.FP32,),
        # Its int8 wants activations without an offset, which the files of `affectline finetune --int8` have.
        Device.TENSORRT: (Precision.FP32, Precision.BF16),
    }
)
"""What each device can compute in; bf16 needs a processor or GPU that has it, too."""


MAX_LANES: Final = 4
"""Batches side by side: each needs memory of its own."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a network is run.

    Attributes:
        device: what runs it.
        precision: what it computes with.
        threads: how many cores it, and the pipeline around it, may use; None for all. GPUs do not look at it.

    Raises:
        InputError: the device cannot compute in that precision, or there would be no thread.
    """

    device: Device = Device.CPU
    precision: Precision = Precision.FP32
    threads: int | None = None

    def __post_init__(self) -> None:
        able = PRECISIONS[self.device]
        if self.precision not in able:
            others = [device.value for device, precisions in PRECISIONS.items() if self.precision in precisions]
            raise InputError(
                f"device {self.device.value} computes in {_words(able)}, not in {self.precision.value}; for that take "
                f"--device {' or '.join(others)}"
            )
        if self.threads is not None and self.threads < 1:
            raise InputError(f"a network needs at least 1 thread, got {self.threads}")

    @property
    def lanes(self) -> int:
        """How many batches are computed side by side, 1 on a GPU.

        A batch on one core waits for nobody. On all cores it would after every layer, and where decoding and detection
        run beside it, for the core that they have just taken.
        """
        return 1 if self.device.is_gpu else min(self.cores, MAX_LANES)

    @property
    def cores(self) -> int:
        """How many cores may be used: `threads`, or all that this process has."""
        return usable_cores() if self.threads is None else self.threads

    @property
    def threads_per_lane(self) -> int:
        """How many threads compute one batch; beside a GPU, one that waits for it."""
        return 1 if self.device.is_gpu else self.cores // self.lanes

    @property
    def gives_way(self) -> bool:
        """Whether whoever computes a batch is one thread that others need not wait for."""
        return self.threads_per_lane == 1 and not self.device.is_gpu

    @property
    def lane_threads(self) -> int:
        """How many threads all lanes have together; no more than `cores`."""
        return self.lanes * self.threads_per_lane

    @classmethod
    def parse(cls, device: str, precision: str, threads: int | None = None) -> Runtime:
        """Return the runtime that words name; errors as above, and for a word that is not known."""
        return cls(_member(Device, "device", device), _member(Precision, "precision", precision), threads)


DEFAULT_RUNTIME: Final = Runtime()

Word = TypeVar("Word", Device, Precision)


def _member(kind: type[Word], name: str, word: str) -> Word:
    try:
        return kind(word)
    except ValueError as error:
        raise InputError(f"{name} must be one of {_words(tuple(kind))}, got {word!r}") from error


def _words(members: tuple[Device, ...] | tuple[Precision, ...]) -> str:
    return ", ".join(member.value for member in members)
