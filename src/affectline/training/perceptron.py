"""Training one perceptron: epochs, early stopping, checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

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
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FaceFeatures, FloatArray
from affectline.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from affectline.training.examples import Examples, check_targets
from affectline.training.losses import Loss, make_loss
from affectline.training.params import TrainParams, batch_for

EpochHook = Callable[[int, int, float, float | None], None]
"""Told after each epoch: how many are done, how many there may be, the mean loss, the validation score if any."""


def ignore_epochs(done: int, total: int, loss: float, score: float | None) -> None:
    """Do nothing: the hook of those who do not ask."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does besides learning.

    Attributes:
        checkpoint: file that holds the state behind the last epoch; None keeps none.
        resume: go on from the checkpoint, if there is one.
        on_epoch: told after each epoch.
        on_progress: told after each step how many frames are done, of those of all epochs.
    """

    checkpoint: Path | None = None
    resume: bool = False
    on_epoch: EpochHook = ignore_epochs
    on_progress: ProgressHook = ignore_progress


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How training went.

    Attributes:
        epochs: epochs that were done.
        best_epoch: whose weights the head has, from 1.
        scores: of the epochs on the validation data; empty where there are none.
    """

    epochs: int
    best_epoch: int
    scores: tuple[float, ...]


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
    fit = _Fit(card, train, valid, params)
    settings = fit.settings()
    if run.resume and run.checkpoint is not None:
        state = load_checkpoint(run.checkpoint, settings)
        if state is not None:
            fit.restore(*state)
    while not fit.is_over():
        loss, score = fit.one_epoch(run.on_progress)
        if run.checkpoint is not None:
            save_checkpoint(run.checkpoint, replace(fit.progress, settings=settings), fit.tensors())
        run.on_epoch(fit.progress.epoch, params.epochs, loss, score)
    progress = fit.progress
    return fit.best_head(), TrainingRecord(progress.epoch, progress.best_epoch, progress.scores)


class _Fit:
    """A perceptron while it is trained."""

    def __init__(self, card: HeadCard, train: Examples, valid: Examples | None, params: TrainParams) -> None:
        self._card = card
        self._train = train
        self._valid = valid
        self._params = params
        self._mean, self._scale = train.statistics()
        self._loss: Loss = make_loss(card.task, train.target, len(card.labels))
        self._weights = _first_weights(train.width, params.hidden, len(card.labels), params.seed)
        self._mean_weights = [weight.detach().clone() for weight in self._weights]
        self._best = self._mean_weights
        self._optimiser = torch.optim.Adam(self._weights, lr=params.learning_rate)
        self.progress = Progress("", 0, 0, -np.inf, ())

    def is_over(self) -> bool:
        progress, params = self.progress, self._params
        is_stuck = self._valid is not None and progress.epoch - progress.best_epoch >= params.patience
        return progress.epoch >= params.epochs or is_stuck

    def one_epoch(self, on_progress: ProgressHook) -> tuple[float, float | None]:
        """Run once through the training data; return the mean loss and the validation score."""
        epoch = self.progress.epoch
        seed = int(np.random.SeedSequence([self._params.seed, epoch]).generate_state(1)[0])
        mean, scale = torch.from_numpy(self._mean), torch.from_numpy(self._scale)
        losses, n = 0.0, 0
        for inputs, target in self._train.batches(batch_for(self._params, len(self._train)), seed):
            if self._card.task is Task.VA and len(inputs) == 1:
                continue  # One frame has no concordance.
            outputs = self._forward((torch.from_numpy(inputs) - mean) / scale)
            loss = self._loss(outputs, torch.from_numpy(np.ascontiguousarray(target)))
            total = loss + self._params.l2 * sum((weight**2).sum() for weight in self._weights[::2])
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            self._optimiser.step()
            self._average()
            losses += float(loss.detach()) * len(inputs)
            n += len(inputs)
            on_progress(epoch * len(self._train) + n, self._params.epochs * len(self._train))
        score = self._note(epoch + 1)
        return losses / max(n, 1), score

    def _average(self) -> None:
        """Move the running mean of the weights on by a step; early on it is the mean of a shorter past."""
        step = float(self._optimiser.state[self._weights[0]]["step"])
        decay = min(self._params.average, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for mean, weight in zip(self._mean_weights, self._weights, strict=True):
                mean.lerp_(weight, 1.0 - decay)

    def _note(self, epoch: int) -> float | None:
        """Score the running mean of the weights; keep it if it is the best so far."""
        before = self.progress
        score = None if self._valid is None else self._score()
        is_best = score is None or score > before.best_score
        if is_best:
            self._best = [mean.clone() for mean in self._mean_weights]
        self.progress = Progress(
            "",
            epoch,
            epoch if is_best else before.best_epoch,
            before.best_score if score is None or not is_best else score,
            before.scores if score is None else (*before.scores, score),
        )
        return score

    def _forward(self, inputs: Tensor) -> Tensor:
        *hidden, weight, bias = self._weights
        for number in range(0, len(hidden), 2):
            inputs = functional.relu(functional.linear(inputs, hidden[number], hidden[number + 1]))
        return functional.linear(inputs, weight, bias)

    def _score(self) -> float:
        if self._valid is None:
            return -np.inf
        head = self._head(self._mean_weights)
        digest = self._card.backbones[0].digest
        parts = [head.score({digest: _as_features(inputs)}) for inputs, _ in self._valid.batches(16_384, None)]
        decided = decide(self._card.task, np.concatenate(parts))
        return make_report(self._card.task, self._valid.target, decided, self._card.labels).p

    def _head(self, weights: list[Tensor]) -> MlpHead:
        """Return the head with these weights; it takes the whole input as one part."""
        return _make_head(self._card, (FeaturePart.EMBEDDING,), weights, self._mean, self._scale)

    def best_head(self) -> MlpHead:
        return _make_head(self._card, self._train.parts, self._best, self._mean, self._scale)

    def settings(self) -> str:
        """Return a digest of what the run depends on: parameters, data, labels, input."""
        facts = (asdict(self._params), self._card.labels, self._train.data.source, self._train.parts, torch.__version__)
        text = hashlib.sha256(repr(facts).encode())
        for array in (self._mean, self._scale, self._train.target):
            text.update(np.ascontiguousarray(array).tobytes())
        if self._valid is not None:
            text.update(np.ascontiguousarray(self._valid.target).tobytes())
        return text.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        found = {f"weight.{number}": weight.detach() for number, weight in enumerate(self._weights)}
        found |= {f"mean.{number}": mean for number, mean in enumerate(self._mean_weights)}
        found |= {f"best.{number}": weight for number, weight in enumerate(self._best)}
        for number, weight in enumerate(self._weights):
            state = self._optimiser.state[weight]
            found |= {f"adam.{number}.{name}": torch.as_tensor(state[name]) for name in _ADAM_STATE}
        return found

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        self.progress = progress
        with torch.no_grad():
            for number, weight in enumerate(self._weights):
                weight.copy_(tensors[f"weight.{number}"])
                self._optimiser.state[weight] = {name: tensors[f"adam.{number}.{name}"] for name in _ADAM_STATE}
        numbers = range(len(self._weights))
        self._mean_weights = [tensors[f"mean.{number}"].clone() for number in numbers]
        self._best = [tensors[f"best.{number}"] for number in numbers]


_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


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


def _make_head(
    card: HeadCard, parts: tuple[FeaturePart, ...], weights: list[Tensor], mean: FloatArray, scale: FloatArray
) -> MlpHead:
    arrays = [weight.detach().numpy().copy() for weight in weights]
    layers = tuple(DenseLayer(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True))
    return MlpHead(card, parts, layers, mean, scale)


def _as_features(inputs: FloatArray) -> FaceFeatures:
    return FaceFeatures(inputs, inputs[:, :0])
