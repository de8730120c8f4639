"""Trained heads and what they say of the validation videos: kept, and made anew when what is behind them changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from affectline import __version__
from affectline.atomic_file import complete_file
from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.errors import InputError, InputFileError, ResumeError
from affectline.evaluation.sequence_scores import SequenceScores, score_sequences
from affectline.experiments.data import STOPPING_PART, ExperimentData, SplitData, share_of, stopping_split
from affectline.experiments.network import crops_digest, network_scores
from affectline.experiments.recipes import FINETUNED, HeadRecipe
from affectline.experiments.settings import ExperimentSettings, NetworkSettings, with_settings
from affectline.experiments.units import Unit
from affectline.features import parse_parts
from affectline.heads.head_file import SavableHead, save_head
from affectline.progress import ProgressHook, ignore_progress
from affectline.training.automl import AutomlParams
from affectline.training.epochs import RunOptions
from affectline.training.examples import check_targets
from affectline.training.params import TrainParams
from affectline.training.temporal_params import TemporalParams
from affectline.training.trainers import PRETRAINED, ModelParams, default_model_params, make_trainer

SCORES_NAME: Final = "scores.safetensors"
HEAD_NAME: Final = "head.safetensors"
_NAMED: Final = 3
VERSION: Final = 2
"""Of what a kept prediction means; another number makes all anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What one head says of the validation videos.

    Attributes:
        recipe: of the head.
        digest: of all that the scores were made from.
        valid: the videos.
        scores: of each of their sequences, without adjustment.
        seconds: that training and scoring took, when it was done.
        notes: what readers of its figures must know, in words.
    """

    recipe: HeadRecipe
    digest: str
    valid: LabelledTables
    scores: tuple[SequenceScores, ...]
    seconds: float
    notes: tuple[str, ...] = ()


def fit(
    recipe: HeadRecipe,
    data: ExperimentData,
    settings: ExperimentSettings,
    seed: int,
    folder: Path,
    on_progress: ProgressHook = ignore_progress,
) -> Fitted:
    """Return what a head says, trained now or before. A run that was killed goes on from its last checkpoint.

    Args:
        recipe: of the head.
        data: what it is trained on and judged by.
        settings: how.
        seed: of its first weights, and of the order of its examples.
        folder: where heads are kept, each in a folder of its own.
        on_progress: told how far training is.

    Raises:
        AffectlineError: the data lack something, something is not installed, or a file cannot be written.
    """
    split = data.split(recipe)
    params = _params(recipe, settings, seed)
    inputs = {"version": (VERSION, __version__), "recipe": recipe, "data": split.digest, "params": params}
    if recipe.model == FINETUNED:
        inputs |= {"crops": crops_digest(data.folder), "init": _init_digest(settings.network.init)}
    elif _learns_by_epochs(params):
        inputs |= {"stopping": STOPPING_PART, "refitted": True}
    unit = Unit(folder / f"{recipe.name}-seed{seed}", inputs)
    facts = unit.facts()
    if facts is None:
        unit.begin()
        started_s = time.monotonic()

        def made() -> Sequence[SequenceScores]:
            if isinstance(params, NetworkSettings):
                return network_scores(data.folder, split, params, seed, unit, on_progress)
            return score_sequences(_trained(recipe, split, params, unit, on_progress), split.valid)

        try:
            found = made()
        except ResumeError:  # a checkpoint is damaged, or of another version of what trains it
            unit.forget()
            found = made()
        _write_scores(unit.folder / SCORES_NAME, found)
        facts = {"seconds": round(time.monotonic() - started_s, 2)}
        unit.finish(facts)
    scores = _read_scores(unit.folder / SCORES_NAME, split.valid.sequences)
    return Fitted(recipe, unit.digest, split.valid, scores, float(str(facts["seconds"])), _notes(recipe, split))


def _notes(recipe: HeadRecipe, split: SplitData) -> tuple[str, ...]:
    """Return what is not as it should be with the data of a head."""
    notes = [
        f"{len(data.missing)} {which} videos have no {recipe.crops.value} features of the backbone {recipe.backbone} "
        f"and are left out ({', '.join(data.missing[:_NAMED])}{', ...' if len(data.missing) > _NAMED else ''})"
        for which, data in (("training", split.train), ("validation", split.valid))
        if data.missing
    ]
    if recipe.model == PRETRAINED:
        return tuple(notes)
    train = split.train if recipe.share == 1 else share_of(split.train, recipe.share, 0)
    target = np.concatenate([one.target for one in train.sequences])
    try:
        check_targets(train.task, train.labels, target, train.source, allow_empty=False)
    except InputError as error:
        notes.append(f"{recipe.name}: {str(error).partition(';')[0]}")
    return tuple(notes)


def _init_digest(init: str) -> str:
    path = Path(init)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else init


def _params(recipe: HeadRecipe, settings: ExperimentSettings, seed: int) -> ModelParams | NetworkSettings:
    if recipe.model == FINETUNED:
        return with_settings(settings.network, recipe, settings.own)
    params = default_model_params(recipe.model, recipe.task, parse_parts(recipe.inputs) if recipe.inputs else None)
    if params is None:
        if recipe.name in settings.own:
            raise InputError(f"{recipe.name} ({recipe.model}) is not trained: it has no parameters that can be set")
        return None
    if isinstance(params, AutomlParams):
        params = replace(params, timeout_s=settings.automl_s)
    else:
        params = replace(params, allow_empty_classes=True)  # `_notes` tells of them
    return with_settings(replace(params, seed=seed), recipe, settings.own)


def _learns_by_epochs(params: ModelParams | NetworkSettings) -> TypeGuard[TrainParams | TemporalParams]:
    return isinstance(params, TrainParams | TemporalParams)


def _trained(
    recipe: HeadRecipe, split: SplitData, params: ModelParams, unit: Unit, on_progress: ProgressHook
) -> SavableHead:
    """Return a head that has learned from all training videos of its share."""
    seed = 0 if params is None else params.seed
    train = split.train if recipe.share == 1 else share_of(split.train, recipe.share, seed)
    if _learns_by_epochs(params):
        params = replace(params, epochs=_epochs(recipe, train, params, unit, on_progress))
    run = RunOptions(unit.checkpoint, resume=True, on_progress=on_progress)
    head = make_trainer(recipe.model, params, run).fit(train, None)
    save_head(head, unit.folder / HEAD_NAME)
    return head


def _epochs(
    recipe: HeadRecipe,
    train: LabelledTables,
    params: TrainParams | TemporalParams,
    unit: Unit,
    on_progress: ProgressHook,
) -> int:
    """Return how many epochs are best for training videos that are kept back from a first run.

    So a head can learn from all of them, and no validation video has a say.
    """
    learned, stopping = stopping_split(train, params.seed)
    if stopping is None:
        return params.epochs
    found = unit.stage("epochs")
    try:
        return int(found.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    trainer = make_trainer(recipe.model, params, RunOptions(unit.stage("first"), resume=True, on_progress=on_progress))
    trainer.fit(learned, stopping)
    epochs = params.epochs if trainer.record is None else trainer.record.best_epoch
    with complete_file(found) as file:
        file.write(str(epochs).encode())
    return epochs


def _write_scores(path: Path, scores: Sequence[SequenceScores]) -> None:
    content = save(
        {
            "frame": np.concatenate([one.frame for one in scores]),
            "values": np.concatenate([one.values for one in scores]),
            "count": np.array([len(one.frame) for one in scores]),
            "interval_s": np.array([one.interval_s for one in scores]),
        }
    )
    with complete_file(path) as file:
        file.write(content)


def _read_scores(path: Path, sequences: Sequence[LabelledSequence]) -> tuple[SequenceScores, ...]:
    """Return kept scores, with the labels of the sequences that they were made for.

    Raises:
        InputFileError: the file is missing or damaged.
    """
    try:
        arrays = load_file(str(path))
        ends = np.cumsum(arrays["count"])[:-1]
        parts = zip(
            sequences,
            np.split(arrays["frame"], ends),
            np.split(arrays["values"], ends),
            arrays["interval_s"].tolist(),
            strict=True,
        )
        return tuple(
            SequenceScores(
                one.video, one.group, frame, values, one.frame_count, interval_s, one.labelled_frame, one.target
            )
            for one, frame, values, interval_s in parts
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputFileError(f"{path} is damaged ({error}); remove its folder, and the head is trained anew") from error
