"""The networks that are trained on pictures: a trunk of timm, an embedding, one linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import timm
import torch
from torch import Tensor, nn

from affectline.assets import ASSETS, fetch
from affectline.errors import InputError, ModelFileError
from affectline.features import FeaturePart
from affectline.heads.mlp import MlpHead
from affectline.records import FloatArray
from affectline.training.weights import read_weights

IMAGENET: Final = "imagenet"
IMAGENET_STARTS: Final[Mapping[str, str]] = {"tf_efficientnet_lite0": "efficientnet_lite0_imagenet"}
"""Asset with the ImageNet weights of an architecture: those that can be had without an account somewhere."""

_SHOWN: Final = 3
CLASSIFIER: Final = "classifier."
_TRUNK: Final = "trunk."
_PROBE_SIDE: Final = 64


class FaceNetwork(nn.Module):
    """A picture to an embedding, an embedding to outputs.

    Args:
        arch: name of a timm architecture.
        n_outputs: width of the last layer.
        drop: share of the embedding that is dropped while training.
        drop_path: stochastic depth (Huang et al. 2016), the share of the last block.
        hidden: width of a hidden layer between embedding and outputs, with ReLU; 0 for none.

    Raises:
        InputError: timm has no such architecture, or it takes no pictures of any size.
    """

    def __init__(self, arch: str, n_outputs: int, drop: float = 0.0, drop_path: float = 0.0, hidden: int = 0) -> None:
        super().__init__()
        if not timm.is_model(arch):
            near = ", ".join(timm.list_models(f"*{arch.rsplit('_', 1)[-1]}*")[:5]) or "none alike"
            raise InputError(f"timm {timm.__version__} has no architecture {arch!r}; there are {near}")
        self.arch = arch
        self.trunk, width = _trunk(arch, drop_path)
        self.drop = nn.Dropout(drop)
        widths = (width, *((hidden,) if hidden else ()), n_outputs)
        layers: list[nn.Module] = [nn.Linear(before, after) for before, after in pairwise(widths)]
        self.classifier = nn.Sequential(layers[0], nn.ReLU(), layers[1]) if hidden else layers[0]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings (n, D) and the outputs (n, K) of pictures (n, 3, S, S)."""
        embedding = self.trunk(pictures)
        return embedding, self.classifier(self.drop(embedding))

    @property
    def layers(self) -> list[nn.Linear]:
        """The layers behind the embedding; ReLU is between them."""
        return [layer for layer in self.classifier.modules() if isinstance(layer, nn.Linear)]


def _trunk(arch: str, drop_path: float) -> tuple[nn.Module, int]:
    """Return the network before the last layer, and the width of what it gives."""
    try:
        trunk = timm.create_model(arch, pretrained=False, num_classes=0, drop_path_rate=drop_path).eval()
        with torch.inference_mode():
            embedding = trunk(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    except (TypeError, RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"{arch} cannot be trained here: it must be a convolutional network that takes pictures of any size, and "
            f"have stochastic depth ({str(error).splitlines()[0]}); such are the EfficientNets, MobileNets and ResNets"
        ) from error
    if embedding.ndim != 2:  # noqa: PLR2004 - pictures, features
        raise InputError(f"{arch} gives {tuple(embedding.shape)} for a picture, no embedding; choose another --arch")
    return trunk.train(), int(embedding.shape[1])


def load_start(
    network: FaceNetwork, arch: str, start: str | Path, *, with_last: bool = True, offline: bool = False
) -> None:
    """Put the weights into a network with which training begins.

    Args:
        network: of this architecture.
        arch: its name.
        start: `imagenet`, or a safetensors file with the weights of a `FaceNetwork`, or with those of timm's own
            network.
        with_last: the layers behind the embedding too, where the file has such.
        offline: never use the network.

    Raises:
        InputError: there are no ImageNet weights for the architecture.
        AssetError: they cannot be had.
        InputFileError: the file cannot be read.
        ModelFileError: it is of another architecture; the first tensors that differ are named.
    """
    weights = _imagenet(network, arch, offline) if start == IMAGENET else _named(read_weights(Path(start))[0], network)
    own = network.state_dict()
    last = {name for name in own if name.startswith(CLASSIFIER)}
    given = {name for name in weights if name.startswith(CLASSIFIER)}
    if not with_last or given != last or any(weights[name].shape != own[name].shape for name in last):
        weights = {name: weight for name, weight in weights.items() if name not in given}
    _check(weights, own, last, f"{start} is no start for {arch}")
    network.load_state_dict({**own, **weights})


def _named(weights: dict[str, Tensor], network: FaceNetwork) -> dict[str, Tensor]:
    """Return weights by the names of a `FaceNetwork`; those of timm lack the first part, and end with classes."""
    if any(name.startswith(_TRUNK) for name in weights):
        return weights
    known = timm.get_pretrained_cfg(network.arch)
    last = "classifier" if known is None else known.classifier
    return {f"{_TRUNK}{name}": weight for name, weight in weights.items() if not name.startswith(f"{last}.")}


def _check(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], optional: set[str], what: str) -> None:
    wanted = {name: tensor for name, tensor in own.items() if name not in optional}
    refuse_mismatch([*mismatches(weights, wanted), *(f"{name} unknown" for name in weights if name not in own)], what)


def mismatches(given: Mapping[str, Tensor | FloatArray], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return, in words, the wanted tensors that are not given or have another shape, in order."""
    return [
        f"{name} {tuple(given[name].shape) if name in given else 'missing'} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name not in given or given[name].shape != tensor.shape
    ]


def refuse_mismatch(wrong: Sequence[str], what: str) -> None:
    """Raise ModelFileError that names the first things that are wrong, if there are any."""
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ModelFileError(f"{what}: {'; '.join(wrong[:_SHOWN])}{more}")


def copy_head(network: FaceNetwork, head: MlpHead) -> None:
    """Put the layers of a trained head behind the embedding, so that the whole network begins with what it knows.

    Args:
        network: with a hidden layer as the head has it, and its labels.
        head: a perceptron on the embedding of the very backbone that the network begins with.

    Raises:
        ModelFileError: it is another kind of perceptron.
    """
    folded = head.folded
    shapes = [tuple(layer.weight.shape) for layer in network.layers]
    if head.parts != (FeaturePart.EMBEDDING,) or [layer.weight.shape for layer in folded] != shapes:
        given = " and ".join(str(layer.weight.shape) for layer in folded)
        raise ModelFileError(
            f"the head has the layers {given} on {'+'.join(part.value for part in head.parts)}; behind this network "
            f"fit {' and '.join(map(str, shapes))} on embedding"
        )
    with torch.no_grad():
        for layer, known in zip(network.layers, folded, strict=True):
            layer.weight.copy_(torch.from_numpy(known.weight))
            layer.bias.copy_(torch.from_numpy(known.bias))


def _imagenet(network: FaceNetwork, arch: str, offline: bool) -> dict[str, Tensor]:
    if arch not in IMAGENET_STARTS:
        known = ", ".join(IMAGENET_STARTS)
        raise InputError(f"ImageNet weights are known for {known} only, not for {arch}; give a file with --init")
    asset = IMAGENET_STARTS[arch]
    # Verified by its sha256 before it is opened, and weights_only reads tensors alone.
    stored = torch.load(fetch(asset, offline=offline), map_location="cpu", weights_only=True)
    tensors = [tensor for name, tensor in stored.items() if not name.startswith("_fc.")]
    # The file has the names of another implementation and the same tensors in the same order.
    names = [name for name in network.state_dict() if not name.startswith(CLASSIFIER)]
    if len(tensors) != len(names):
        raise ModelFileError(f"{ASSETS[asset].file_name} has {len(tensors)} tensors, {arch} {len(names)}")
    return dict(zip(names, tensors, strict=True))
