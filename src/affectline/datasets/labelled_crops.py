"""Labels joined with pictures of faces: what networks are fine-tuned on."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.affwild2 import find_crops, refuse_overlap, split_files
from affectline.datasets.annotations import read_annotation
from affectline.datasets.labelled import TRAIN, VALIDATION
from affectline.datasets.layout import CROP_FOLDERS, crop_name, frame_of_crop, group_of
from affectline.errors import InputError, InputFileError
from affectline.images import is_damaged, read_image
from affectline.labels import Task
from affectline.progress import ProgressHook, ignore_progress

MIN_SIDE: Final = 16
"""Pixels: less shows no expression."""

_AT_ONCE: Final = 256
_THREADS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """The labelled crops of one split, for one task.

    Attributes:
        task: what the labels are of.
        labels: what `target` counts or holds, in order.
        files: n pictures of one face each.
        target: VA: shape (n, 2), float32, in [-1, 1]. EXPR: shape (n,), int64, positions in the labels. AU: shape
            (n, number of labels), float32, 0 or 1.
        groups: the video of each picture, n of them, two subjects of one video under one name.
        source: what the data are, for cards and messages.
        missing: number of labelled frames without a crop.
    """

    task: Task
    labels: tuple[str, ...]
    files: tuple[Path, ...]
    target: NDArray[np.float32] | NDArray[np.int64]
    groups: NDArray[np.str_]
    source: str
    missing: int = 0

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> LabelledCrops:
        """Return some of the crops."""
        numbers = np.arange(len(self))[rows]
        files = tuple(self.files[number] for number in numbers)
        return replace(self, files=files, target=self.target[numbers], groups=self.groups[numbers])

    @classmethod
    def join(cls, parts: Sequence[LabelledCrops]) -> LabelledCrops:
        """Return the crops of several parts of one split."""
        return replace(
            parts[0],
            files=tuple(file for part in parts for file in part.files),
            target=np.concatenate([part.target for part in parts]),
            groups=np.concatenate([part.groups for part in parts]),
            missing=sum(part.missing for part in parts),
        )


@dataclass(frozen=True, slots=True)
class CropOptions:
    """Where annotations in the Aff-Wild2 layout and their crops are.

    Attributes:
        data: the folder that holds both.
        kind: `cropped` or `cropped_aligned`; None for the only one that is there.
        train_list, val_list: text files of video names that replace the split folders.
        every: of the labelled frames of a video, take each so-manieth.
    """

    data: Path
    kind: str | None = None
    train_list: Path | None = None
    val_list: Path | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in CROP_FOLDERS:
            raise InputError(f"no crops {self.kind!r}; choose {' or '.join(CROP_FOLDERS)}")
        if self.every < 1:
            raise InputError(f"every must be 1 or more, got {self.every}")


def load_crops(task: Task, options: CropOptions) -> tuple[LabelledCrops, LabelledCrops]:
    """Return the labelled crops to train on, and those that are held out.

    Raises:
        InputFileError: annotations or crops are missing, or a label is out of range (file and line are named).
        InputError: a split is empty, or a video is in both.
    """
    files = split_files(options.data, task, {TRAIN: options.train_list, VALIDATION: options.val_list})
    refuse_overlap(*(files.get(split, {}) for split in (TRAIN, VALIDATION)))
    folders = _folders(options)
    train, valid = (_split(task, split, files.get(split, {}), folders, options.every) for split in (TRAIN, VALIDATION))
    return train, valid


def _folders(options: CropOptions) -> Mapping[str, Path]:
    kinds = [options.kind] if options.kind else list(CROP_FOLDERS)
    found = {kind: crops for kind in kinds if (crops := find_crops(options.data, kind))}
    if not found:
        names = " or ".join(name for kind in kinds for name in CROP_FOLDERS[kind])
        raise InputFileError(f"{options.data} has no crops: no folder {names} with a folder for each video in it")
    if len(found) > 1:
        raise InputError(f"{options.data} has the crops {' and '.join(found)}; choose one with --crops")
    return next(iter(found.values()))


def _split(task: Task, split: str, files: Mapping[str, Path], folders: Mapping[str, Path], every: int) -> LabelledCrops:
    source = f"Aff-Wild2 layout, {task.value} {split}"
    parts = [_video(task, path, folders.get(video), source, every) for video, path in files.items()]
    found = LabelledCrops.join(parts) if parts else None
    if found is None or not len(found):
        raise InputError(f"{source} has no labelled frame with a crop; fine-tuning needs both splits and their crops")
    return found


def _video(task: Task, path: Path, folder: Path | None, source: str, every: int) -> LabelledCrops:
    annotation = read_annotation(path, task)
    frames = np.flatnonzero(annotation.is_valid)[::every]
    names = set() if folder is None else {entry.name for entry in folder.iterdir()}
    by_frame = {frame_of_crop(name): name for name in names}
    there = np.array([frame in by_frame for frame in frames.tolist()], np.bool_)
    kept = frames[there]
    files = tuple((folder or path) / by_frame[frame] for frame in kept.tolist())
    groups = np.full(len(kept), group_of(path.stem))
    missing = int(len(frames) - len(kept))
    return LabelledCrops(task, task.official_labels, files, annotation.values[kept], groups, source, missing)


def usable(crops: LabelledCrops, on_progress: ProgressHook = ignore_progress) -> tuple[LabelledCrops, tuple[str, ...]]:
    """Return the crops that can be read, and what is wrong with each of the others, in words that name it.

    Every picture is decoded once.

    Raises:
        InputFileError: none can be read.
    """
    faults: list[str | None] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[list[str | None]]] = deque()
        for start in range(0, len(crops), _AT_ONCE):
            waiting.append(pool.submit(_faults, crops.files[start : start + _AT_ONCE]))
        while waiting:
            faults += waiting.popleft().result()
            on_progress(len(faults), len(crops))
    is_good = np.array([fault is None for fault in faults], np.bool_)
    bad = tuple(fault for fault in faults if fault is not None)
    if not is_good.any():
        raise InputFileError(f"none of the {len(crops)} pictures of {crops.source} can be used, such as {bad[0]}")
    return crops.take(is_good), bad


def _faults(files: Sequence[Path]) -> list[str | None]:
    return [_fault(file) for file in files]


def _fault(file: Path) -> str | None:
    try:
        height, width, _ = read_image(file).shape
        if is_damaged(file):
            return f"{file}: the JPEG is damaged; copy it again"
    except InputFileError as error:
        return str(error)
    if min(height, width) < MIN_SIDE:
        return f"{file}: {width} x {height} pixels; a face needs at least {MIN_SIDE} a side"
    return None


def place_of(folder: Path, video: str, track: int, frame: int) -> Path:
    """Return where the crop of a tracked face is kept, below a folder."""
    return folder / f"{video}_track{track}" / crop_name(frame)
