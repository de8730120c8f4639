"""From labelled data to a head file: train, choose radius and thresholds on the validation data, say what was done."""

from __future__ import annotations

import glob
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from affectline import __version__
from affectline.atomic_file import check_place, complete_file
from affectline.datasets.affwild2 import refuse_overlap
from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledTables
from affectline.datasets.loading import TRAIN_AND_VALIDATION, DataOptions, has_split, load_labelled
from affectline.errors import InputError
from affectline.evaluation.scoring import TRAINED_ON, TUNED_ON, TUNED_ON_DIGEST, video_fingerprint
from affectline.evaluation.tuning import TuneOptions, tune_decision, tuned_head
from affectline.heads.head import Decision, Head, HeadCard
from affectline.heads.head_file import SavableHead, load_card, save_head
from affectline.heads.temporal import TemporalHead
from affectline.heads.temporal_spec import TEMPORAL_MODELS
from affectline.labels import Task
from affectline.progress import ProgressHook, ignore_progress
from affectline.training.automl import AutomlParams
from affectline.training.epochs import EpochHook, RunOptions, ignore_epochs
from affectline.training.heads import HeadTrainer
from affectline.training.params import TrainParams
from affectline.training.temporal_params import TemporalParams
from affectline.training.trainers import AUTOML, MODELS, PRETRAINED, ModelParams, default_model_params, make_trainer

CHECKPOINT_SUFFIX: Final = ".part"
"""Behind the head's file name, while it is trained."""

MIN_FOLDS: Final = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        task: which.
        data: where labels and features are.
        model: one of `training.trainers.MODELS`.
        params: of perceptrons; None takes the task's defaults.
        temporal: of the models that see a face over time; None takes the task's defaults.
        automl: of the model `automl`.
        on: `train`, or `train+val` for a final model: then nothing is held out, and training runs for all its epochs.
        tune: how the decision is chosen on the validation data.
        decision_from: a head of the same task and labels whose decision is taken over, for final models.
        onnx: where to write the head as ONNX too; for the models that see a face over time.
    """

    task: Task
    data: DataOptions
    model: str = "mlp"
    params: TrainParams | None = None
    temporal: TemporalParams | None = None
    automl: AutomlParams = field(default_factory=AutomlParams)
    on: str = TRAIN
    tune: TuneOptions = field(default_factory=TuneOptions)
    decision_from: Path | None = None
    onnx: Path | None = None

    def __post_init__(self) -> None:
        if self.onnx is not None and self.model not in TEMPORAL_MODELS:
            raise InputError(f"{self.model} heads have no ONNX form; those of {', '.join(TEMPORAL_MODELS)} have")
        if self.model not in MODELS:
            raise InputError(f"no model {self.model!r}; choose one of {', '.join(MODELS)}")
        if self.on not in {TRAIN, TRAIN_AND_VALIDATION}:
            raise InputError(f"training is on {TRAIN} or {TRAIN_AND_VALIDATION}, not on {self.on!r}")


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a recipe.

    Attributes:
        head: with its card filled in; it has been saved.
        notes: what the user should know: videos without features, nothing held out.
    """

    head: Head
    notes: tuple[str, ...]


def train_head(
    recipe: Recipe,
    output: Path,
    *,
    resume: bool = False,
    on_epoch: EpochHook = ignore_epochs,
    on_progress: ProgressHook = ignore_progress,
) -> Trained:
    """Train a head, tune its decision and save it.

    A network leaves its state beside the output after every epoch; `resume` goes on from there.

    Args:
        recipe: what and how.
        output: the head file.
        resume: go on where a killed run of the same recipe stopped.
        on_epoch: told after each epoch.
        on_progress: told how many frames of all epochs are done; with `automl`, how many models.

    Raises:
        AffectlineError: the data cannot be read or learned from, or the head cannot be saved.
    """
    for place in (output, recipe.onnx):
        if place is not None:
            check_place(place)
    other = None if recipe.decision_from is None else load_card(recipe.decision_from)
    train, valid = _load(recipe)
    if other is not None:
        _check_alike(recipe, other, train)
    else:
        _check_folds(recipe, valid)
    checkpoint = output.with_name(f".{output.name}{CHECKPOINT_SUFFIX}")
    notes = _notes(recipe, train, valid, _fate(checkpoint, resume))
    trainer = make_trainer(recipe.model, _params(recipe), RunOptions(checkpoint, resume, on_epoch, on_progress))
    head: Head = trainer.fit(train, valid)
    head = head.with_card(replace(head.card, training=_training(recipe, train, valid, trainer)))
    head = _decided(head, recipe, valid, other)
    if not isinstance(head, SavableHead):
        raise InputError(f"a head of the class {type(head).__name__} has no file form")
    save_head(head, output)
    if recipe.onnx is not None and isinstance(head, TemporalHead):
        with complete_file(recipe.onnx) as file:
            file.write(head.to_onnx())
    checkpoint.unlink(missing_ok=True)
    return Trained(head, tuple(notes))


def _load(recipe: Recipe) -> tuple[LabelledTables, LabelledTables | None]:
    """Return what to train on, and what is held out, if anything is.

    Raises:
        InputError: a video is in both.
    """
    train = load_labelled(recipe.task, recipe.on, recipe.data)
    if recipe.on != TRAIN or not has_split(recipe.task, VALIDATION, recipe.data):
        return train, None
    valid = load_labelled(recipe.task, VALIDATION, recipe.data)
    refuse_overlap({one.video for one in train.sequences}, {one.video for one in valid.sequences})
    return train, valid


def _params(recipe: Recipe) -> ModelParams:
    """Return how the recipe's model is trained."""
    given: ModelParams = recipe.params
    if recipe.model == PRETRAINED:
        return None
    if recipe.model == AUTOML:
        given = recipe.automl
    elif recipe.model in TEMPORAL_MODELS:
        given = recipe.temporal
    return given or default_model_params(recipe.model, recipe.task)


def _check_alike(recipe: Recipe, other: HeadCard, train: LabelledTables) -> None:
    if other.task is not train.task or other.labels != train.labels:
        raise InputError(
            f"{recipe.decision_from} decides on {other.task.value} ({', '.join(other.labels)}), this head is for "
            f"{train.task.value} ({', '.join(train.labels)})"
        )


def _check_folds(recipe: Recipe, valid: LabelledTables | None) -> None:
    """Refuse what could not be done behind the training."""
    needs_folds = recipe.task is Task.AU and recipe.tune.thresholds == "cv" and not recipe.tune.paper_exact
    if needs_folds and valid is not None and len({one.group for one in valid.sequences}) < MIN_FOLDS:
        raise InputError(f"--thresholds cv needs {MIN_FOLDS} validation videos or more; use best, which needs one")


def _fate(checkpoint: Path, resume: bool) -> list[str]:
    """Return what becomes of the state of an earlier run."""
    is_there = any(checkpoint.parent.glob(f"{glob.escape(checkpoint.name)}*"))  # of any stage
    if resume and not is_there:
        return ["there is no unfinished run to resume; training starts anew"]
    if is_there and not resume:
        return ["an unfinished run of this head was thrown away; --resume would have gone on with it"]
    return []


def _decided(head: Head, recipe: Recipe, valid: LabelledTables | None, other: HeadCard | None) -> Head:
    """Return the head with a decision from the validation data, or from another head."""
    if other is not None and recipe.decision_from is not None:
        training = {**head.card.training, "decision": f"taken over from {recipe.decision_from.name}"}
        training |= {name: other.training[name] for name in (TUNED_ON, TUNED_ON_DIGEST) if name in other.training}
        return head.with_card(
            replace(head.card, decision=other.decision, frame_wise=other.frame_wise, training=training)
        )
    if valid is None:
        return head.with_card(replace(head.card, decision=Decision()))
    return tuned_head(head, valid, tune_decision(head, valid, recipe.tune))


def _training(
    recipe: Recipe, train: LabelledTables, valid: LabelledTables | None, trainer: HeadTrainer
) -> Mapping[str, str]:
    facts = {
        "model": recipe.model,
        "data": train.source,
        "videos": str(len({sequence.video for sequence in train.sequences})),
        "frames": str(int(sum(np.count_nonzero(sequence.has_face) for sequence in train.sequences))),
        "held out": "nothing" if valid is None else valid.source,
        TRAINED_ON: " ".join(sorted({video_fingerprint(sequence.video) for sequence in train.sequences})),
        **{name: _shown(value) for name, value in trainer.get_params().items()},
        "affectline": __version__,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }
    if trainer.record is not None:
        facts |= {"epochs done": str(trainer.record.epochs), "best epoch": str(trainer.record.best_epoch)}
    return facts


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(getattr(part, "value", str(part)) for part in value)
    return "default" if value is None else str(value)


def _notes(recipe: Recipe, train: LabelledTables, valid: LabelledTables | None, notes: list[str]) -> list[str]:
    if valid is not None:
        both = sorted({one.group for one in train.sequences} & {one.group for one in valid.sequences})
        if both:
            notes.append(
                f"subjects of one video are on both sides, one trained on, one held out: {', '.join(both[:3])}; what "
                "they share makes the figures too good"
            )
    for data in (train, valid):
        if data is not None and data.missing:
            shown = ", ".join(data.missing[:3])
            notes.append(
                f"{len(data.missing)} labelled videos of {data.source} have no features and were left out: {shown}"
            )
    if valid is None and recipe.decision_from is None:
        units = ", units are on from 0.5" if recipe.task is Task.AU else ""
        notes.append(
            f"nothing was held out: no score is known, and scores are not smoothed{units}; take the decision of a "
            "validated head over with --decision-from"
        )
    return notes
