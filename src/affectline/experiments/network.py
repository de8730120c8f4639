"""The fine-tuned network of Table 2: trained on a share of the training crops, asked about every validation crop."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from affectline.atomic_file import complete_file
from affectline.backbones import Backbone, load_backbone
from affectline.datasets.affwild2 import find_crops
from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.datasets.labelled_crops import CropOptions, load_crops
from affectline.errors import InputError, InputFileError, MissingExtraError
from affectline.evaluation.sequence_scores import SequenceScores, frame_intervals_s
from affectline.experiments.data import SplitData, stopping_split
from affectline.experiments.settings import NetworkSettings
from affectline.experiments.units import Unit
from affectline.extract.crops import crop_features, crop_files
from affectline.heads.pretrained import own_scores
from affectline.labels import Task
from affectline.progress import ProgressHook, ignore_progress

CROPS: Final = "cropped"
NETWORK_NAME: Final = "network"
PATIENCE: Final = 4


def network_scores(
    folder: Path,
    split: SplitData,
    settings: NetworkSettings,
    seed: int,
    unit: Unit,
    on_progress: ProgressHook = ignore_progress,
) -> tuple[SequenceScores, ...]:
    """Train the network and return what it says of every crop of the validation videos.

    Args:
        folder: the data set, with `cropped` pictures.
        split: the videos; frames and labels are taken from here, so that all heads are judged on the same. Some of the
            training videos say when to stop.
        settings: how.
        seed: of new weights, and of the order and the changes of the pictures.
        unit: where it is kept.
        on_progress: told how many steps are done.

    Raises:
        MissingExtraError: what fine-tuning needs is not installed.
        AffectlineError: there are no crops, or they cannot be learned from.
    """
    backbone = load_backbone(_trained(folder, split.train, settings, seed, unit, on_progress))
    crops, valid = find_crops(folder, CROPS), split.valid
    intervals_s = frame_intervals_s(valid.sequences)
    return tuple(
        _scores(one, interval_s, crops, backbone) for one, interval_s in zip(valid.sequences, intervals_s, strict=True)
    )


def crops_digest(folder: Path) -> str:
    """Return 16 digits of a sha256 over the names and sizes of all crops; `none` if there are none."""
    digest = hashlib.sha256()
    crops = find_crops(folder, CROPS)
    for video, place in crops.items():
        digest.update(video.encode())
        for path in sorted(place.iterdir()):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16] if crops else "none"


def _trained(
    folder: Path, train: LabelledTables, settings: NetworkSettings, seed: int, unit: Unit, on_progress: ProgressHook
) -> Path:
    """Return the file of the network."""
    try:
        from affectline.training.cnn import IMAGENET  # noqa: PLC0415
        from affectline.training.finetune import FinetuneRun  # noqa: PLC0415 - torchvision and timm are an extra
        from affectline.training.finetune_params import FinetuneParams  # noqa: PLC0415
        from affectline.training.start import Start  # noqa: PLC0415
        from affectline.training.task_recipe import TaskRecipe, train_on_task  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"the fine-tuned network needs: pip install 'affectline[finetune]' ({error})"
        ) from error
    learned, stopping = stopping_split(train, seed)
    if stopping is None:
        raise InputError(f"{train.source} has too few source videos: the fine-tuned network needs some to stop by")
    train_list, val_list = _list(unit.folder / "train.txt", learned), _list(unit.folder / "stop.txt", stopping)
    options = CropOptions(folder, CROPS, train_list, val_list)
    labelled = len(load_crops(train.task, options)[0])
    options = replace(options, every=max(1, -(-labelled // settings.crops)))
    params = FinetuneParams(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        class_weights=True,
        patience=PATIENCE,
        seed=seed,
    )
    init = settings.init if settings.init == IMAGENET else Path(settings.init)
    start = Start(init, settings.arch or None, settings.size)
    recipe = TaskRecipe(train.task, options, NETWORK_NAME, start, params, allow_empty=True)
    run = FinetuneRun(unit.checkpoint, resume=True, on_progress=on_progress)
    return train_on_task(recipe, unit.folder, run).exported.path


def _list(path: Path, data: LabelledTables) -> Path:
    """Write the names of the videos, one a line."""
    with complete_file(path) as file:
        file.write("".join(f"{video}\n" for video in sorted({one.video for one in data.sequences})).encode())
    return path


def _scores(one: LabelledSequence, interval_s: float, crops: Mapping[str, Path], backbone: Backbone) -> SequenceScores:
    if one.video not in crops:
        raise InputFileError(f"there are no `{CROPS}` pictures of {one.video}; the fine-tuned network needs them")
    files, _ = crop_files(crops[one.video])
    frames, values = [np.empty(0, np.int64)], [np.empty((0, len(backbone.spec.labels)), np.float32)]
    for batch in crop_features([(frame, path) for frame, path in files if frame < one.frame_count], backbone):
        frames.append(batch.frames)
        values.append(own_scores(Task.EXPR, batch.features, backbone.spec))
    return SequenceScores(
        one.video,
        one.group,
        np.concatenate(frames),
        np.concatenate(values),
        one.frame_count,
        interval_s,
        one.labelled_frame,
        one.target,
    )
