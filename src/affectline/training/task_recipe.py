"""From labelled faces to a backbone of one task: valence and arousal, expression or action units."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.special import expit, logit

from affectline import __version__
from affectline.backbones import Backbone, load_backbone
from affectline.backbones.spec import BackboneSpec
from affectline.datasets.cut_crops import cut_crops
from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledTables
from affectline.datasets.labelled_crops import CropOptions, LabelledCrops, load_crops, usable
from affectline.datasets.loading import DataOptions, has_split, load_labelled
from affectline.errors import InputError
from affectline.evaluation.calibration import fit_temperature
from affectline.evaluation.crop_scores import CropEvaluation, evaluate_crops, official_score
from affectline.evaluation.scoring import TRAINED_ON, video_fingerprint
from affectline.features import FeaturePart
from affectline.heads.head import BackboneRef, Decision, HeadCard
from affectline.heads.head_file import save_head
from affectline.heads.mlp import DenseLayer, MlpHead, activated
from affectline.labels import Task
from affectline.metrics.report import Report
from affectline.postprocess.thresholds import best_thresholds
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FloatArray
from affectline.training.cnn import FaceNetwork
from affectline.training.curve import write_log
from affectline.training.examples import check_targets
from affectline.training.export import Exported
from affectline.training.finetune import EpochRecord, FinetuneData, FinetuneRun, Scorer, finetune, run_network
from affectline.training.finetune_params import FinetuneParams
from affectline.training.finish import calibration_inputs, make_folder, write_network
from affectline.training.losses import Loss, make_loss, make_share_loss
from affectline.training.model_card import TASK_LIMITS, Card, task_figures, write_card
from affectline.training.pictures import CropPictures
from affectline.training.start import Start, begin, for_task, plan

HEAD_NAME: Final = "head.safetensors"
_SURE: Final = 1e-3
"""Thresholds are kept so far from 0 and 1."""

_ROUNDING: Final = 1e-6
"""In logits: a score that lies on its threshold is on, whatever rounding does to it."""


@dataclass(frozen=True, slots=True)
class OwnCrops:
    """Labels of a user's own, and the videos that they are of.

    Attributes:
        options: where the labels.csv and the features with the faces' boxes are.
        videos: folder of the videos.
        every: of the labelled frames of a face, take each so-manieth.
    """

    options: DataOptions
    videos: Path
    every: int = 1


@dataclass(frozen=True, slots=True)
class TaskRecipe:
    """What to train, on what, and how.

    Attributes:
        task: which.
        data: annotations with crops in the Aff-Wild2 layout, or labels of the user's own.
        name: of the backbone.
        start: with what the network begins.
        params: how; `arch` is the start's.
        int8: write that form of the file too.
        allow_empty: train although a class or unit has no examples.
    """

    task: Task
    data: CropOptions | OwnCrops
    name: str = "my_backbone"
    start: Start = field(default_factory=Start)
    params: FinetuneParams = field(default_factory=FinetuneParams)
    int8: bool = False
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
class TaskTrained:
    """What came of a recipe.

    Attributes:
        exported: the backbone file.
        valid: how good it is on the validation pictures.
        records: the log.
    """

    exported: Exported
    valid: CropEvaluation
    records: tuple[EpochRecord, ...]


Say = Callable[[str], None]
"""Told at once, in words, what the user should know."""


def say_nothing(_: str) -> None:
    """Do nothing: the hook of those who do not ask."""


def train_on_task(
    recipe: TaskRecipe,
    out: Path,
    run: FinetuneRun,
    on_reading: ProgressHook = ignore_progress,
    say: Say = say_nothing,
) -> TaskTrained:
    """Train a backbone and write it, its head, weights, log and card (docs/finetune.md).

    Args:
        recipe: what and how.
        out: folder, made if it is not there.
        run: checkpoints and hooks.
        on_reading: told how many pictures or videos have been read before training.
        say: told of pictures that cannot be used and of labelled frames without a crop.

    Raises:
        AffectlineError: the data cannot be read, there is no such start, or a file cannot be written.
    """
    make_folder(out)
    arch, planned = plan(recipe.start, recipe.params.arch, recipe.name)
    params = replace(recipe.params, arch=arch, teach=0.0)  # nobody teaches
    train, valid = _read(recipe, planned, out, on_reading, say)
    check_targets(train.task, train.labels, train.target, train.source, allow_empty=recipe.allow_empty)
    words = f"{planned.training_data}, then {train.source} ({len(train)} pictures)"
    spec = for_task(planned, recipe.task, train.labels, words)
    pictures, held_out = CropPictures.of(train), CropPictures.of(valid)
    network = begin(recipe.start, params, recipe.task, train.labels, partial(calibration_inputs, pictures, spec))
    loss = _loss(train, pictures.targets, params)
    data = FinetuneData(spec, pictures, held_out, scorer(valid), loss, f"{recipe.task.value} {train.labels}")

    def keep(records: tuple[EpochRecord, ...]) -> None:
        write_log(out, records, score_name(recipe.task))
        run.on_epoch(records)

    best, log = finetune(network, data, params, replace(run, on_epoch=keep))
    spec = calibrate(best, spec, valid, run_network(best, held_out, spec))
    exported, small = write_network(best, spec, pictures, out, recipe.int8)
    backbone = load_backbone(exported.path)
    found = evaluate_crops(backbone, valid)
    save_head(_head(best, backbone, train, found.report), out / HEAD_NAME)
    beside = None
    if small is not None:
        reduced = evaluate_crops(load_backbone(small), valid).report.p
        beside = small, f"P {reduced:.4f} instead of {found.report.p:.4f}"
    then = f"`{HEAD_NAME}` is its last layer as a head on its embedding, for `evaluate`, `blend` and `submission`."
    card = Card(spec, params, exported, valid.source, task_figures(found), then, TASK_LIMITS, beside)
    write_card(out / "card.md", card)
    return TaskTrained(exported, found, log)


def score_name(task: Task) -> str:
    """Return what the validation score of a task is called."""
    return {Task.VA: "mean CCC", Task.EXPR: "macro F1", Task.AU: "mean F1"}[task] + ", single frames"


def scorer(valid: LabelledCrops) -> Scorer:
    """Return what gives the official score of raw outputs for validation pictures."""

    def score(outputs: FloatArray) -> float:
        return official_score(valid, activated(outputs, valid.task)).p

    return score


def _read(
    recipe: TaskRecipe, spec: BackboneSpec, out: Path, on_reading: ProgressHook, say: Say
) -> tuple[LabelledCrops, LabelledCrops]:
    """Return the crops of both splits that can be used."""
    if isinstance(recipe.data, CropOptions):
        found = load_crops(recipe.task, recipe.data)
    else:
        found = _own(recipe.task, recipe.data, spec, out, on_reading)
    kept = []
    for crops in found:
        good, bad = usable(crops, on_reading)
        kept.append(good)
        if bad:
            say(f"{len(bad)} of {len(crops)} pictures of {crops.source} are left out: {'; '.join(bad[:3])}")
        if crops.missing:
            say(f"{crops.missing} labelled frames of {crops.source} have no crop")
    return kept[0], kept[1]


def _own(
    task: Task, data: OwnCrops, spec: BackboneSpec, out: Path, on_reading: ProgressHook
) -> tuple[LabelledCrops, LabelledCrops]:
    if not has_split(task, VALIDATION, data.options):
        raise InputError(
            f"{data.options.labels} holds nothing out: mark the rows of some videos, of other people, with `val` in a "
            "column `split`"
        )
    found = [load_labelled(task, split, data.options) for split in (TRAIN, VALIDATION)]
    labels = found[0].labels
    if task is Task.VA and len(labels) < 2:  # noqa: PLR2004 - valence and arousal
        raise InputError(f"{data.options.labels} has {labels[0]} only; a backbone gives valence and arousal")
    train, valid = (
        cut_crops(_thinned(one, data.every), data.videos, spec.crop, out / "crops", on_reading) for one in found
    )
    return train, valid


def _thinned(data: LabelledTables, every: int) -> LabelledTables:
    sequences = tuple(
        replace(one, labelled_frame=one.labelled_frame[::every], target=one.target[::every]) for one in data.sequences
    )
    return replace(data, sequences=sequences)


def _loss(train: LabelledCrops, targets: FloatArray, params: FinetuneParams) -> Loss:
    """Return the loss: 1 - CCC, cross-entropy, or binary cross-entropy weighted by unit."""
    if train.task is Task.EXPR:
        return make_share_loss(targets, params.label_smoothing, params.class_weights)
    return make_loss(train.task, targets, len(train.labels))


def calibrate(network: FaceNetwork, spec: BackboneSpec, valid: LabelledCrops, outputs: FloatArray) -> BackboneSpec:
    """Fit what the validation labels decide, and return the spec with it.

    EXPR: the temperature. AU: the biases of the network's last layer are moved so that 0.5 is each unit's best
    threshold.

    Args:
        network: trained; AU changes it.
        spec: of the backbone.
        valid: n pictures.
        outputs: shape (n, K), what the network gives for them.
    """
    if valid.task is Task.EXPR:
        return replace(spec, temperature=round(fit_temperature(outputs, np.asarray(valid.target, np.int64)), 4))
    if valid.task is Task.AU:
        thresholds = np.clip(best_thresholds(expit(outputs), valid.target), _SURE, 1 - _SURE)
        with torch.no_grad():
            bias = network.layers[-1].bias
            bias.sub_(torch.from_numpy(logit(thresholds) - _ROUNDING).to(bias))
    return spec


def _head(network: FaceNetwork, backbone: Backbone, train: LabelledCrops, report: Report) -> MlpHead:
    """Return the layers behind the embedding as a head."""
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in network.layers]
    width = layers[0][0].shape[1]
    card = HeadCard(
        train.task,
        train.labels,
        (BackboneRef(backbone.spec.name, backbone.digest),),
        decision=Decision(),
        validation={"p": report.p, "frames": float(report.frames)},
        training={
            "model": "last layer of a fine-tuned network",
            "data": train.source,
            "frames": str(len(train)),
            TRAINED_ON: " ".join(sorted({video_fingerprint(group) for group in np.unique(train.groups).tolist()})),
            "affectline": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    )
    mean, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    return MlpHead(card, (FeaturePart.EMBEDDING,), tuple(DenseLayer(*layer) for layer in layers), mean, scale)
