"""What `speed.py` measures: affectline's ways to run, its peers, and the networks alone, each with what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

from environments import MEDIAPIPE


class Kind(str, Enum):
    """What a program is to the table."""

    OURS = "affectline"
    PEER = "peer"
    BOUND = "bound"


@dataclass(frozen=True)
class Environment:
    """What pip installs; `bare` without dependencies."""

    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()


_ONNX_RUNTIME: Final = f"onnxruntime=={version('onnxruntime')}"
"""The peers' networks run in the version that affectline's run in."""

_OPENCV: Final = "opencv-python-headless"

ENVIRONMENTS: Final[Mapping[str, Environment]] = MappingProxyType(
    {
        # One environment for all that needs torch, which is 5.6 GB.
        "torch": Environment(
            ("torch==2.14.1", "torchvision==0.29.1", "py-feat==2.1.5", "requests", "onnx", _ONNX_RUNTIME, _OPENCV),
            bare=("facenet-pytorch==2.6.0", "emotiefflib==1.1.1"),
        ),
        "emotiefflib": Environment(
            ("numpy", "scipy", "pillow", "platformdirs", "ai-edge-litert", "onnx", _ONNX_RUNTIME, _OPENCV),
            bare=("emotiefflib==1.1.1",),
        ),
        "mediapipe": Environment((MEDIAPIPE,)),
        # OpenCV 5 has no CascadeClassifier and setuptools 81 no pkg_resources; fer needs both.
        "fer": Environment(
            ("tensorflow-cpu==2.21.0", f"{_OPENCV}<5", "setuptools<81", "requests", "pillow"), bare=("fer==25.10.3",)
        ),
    }
)


@dataclass(frozen=True)
class Program:
    """One row of the table.

    Attributes:
        title: what the row is called.
        kind: ours, a peer's or a bound.
        script: in this folder.
        options: behind the clip, where there is one; names in braces are files of `speed_inputs.Inputs`.
        environment: a key of `ENVIRONMENTS`; None is the Python that runs `speed.py`.
        bound: the key of the program that runs the same network alone.
    """

    title: str
    kind: Kind
    script: str
    options: tuple[str, ...] = ()
    environment: str | None = None
    bound: str | None = None


def _ours(title: str, bound: str, *options: str) -> Program:
    return Program(title, Kind.OURS, "run_affectline.py", ("--warm-up", "{short}", *options), bound=bound)


def _bound(title: str, network: str, *options: str) -> Program:
    return Program(title, Kind.BOUND, "run_network.py", (network, *options))


def _emotiefflib(title: str, detector: str, environment: str) -> Program:
    options = ("--network", "{b0}", "--detector", detector)
    return Program(title, Kind.PEER, "run_emotiefflib.py", options, environment, bound="bound-b0")


_OPENVINO: Final = ("--device", "openvino", "--precision")

EMOTIEFFLIB: Final = "emotiefflib"
MEDIAPIPE_ALONE: Final = "mediapipe"

PROGRAMS: Final[Mapping[str, Program]] = MappingProxyType(
    {
        EMOTIEFFLIB: _emotiefflib("EmotiEffLib ONNX + MTCNN", "mtcnn", "torch"),
        "emotiefflib-our-detector": _emotiefflib("EmotiEffLib ONNX + our detector", "affectline", "emotiefflib"),
        MEDIAPIPE_ALONE: Program(
            "MediaPipe FaceLandmarker",
            Kind.PEER,
            "run_mediapipe.py",
            ("--model", "{landmarker}"),
            environment="mediapipe",
        ),
        "fer": Program("fer", Kind.PEER, "run_fer_video.py", environment="fer"),
        "py-feat": Program("py-feat", Kind.PEER, "run_pyfeat.py", environment="torch"),
        "b0": _ours("affectline, B0, no AUs", "bound-b0", "--backbone", "{b0}", "--no-au"),
        "b0-bf16": _ours(
            "affectline, B0, no AUs, OpenVINO bf16",
            "bound-b0-bf16",
            "--backbone",
            "{b0}",
            "--no-au",
            *_OPENVINO,
            "bf16",
        ),
        "no-au": _ours("affectline, default, no AUs", "bound-default", "--no-au"),
        "default": _ours("affectline, default", "bound-default"),
        "int8": _ours("affectline, default, int8", "bound-int8", "--backbone", "{lite0}", "--precision", "int8"),
        "openvino": _ours("affectline, default, OpenVINO", "bound-openvino", *_OPENVINO, "fp32"),
        "bf16": _ours("affectline, default, OpenVINO bf16", "bound-bf16", *_OPENVINO, "bf16"),
        "openvino-int8": _ours(
            "affectline, default, OpenVINO int8", "bound-openvino-int8", "--backbone", "{lite0}", *_OPENVINO, "int8"
        ),
        "bound-b0": _bound("B0, ONNX Runtime fp32", "{b0}"),
        "bound-b0-bf16": _bound("B0, OpenVINO bf16", "{b0}", *_OPENVINO, "bf16"),
        "bound-default": _bound("default, ONNX Runtime fp32", "{lite0}"),
        "bound-int8": _bound("default, ONNX Runtime int8", "{lite0_int8}"),
        "bound-openvino": _bound("default, OpenVINO fp32", "{lite0}", *_OPENVINO, "fp32"),
        "bound-bf16": _bound("default, OpenVINO bf16", "{lite0}", *_OPENVINO, "bf16"),
        "bound-openvino-int8": _bound("default, OpenVINO int8", "{lite0_int8}", *_OPENVINO, "int8"),
    }
)
"""By the name that `--only` takes, in the order of the rounds."""
