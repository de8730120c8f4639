"""The networks of temporal heads in PyTorch, with the names and layouts that `heads.temporal_spec` states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from affectline.heads.temporal_spec import ATTENTION_HEADS, FARTHEST, TAPS, TemporalSpec

_HIDDEN_KEY = -1e9
"""As in the ONNX graph."""


class TemporalNetwork(nn.Module):
    """Encoder and core: standardised inputs (B, T, D) and their mask (B, T) to outputs (B, T, K), not activated.

    Args:
        spec: of the core.
        width: D.
        n_labels: K.
        dropout: share of hidden numbers left out in training.
    """

    def __init__(self, spec: TemporalSpec, width: int, n_labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, spec.size)
        self.core = _CORES[spec.model](spec, n_labels, dropout)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs."""
        flags = mask.unsqueeze(2)
        encoded = self.encoder(inputs) * flags
        outputs: Tensor = self.core(encoded, flags)
        return outputs


class GruCore(nn.Module):
    """Gated recurrent units (Cho et al. 2014), in both directions unless causal, beside the encodings themselves."""

    def __init__(self, spec: TemporalSpec, n_labels: int, dropout: float) -> None:
        super().__init__()
        between = dropout if spec.layers > 1 else 0.0
        self.gru = nn.GRU(
            spec.size + 1,
            spec.size,
            spec.layers,
            batch_first=True,
            dropout=between,
            bidirectional=not spec.is_causal,
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(spec.size * (2 if spec.is_causal else 3), n_labels)

    def forward(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the outputs (B, T, K) of encodings (B, T, d), 0 where masked, and their mask (B, T, 1)."""
        encoded = self.dropout(encoded)
        states, _ = self.gru(torch.cat([encoded, flags], dim=2))
        outputs: Tensor = self.out(self.dropout(torch.cat([functional.relu(encoded), states], dim=2)))
        return outputs


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


class TcnCore(nn.Module):
    """Residual blocks of dilated convolutions (the layers of Farha and Gall 2019); masked steps are 0 throughout."""

    def __init__(self, spec: TemporalSpec, n_labels: int, dropout: float) -> None:
        super().__init__()
        self.start = nn.Linear(spec.size + 1, spec.size)
        self.blocks = nn.ModuleList(_TcnBlock(spec, number, dropout) for number in range(spec.layers))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(spec.size, n_labels)

    def forward(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the outputs (B, T, K) of encodings (B, T, d), 0 where masked, and their mask (B, T, 1)."""
        values = self.start(torch.cat([self.dropout(encoded), flags], dim=2)) * flags
        for block in self.blocks:
            values = block(values, flags)
        outputs: Tensor = self.out(self.dropout(functional.relu(values)))
        return outputs


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


class TransformerCore(nn.Module):
    """A transformer encoder, norms first, that knows places by learned biases of relative distances (Shaw et al. 2018).

    The biases start as straight lines that fall with the distance, differently steep in each head (Press et al. 2022).
    """

    def __init__(self, spec: TemporalSpec, n_labels: int, dropout: float) -> None:
        super().__init__()
        self.is_causal = spec.is_causal
        self.start = nn.Linear(spec.size + 1, spec.size)
        self.blocks = nn.ModuleList(_TransformerBlock(spec, dropout) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.size)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(spec.size, n_labels)

    def forward(self, encoded: Tensor, flags: Tensor) -> Tensor:
        """Return the outputs (B, T, K) of encodings (B, T, d), 0 where masked, and their mask (B, T, 1)."""
        values = self.start(torch.cat([self.dropout(encoded), flags], dim=2))
        places = torch.arange(values.shape[1])
        distance = places[None, :] - places[:, None]
        column = distance.clamp(-FARTHEST, FARTHEST) + FARTHEST
        hidden = (1.0 - flags.transpose(1, 2).unsqueeze(1)) * _HIDDEN_KEY
        if self.is_causal:
            hidden = hidden + (distance > 0) * _HIDDEN_KEY
        for block in self.blocks:
            values = block(values, column, hidden)
        outputs: Tensor = self.out(self.dropout(self.norm(values)))
        return outputs


def _first_distances() -> Tensor:
    """Return biases of shape (heads, 2 * FARTHEST + 1) that fall by 1/2, 1/8, 1/32, ... for each step away."""
    away = torch.arange(-FARTHEST, FARTHEST + 1).abs()
    slopes = torch.tensor([0.5 * 0.25**number for number in range(ATTENTION_HEADS)])
    return -slopes[:, None] * away


_CORES = {"gru": GruCore, "tcn": TcnCore, "transformer": TransformerCore}
