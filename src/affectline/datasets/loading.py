"""The way from labels on disk and a feature store to what heads are trained and scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectline.datasets.affwild2 import refuse_overlap, split_files
from affectline.datasets.annotations import read_annotation
from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledSequence, LabelledTables
from affectline.datasets.own_labels import read_own_labels
from affectline.datasets.sequences import make_sequence
from affectline.datasets.stored_videos import StoredVideos
from affectline.errors import InputError
from affectline.features import CropKind
from affectline.features.store import FeatureStore
from affectline.labels import Task

TRAIN_AND_VALIDATION = "train+val"
"""Both splits together: for final models."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Where labels and features are.

    Attributes:
        store: the feature store.
        data: root of data in the Aff-Wild2 layout; or None.
        labels: a labels.csv; or None. One of the two is needed.
        backbones: names, or starts of digests, of those whose features are wanted; empty for the store's only one.
        crop_kind: of the features; None for the only one that the store has.
        train_list, val_list: text files of video names that replace the split folders of `data`.
    """

    store: Path
    data: Path | None = None
    labels: Path | None = None
    backbones: tuple[str, ...] = ()
    crop_kind: CropKind | None = None
    train_list: Path | None = None
    val_list: Path | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.labels is None):
            raise InputError(
                "give either --data, a folder in the Aff-Wild2 layout, or --labels, a labels.csv of your own"
            )
        if self.labels is not None and (self.train_list or self.val_list):
            raise InputError("--train-list and --val-list belong to --data; labels.csv has a column `split`")


def load_labelled(
    task: Task, split: str, options: DataOptions, classes: tuple[str, ...] | None = None
) -> LabelledTables:
    """Return the labelled faces of a split, with the features of every backbone that is asked for.

    Labelled videos without features are left out; `LabelledTables.missing` names them.

    Args:
        task: which labels.
        split: `train`, `val` or `train+val`.
        options: where they are.
        classes: the expressions that labels of your own are told by, also those that none of them has; None for those
            that occur. The Aff-Wild2 layout has its own.

    Raises:
        InputFileError: folders, files or features are missing or damaged.
        InputError: the split is empty, splits overlap, or a label cannot be placed in its video.
    """
    store = FeatureStore(options.store)
    digests = [store.find_backbone(name)[1] for name in options.backbones or (None,)]
    videos = StoredVideos(store, digests, options.crop_kind)
    missing: tuple[str, ...] = ()
    wanted = (TRAIN, VALIDATION) if split == TRAIN_AND_VALIDATION else (split,)
    if options.labels is not None:
        own = read_own_labels(options.labels, task, classes)
        sequences = [sequence for part in wanted for sequence in own.sequences(part, videos.tables, videos.names)]
        source, labels = f"{options.labels.name}, {split}", own.labels
    else:
        sequences, missing = _affwild2(task, wanted, options, videos)
        source, labels = f"Aff-Wild2 layout, {task.value} {split}", task.official_labels
    if not sequences:
        raise InputError(
            f"no labelled video of {source} has features in {options.store}"
            + (f" (without: {', '.join(missing[:3])}, ...)" if missing else "; is there anything in this split?")
        )
    return LabelledTables(task, labels, tuple(sequences), source, missing)


def has_split(task: Task, split: str, options: DataOptions) -> bool:
    """Return whether there are labels of a split, with or without features; errors as `load_labelled`."""
    if options.labels is not None:
        return bool((read_own_labels(options.labels, task).split == split).any())
    data = options.data or Path()
    files = split_files(data, task, {TRAIN: options.train_list, VALIDATION: options.val_list})
    return bool(files.get(split))


def _affwild2(
    task: Task, wanted: tuple[str, ...], options: DataOptions, videos: StoredVideos
) -> tuple[list[LabelledSequence], tuple[str, ...]]:
    data = options.data or Path()
    files = split_files(data, task, {TRAIN: options.train_list, VALIDATION: options.val_list})
    if len(wanted) > 1:
        refuse_overlap(*(files.get(split, {}) for split in wanted))
    sequences, missing = [], []
    for split in wanted:
        for video, path in files.get(split, {}).items():
            found = videos.subject(video)
            if found is None:
                missing.append(video)
                continue
            annotation = read_annotation(path, task)
            if annotation.is_valid.any():
                tables, rows = found
                frames = np.flatnonzero(annotation.is_valid).astype(np.int64)
                target = annotation.values[frames]
                sequences.append(make_sequence(video, tables, rows, frames, target, len(annotation)))
    return sequences, tuple(missing)
