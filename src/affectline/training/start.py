"""With what a network for a task begins: architecture, preprocessing, weights, perhaps the layers of a trained head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import timm
import torch

from affectline.assets import fetch
from affectline.backbones import BACKBONES, load_backbone
from affectline.backbones.files import INT8_SUFFIX
from affectline.backbones.registry import MTCNN_CROP
from affectline.backbones.spec import BackboneSpec, Colour, Form, Interpolation, ResizeStep
from affectline.errors import InputError, ModelFileError, UnknownNameError
from affectline.heads.head_file import load_head
from affectline.heads.mlp import MlpHead
from affectline.labels import VALENCE_AROUSAL, ActionUnit, Expression, Task
from affectline.records import FloatArray
from affectline.training.cnn import IMAGENET, FaceNetwork, copy_head, load_start
from affectline.training.finetune_params import FinetuneParams
from affectline.training.onnx_start import architecture_of, copy_from_onnx, settle
from affectline.training.weights import AboutWeights, read_weights

DEFAULT_SIZE: Final = 112
"""Of Aff-Wild2's aligned crops, pixels."""

MIN_SIZE: Final = 32
MAX_SIZE: Final = 512


@dataclass(frozen=True, slots=True)
class Start:
    """With what a network begins.

    Attributes:
        init: `imagenet`; weights that an earlier run wrote (`.safetensors`); or a backbone that affectline exported, by
            its name or file.
        arch: a timm architecture; None takes that of the weights, `tf_efficientnet_lite0` without.
        size: of the input, pixels; None takes that of the weights, `DEFAULT_SIZE` without.
        colour: None takes that of the weights, RGB without.
        head: a perceptron that was trained on the embedding of the backbone of these weights; its layers come behind.
    """

    init: str | Path = IMAGENET
    arch: str | None = None
    size: int | None = None
    colour: Colour | None = None
    head: Path | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(f"the input of a network is {MIN_SIZE} to {MAX_SIZE} pixels wide, got {self.size}")

    def about(self) -> AboutWeights | None:
        """Return what the weights say of themselves.

        Raises:
            InputFileError: they cannot be read.
            UnknownNameError: there is neither such a file nor such a backbone.
            ModelFileError: it is an 8-bit file.
        """
        if self.init == IMAGENET:
            return None
        if str(self.init).endswith(INT8_SUFFIX):
            raise ModelFileError(f"{self.init} is an 8-bit file, which cannot be trained; give the file it was made of")
        if self.is_backbone:
            backbone = load_backbone(self.init)
            return AboutWeights(architecture_of(self.read_backbone()), backbone.digest, backbone.spec)
        path = Path(self.init)
        if path.name == str(self.init) and not path.suffix and not path.exists():
            raise UnknownNameError(
                f"{self.init} is neither a file nor one of {IMAGENET}, {', '.join(BACKBONES)}; check the spelling"
            )
        return read_weights(path)[1]

    def read_backbone(self) -> bytes:
        """Return the content of the backbone's file."""
        path = fetch(str(self.init)) if str(self.init) in BACKBONES else Path(self.init)
        return path.read_bytes()

    @property
    def is_backbone(self) -> bool:
        """Whether `init` is a backbone by name or an ONNX file."""
        return str(self.init) in BACKBONES or Path(self.init).suffix.lower() == ".onnx"


def plan(start: Start, default_arch: str, name: str) -> tuple[str, BackboneSpec]:
    """Return the architecture, and how its pictures are made; outputs and words are still those of the start.

    Raises:
        InputError: there is no such architecture.
        InputFileError: the weights cannot be read.
    """
    about = start.about()
    arch = start.arch or (about.arch if about is not None else "") or default_arch
    if not timm.is_model(arch):
        raise InputError(f"timm {timm.__version__} has no architecture {arch!r}")
    begun = "ImageNet" if start.init == IMAGENET else f"{Path(start.init).name}, which does not say of what it was made"
    spec = _plain_spec(arch, name, begun) if about is None else replace(about.spec, name=name)
    size = start.size or spec.size
    if size != spec.size:
        spec = replace(spec, size=size, resize=(ResizeStep(Interpolation.LINEAR, size),))
    return arch, replace(spec, colour=start.colour or spec.colour)


def _plain_spec(arch: str, name: str, training_data: str) -> BackboneSpec:
    known = timm.get_pretrained_cfg(arch)
    mean, std = ((0.5,) * 3, (0.5,) * 3) if known is None else (known.mean, known.std)
    return BackboneSpec(
        name=name,
        form=Form.AFFECTLINE,
        labels=(),
        has_valence_arousal=True,
        size=DEFAULT_SIZE,
        mean=mean,
        std=std,
        colour=Colour.RGB,
        resize=(ResizeStep(Interpolation.LINEAR, DEFAULT_SIZE),),
        crop=MTCNN_CROP,
        temperature=1.0,
        training_data=training_data,
        licence="as its training data allow",
        version="1",
        source="affectline finetune",
    )


def for_task(spec: BackboneSpec, task: Task, labels: tuple[str, ...], training_data: str) -> BackboneSpec:
    """Return the spec of a network with the outputs of one task."""
    return replace(
        spec,
        labels=tuple(Expression(label) for label in labels) if task is Task.EXPR else (),
        action_units=tuple(ActionUnit(label) for label in labels) if task is Task.AU else (),
        has_valence_arousal=task is Task.VA,
        temperature=1.0,
        training_data=training_data,
        licence="as its training data allow",
        version="1",
        source="affectline finetune",
    )


def begin(
    start: Start, params: FinetuneParams, task: Task, labels: tuple[str, ...], calibration: Callable[[], FloatArray]
) -> FaceNetwork:
    """Return the network with its first weights; they depend on the seed.

    Args:
        start: with what it begins.
        params: how it is trained.
        task: of what its outputs are.
        labels: its outputs.
        calibration: gives training pictures, shape (n, 3, S, S), float32; asked for a start with a backbone file.

    Raises:
        InputError: there are no ImageNet weights for the architecture, or the head is of another task or has other
            labels.
        ModelFileError: weights or head do not fit (the first tensors that differ are named), or the head was trained
            on another backbone.
    """
    torch.manual_seed(params.seed)
    head = None if start.head is None else _head(start, task, labels)
    hidden = 0 if head is None or len(head.layers) == 1 else len(head.layers[0].weight)
    network = FaceNetwork(params.arch, len(labels), params.drop, params.drop_path, hidden)
    load_first_weights(network, start, labels, calibration)
    if head is not None:
        copy_head(network, head)
    return network


def load_first_weights(
    network: FaceNetwork, start: Start, labels: tuple[str, ...], calibration: Callable[[], FloatArray]
) -> None:
    """Put the start's weights into a network; errors and arguments as `begin`.

    Layers behind the embedding come along if they give the same labels in the same order.
    """
    about = start.about()
    with_last = about is not None and _labels_of(about.spec) == labels
    if not start.is_backbone:
        load_start(network, network.arch, start.init, with_last=with_last)
        return
    copy_from_onnx(network, start.read_backbone(), str(start.init), with_last=with_last)
    settle(network, calibration())


def _labels_of(spec: BackboneSpec) -> tuple[str, ...]:
    values = VALENCE_AROUSAL if spec.has_valence_arousal else ()
    return (*(one.value for one in spec.labels), *(one.value for one in spec.action_units), *values)


def _head(start: Start, task: Task, labels: tuple[str, ...]) -> MlpHead:
    path = start.head or Path()
    head = load_head(path)
    if not isinstance(head, MlpHead) or len(head.layers) > 2:  # noqa: PLR2004 - a hidden layer and the last one
        raise InputError(f"{path} is no perceptron with at most one hidden layer; train it with --model mlp")
    card = head.card
    if card.task is not task or card.labels != labels:
        raise InputError(
            f"{path} gives {card.task.value} ({', '.join(card.labels)}); the labels are {task.value} "
            f"({', '.join(labels)})"
        )
    if len(card.backbones) != 1:
        raise InputError(
            f"{path} was trained on features of {' and '.join(ref.name for ref in card.backbones)}; only a head on one "
            "backbone can go behind it"
        )
    about, (ref,) = start.about(), card.backbones
    if about is None or about.backbone != ref.digest:
        own = "other weights" if about is None else f"weights of the backbone with sha256 {about.backbone}"
        raise ModelFileError(
            f"{path} was trained on features of {ref.name} (sha256 {ref.digest}), but --init gives {own}; give the "
            "backbone itself, or the weights.safetensors that lies beside it"
        )
    return head
