"""Finding annotations and crops in a folder of Aff-Wild2, whichever of its releases it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from affectline.datasets.labelled import TRAIN, VALIDATION
from affectline.datasets.layout import CROP_FOLDERS, SPLIT_FOLDERS, TASK_FOLDERS, find_folders
from affectline.errors import InputError, InputFileError
from affectline.labels import Task


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The annotation files of one task and split.

    Attributes:
        task: of what.
        split: `train` or `val`.
        folder: where they lie.
        files: video name to file, in the order of names.
    """

    task: Task
    split: str
    folder: Path
    files: Mapping[str, Path]


def find_annotations(data: Path, task: Task) -> tuple[SplitFiles, ...]:
    """Return the splits of a task that are below a folder; none if the task is not there.

    Raises:
        InputFileError: there is no such folder, or one split is there twice.
    """
    if not data.is_dir():
        raise InputFileError(f"there is no folder {data}; give the folder that holds the annotations of Aff-Wild2")
    found: dict[str, SplitFiles] = {}
    for folder in find_folders(data, TASK_FOLDERS[task]):
        for split, names in SPLIT_FOLDERS.items():
            for place in find_folders(folder, names, depth=1):
                files = {path.stem: path for path in sorted(place.iterdir()) if _is_annotation(path)}
                if split in found and files:
                    raise InputFileError(
                        f"{task.value} annotations for {split} are in {found[split].folder} and in {place}; "
                        "give a folder with one of the two"
                    )
                if files:
                    found[split] = SplitFiles(task, split, place, files)
    return tuple(found.values())


def _is_annotation(path: Path) -> bool:
    is_text = path.suffix.lower() == ".txt" and path.stem.lower() != "readme"
    return is_text and not path.name.startswith(".") and path.is_file()


def split_files(data: Path, task: Task, lists: Mapping[str, Path | None]) -> Mapping[str, Mapping[str, Path]]:
    """Return video name to file for each split.

    Args:
        data: the root of the data set.
        task: of what.
        lists: for `train` and `val` a text file of video names, one a line, that replaces the split's folder; None
            takes the folder.

    Raises:
        InputFileError: there are no annotations of the task, or a list cannot be read.
        InputError: a list names a video without annotations.
    """
    splits = find_annotations(data, task)
    if not splits:
        folders = " or ".join(TASK_FOLDERS[task][:2])
        raise InputFileError(
            f"{data} has no {task.value} annotations: no folder {folders} with {SPLIT_FOLDERS[TRAIN][0]} or "
            f"{SPLIT_FOLDERS[VALIDATION][0]} in it, up to 3 levels down"
        )
    chosen: dict[str, Mapping[str, Path]] = {split.split: split.files for split in splits}
    every = {video: path for split in splits for video, path in split.files.items()}
    for split, path in lists.items():
        if path is not None:
            chosen[split] = {video: _of_list(video, every, path) for video in read_list(path)}
    return chosen


def refuse_overlap(train: Collection[str], valid: Collection[str]) -> None:
    """Raise InputError if a video is to be trained on and to be held out."""
    both = sorted(set(train) & set(valid))
    if both:
        videos = "1 video is" if len(both) == 1 else f"{len(both)} videos are"
        raise InputError(
            f"{videos} in the training and in the validation list, such as {', '.join(both[:3])}; scores on videos "
            "that were trained on mean nothing: remove them from one of the two (--train-list, --val-list)"
        )


def _of_list(video: str, every: Mapping[str, Path], path: Path) -> Path:
    if video not in every:
        raise InputError(f"{path} names the video {video}, which has no annotation file")
    return every[video]


def read_list(path: Path) -> list[str]:
    """Return the video names of a text file, one a line, without the suffixes of video or annotation files.

    Raises:
        InputFileError: the file cannot be read, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot read the list {path}: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputFileError(f"the list {path} is empty; it needs one video name a line")
    suffixes = (".txt", ".mp4", ".avi")
    return list(dict.fromkeys(name[:-4] if name.lower().endswith(suffixes) else name for name in names))


def find_crops(data: Path, kind: str) -> Mapping[str, Path]:
    """Return video name to crop folder, for `cropped` or `cropped_aligned`; empty where there are none."""
    folders = find_folders(data, CROP_FOLDERS[kind])
    return {
        video.name: video
        for folder in folders
        for video in sorted(folder.iterdir())
        if video.is_dir() and not video.name.startswith(".")
    }
