"""Beginning with a backbone file: its batch normalisations are part of the convolutions and are taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from affectline.errors import ModelFileError
from affectline.records import FloatArray
from affectline.training.cnn import CLASSIFIER, FaceNetwork, mismatches, refuse_mismatch

ARCHITECTURE_KEY: Final = "architecture"
"""Of the metadata of a backbone file: the name of the timm architecture, for those who train on."""

_BATCH: Final = 64
_SMALLEST_VARIANCE: Final = 1e-6


def copy_from_onnx(network: FaceNetwork, content: bytes, place: str) -> None:
    """Give a network the weights of a backbone file that `export_backbone` wrote.

    Batch normalisations become shifts that leave the network's outputs as the file's are; `settle` gives them the
    statistics that training needs. Layers behind the embedding that are others are left out.

    Args:
        network: of the file's architecture.
        content: the file.
        place: where it was found, for messages.

    Raises:
        ModelFileError: it is of another architecture (the first tensors that differ are named), or not written here.
    """
    graph = onnx.load_model_from_string(content).graph
    cast = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Cast"}
    arrays = {cast.get(one.name, one.name): numpy_helper.to_array(one).astype(np.float32) for one in graph.initializer}
    given = {name.removeprefix("network."): array for name, array in arrays.items()}
    pairs = _pairs(network)
    wanted = {f"{name}.weight": convolution.weight for convolution, name, _ in pairs}
    wanted |= {f"{name}.weight_bias": norm.bias for _, name, norm in pairs}
    refuse_mismatch(
        mismatches(given, wanted),
        f"{place} is no start for this architecture (only files that affectline exported are, of the same --arch)",
    )
    with torch.no_grad():
        for convolution, name, norm in pairs:
            convolution.weight.copy_(torch.from_numpy(given[f"{name}.weight"]))
            nn.init.ones_(norm.weight)
            norm.bias.copy_(torch.from_numpy(given[f"{name}.weight_bias"]))
            nn.init.zeros_(_buffer(norm.running_mean))
            nn.init.constant_(_buffer(norm.running_var), 1.0 - norm.eps)
        _copy_classifier(network, given)


def convolutions_of(network: FaceNetwork) -> list[str]:
    """Return the names of the convolutions that a batch normalisation follows, in the order in which they run."""
    return [name for _, name, _ in _pairs(network)]


def architecture_of(content: bytes) -> str:
    """Return the timm architecture that a backbone file says it has; empty if it does not say."""
    entries = onnx.load_model_from_string(content).metadata_props
    return next((entry.value for entry in entries if entry.key == ARCHITECTURE_KEY), "")


def _copy_classifier(network: FaceNetwork, given: dict[str, FloatArray]) -> None:
    own = {name: tensor for name, tensor in network.named_parameters() if name.startswith(CLASSIFIER)}
    if all(name in given and given[name].shape == tensor.shape for name, tensor in own.items()):
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(given[name]))


def _pairs(network: FaceNetwork) -> list[tuple[nn.Conv2d, str, _BatchNorm]]:
    """Return each convolution with its name and the normalisation that runs right behind it."""
    ran: list[tuple[str, nn.Module]] = []
    kinds = (nn.Conv2d, _BatchNorm)
    named = [(name, module) for name, module in network.named_modules() if isinstance(module, kinds)]

    def note(name: str, module: nn.Module) -> None:
        ran.append((name, module))

    hooks = [module.register_forward_pre_hook(lambda one, _, name=name: note(name, one)) for name, module in named]
    network.eval()
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return [
        (before, name, after)
        for (name, before), (_, after) in pairwise(ran)
        if isinstance(before, nn.Conv2d) and isinstance(after, _BatchNorm)
    ]


def settle(network: FaceNetwork, inputs: FloatArray) -> None:
    """Give every batch normalisation the statistics of real inputs, without a change of what the network computes.

    Args:
        network: after `copy_from_onnx`.
        inputs: shape (n, 3, S, S), float32, training pictures.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    with torch.inference_mode(), _moments(norms) as moments:
        for start in range(0, len(inputs), _BATCH):
            network(torch.from_numpy(inputs[start : start + _BATCH]))
    with torch.no_grad():
        for norm in norms:
            count, total, squares = moments[norm]
            mean = total / count
            variance = (squares / count - mean**2).clamp_min(_SMALLEST_VARIANCE)
            old_mean, old_variance = _buffer(norm.running_mean), _buffer(norm.running_var)
            factor = norm.weight / torch.sqrt(old_variance + norm.eps)
            norm.bias.copy_(norm.bias + factor * (mean - old_mean))
            norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
            old_mean.copy_(mean)
            old_variance.copy_(variance)


@contextmanager
def _moments(norms: list[_BatchNorm]) -> Iterator[dict[_BatchNorm, tuple[int, Tensor, Tensor]]]:
    found: dict[_BatchNorm, tuple[int, Tensor, Tensor]] = {}

    def note(norm: _BatchNorm, values: tuple[Tensor, ...]) -> None:
        flat = values[0].double().transpose(0, 1).flatten(1)
        count, total, squares = found.get(norm, (0, torch.tensor(0.0), torch.tensor(0.0)))
        found[norm] = count + flat.shape[1], total + flat.sum(dim=1), squares + (flat**2).sum(dim=1)

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _buffer(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ModelFileError("a batch normalisation keeps no statistics; choose another --arch")
    return tensor
