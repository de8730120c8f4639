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

from affectline.backbones.network import open_network
from affectline.errors import ModelFileError
from affectline.records import FloatArray
from affectline.training.cnn import CLASSIFIER, FaceNetwork, mismatches, refuse_mismatch

ARCHITECTURE_KEY: Final = "architecture"
"""Of the metadata of a backbone file: the name of the timm architecture, for those who train on."""

_BATCH: Final = 64
_TOLERANCE: Final = 1e-3
_SMALLEST: Final = 1e-12
_SIDE: Final = 64
_SMALLEST_VARIANCE: Final = 1e-6


def copy_from_onnx(network: FaceNetwork, content: bytes, place: str, *, with_last: bool) -> None:
    """Give a network the weights of a backbone file that `export_backbone` wrote.

    Batch normalisations become shifts that leave the network's embeddings as the file's are; `settle` gives them the
    statistics that training needs.

    Args:
        network: of the file's architecture.
        content: the file.
        place: where it was found, for messages.
        with_last: the layers behind the embedding too, where the file has such.

    Raises:
        ModelFileError: it is of another architecture (the first tensors that differ are named), or not written here, or
            has layers that cannot be read back.
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
        _copy_others(network, given, {id(tensor) for tensor in wanted.values()}, with_last=with_last)
    _check_embeddings(network, content, place)


def convolutions_of(network: FaceNetwork) -> list[str]:
    """Return the names of the convolutions that a batch normalisation follows, in the order in which they run."""
    return [name for _, name, _ in _pairs(network)]


def architecture_of(content: bytes) -> str:
    """Return the timm architecture that a backbone file says it has; empty if it does not say."""
    entries = onnx.load_model_from_string(content).metadata_props
    return next((entry.value for entry in entries if entry.key == ARCHITECTURE_KEY), "")


def _copy_others(network: FaceNetwork, given: dict[str, FloatArray], done: set[int], *, with_last: bool) -> None:
    """Copy what no batch normalisation follows, such as squeeze and excitation, and the last layers if all fit."""
    own = dict(network.named_parameters())
    fitting = {name for name, tensor in own.items() if name in given and given[name].shape == tensor.shape}
    last = {name for name in own if name.startswith(CLASSIFIER)}
    wanted = fitting if with_last and last <= fitting else fitting - last
    for name in wanted:
        if id(own[name]) not in done:
            own[name].copy_(torch.from_numpy(given[name]))


def _check_embeddings(network: FaceNetwork, content: bytes, place: str) -> None:
    """Raise ModelFileError unless the network gives the file's embeddings."""
    session = open_network(content, place)
    side = session.input_shape[-1] or _SIDE
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 3, side, side)).astype(np.float32)
    (expected,) = session.run(pictures, ("embedding",))
    network.eval()
    with torch.inference_mode():
        found = network(torch.from_numpy(pictures))[0].numpy()
    distance = float(np.abs(found - expected).max() / max(np.abs(expected).max(), _SMALLEST))
    if not distance <= _TOLERANCE:
        raise ModelFileError(
            f"{place}: not all layers of {network.arch} can be read back from ONNX (embeddings differ by "
            f"{distance:.2g} of the largest); begin with the weights.safetensors that lies beside it"
        )


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
        network(torch.zeros(1, 3, _SIDE, _SIDE))
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
