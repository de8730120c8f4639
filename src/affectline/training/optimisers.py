"""Optimisers, and the two steps of sharpness-aware minimisation (Foret et al. 2021)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from affectline.training.finetune_params import FinetuneParams

ADAM_STATE: Final = ("step", "exp_avg", "exp_avg_sq")
"""What Adam and AdamW keep of a weight."""


def make_optimiser(weights: list[torch.nn.Parameter], params: FinetuneParams) -> torch.optim.Optimizer:
    """Return the optimiser; biases and batch normalisation are not decayed."""
    decayed = [weight for weight in weights if weight.ndim > 1]
    others = [weight for weight in weights if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": others, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if params.optimiser == "adamw" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], lr=params.learning_rate)


def climb(weights: list[torch.nn.Parameter], radius: float) -> list[Tensor]:
    """Move the weights to the worst place within a radius, to first order, and return by how much."""
    gradients = [weight.grad for weight in weights]
    norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients if gradient is not None))  # type: ignore[arg-type]  # a sum of tensors
    moved = []
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            step = torch.zeros_like(weight) if gradient is None else gradient * (radius / (norm + 1e-12))
            weight.add_(step)
            moved.append(step)
    return moved


def climb_down(weights: list[torch.nn.Parameter], moved: list[Tensor]) -> None:
    """Take back what `climb` has moved."""
    with torch.no_grad():
        for weight, step in zip(weights, moved, strict=True):
            weight.sub_(step)
