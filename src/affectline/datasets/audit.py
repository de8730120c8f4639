"""What is in a folder of Aff-Wild2, counted, beside what the paper counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from affectline.datasets.affwild2 import SplitFiles, find_annotations, find_crops
from affectline.datasets.annotations import Annotation, read_annotation
from affectline.datasets.labelled import TRAIN, VALIDATION
from affectline.datasets.layout import CROP_FOLDERS, TASK_FOLDERS, frame_of_crop, group_of
from affectline.errors import InputFileError
from affectline.inputs import VIDEO_SUFFIXES
from affectline.labels import Task


@dataclass(frozen=True, slots=True)
class PaperCounts:
    """What the paper counted in one split of one task.

    Attributes:
        videos: number of annotation files.
        frames: valid lines that have a crop (section 2).
        missing: valid lines without a crop, from the notebook behind the paper.
        classes: EXPR: frames of each class, from the same place; empty otherwise.
    """

    videos: int
    frames: int
    missing: int
    classes: tuple[int, ...] = ()


PAPER: Final[Mapping[tuple[Task, str], PaperCounts]] = {
    (Task.VA, TRAIN): PaperCounts(356, 1_653_757, 26_387),
    (Task.VA, VALIDATION): PaperCounts(76, 376_323, 5_698),
    (Task.EXPR, TRAIN): PaperCounts(
        248, 585_317, 12_044, (177_198, 16_573, 10_771, 9_080, 95_463, 78_751, 31_615, 165_866)
    ),
    (Task.EXPR, VALIDATION): PaperCounts(
        70, 280_532, 3_698, (82_258, 6_126, 5_296, 8_408, 34_511, 25_157, 12_332, 106_444)
    ),
    (Task.AU, TRAIN): PaperCounts(295, 1_356_694, 2_829),
    (Task.AU, VALIDATION): PaperCounts(105, 445_836, 9),
}
"""The numbers of Aff-Wild2 as ABAW-5 had it."""


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What is in one split of one task.

    Attributes:
        task: of what.
        split: `train` or `val`.
        videos: number of annotation files that can be read.
        lines: labelled frames, valid or not.
        valid: lines with a label.
        with_crop: valid lines that have a crop; None where there are no crop folders.
        missing: valid lines without a crop; None likewise.
        labels: EXPR: valid lines of each class. AU: valid lines with each unit on. VA: mean valence and arousal.
        paper: what the paper counted.
    """

    task: Task
    split: str
    videos: int
    lines: int
    valid: int
    with_crop: int | None
    missing: int | None
    labels: Mapping[str, float]
    paper: PaperCounts


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        splits: one for each task and split that is there.
        crops: crop kind to the number of folders and of pictures.
        notes: everything odd, one line each.
        unreadable: annotation files that cannot be read, one line each; they are not counted.
    """

    splits: tuple[SplitCounts, ...]
    crops: Mapping[str, tuple[int, int]]
    notes: tuple[str, ...]
    unreadable: tuple[str, ...]


def audit(data: Path, videos: Path | None = None) -> Audit:
    """Count what is in a folder of Aff-Wild2.

    Args:
        data: the folder, with annotations, and perhaps `cropped` and `cropped_aligned`.
        videos: folder of the raw videos: their frame counts are compared with the annotations.

    Raises:
        InputFileError: there is no such folder, or no annotation in it.
    """
    splits = [split for task in Task for split in find_annotations(data, task)]
    if not splits:
        folders = ", ".join(names[0] for names in TASK_FOLDERS.values())
        raise InputFileError(
            f"{data} holds no Aff-Wild2 annotations: none of the folders {folders}, up to 3 levels down"
        )
    crops = _Crops(data)
    raw = _RawVideos(videos) if videos is not None else None
    counts, notes = [], [*crops.notes]
    unreadable: list[str] = []
    for split in splits:
        annotations: list[Annotation] = []
        for path in split.files.values():
            try:
                annotations.append(read_annotation(path, split.task))
            except InputFileError as error:
                unreadable.append(str(error))
        counts.append(_count(split, annotations, crops))
        notes += _odd(split, annotations, crops, raw)
    notes += _overlaps(splits)
    return Audit(tuple(counts), crops.counts, tuple(notes), tuple(unreadable))


class _Crops:
    """Which frames of which video have a crop; `cropped` counts where both kinds are there."""

    def __init__(self, data: Path) -> None:
        folders = {kind: find_crops(data, kind) for kind in CROP_FOLDERS}
        self._frames: dict[str, dict[str, np.ndarray]] = {}
        self.notes: list[str] = []
        for kind, videos in folders.items():
            self._frames[kind] = {video: self._frames_in(folder) for video, folder in videos.items()}
        self.counts = {
            kind: (len(videos), sum(map(len, videos.values()))) for kind, videos in self._frames.items() if videos
        }
        if not self.counts:
            self.notes.append(
                "no crop folder: neither `cropped` nor `cropped_aligned` is there; crops were not counted"
            )

    def _frames_in(self, folder: Path) -> np.ndarray:
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        frames = [frame for frame in map(frame_of_crop, names) if frame is not None]
        if len(frames) < len(names):
            self.notes.append(f"{folder} holds {len(names) - len(frames)} files whose names are no frame numbers")
        if not frames:
            self.notes.append(f"{folder} holds no crops")
        if len(set(frames)) < len(frames):
            self.notes.append(f"{folder} has {len(frames) - len(set(frames))} frames with two crops")
        return np.unique(np.array(frames, np.int64))

    @property
    def kind(self) -> str | None:
        """The kind that the counts speak of."""
        return next(iter(self.counts), None)

    def of(self, video: str) -> np.ndarray | None:
        return None if self.kind is None else self._frames[self.kind].get(video)


class _RawVideos:
    """The frame counts that OpenCV reads from the headers of raw videos."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputFileError(f"there is no folder of videos {folder}")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        self._paths = {path.stem: path for path in paths}
        self._counts: dict[str, int] = {}

    def count(self, video: str) -> int | None:
        name = video if video in self._paths else group_of(video)
        if name not in self._paths:
            return None
        if name not in self._counts:
            capture = cv2.VideoCapture(str(self._paths[name]))
            self._counts[name] = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
        return self._counts[name]


def _count(split: SplitFiles, annotations: Sequence[Annotation], crops: _Crops) -> SplitCounts:
    with_crop = None
    if crops.kind is not None:
        with_crop = sum(_with_crop(annotation, crops.of(annotation.video)) for annotation in annotations)
    valid = sum(int(annotation.is_valid.sum()) for annotation in annotations)
    return SplitCounts(
        split.task,
        split.split,
        len(annotations),
        sum(len(annotation) for annotation in annotations),
        valid,
        with_crop,
        None if with_crop is None else valid - with_crop,
        _label_counts(split.task, annotations),
        PAPER[split.task, split.split],
    )


def _with_crop(annotation: Annotation, frames: np.ndarray | None) -> int:
    """Return how many valid lines have a crop."""
    if frames is None:
        return 0
    return int(annotation.is_valid[frames[frames < len(annotation)]].sum())


def _label_counts(task: Task, annotations: Sequence[Annotation]) -> dict[str, float]:
    parts = [annotation.values[annotation.is_valid] for annotation in annotations if annotation.is_valid.any()]
    if not parts:
        return {}
    values = np.concatenate(parts)
    if task is Task.EXPR:
        found = np.bincount(values.astype(np.int64), minlength=len(task.official_labels)).astype(np.float64)
    else:
        found = values.sum(axis=0, dtype=np.float64) if task is Task.AU else values.mean(axis=0, dtype=np.float64)
    return dict(zip(task.official_labels, map(float, found), strict=True))


def _odd(split: SplitFiles, annotations: Sequence[Annotation], crops: _Crops, raw: _RawVideos | None) -> Iterator[str]:
    """Give a line for everything odd about the videos of a split."""
    place = f"{split.task.value} {split.split}"
    without = [one.video for one in annotations if crops.kind is not None and crops.of(one.video) is None]
    if without:
        shown = ", ".join(without[:5])
        yield f"{place}: {len(without)} videos have no folder in `{crops.kind}`, such as {shown}"
    for annotation in annotations:
        frames, n_lines = crops.of(annotation.video), len(annotation)
        if not annotation.is_valid.any():
            yield f"{place}: {annotation.video} has no valid line of {n_lines}"
        if frames is not None and len(frames) and frames[-1] >= n_lines:
            yield f"{place}: {annotation.video} has crops up to frame {frames[-1] + 1}, but {n_lines} lines"
    if raw is not None:
        yield from _against_videos(place, annotations, raw)


def _against_videos(place: str, annotations: Sequence[Annotation], raw: _RawVideos) -> Iterator[str]:
    counts = {one.video: raw.count(one.video) for one in annotations}
    missing = [video for video, count in counts.items() if count is None]
    if missing:
        yield f"{place}: {len(missing)} videos are not among the raw videos, such as {', '.join(missing[:5])}"
    offsets = {one.video: len(one) - count for one in annotations if (count := counts[one.video]) is not None}
    by_one = sum(abs(offset) == 1 for offset in offsets.values())
    if by_one:
        # The organisers' counts are OpenCV's plus one (the notebooks of ABAW-6 and ABAW-8).
        yield f"{place}: {by_one} of {len(offsets)} annotations differ from OpenCV's frame count by one, which is usual"
    for video, offset in offsets.items():
        if abs(offset) > 1:
            many = "more" if offset > 0 else "fewer"
            yield f"{place}: {video} has {abs(offset)} lines {many} than its video has frames"


def _overlaps(splits: Sequence[SplitFiles]) -> Iterator[str]:
    for task in Task:
        names = {split.split: {group_of(video) for video in split.files} for split in splits if split.task is task}
        both = sorted(names.get(TRAIN, set()) & names.get(VALIDATION, set()))
        if both:
            videos = "1 video is" if len(both) == 1 else f"{len(both)} videos are"
            yield f"{task.value}: {videos} in both splits (or its two subjects are): {', '.join(both[:5])}"
