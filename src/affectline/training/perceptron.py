"""Training one perceptron."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from affectline.evaluation.sequence_scores import decide
from affectline.features import FeaturePart
from affectline.heads.head import HeadCard
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.progress import ProgressHook
from affectline.records import FaceFeatures, FloatArray
from affectline.training.epochs import Fit, RunOptions, Stopping, TrainingRecord, run_epochs
from affectline.training.examples import Examples, check_targets
from affectline.training.losses import Loss, make_loss
from affectline.training.params import TrainParams, batch_for


def train_perceptron(
    card: HeadCard, train: Examples, valid: Examples | None, params: TrainParams, run: RunOptions
) -> tuple[MlpHead, TrainingRecord]:
    """Return the perceptron with the best validation score, or that of the last epoch if nothing is held out.

    Args:
        card: task, labels and backbone of the head.
        train: what to learn from.
        valid: what decides when to stop, by the task's own metric on single frames: mean CCC, macro F1 of the
            argmax, or mean F1 at 0.5.
        params: how.
        run: checkpoints and progress.

    Raises:
        InputError: a class has no examples, or a feature is not finite.
        ResumeError: the checkpoint is of another run.
    """
    data = train.data
    check_targets(data.task, data.labels, train.target, data.source, allow_empty=params.allow_empty_classes)
    fit = _PerceptronFit(card, train, valid, params)
    record = run_epochs(fit, params.epochs, run)
    return fit.best_head(), record


class _PerceptronFit(Fit):
    """A perceptron while it is trained."""

    def __init__(self, card: HeadCard, train: Examples, valid: Examples | None, params: TrainParams) -> None:
        self._card = card
        self._train = train
        self._valid = valid
        self._params = params
        self._mean_input, self._scale = train.statistics()
        self._loss: Loss = make_loss(card.task, train.target, len(card.labels))
        weights = _first_weights(train.width, params.hidden, len(card.labels), params.seed)
        patience = None if valid is None else params.patience
        super().__init__(
            weights,
            torch.optim.Adam(weights, lr=params.learning_rate),
            Stopping(params.epochs, patience, params.average, params.seed),
        )

    def run_epoch(self, epoch: int, seed: int, on_progress: ProgressHook) -> float:
        """Go once through the training data; return the mean loss."""
        mean, scale = torch.from_numpy(self._mean_input), torch.from_numpy(self._scale)
        losses, n = 0.0, 0
        for inputs, target in self._train.batches(batch_for(self._params, len(self._train)), seed):
            if self._card.task is Task.VA and len(inputs) == 1:
                continue  # One frame has no concordance.
            outputs = self._forward((torch.from_numpy(inputs) - mean) / scale)
            loss = self._loss(outputs, torch.from_numpy(np.ascontiguousarray(target)))
            self.step(loss + self._params.l2 * sum((weight**2).sum() for weight in self.weights[::2]))
            losses += float(loss.detach()) * len(inputs)
            n += len(inputs)
            on_progress(epoch * len(self._train) + n, self._params.epochs * len(self._train))
        return losses / max(n, 1)

    def _forward(self, inputs: Tensor) -> Tensor:
        *hidden, weight, bias = self.weights
        for number in range(0, len(hidden), 2):
            inputs = functional.relu(functional.linear(inputs, hidden[number], hidden[number + 1]))
        return functional.linear(inputs, weight, bias)

    def score(self, weights: Sequence[Tensor]) -> float | None:
        """Return the task's metric on single frames of the validation data; None where there are none."""
        if self._valid is None:
            return None
        head = self._head(weights, (FeaturePart.EMBEDDING,))  # It takes the whole input as one part.
        digest = self._card.backbones[0].digest
        parts = [head.score({digest: _as_features(inputs)}) for inputs, _ in self._valid.batches(16_384, None)]
        decided = decide(self._card.task, np.concatenate(parts))
        return make_report(self._card.task, self._valid.target, decided, self._card.labels).p

    def best_head(self) -> MlpHead:
        return self._head(self.best, self._train.parts)

    def _head(self, weights: Sequence[Tensor], parts: tuple[FeaturePart, ...]) -> MlpHead:
        arrays = [weight.detach().numpy().copy() for weight in weights]
        layers = tuple(DenseLayer(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True))
        return MlpHead(self._card, parts, layers, self._mean_input, self._scale)

    def settings(self) -> str:
        """Return a digest of what the run depends on: parameters, data, labels, input."""
        facts = (asdict(self._params), self._card.labels, self._train.data.source, self._train.parts, torch.__version__)
        text = hashlib.sha256(repr(facts).encode())
        for array in (self._mean_input, self._scale, self._train.target):
            text.update(np.ascontiguousarray(array).tobytes())
        if self._valid is not None:
            text.update(np.ascontiguousarray(self._valid.target).tobytes())
        return text.hexdigest()


def _first_weights(width: int, hidden: int, n_labels: int, seed: int) -> list[Tensor]:
    """Return weight and bias of each layer: uniform, by He et al. (2015) before a ReLU, else by Glorot and Bengio."""
    generator = torch.Generator().manual_seed(seed)
    widths = [width, *([hidden] if hidden else []), n_labels]
    weights = []
    for number, (before, after) in enumerate(pairwise(widths)):
        is_last = number == len(widths) - 2
        limit = (6.0 / (before + after if is_last else before)) ** 0.5
        weight = (torch.rand((after, before), generator=generator) * 2.0 - 1.0) * limit
        weights += [weight.requires_grad_(), torch.zeros(after).requires_grad_()]
    return weights


def _as_features(inputs: FloatArray) -> FaceFeatures:
    return FaceFeatures(inputs, inputs[:, :0])
