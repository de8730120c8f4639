"""Training a network on pictures: steps, running mean of the weights, checkpoints, early stopping."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from affectline.backbones.spec import BackboneSpec
from affectline.errors import InputError
from affectline.pipeline import in_background
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FloatArray
from affectline.training.augment import augment
from affectline.training.checkpoint import load_state, save_state
from affectline.training.cnn import FaceNetwork
from affectline.training.finetune_params import FinetuneParams
from affectline.training.losses import Loss
from affectline.training.optimisers import ADAM_STATE, climb, climb_down, make_optimiser
from affectline.training.pictures import PictureSet, as_input, as_inputs, order_of, shrink

_READ_AHEAD: Final = 8
_SCORE_BATCH: Final = 128
_MIXUP: Final = 1
"""Tells its random numbers from others of the same epoch and step."""

CHECKPOINT_MINUTES: Final = 8.0
FEWEST: Final = 2
_LOOKED_AT: Final = 3

Scorer = Callable[[FloatArray], float]
"""Gives the validation score of the network's outputs (n, K) for the validation pictures; more is better."""


Teacher = Callable[[FloatArray], FloatArray]
"""Gives targets (n, K) for inputs (n, 3, S, S)."""


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
        device: where the network learns: `cpu`, `cuda` or another one of PyTorch.
    """

    checkpoint: Path | None = None
    resume: bool = False
    minutes: float = CHECKPOINT_MINUTES
    on_epoch: EpochHook = ignore_epochs
    on_progress: ProgressHook = ignore_progress
    device: str = "cpu"


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
        train: to learn from.
        valid: decides which epoch is best.
        score: judges the outputs on `valid`.
        loss: takes the network's outputs and the targets of a batch of `train`.
        aim: what the loss is and who teaches, in words: a run with another one is another run.
        teacher: gives targets of its own for a batch of inputs (n, 3, S, S), of which `FinetuneParams.teach` is the
            share; None leaves the targets as they are.
    """

    spec: BackboneSpec
    train: PictureSet
    valid: PictureSet
    score: Scorer
    loss: Loss
    aim: str
    teacher: Teacher | None = None


def finetune(
    network: FaceNetwork, data: FinetuneData, params: FinetuneParams, run: FinetuneRun = DEFAULT_RUN
) -> tuple[FaceNetwork, tuple[EpochRecord, ...]]:
    """Return the network with the running mean of the weights of the best epoch, and the log.

    The pictures' order and changes depend on seed, epoch and position alone, and dropout on seed and step, so that a
    run that was killed and resumed ends with the weights of an unbroken one (with the same number of threads).

    Args:
        network: with the weights to begin with; it is changed, and stays on the run's device.
        data: pictures and how they are judged.
        params: how.
        run: checkpoints and hooks.

    Raises:
        InputError: there are fewer than two pictures, there is no such device, or the loss is no number any more.
        ResumeError: the checkpoint is damaged, or of another run.
        OutputError: the checkpoint cannot be written.
    """
    trainer = _Trainer(network, data, params, run.device)
    trainer.restore(run)
    while not trainer.is_over():
        trainer.epoch(run)
    return trainer.best(), trainer.place.records


class _Trainer:
    """A network while it is trained."""

    def __init__(self, network: FaceNetwork, data: FinetuneData, params: FinetuneParams, device: str) -> None:
        if len(data.train) < FEWEST:
            raise InputError(f"there are {len(data.train)} pictures to learn from; training needs {FEWEST} or more")
        self._device = find_device(device)
        self._network = network.to(self._device)
        for parameter in network.parameters():
            if parameter.ndim == 4:  # noqa: PLR2004 - a convolution: faster with its channels last
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._data, self._spec, self._train = data, data.spec, data.train
        self._params = params
        self._mean = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self._best = {name: tensor.clone() for name, tensor in self._mean.items()}
        network.trunk.requires_grad_(not params.frozen)
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._optimiser = make_optimiser(self._weights, params)
        rest = len(data.train) % params.batch_size
        # One picture has neither a concordance nor a batch statistic: as the rest of an epoch it is left out.
        self._steps = len(data.train) // params.batch_size + (rest > 1)
        self.place = _Place(self._settings())

    def _settings(self) -> str:
        """Return a digest of what the run depends on."""
        facts = (asdict(self._params), asdict(self._spec), torch.__version__, len(self._train), self._data.aim)
        text = hashlib.sha256(repr(facts).encode())
        some = range(min(_LOOKED_AT, len(self._train)))
        for array in (self._train.targets, self._data.valid.targets, *(self._train.picture(n) for n in some)):
            text.update(np.ascontiguousarray(array).tobytes())
        for tensor in self._mean.values():
            text.update(tensor.cpu().contiguous().numpy().tobytes())
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
                loss = self._step(self._moved(pictures), self._moved(targets))
                now_s = time.monotonic()
                self.place = replace(
                    self.place,
                    step=self.place.step + 1,
                    loss=self.place.loss + loss * len(pictures),
                    seconds=before_s + now_s - begun_s,
                )
                run.on_progress(self._done(), self._params.epochs * self._steps)
                # The last step of an epoch too: scoring may take long.
                if now_s - saved_s > 60 * run.minutes:
                    self._save(run)
                    saved_s = now_s
        self._finish_epoch(before_s + time.monotonic() - begun_s)
        self._save(run)
        run.on_epoch(self.place.records)

    def _done(self) -> int:
        return self.place.epoch * self._steps + self.place.step

    def _finish_epoch(self, seconds: float) -> None:
        place = self.place
        outputs = run_network(self._with(self._mean), self._data.valid, self._spec)
        seen = min(len(self._train), self._steps * self._params.batch_size)
        record = EpochRecord(
            place.epoch + 1, place.loss / seen, self._data.score(outputs), self._rate(self._done()), seconds
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
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for step in range(self.place.step, self._steps):
                picked = order[step * params.batch_size : (step + 1) * params.batch_size]
                pictures = list(pool.map(partial(self._changed, epoch=epoch), picked.tolist()))
                yield self._mixed(np.stack(pictures), self._train.targets[picked], (epoch, step))

    def _mixed(self, inputs: FloatArray, targets: FloatArray, place: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """Return a batch mixed with itself in another order, with what the teacher says of it."""
        params = self._params
        if params.mixup:
            rng = np.random.default_rng([params.seed, *place, _MIXUP])
            share = rng.uniform(0, params.mixup, len(inputs)).astype(np.float32)
            other = rng.permutation(len(inputs))
            inputs = inputs + share[:, None, None, None] * (inputs[other] - inputs)
            targets = targets + share[:, None] * (targets[other] - targets)
        if self._data.teacher is not None:
            targets = np.asarray((1.0 - params.teach) * targets + params.teach * self._data.teacher(inputs), np.float32)
        return inputs, targets

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
        loss = self._backward(pictures, targets)
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} in step {done + 1} of {self._params.epochs * self._steps}: training diverged; "
                f"use a --learning-rate below {self._params.learning_rate:g}"
            )
        if self._params.sam:
            moved = climb(self._weights, self._params.sam)
            self._backward(pictures, targets)
            climb_down(self._weights, moved)
        self._optimiser.step()
        self._average(done)
        return loss

    def _backward(self, pictures: Tensor, targets: Tensor) -> float:
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._params.precision == "bf16"):
            _, outputs = self._network(pictures)
        loss = self._data.loss(outputs.float(), targets)
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

    def _moved(self, array: FloatArray) -> Tensor:
        tensor = torch.from_numpy(array).to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor  # noqa: PLR2004 - pictures

    def best(self) -> FaceNetwork:
        return self._with(self._best)

    def _with(self, weights: dict[str, Tensor]) -> FaceNetwork:
        network = copy.deepcopy(self._network)
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
            tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(state[name]) for name in ADAM_STATE}
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
        self._mean, self._best = (
            {name: tensor.to(self._device) for name, tensor in parts[part].items()} for part in ("mean", "best")
        )
        for number, weight in enumerate(self._weights):
            state = {name: parts["optimiser"][f"{number}.{name}"] for name in ADAM_STATE}
            # The count of steps stays where it is; the moments are where the weight is.
            self._optimiser.state[weight] = {
                name: tensor.to(weight.device) if tensor.ndim else tensor for name, tensor in state.items()
            }


def find_device(name: str) -> torch.device:
    """Return a device of PyTorch.

    Raises:
        InputError: it is not here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"PyTorch cannot use the device {name!r}: {str(error).splitlines()[0]}; try cpu") from error
    return device


def run_network(network: FaceNetwork, pictures: PictureSet, spec: BackboneSpec) -> FloatArray:
    """Return the outputs for all pictures, unchanged, shape (n, K), float32, computed where the network is."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _SCORE_BATCH):
            batch = as_inputs(pictures, range(start, min(start + _SCORE_BATCH, len(pictures))), spec)
            _, outputs = network(torch.from_numpy(batch).to(device))
            parts.append(outputs.cpu().numpy())
    return np.concatenate(parts)
