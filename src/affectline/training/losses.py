"""The losses of the three tasks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from affectline.labels import Task

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes the raw outputs of the network, shape (n, K), and the targets of the task, and gives a number."""

_SMALLEST_VARIANCE = 1e-8


def concordance_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the mean CCC of tanh(outputs) over the batch.

    Args:
        outputs: shape (n, K).
        target: shape (n, K), in [-1, 1].
    """
    predicted = torch.tanh(outputs)
    mean_x, mean_y = target.mean(dim=0), predicted.mean(dim=0)
    x, y = target - mean_x, predicted - mean_y
    covariance = (x * y).mean(dim=0)
    spread = (x * x).mean(dim=0) + (y * y).mean(dim=0) + (mean_x - mean_y) ** 2
    return 1.0 - (2.0 * covariance / (spread + _SMALLEST_VARIANCE)).mean()


def class_weights(counts: NDArray[np.number]) -> NDArray[np.float32]:
    """Return a weight for each class so that all classes weigh the same in total and a frame weighs 1 on average.

    Args:
        counts: shape (K,), number of frames of each class, or the sum of its shares; an empty class gets 0.
    """
    n_present = max(np.count_nonzero(counts), 1)
    weights = np.divide(counts.sum() / n_present, counts, out=np.zeros(len(counts)), where=counts > 0)
    return np.asarray(weights, np.float32)


def soft_cross_entropy(
    outputs: Tensor, targets: Tensor, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy against class shares.

    Args:
        outputs: shape (n, K), logits.
        targets: shape (n, K), rows sum to 1.
        smoothing: share of the targets that goes to all classes alike (Szegedy et al. 2016).
        class_weights: shape (K,), by which the parts of the sum are multiplied.
    """
    wanted = (1.0 - smoothing) * targets + smoothing / targets.shape[1]
    parts = -wanted * functional.log_softmax(outputs, dim=1)
    return (parts if class_weights is None else parts * class_weights.to(parts.device)).sum(dim=1).mean()


def make_share_loss(targets: NDArray[np.floating], smoothing: float, is_weighted: bool) -> Loss:
    """Return the cross-entropy against class shares.

    Args:
        targets: shape (n, K), all training targets.
        smoothing: share of the targets that goes to all classes alike.
        is_weighted: classes weigh the same in total.
    """
    weights = torch.from_numpy(class_weights(targets.sum(axis=0, dtype=np.float64))) if is_weighted else None
    return lambda outputs, wanted: soft_cross_entropy(outputs, wanted, smoothing, weights)


def make_loss(task: Task, target: NDArray[np.generic], n_labels: int) -> Loss:
    """Return the loss of a task, with weights from the training labels.

    VA: 1 - mean CCC. EXPR: cross-entropy, weighted by class. AU: binary cross-entropy, in which the frames with a unit
    weigh as much as those without it (the mean over units).

    Args:
        task: which.
        target: all training labels.
        n_labels: K.
    """
    if task is Task.VA:
        return concordance_loss
    if task is Task.EXPR:
        weights = torch.from_numpy(class_weights(np.bincount(np.asarray(target, np.int64), minlength=n_labels)))
        return lambda outputs, codes: functional.cross_entropy(outputs, codes, weight=weights)
    share = np.asarray(target, np.float64).mean(axis=0)
    on, off = (_half_over(part) for part in (share, 1.0 - share))

    def weighted(outputs: Tensor, flags: Tensor) -> Tensor:
        # Flags lie between 0 and 1 where pictures are mixed.
        present = flags * on.to(flags.device) * functional.logsigmoid(outputs)
        absent = (1.0 - flags) * off.to(flags.device) * functional.logsigmoid(-outputs)
        return -(present + absent).mean()

    return weighted


def _half_over(share: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.divide(0.5, share, out=np.zeros(len(share)), where=share > 0).astype(np.float32))
