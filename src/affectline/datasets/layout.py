"""Names in the Aff-Wild2 data sets: folders, headers, crop files. They live here and nowhere else.

Seen in the packages of ABAW-3 to ABAW-8 and in the code of their participants; see docs/data.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.atomic_file import complete_file
from affectline.datasets.labelled import TRAIN, VALIDATION
from affectline.errors import InputError
from affectline.labels import Task

HEADERS: Final[Mapping[Task, str]] = {task: ",".join(task.official_labels) for task in Task}
"""The first line of an annotation file."""

TASK_FOLDERS: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.VA: ("VA_Estimation_Challenge", "VA_Set"),
    Task.EXPR: ("EXPR_Classification_Challenge", "EXPR_Recognition_Challenge", "EXPR_Set", "Expression_Set"),
    Task.AU: ("AU_Detection_Challenge", "AU_Set"),
}
"""Folders of a task's annotations, in any case; the first is what we write."""

SPLIT_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    TRAIN: ("Train_Set", "Training_Set", "train"),
    VALIDATION: ("Validation_Set", "val_set", "validation", "val"),
}
"""Folders of a split, in any case; the first is what we write."""

CROP_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "cropped": ("cropped",),
    "cropped_aligned": ("cropped_aligned", "cropped_aligned_new_50_vids"),
}
"""Folders of crops by crop kind; those of one kind belong together."""

INVALID: Final[Mapping[Task, int]] = {Task.VA: -5, Task.EXPR: -1, Task.AU: -1}
"""What an annotator could not label."""

SUBJECT_SUFFIXES: Final = ("_left", "_right")
"""What the names of annotations and crop folders end with where two subjects were labelled in one video."""

CROP_NAME: Final = re.compile(r"(\d{5,7})\.(jpe?g|png)", re.IGNORECASE)
"""A crop's file name: the number of its frame, from 1, with five digits or more (`features.table.MAX_FRAMES`)."""

MAX_DEPTH: Final = 3
"""How far below the root folders are looked for."""


def crop_name(frame: int) -> str:
    """Return the file name of a frame's crop: `00001.jpg` for frame 0."""
    return f"{frame + 1:05d}.jpg"


def frame_of_crop(name: str) -> int | None:
    """Return the frame, from 0, that a crop's file name stands for; None if it is no such name."""
    match = CROP_NAME.fullmatch(name)
    return None if match is None or int(match[1]) == 0 else int(match[1]) - 1


def group_of(video: str) -> str:
    """Return the video's name without `_left` or `_right`: two subjects of one video belong together."""
    for suffix in SUBJECT_SUFFIXES:
        if video.endswith(suffix) and len(video) > len(suffix):
            return video.removesuffix(suffix)
    return video


def find_folders(root: Path, names: tuple[str, ...], depth: int = MAX_DEPTH) -> list[Path]:
    """Return the folders with one of the names, in any case, at most `depth` levels below the root, sorted by path."""
    wanted = {name.lower() for name in names}
    if root.resolve().name.lower() in wanted:
        return [root]
    found: list[Path] = []
    level = [root]
    for _ in range(depth):
        below = [
            folder
            for parent in level
            for folder in sorted(parent.iterdir())
            if folder.is_dir() and folder.name[0] != "."
        ]
        found += [folder for folder in below if folder.name.lower() in wanted]
        level = [folder for folder in below if folder not in found and not _is_full_of_crops(folder)]
    return sorted(found)


def _is_full_of_crops(folder: Path) -> bool:
    """Return whether a folder is one of crops: it may hold thousands of folders that need no search."""
    return folder.name.lower() in {name for names in CROP_FOLDERS.values() for name in names}


def write_annotation(path: Path, task: Task, values: NDArray[np.generic]) -> None:
    """Write an annotation file in the official layout: the header, then one line for each frame.

    Args:
        path: where; its folder must exist.
        task: of what.
        values: VA: shape (n, 2), floats in [-1, 1] or -5. EXPR: shape (n,), whole numbers from -1 to 7. AU: shape
            (n, 12), whole numbers from -1 to 1.

    Raises:
        InputError: the values are not as said.
        OutputError: the file cannot be written.
    """
    width = 1 if task is Task.EXPR else len(task.official_labels)
    rows = np.asarray(values).reshape(len(values), -1)
    if rows.shape[1] != width or not np.isfinite(rows.astype(np.float64)).all():
        raise InputError(f"{task.value} annotations need {width} finite numbers a frame, got {np.shape(values)}")
    form = _va_text if task is Task.VA else _whole_text
    with complete_file(path) as file:
        file.write((HEADERS[task] + "\n").encode())
        file.write(form(rows).encode())


def _va_text(rows: NDArray[np.generic]) -> str:
    return "".join(f"{valence:.6g},{arousal:.6g}\n" for valence, arousal in rows.tolist())


def _whole_text(rows: NDArray[np.generic]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows.astype(np.int64).tolist())
