"""Training temporal heads: windows of random starts, scored as they will be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from affectline.datasets.labelled import LabelledTables
from affectline.datasets.sequences import check_finite
from affectline.errors import InputError
from affectline.evaluation.sequence_scores import decide, score_sequences
from affectline.features import FeaturePart
from affectline.heads.head import HeadCard
from affectline.heads.temporal import TemporalHead
from affectline.heads.temporal_spec import TemporalSpec
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.thresholds import best_thresholds
from affectline.progress import ProgressHook
from affectline.records import FloatArray
from affectline.training.epochs import Fit, RunOptions, Stopping, TrainingRecord, run_epochs
from affectline.training.examples import Examples, check_targets, only_backbone
from affectline.training.losses import Loss, make_loss
from affectline.training.params import default_parts
from affectline.training.temporal_network import TemporalNetwork
from affectline.training.temporal_params import TemporalParams
from affectline.training.windows import OF_LABELS, WindowBatch, Windows, usual_interval_s


class TemporalTrainer:
    """Trains a temporal head on the outputs of one backbone.

    Args:
        model: one of `heads.temporal_spec.TEMPORAL_MODELS`.
        params: how.
        run: checkpoints and progress.
    """

    def __init__(self, model: str, params: TemporalParams, run: RunOptions | None = None) -> None:
        self.model = model
        self.params = params
        self.record: TrainingRecord | None = None
        self._run = run or RunOptions()
        self._spec: TemporalSpec | None = None

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name; behind `fit`, what the data made of them too."""
        found = asdict(self.params)
        if self._spec is not None:
            spec = self._spec
            found |= {"layers": spec.layers, "window": f"{spec.window} frames", "rate": f"{1 / spec.interval_s:.6g}"}
        return found

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> TemporalHead:
        """Return the head with the best validation score, or that of the last epoch if nothing is held out.

        Validation is by the task's own metric on the labelled frames with a face, scored over the whole sequences:
        mean CCC, macro F1 of the argmax, or mean F1 with the best threshold for each unit.

        Raises:
            InputError: the data cannot be learned from.
            ResumeError: the checkpoint is of another run.
        """
        info = only_backbone(train)
        params = self.params
        self._spec = params.spec(self.model, usual_interval_s(train))
        parts = params.parts or default_parts(train.task, info)
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        if valid is not None:
            if not any(one.has_face.any() for one in valid.sequences):
                raise InputError(f"{valid.source} has no labelled frame with a face")
            check_finite(valid, parts)
        fit = _TemporalFit(card, self._spec, train, valid, parts, params)
        self.record = run_epochs(fit, params.epochs, self._run)
        return fit.best_head()


class _TemporalFit(Fit):
    """A temporal head while it is trained."""

    def __init__(
        self,
        card: HeadCard,
        spec: TemporalSpec,
        train: LabelledTables,
        valid: LabelledTables | None,
        parts: tuple[FeaturePart, ...],
        params: TemporalParams,
    ) -> None:
        examples = Examples(train, parts)
        check_targets(train.task, train.labels, examples.target, train.source, allow_empty=params.allow_empty_classes)
        self._card = card
        self._spec = spec
        self._train = train
        self._valid = valid
        self._parts = parts
        self._params = params
        self._target = examples.target
        self._input_mean, self._input_scale = examples.statistics()
        self._windows = Windows(train, parts, spec)
        self._loss: Loss = make_loss(card.task, self._target, len(card.labels))
        with _seeded(params.seed):
            self._network = TemporalNetwork(spec, examples.width, len(card.labels), params.dropout)
        named = dict(self._network.named_parameters())
        self._names = tuple(named)
        patience = None if valid is None else params.patience
        super().__init__(
            list(named.values()),
            _optimiser(named, params),
            Stopping(params.epochs, patience, params.average, params.seed),
        )

    def run_epoch(self, epoch: int, seed: int, on_progress: ProgressHook) -> float:
        """Go once through the training data; return the mean loss."""
        mean, scale = torch.from_numpy(self._input_mean), torch.from_numpy(self._input_scale)
        self._network.train()
        losses, n, every = 0.0, 0, len(self._target)
        with _seeded(seed):
            for batch in self._windows.batches(self._params.batch_size, seed):
                mask = torch.from_numpy(batch.mask)
                mask = mask * (torch.rand(mask.shape) >= self._params.frame_dropout)
                batch = _seen_alone(batch, mask.numpy())  # noqa: PLW2901 - the batch as the network sees it
                if len(batch.target) < (2 if self._card.task is Task.VA else 1):
                    continue  # One frame has no concordance.
                inputs = (torch.from_numpy(batch.inputs) - mean) / scale * mask.unsqueeze(2)
                outputs = _at_labels(self._network(inputs, mask), batch)
                loss = self._loss(outputs, torch.from_numpy(np.ascontiguousarray(batch.target)))
                self.step(loss)
                losses += float(loss.detach()) * len(batch.target)
                n += len(batch.target)
                # Windows overlap at the ends of videos: a little more than every frame is seen.
                on_progress(min(epoch * every + n, (epoch + 1) * every), self._params.epochs * every)
        return losses / max(n, 1)

    def score(self, weights: Sequence[Tensor]) -> float | None:
        """Return the task's metric on the validation sequences; None where there are none."""
        if self._valid is None:
            return None
        task, found = self._card.task, score_sequences(self._head(weights), self._valid)
        values = np.concatenate([one.values[np.isin(one.frame, one.labelled_frame)] for one in found])
        truth = np.concatenate([one.truth[one.has_face] for one in found])
        # At 0.5 a unit's F1 prefers scores that are sure of themselves, also where they have learned videos by heart.
        thresholds = best_thresholds(values, truth) if task is Task.AU else ()
        return make_report(task, truth, decide(task, values, tuple(map(float, thresholds))), self._card.labels).p

    def best_head(self) -> TemporalHead:
        return self._head(self.best)

    def _head(self, weights: Sequence[Tensor]) -> TemporalHead:
        arrays = {name: weight.detach().numpy().copy() for name, weight in zip(self._names, weights, strict=True)}
        return TemporalHead(
            self._card, self._parts, self._spec, {"mean": self._input_mean, "scale": self._input_scale, **arrays}
        )

    def settings(self) -> str:
        """Return a digest of what the run depends on: parameters, network, data, labels, input."""
        facts = (asdict(self._params), self._spec, self._card.labels, self._train.source, self._parts)
        text = hashlib.sha256(repr((*facts, torch.__version__)).encode())
        for array in (self._input_mean, self._input_scale, self._target):
            text.update(np.ascontiguousarray(array).tobytes())
        for one in () if self._valid is None else self._valid.sequences:
            text.update(np.ascontiguousarray(one.target).tobytes())
        return text.hexdigest()


def _seen_alone(batch: WindowBatch, mask: FloatArray) -> WindowBatch:
    """Return the batch with the labels of those frames alone that a mask (B, W) leaves to be seen."""
    is_seen = (mask[batch.window, batch.before] > 0) & (mask[batch.window, batch.after] > 0)
    return batch._replace(mask=mask, **{name: getattr(batch, name)[is_seen] for name in OF_LABELS})


def _at_labels(outputs: Tensor, batch: WindowBatch) -> Tensor:
    """Return the outputs at the labelled frames, shape (n, K), of outputs (B, W, K)."""
    window, share = torch.from_numpy(batch.window), torch.from_numpy(batch.share).unsqueeze(1)
    before, after = (outputs[window, torch.from_numpy(step)] for step in (batch.before, batch.after))
    return before * (1.0 - share) + after * share


def _optimiser(named: Mapping[str, Tensor], params: TemporalParams) -> torch.optim.Optimizer:
    """Return AdamW; biases, norms and what is known of distances are not decayed."""
    decayed = [
        weight for name, weight in named.items() if name.rpartition(".")[2].startswith("weight") and weight.ndim > 1
    ]
    chosen = {id(weight) for weight in decayed}
    others = [weight for weight in named.values() if id(weight) not in chosen]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=params.learning_rate)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from a seed, and leave them outside as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
