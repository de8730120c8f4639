"""Training a network on pictures: steps, running mean of the weights, checkpoints, early stopping."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from affectline.backbones.spec import BackboneSpec
from affectline.pipeline import in_background
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FloatArray
from affectline.training.augment import NO_AUGMENTATION, augment
from affectline.training.checkpoint import load_state, save_state
from affectline.training.cnn import FaceNetwork
from affectline.training.finetune_params import FinetuneParams
from affectline.training.pictures import PictureSet, as_input, order_of, shrink

_READ_AHEAD: Final = 8
_SCORE_BATCH: Final = 128
CHECKPOINT_MINUTES: Final = 8.0

Scorer = Callable[[FloatArray], float]
"""Gives the validation score of the network's outputs (n, K) for the validation pictures; more is better."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the log.

    Attributes:
        epoch: from 1.
        loss: mean over the epoch's training pictures.
        score: on the validation pictures, of the running mean of the weights.
        learning_rate: at the end of the epoch.
        seconds: that it took, of all processes that had a part in it.
    """

    epoch: int
    loss: float
    score: float
    learning_rate: float
    seconds: float


EpochHook = Callable[[tuple[EpochRecord, ...]], None]
"""Told after each epoch the whole log."""


def ignore_epochs(records: tuple[EpochRecord, ...]) -> None:
    """Do nothing: the hook of those who do not ask."""


@dataclass(frozen=True, slots=True)
class FinetuneRun:
    """What a run does besides learning.

    Attributes:
        checkpoint: file that holds the state; None keeps none.
        resume: go on from the checkpoint, if there is one.
        minutes: between checkpoints, at most about so many.
        on_epoch: told after each epoch.
        on_progress: told after each step how many steps are done, of all.
    """

    checkpoint: Path | None = None
    resume: bool = False
    minutes: float = CHECKPOINT_MINUTES
    on_epoch: EpochHook = ignore_epochs
    on_progress: ProgressHook = ignore_progress


DEFAULT_RUN: Final = FinetuneRun()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run is: whole epochs, steps in the present one, and what became of them."""

    settings: str
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = -np.inf
    records: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneData:
    """What a network is trained and judged on.

    Attributes:
        spec: how pictures become inputs.
        train: to learn from; targets are class shares.
        valid: decides which epoch is best.
        score: judges the outputs on `valid`.
    """

    spec: BackboneSpec
    train: PictureSet
    valid: PictureSet
    score: Scorer


def finetune(
    network: FaceNetwork, data: FinetuneData, params: FinetuneParams, run: FinetuneRun = DEFAULT_RUN
) -> tuple[FaceNetwork, tuple[EpochRecord, ...]]:
    """Return the network with the running mean of the weights of the best epoch, and the log.

    The pictures' order and changes depend on seed, epoch and position alone, and dropout on seed and step, so that a
    run that was killed and resumed ends with the weights of an unbroken one (with the same number of threads).

    Args:
        network: with the weights to begin with; it is changed.
        data: pictures and how they are judged.
        params: how.
        run: checkpoints and hooks.

    Raises:
        ResumeError: the checkpoint is damaged, or of another run.
        OutputError: the checkpoint cannot be written.
    """
    trainer = _Trainer(network, data, params)
    trainer.restore(run)
    while not trainer.is_over():
        trainer.epoch(run)
    return trainer.best(), trainer.place.records


class _Trainer:
    """A network while it is trained."""

    def __init__(self, network: FaceNetwork, data: FinetuneData, params: FinetuneParams) -> None:
        self._network = network
        for parameter in network.parameters():
            if parameter.ndim == 4:  # noqa: PLR2004 - a convolution: faster with its channels last
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._spec, self._train, self._valid, self._score = data.spec, data.train, data.valid, data.score
        self._params = params
        self._mean = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self._best = {name: tensor.clone() for name, tensor in self._mean.items()}
        network.trunk.requires_grad_(not params.frozen)
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._optimiser = _optimiser(self._weights, params)
        self._steps = -(-len(data.train) // params.batch_size)
        self._class_weights = _class_weights(data.train.targets) if params.class_weights else None
        self.place = _Place(self._settings())

    def _settings(self) -> str:
        """Return a digest of what the run depends on."""
        facts = (asdict(self._params), asdict(self._spec), torch.__version__, len(self._train))
        text = hashlib.sha256(repr(facts).encode())
        for array in (self._train.targets, self._valid.targets, *(self._train.picture(n) for n in range(3))):
            text.update(np.ascontiguousarray(array).tobytes())
        for tensor in self._mean.values():
            text.update(tensor.contiguous().numpy().tobytes())
        return text.hexdigest()

    def is_over(self) -> bool:
        place, params = self.place, self._params
        is_stuck = params.patience > 0 and place.epoch - place.best_epoch >= params.patience
        return place.epoch >= params.epochs or is_stuck

    def epoch(self, run: FinetuneRun) -> None:
        """Train to the end of the present epoch, score it, and keep the state."""
        saved_s = begun_s = time.monotonic()
        before_s = self.place.seconds
        self._network.train()
        if self._params.frozen:
            self._network.trunk.eval()
        with in_background(self._batches(), _READ_AHEAD) as batches:
            for pictures, targets in batches:
                loss = self._step(torch.from_numpy(pictures), torch.from_numpy(targets))
                now_s = time.monotonic()
                self.place = replace(
                    self.place,
                    step=self.place.step + 1,
                    loss=self.place.loss + loss * len(pictures),
                    seconds=before_s + now_s - begun_s,
                )
                run.on_progress(self._done(), self._params.epochs * self._steps)
                if now_s - saved_s > 60 * run.minutes and self.place.step < self._steps:
                    self._save(run)
                    saved_s = now_s
        self._finish_epoch(before_s + time.monotonic() - begun_s)
        self._save(run)
        run.on_epoch(self.place.records)

    def _done(self) -> int:
        return self.place.epoch * self._steps + self.place.step

    def _finish_epoch(self, seconds: float) -> None:
        place = self.place
        outputs = run_network(self._averaged(), self._valid, self._spec)
        record = EpochRecord(
            place.epoch + 1, place.loss / len(self._train), self._score(outputs), self._rate(self._done()), seconds
        )
        is_best = record.score > place.best_score or not self._params.patience
        if is_best:
            self._best = {name: tensor.clone() for name, tensor in self._mean.items()}
        self.place = _Place(
            place.settings,
            epoch=record.epoch,
            best_epoch=record.epoch if is_best else place.best_epoch,
            best_score=record.score if is_best else place.best_score,
            records=(*place.records, record),
        )

    def _batches(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Give the batches of the present epoch that are still to come."""
        params, epoch = self._params, self.place.epoch
        order = order_of(len(self._train), params.seed, epoch)
        for start in range(self.place.step * params.batch_size, len(order), params.batch_size):
            picked = order[start : start + params.batch_size]
            pictures = [self._changed(int(index), epoch) for index in picked]
            yield np.stack(pictures), self._train.targets[picked]

    def _changed(self, index: int, epoch: int) -> FloatArray:
        rng = np.random.default_rng([self._params.seed, epoch, index])
        small = shrink(self._train.picture(index), self._spec)
        return as_input(augment(small, self._spec.size, self._params.augment, rng), self._spec)

    def _rate(self, done: int) -> float:
        """Return the learning rate behind so many steps."""
        total = self._params.epochs * self._steps
        rise = max(1, round(self._params.warmup * total))
        if done < rise:
            return self._params.learning_rate * (done + 1) / rise
        return float(self._params.learning_rate * 0.5 * (1 + np.cos(np.pi * (done - rise) / max(1, total - rise))))

    def _step(self, pictures: Tensor, targets: Tensor) -> float:
        done = self._done()
        torch.manual_seed(self._params.seed * 1_000_003 + done)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate(done)
        pictures = pictures.to(memory_format=torch.channels_last)
        loss = self._backward(pictures, targets)
        if self._params.sam:
            moved = _climb(self._weights, self._params.sam)
            self._backward(pictures, targets)
            _return(self._weights, moved)
        self._optimiser.step()
        self._average(done)
        return loss

    def _backward(self, pictures: Tensor, targets: Tensor) -> float:
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._params.precision == "bf16"):
            _, outputs = self._network(pictures)
        loss = soft_cross_entropy(outputs.float(), targets, self._params.label_smoothing, self._class_weights)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        return float(loss.detach())

    def _average(self, done: int) -> None:
        """Move the running mean on; early on it is the mean of a shorter past. Counters are copied."""
        keep = min(self._params.average, (1.0 + done) / (10.0 + done))
        with torch.no_grad():
            for name, tensor in self._network.state_dict().items():
                if tensor.is_floating_point():
                    self._mean[name].lerp_(tensor, 1.0 - keep)
                else:
                    self._mean[name].copy_(tensor)

    def _averaged(self) -> FaceNetwork:
        return self._with(self._mean)

    def best(self) -> FaceNetwork:
        return self._with(self._best)

    def _with(self, weights: dict[str, Tensor]) -> FaceNetwork:
        network = FaceNetwork(self._params.arch, self._network.classifier.out_features)
        network.load_state_dict(weights)
        return network.eval()

    def _save(self, run: FinetuneRun) -> None:
        if run.checkpoint is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in self._mean.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        for number, weight in enumerate(self._weights):
            state = self._optimiser.state[weight]
            tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(state[name]) for name in _ADAM_STATE}
        save_state(run.checkpoint, asdict(self.place), tensors)

    def restore(self, run: FinetuneRun) -> None:
        """Go on where the checkpoint says, if that is wanted and there is one."""
        if run.checkpoint is None or not run.resume:
            return
        found = load_state(run.checkpoint, self.place.settings)
        if found is None:
            return
        record, tensors = found
        records = tuple(EpochRecord(**one) for one in record.pop("records"))
        self.place = _Place(**record, records=records)
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts.setdefault(part, {})[rest] = tensor
        self._network.load_state_dict(parts["network"])
        self._mean, self._best = parts["mean"], parts["best"]
        for number, weight in enumerate(self._weights):
            self._optimiser.state[weight] = {name: parts["optimiser"][f"{number}.{name}"] for name in _ADAM_STATE}


_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


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
    return (parts if class_weights is None else parts * class_weights).sum(dim=1).mean()


def _class_weights(targets: FloatArray) -> Tensor:
    share = targets.mean(axis=0, dtype=np.float64)
    weights = np.divide(1 / np.count_nonzero(share), share, out=np.zeros(len(share)), where=share > 0)
    return torch.from_numpy(weights).float()


def _optimiser(weights: list[torch.nn.Parameter], params: FinetuneParams) -> torch.optim.Optimizer:
    """Return the optimiser; biases and batch normalisation are not decayed."""
    decayed = [weight for weight in weights if weight.ndim > 1]
    others = [weight for weight in weights if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": others, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if params.optimiser == "adamw" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], lr=params.learning_rate)


def _climb(weights: list[torch.nn.Parameter], radius: float) -> list[Tensor]:
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


def _return(weights: list[torch.nn.Parameter], moved: list[Tensor]) -> None:
    with torch.no_grad():
        for weight, step in zip(weights, moved, strict=True):
            weight.sub_(step)


def run_network(network: FaceNetwork, pictures: PictureSet, spec: BackboneSpec) -> FloatArray:
    """Return the outputs for all pictures, unchanged, shape (n, K), float32."""
    network.eval()
    parts = []
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for start in range(0, len(pictures), _SCORE_BATCH):
            batch = [
                as_input(augment(shrink(pictures.picture(n), spec), spec.size, NO_AUGMENTATION, rng), spec)
                for n in range(start, min(start + _SCORE_BATCH, len(pictures)))
            ]
            _, outputs = network(torch.from_numpy(np.stack(batch)))
            parts.append(outputs.numpy())
    return np.concatenate(parts)
