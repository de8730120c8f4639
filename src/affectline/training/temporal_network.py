"""The networks of temporal heads in PyTorch, with the names and layouts that `heads.temporal_spec` states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from affectline.heads.temporal_spec import ATTENTION_HEADS, FARTHEST, SMALLEST_SHARE, TAPS, TINY, TemporalSpec
from affectline.records import FloatArray

_HIDDEN_KEY = -1e9
"""As in the ONNX graph."""


class TemporalNetwork(nn.Module):
    """Filter and network of a temporal head: encodings (B, T, d) and their mask (B, T) to outputs (B, T, K).

    It begins as a box filter of what the perceptron says: the network's last layer is 0.

    Args:
        spec: of both.
        first: what it begins with.
        dropout: share of hidden numbers left out in training.
        width: D, numbers behind the perceptron's outputs that a linear layer takes; None where they are seen as they
            are.
    """

    def __init__(self, spec: TemporalSpec, first: FirstFilter, dropout: float = 0.0, width: int | None = None) -> None:
        super().__init__()
        self._n_labels = len(first.mean)
        self.core = _CORES[spec.model](spec, first, dropout)
        self.dropout = nn.Dropout(dropout)
        if width is not None:
            self.encoder = nn.ModuleDict({"projection": nn.Linear(width, spec.inputs - self._n_labels)})

    def forward(self, encoded: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs, not activated; encodings (B, T, K + ...) must be 0 where masked."""
        flags = mask.unsqueeze(2)
        if hasattr(self, "encoder"):
            n_labels = self._n_labels
            projected = self.encoder["projection"](encoded[:, :, n_labels:]) * flags
            encoded = torch.cat([encoded[:, :, :n_labels], self.dropout(projected)], dim=2)
        outputs: Tensor = self.core(encoded, flags)
        return outputs


class FirstFilter(NamedTuple):
    """With what a filter begins: the mean of its window.

    Attributes:
        mean, scale: shape (K,), float32: the perceptron's outputs are these times the encoding, plus the mean.
        radius: of the window, in steps; with a causal head twice as many lie behind a step.
    """

    mean: FloatArray
    scale: FloatArray
    radius: int


class Filter(nn.Module):
    """A weighted sum over time of each of the perceptron's outputs, as large as if no step were masked."""

    def __init__(self, spec: TemporalSpec, first: FirstFilter) -> None:
        super().__init__()
        self.padding = (spec.reach, 0 if spec.is_causal else spec.reach)
        steps = torch.arange(-spec.reach, spec.taps - spec.reach)
        is_inside = (steps >= -2 * first.radius if spec.is_causal else steps.abs() <= first.radius).float()
        scale = torch.from_numpy(first.scale)
        self.weight = nn.Parameter(scale[:, None, None] * is_inside / is_inside.sum())

    def forward(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the sums (B, T, K) of encodings (B, T, d), 0 where masked, and their mask (B, T, 1)."""
        n_labels = len(self.weight)
        outputs = functional.pad(encoded[:, :, :n_labels].transpose(1, 2), self.padding)
        summed = functional.conv1d(outputs, self.weight, groups=n_labels)
        seen = functional.conv1d(functional.pad(flags.transpose(1, 2), self.padding), self.weight.abs())
        total = self.weight.abs().sum(dim=2)
        share = torch.maximum(seen, SMALLEST_SHARE * total + TINY)
        return (summed * total / share).transpose(1, 2)


class Core(nn.Module):
    """A filter, and a network whose last layer is 0 at first.

    Args:
        spec: of both.
        first: what the filter begins with.
        width: numbers of the network's last hidden state.
    """

    def __init__(self, spec: TemporalSpec, first: FirstFilter, width: int) -> None:
        super().__init__()
        self.filter = Filter(spec, first)
        self.out = nn.Linear(width, len(first.mean))
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.from_numpy(first.mean))

    def forward(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the outputs (B, T, K) of encodings (B, T, d), 0 where masked, and their mask (B, T, 1)."""
        outputs: Tensor = self.filter(encoded, flags) + self.out(self.states(encoded, flags))
        return outputs

    def states(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the last hidden states of the network, shape (B, T, width)."""
        raise NotImplementedError


class GruCore(Core):
    """Gated recurrent units (Cho et al. 2014), in both directions unless causal."""

    def __init__(self, spec: TemporalSpec, first: FirstFilter, dropout: float) -> None:
        super().__init__(spec, first, spec.size * (1 if spec.is_causal else 2))
        between = dropout if spec.layers > 1 else 0.0
        self.gru = nn.GRU(
            spec.inputs + 1,
            spec.size,
            spec.layers,
            batch_first=True,
            dropout=between,
            bidirectional=not spec.is_causal,
        )
        self.dropout = nn.Dropout(dropout)

    def states(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return those of both directions."""
        states, _ = self.gru(torch.cat([encoded, flags], dim=2))
        dropped: Tensor = self.dropout(states)
        return dropped


class _TcnBlock(nn.Module):
    def __init__(self, spec: TemporalSpec, number: int, dropout: float) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(spec.size, spec.size, TAPS, dilation=2**number)
        self.mix = nn.Linear(spec.size, spec.size)
        self.dropout = nn.Dropout(dropout)
        reach = (TAPS - 1) * 2**number
        self.padding = (reach, 0) if spec.is_causal else (reach // 2, reach // 2)

    def forward(self, values: Tensor, flags: Tensor) -> Tensor:
        seen = self.dilated(functional.pad(values.transpose(1, 2), self.padding))
        mixed: Tensor = self.dropout(self.mix(functional.relu(seen).transpose(1, 2)))
        return (values + mixed) * flags


class TcnCore(Core):
    """Residual blocks of dilated convolutions (the layers of Farha and Gall 2019); masked steps are 0 throughout."""

    def __init__(self, spec: TemporalSpec, first: FirstFilter, dropout: float) -> None:
        super().__init__(spec, first, spec.size)
        self.start = nn.Linear(spec.inputs + 1, spec.size)
        self.blocks = nn.ModuleList(_TcnBlock(spec, number, dropout) for number in range(spec.layers))
        self.dropout = nn.Dropout(dropout)

    def states(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return those behind the last block."""
        values = self.start(torch.cat([encoded, flags], dim=2)) * flags
        for block in self.blocks:
            values = block(values, flags)
        dropped: Tensor = self.dropout(functional.relu(values))
        return dropped


class _TransformerBlock(nn.Module):
    def __init__(self, spec: TemporalSpec, dropout: float) -> None:
        super().__init__()
        self.distance = nn.Parameter(_first_distances())
        self.before_attention = nn.LayerNorm(spec.size)
        self.attention = nn.Linear(spec.size, 3 * spec.size)
        self.project = nn.Linear(spec.size, spec.size)
        self.before_mixing = nn.LayerNorm(spec.size)
        self.widen = nn.Linear(spec.size, 2 * spec.size)
        self.narrow = nn.Linear(2 * spec.size, spec.size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, column: Tensor, hidden: Tensor) -> Tensor:
        batch, length, size = values.shape
        joint = self.attention(self.before_attention(values))
        split = joint.reshape(batch, length, 3, ATTENTION_HEADS, size // ATTENTION_HEADS).permute(2, 0, 3, 1, 4)
        bias = self.distance[:, column] + hidden
        seen = functional.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=bias)
        values = values + self.dropout(self.project(seen.transpose(1, 2).reshape(batch, length, size)))
        wide = functional.relu(self.widen(self.before_mixing(values)))
        mixed: Tensor = self.dropout(self.narrow(self.dropout(wide)))
        return values + mixed


class TransformerCore(Core):
    """A transformer encoder, norms first, that knows places by learned biases of relative distances (Shaw et al. 2018).

    The biases start as straight lines that fall with the distance, differently steep in each head (Press et al. 2022).
    """

    def __init__(self, spec: TemporalSpec, first: FirstFilter, dropout: float) -> None:
        super().__init__(spec, first, spec.size)
        self.is_causal = spec.is_causal
        self.start = nn.Linear(spec.inputs + 1, spec.size)
        self.blocks = nn.ModuleList(_TransformerBlock(spec, dropout) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.size)
        self.dropout = nn.Dropout(dropout)

    def states(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return those behind the last block."""
        values = self.start(torch.cat([encoded, flags], dim=2))
        places = torch.arange(values.shape[1])
        distance = places[None, :] - places[:, None]
        column = distance.clamp(-FARTHEST, FARTHEST) + FARTHEST
        hidden = (1.0 - flags.transpose(1, 2).unsqueeze(1)) * _HIDDEN_KEY
        if self.is_causal:
            hidden = hidden + (distance > 0) * _HIDDEN_KEY
        for block in self.blocks:
            values = block(values, column, hidden)
        dropped: Tensor = self.dropout(self.norm(values))
        return dropped


def _first_distances() -> Tensor:
    """Return biases of shape (heads, 2 * FARTHEST + 1) that fall by 1/2, 1/8, 1/32, ... for each step away."""
    away = torch.arange(-FARTHEST, FARTHEST + 1).abs()
    slopes = torch.tensor([0.5 * 0.25**number for number in range(ATTENTION_HEADS)])
    return -slopes[:, None] * away


_CORES = {"gru": GruCore, "tcn": TcnCore, "transformer": TransformerCore}
