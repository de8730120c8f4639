"""The way from labels on disk and a feature store to what heads are trained and scored on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectline.datasets.affwild2 import split_files
from affectline.datasets.annotations import read_annotation
from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledSequence, LabelledTables
from affectline.datasets.own_labels import read_own_labels
from affectline.datasets.sequences import largest_faces, make_sequence
from affectline.errors import InputError
from affectline.features import CropKind, FeatureTable
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


def load_labelled(task: Task, split: str, options: DataOptions) -> LabelledTables:
    """Return the labelled faces of a split, with the features of every backbone that is asked for.

    Labelled videos without features are left out; `LabelledTables.missing` names them.

    Args:
        task: which labels.
        split: `train`, `val` or `train+val`.
        options: where they are.

    Raises:
        InputFileError: folders, files or features are missing or damaged.
        InputError: the split is empty, splits overlap, or a label cannot be placed in its video.
    """
    store = FeatureStore(options.store)
    tables = _Tables(store, options)
    missing: tuple[str, ...] = ()
    wanted = (TRAIN, VALIDATION) if split == TRAIN_AND_VALIDATION else (split,)
    if options.labels is not None:
        own = read_own_labels(options.labels, task)
        sequences = [sequence for part in wanted for sequence in own.sequences(part, tables.of, tables.videos)]
        source, labels = f"{options.labels.name}, {split}", own.labels
    else:
        sequences, missing = _affwild2(task, wanted, options, tables)
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


class _Tables:
    """Opens the feature tables of a video for every backbone that is asked for."""

    def __init__(self, store: FeatureStore, options: DataOptions) -> None:
        self._store = store
        wanted: tuple[str | None, ...] = options.backbones or (None,)
        self._digests = [store.find_backbone(name)[1] for name in wanted]
        self._kinds = {digest: store.find_crop_kind(digest, options.crop_kind) for digest in self._digests}
        self.videos = frozenset.intersection(*(store.videos(digest, kind) for digest, kind in self._kinds.items()))

    def of(self, video: str) -> Mapping[str, FeatureTable]:
        tables = {digest: self._store.open(digest, kind, video) for digest, kind in self._kinds.items()}
        first, *others = tables.values()
        for other in others:
            if not (np.array_equal(first.frame, other.frame) and np.array_equal(first.track_id, other.track_id)):
                raise InputError(
                    f"{video}: the features of {first.info.backbone} ({len(first)} faces) and {other.info.backbone} "
                    f"({len(other)} faces) are not of the same faces; extract both from the same crops"
                )
        return tables


def _affwild2(
    task: Task, wanted: tuple[str, ...], options: DataOptions, tables: _Tables
) -> tuple[list[LabelledSequence], tuple[str, ...]]:
    data = options.data or Path()
    files = split_files(data, task, {TRAIN: options.train_list, VALIDATION: options.val_list})
    sequences, missing = [], []
    for split in wanted:
        for video, path in files.get(split, {}).items():
            if video not in tables.videos:
                missing.append(video)
                continue
            annotation = read_annotation(path, task)
            if annotation.is_valid.any():
                frames = np.flatnonzero(annotation.is_valid).astype(np.int64)
                opened = tables.of(video)
                rows = largest_faces(next(iter(opened.values())))
                target = annotation.values[frames]
                sequences.append(make_sequence(video, opened, rows, frames, target, len(annotation)))
    return sequences, tuple(missing)
