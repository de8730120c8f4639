"""Training temporal heads: windows of random starts, scored as they will be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.evaluation.sequence_scores import decide
from affectline.features import FeaturePart, FeatureTable, stack_inputs
from affectline.heads.head import HeadCard, predict, score_tracks
from affectline.heads.temporal import CORE, TemporalHead
from affectline.heads.temporal_spec import FILTER, TemporalSpec
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.thresholds import best_thresholds
from affectline.progress import ProgressHook
from affectline.records import FloatArray
from affectline.training.epochs import Fit, RunOptions, Stopping, TrainingRecord, run_epochs
from affectline.training.examples import check_targets, labelled_targets, only_backbone
from affectline.training.losses import Loss, make_loss
from affectline.training.out_of_fold import Readings, read_frames
from affectline.training.params import default_parts
from affectline.training.stages import Stages
from affectline.training.temporal_network import FirstFilter, TemporalNetwork
from affectline.training.temporal_params import FIRST_RADIUS_S, FOLDS, TemporalParams
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
        params, info = self.params, only_backbone(train)
        interval_s = usual_interval_s(train)
        parts = params.parts or default_parts(train.task, info)
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        params.spec(self.model, 1, interval_s)  # What is not possible is refused before anything is trained.
        reader, target = params.reader(train.task, parts), labelled_targets(train)
        check_targets(train.task, train.labels, target, train.source, allow_empty=params.allow_empty_classes)
        n_groups = len({one.group for one in train.sequences})
        stages = Stages(self._run, len(target) * (reader.epochs * min(FOLDS, n_groups) + params.epochs))
        readings = read_frames(card, train, valid, parts, reader, FOLDS, stages)
        projected = params.projected if readings.train[0].shape[1] == len(train.labels) else 0
        inputs = readings.train[0].shape[1] + projected
        spec = self._spec = params.spec(self.model, inputs, interval_s)
        fit = _TemporalFit(card, spec, LabelledReadings(train, valid, readings), parts, params)
        self.record = run_epochs(fit, params.epochs, stages.last(len(target) * params.epochs))
        stages.forget()
        return fit.best_head()


class LabelledReadings(NamedTuple):
    """Labelled faces with the encodings of their frames."""

    train: LabelledTables
    valid: LabelledTables | None
    readings: Readings


class _TemporalFit(Fit):
    """A temporal head while it is trained."""

    def __init__(
        self,
        card: HeadCard,
        spec: TemporalSpec,
        data: LabelledReadings,
        parts: tuple[FeaturePart, ...],
        params: TemporalParams,
    ) -> None:
        self._card = card
        self._spec = spec
        self._data = data
        self._parts = parts
        self._params = params
        self._target = labelled_targets(data.train)
        encoder = data.readings.encoder
        self._is_projected = spec.inputs > data.readings.train[0].shape[1]
        self._windows = Windows(data.train, data.readings.train, spec, self._inputs if self._is_projected else None)
        self._loss: Loss = make_loss(card.task, self._target, len(card.labels))
        radius = min(round(FIRST_RADIUS_S[card.task] / spec.interval_s), spec.reach // 2)
        with _seeded(params.seed):
            first = FirstFilter(*data.readings.standard, radius)
            width = len(encoder["mean"]) if self._is_projected else None
            self._network = TemporalNetwork(spec, first, params.dropout, width)
        named = dict(self._network.named_parameters())
        self._names = tuple(named)
        patience = None if data.valid is None else params.patience
        super().__init__(
            list(named.values()),
            _optimiser(named, params),
            Stopping(params.epochs, patience, params.average, params.seed),
        )

    def _inputs(self, table: FeatureTable, rows: NDArray[np.intp]) -> FloatArray:
        """Return the backbone's outputs for rows of a table, standardised."""
        encoder = self._data.readings.encoder
        values = stack_inputs(table.features(rows, self._parts), self._parts)
        return (values - encoder["mean"]) / encoder["scale"]

    def run_epoch(self, epoch: int, seed: int, on_progress: ProgressHook) -> float:
        """Go once through the training data; return the mean loss."""
        self._network.train()
        losses, n, every = 0.0, 0, len(self._target)
        with _seeded(seed):
            for batch in self._windows.batches(self._params.batch_size, seed):
                mask = torch.from_numpy(batch.mask)
                mask = mask * (torch.rand(mask.shape) >= self._params.frame_dropout)
                batch = _seen_alone(batch, mask.numpy())  # noqa: PLW2901 - the batch as the network sees it
                if len(batch.target) < (2 if self._card.task is Task.VA else 1):
                    continue  # One frame has no concordance.
                inputs = torch.from_numpy(batch.inputs) * mask.unsqueeze(2)
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
        valid = self._data.valid
        if valid is None:
            return None
        task, head = self._card.task, self._head(weights)
        pairs = zip(valid.sequences, self._data.readings.valid, strict=True)
        values = np.concatenate([self._labelled_scores(head, *pair) for pair in pairs])
        truth = labelled_targets(valid)
        # At 0.5 a unit's F1 prefers scores that are sure of themselves, also where they have learned videos by heart.
        thresholds = best_thresholds(values, truth) if task is Task.AU else ()
        return make_report(task, truth, decide(task, values, tuple(map(float, thresholds))), self._card.labels).p

    def _labelled_scores(self, head: TemporalHead, one: LabelledSequence, encoded: FloatArray) -> FloatArray:
        """Return what a head says of the labelled frames of a sequence that have a face, shape (n, K)."""
        if self._is_projected:
            return predict(head, one.tables, one.rows).values[one.labelled_positions]
        table = next(iter(one.tables.values()))
        scores = score_tracks(head, encoded, table.track_id[one.rows], table.time_s[one.rows])
        return scores[one.labelled_positions]

    def best_head(self) -> TemporalHead:
        return self._head(self.best)

    def _head(self, weights: Sequence[Tensor]) -> TemporalHead:
        arrays = {name: weight.detach().numpy().copy() for name, weight in zip(self._names, weights, strict=True)}
        return TemporalHead(self._card, self._parts, self._spec, self._data.readings.encoder | arrays)

    def settings(self) -> str:
        """Return a digest of what the run depends on: parameters, network, data, labels, encodings."""
        data = self._data
        facts = (asdict(self._params), self._spec, self._card.labels, data.train.source, self._parts)
        text = hashlib.sha256(repr((*facts, torch.__version__)).encode())
        for array in (self._target, *data.readings.train, *data.readings.valid):
            text.update(np.ascontiguousarray(array).tobytes())
        for one in () if data.valid is None else data.valid.sequences:
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
    """Return AdamW; biases, norms, the filter and what is known of distances are not decayed."""
    decayed = [
        weight
        for name, weight in named.items()
        if name.rpartition(".")[2].startswith("weight") and weight.ndim > 1 and name != CORE + FILTER
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
