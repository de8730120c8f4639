"""Training the heads of the three tasks: what `affectline train --model` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Final, Protocol

import numpy as np

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.errors import InputError
from affectline.heads.gated import GATE_LABELS, OTHER, GatedHead, PaperGatedHead
from affectline.heads.head import HeadCard
from affectline.heads.head_file import SavableHead
from affectline.heads.mlp import MlpHead
from affectline.heads.pretrained_head import PretrainedHead
from affectline.heads.temporal_spec import TEMPORAL_MODELS
from affectline.labels import Task
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


class PretrainedTrainer:
    """Takes valence and arousal straight from the backbone: nothing is trained."""

    def __init__(self) -> None:
        self.record: TrainingRecord | None = None

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name: none."""
        return {}

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> PretrainedHead:
        """Return the head.

        Raises:
            InputError: another task, or a backbone without valence and arousal.
        """
        info = only_backbone(train)
        if train.task is not Task.VA or not info.has_valence_arousal:
            raise InputError(
                f"the model `pretrained` takes valence and arousal from a backbone that gives them; {info.backbone} "
                f"{'gives them, but the task is ' + train.task.value if info.has_valence_arousal else 'gives none'}"
            )
        return PretrainedHead(HeadCard(train.task, train.labels, train.backbones, info.crop_kind))


PERCEPTRONS: Final[Mapping[str, Callable[[TrainParams, RunOptions], HeadTrainer]]] = {
    "mlp": MlpTrainer,
    "gated": GatedTrainer,
    "gated_paper": PaperGatedTrainer,
}
"""Models that train a perceptron."""

MODELS: Final = (*PERCEPTRONS, *TEMPORAL_MODELS, "pretrained", "automl")
"""Every model that `affectline train` knows."""


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
