"""Training the heads of the three tasks that see single frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Final, Protocol

import numpy as np

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.errors import InputError
from affectline.heads.cascade import SURE_FROM_GRID, CascadeHead, cascaded
from affectline.heads.gated import GATE_LABELS, OTHER, GatedHead, PaperGatedHead
from affectline.heads.head import HeadCard
from affectline.heads.head_file import SavableHead
from affectline.heads.mlp import MlpHead
from affectline.heads.pretrained_head import PretrainedHead
from affectline.labels import Task
from affectline.postprocess.adjustment import macro_f1
from affectline.training.epochs import RunOptions, TrainingRecord
from affectline.training.examples import Examples, only_backbone
from affectline.training.params import TrainParams, default_parts
from affectline.training.perceptron import train_perceptron


class HeadTrainer(Protocol):
    """Makes a head from labelled data."""

    record: TrainingRecord | None
    """How the last training went; None where there was none."""

    def fit(self, train: LabelledTables, valid: LabelledTables | None) -> SavableHead:
        """Return the head; `valid` decides when to stop where the model needs that."""

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name."""


class MlpTrainer:
    """Trains a perceptron on the outputs of one backbone.

    Args:
        params: how.
        run: checkpoints and progress.
    """

    def __init__(self, params: TrainParams, run: RunOptions | None = None) -> None:
        self.params = params
        self.record: TrainingRecord | None = None
        self._run = run or RunOptions()

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name."""
        return asdict(self.params)

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> MlpHead:
        """Return the trained perceptron.

        Raises:
            InputError: the data cannot be learned from.
            ResumeError: the checkpoint is of another run.
        """
        info = only_backbone(train)
        parts = self.params.parts or default_parts(train.task, info)
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        held_out = None if valid is None else Examples(valid, parts)
        head, self.record = train_perceptron(card, Examples(train, parts), held_out, self.params, self._run)
        return head


class GatedTrainer(MlpTrainer):
    """Trains the gate of a `heads.gated.GatedHead`: Other against the seven basic expressions."""

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> GatedHead:  # type: ignore[override]
        """Return the gated head."""
        _check_official(train)
        info = only_backbone(train)
        gate = super().fit(_as_gate(train), None if valid is None else _as_gate(valid))
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        inner = gate.with_card(replace(gate.card, crop_kind=None))
        return GatedHead(card, inner, info.labels, info.temperature)


class PaperGatedTrainer(MlpTrainer):
    """Trains the eight-class perceptron of a `heads.gated.PaperGatedHead`."""

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> PaperGatedHead:  # type: ignore[override]
        """Return the gated head of the notebook."""
        _check_official(train)
        mlp = super().fit(train, valid)
        card = mlp.card
        inner = mlp.with_card(replace(card, crop_kind=None))
        return PaperGatedHead(card, inner, only_backbone(train).labels)


class CascadeTrainer(MlpTrainer):
    """Trains the perceptron of a `heads.cascade.CascadeHead`; the validation videos say from where it is sure."""

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> CascadeHead:  # type: ignore[override]
        """Return the cascade; without validation videos it is sure from `heads.cascade.SURE_FROM`."""
        _check_official(train)
        mlp = super().fit(train, valid)
        plain = HeadCard(train.task, train.labels, train.backbones)
        own = PretrainedTrainer().fit(train).with_card(plain)
        head = CascadeHead(mlp.card, own, mlp.with_card(plain))
        return head if valid is None else CascadeHead(mlp.card, own, head.trained, _sure_from(head, valid))


def _sure_from(head: CascadeHead, valid: LabelledTables) -> float:
    """Return the probability from which the backbone's own decision is best taken, by macro F1 of single frames."""
    digest = head.card.backbones[0].digest
    faces = [one.tables[digest].features(one.labelled_rows) for one in valid.sequences]
    own, trained = (np.concatenate([part.score({digest: seen}) for seen in faces]) for part in (head.own, head.trained))
    truth = np.concatenate([one.target[one.has_face] for one in valid.sequences])

    def score(sure_from: float) -> float:
        return macro_f1(np.argmax(cascaded(own, trained, sure_from), axis=1), truth, len(valid.labels))

    return max(SURE_FROM_GRID, key=score)


class PretrainedTrainer:
    """Takes valence and arousal, or expressions, straight from the backbone: nothing is trained."""

    def __init__(self) -> None:
        self.record: TrainingRecord | None = None

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name: none."""
        return {}

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> PretrainedHead:
        """Return the head.

        Raises:
            InputError: the backbone does not give what the labels are of.
        """
        info = only_backbone(train)
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        if train.task is Task.EXPR:
            _check_official(train)
            return PretrainedHead(card, info.labels, info.temperature)
        if train.task is Task.AU or not info.has_valence_arousal:
            raise InputError(
                f"the model `pretrained` takes what a backbone gives by itself; of {', '.join(train.labels)} "
                f"{info.backbone} gives none"
            )
        return PretrainedHead(card)


PERCEPTRONS: Final[Mapping[str, Callable[[TrainParams, RunOptions], HeadTrainer]]] = {
    "mlp": MlpTrainer,
    "gated": GatedTrainer,
    "gated_paper": PaperGatedTrainer,
    "cascade": CascadeTrainer,
}
"""Models that train a perceptron."""


def _check_official(train: LabelledTables) -> None:
    if train.task is not Task.EXPR or train.labels != Task.EXPR.official_labels:
        raise InputError(
            f"gated models predict the eight ABAW expressions; these labels are {train.task.value}: "
            f"{', '.join(train.labels)}"
        )


def _as_gate(data: LabelledTables) -> LabelledTables:
    """Return the same faces with two classes: Other or not."""
    other = data.labels.index(OTHER)
    return replace(data, labels=GATE_LABELS, sequences=tuple(_binary(sequence, other) for sequence in data.sequences))


def _binary(sequence: LabelledSequence, other: int) -> LabelledSequence:
    return replace(sequence, target=np.asarray(sequence.target == other, np.int64))
