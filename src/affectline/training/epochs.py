"""Epoch after epoch: running mean of the weights, early stopping, checkpoints. What every trained head goes through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from affectline.progress import ProgressHook, ignore_progress
from affectline.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from affectline.training.optimisers import ADAM_STATE

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


@dataclass(frozen=True, slots=True)
class Stopping:
    """When training ends.

    Attributes:
        epochs: at most so many.
        patience: epochs without a better score; None where nothing is held out and all epochs are run.
        average: share of the running mean of the weights that a step keeps; see `TrainParams.average`.
        seed: from which each epoch's own seed is made.
    """

    epochs: int
    patience: int | None
    average: float
    seed: int


class Fit(ABC):
    """Weights while they are trained.

    Args:
        weights: what is trained.
        optimiser: Adam or AdamW of these weights.
        stopping: when training ends.

    Attributes:
        progress: how far it has come.
        best: the running mean of the weights behind the best epoch.
    """

    def __init__(self, weights: Sequence[Tensor], optimiser: torch.optim.Optimizer, stopping: Stopping) -> None:
        self.weights = list(weights)
        self.optimiser = optimiser
        self.progress = Progress("", 0, 0, -np.inf, ())
        self._stopping = stopping
        self._mean = [weight.detach().clone() for weight in self.weights]
        self.best = self._mean

    @abstractmethod
    def run_epoch(self, epoch: int, seed: int, on_progress: ProgressHook) -> float:
        """Go once through the training data, calling `step` for each loss; return the mean loss."""

    @abstractmethod
    def score(self, weights: Sequence[Tensor]) -> float | None:
        """Return how good these weights are on the validation data; None where there are none."""

    @abstractmethod
    def settings(self) -> str:
        """Return a digest of all that the run depends on."""

    def is_over(self) -> bool:
        """Return whether training has ended."""
        progress, limits = self.progress, self._stopping
        is_stuck = limits.patience is not None and progress.epoch - progress.best_epoch >= limits.patience
        return progress.epoch >= limits.epochs or is_stuck

    def one_epoch(self, on_progress: ProgressHook) -> tuple[float, float | None]:
        """Run once through the training data; return the mean loss and the validation score."""
        epoch = self.progress.epoch
        seed = int(np.random.SeedSequence([self._stopping.seed, epoch]).generate_state(1)[0])
        loss = self.run_epoch(epoch, seed, on_progress)
        return loss, self._note(epoch + 1)

    def step(self, loss: Tensor) -> None:
        """Take a step down the loss, and move the running mean of the weights on."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.optimiser.step()
        # Early on the mean is that of a shorter past: fresh weights are far off.
        step = float(self.optimiser.state[self.weights[0]]["step"])
        decay = min(self._stopping.average, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for mean, weight in zip(self._mean, self.weights, strict=True):
                mean.lerp_(weight, 1.0 - decay)

    def _note(self, epoch: int) -> float | None:
        """Score the running mean of the weights; keep it if it is the best so far."""
        before = self.progress
        score = self.score(self._mean)
        is_best = score is None or score > before.best_score
        if is_best:
            self.best = [mean.clone() for mean in self._mean]
        self.progress = Progress(
            "",
            epoch,
            epoch if is_best else before.best_epoch,
            before.best_score if score is None or not is_best else score,
            before.scores if score is None else (*before.scores, score),
        )
        return score

    def tensors(self) -> dict[str, Tensor]:
        """Return the state behind the last epoch."""
        found = {f"weight.{number}": weight.detach() for number, weight in enumerate(self.weights)}
        found |= {f"mean.{number}": mean for number, mean in enumerate(self._mean)}
        found |= {f"best.{number}": weight for number, weight in enumerate(self.best)}
        for number, weight in enumerate(self.weights):
            state = self.optimiser.state[weight]
            found |= {f"adam.{number}.{name}": torch.as_tensor(state[name]) for name in ADAM_STATE}
        return found

    def restore(self, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `tensors` gave."""
        self.progress = progress
        with torch.no_grad():
            for number, weight in enumerate(self.weights):
                weight.copy_(tensors[f"weight.{number}"])
                self.optimiser.state[weight] = {name: tensors[f"adam.{number}.{name}"] for name in ADAM_STATE}
        numbers = range(len(self.weights))
        self._mean = [tensors[f"mean.{number}"].clone() for number in numbers]
        self.best = [tensors[f"best.{number}"] for number in numbers]


def run_epochs(fit: Fit, epochs: int, run: RunOptions) -> TrainingRecord:
    """Train until it is over, going on from a checkpoint where that is wanted and there is one.

    In one thread: heads are so small that threads cost more than they bring (a GRU took 29 s with two, 13 s with one),
    and sums in another order would give other heads on other machines.

    Raises:
        ResumeError: the checkpoint is of another run.
    """
    with _one_thread():
        settings = fit.settings()
        if run.resume and run.checkpoint is not None:
            state = load_checkpoint(run.checkpoint, settings)
            if state is not None:
                fit.restore(*state)
        while not fit.is_over():
            loss, score = fit.one_epoch(run.on_progress)
            if run.checkpoint is not None:
                save_checkpoint(run.checkpoint, replace(fit.progress, settings=settings), fit.tensors())
            run.on_epoch(fit.progress.epoch, epochs, loss, score)
    progress = fit.progress
    return TrainingRecord(progress.epoch, progress.best_epoch, progress.scores)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
