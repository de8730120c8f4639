"""From what a user typed to what features are made of: videos, and folders of ready crops."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectline.datasets.layout import CROP_FOLDERS, frame_of_crop, group_of
from affectline.errors import InputError, InputFileError
from affectline.features import CropKind
from affectline.images import natural_order
from affectline.inputs import VIDEO_SUFFIXES, expand_inputs, expand_urls, matches, place_of
from affectline.remote import is_remote, local_path

_KIND_OF_FOLDER: Final = {name: CropKind(kind) for kind, names in CROP_FOLDERS.items() for name in names}


@dataclass(frozen=True, slots=True)
class ExtractSource:
    """One video, or the crops of one face.

    Attributes:
        path: the video file, or the folder of crops.
        name: the video's name in the store.
        kind: `detected` for a video.
        url: where the video is, if it is not on this machine; the path is its file name then.
    """

    path: Path
    name: str
    kind: CropKind
    url: str | None = None

    @property
    def place(self) -> str:
        """The URL, as it may be shown, or the path."""
        return place_of(self.path, self.url)


def find_sources(inputs: Sequence[Path | str], crop_kind: CropKind | None = None) -> tuple[ExtractSource, ...]:
    """Return what features can be made of, in the order given; URLs come last.

    A folder with pictures whose names are numbers of five digits is one face; a folder of such folders, or of `cropped`
    and `cropped_aligned`, is searched up to three levels down. Everything else is taken as videos or folders of videos.

    Args:
        inputs: files, folders, patterns and URLs.
        crop_kind: what folders of crops are; None goes by the folder's name, else `cropped`.

    Raises:
        InputFileError: a folder holds nothing that can be used, or videos and crops.
        InputError: two sources would have one name in the store, or crops are said to be `detected`.
    """
    if crop_kind is CropKind.DETECTED:
        raise InputError(
            "folders of crops are cropped or cropped_aligned; `detected` is what affectline makes of videos"
        )
    found: list[ExtractSource] = []
    remote = [str(word) for word in inputs if is_remote(str(word))]
    for word in inputs:
        if is_remote(str(word)):
            continue
        for path in matches(local_path(str(word)) or word):
            crops = _crop_folders(path, crop_kind, depth=3) if path.is_dir() else []
            if crops and any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir()):
                raise InputFileError(f"{path} holds both videos and folders of crops; name the one that is meant")
            found += crops or _videos(path)
    found += _remote_videos(remote)
    _check_names(found)
    return tuple(found)


def _remote_videos(urls: Sequence[str]) -> list[ExtractSource]:
    inputs = expand_urls(urls, None) if urls else []
    pictures = [one.place for one in inputs if one.kind != "video"]
    if pictures:
        raise InputFileError(f"{pictures[0]} is a picture; of what is behind URLs, features come from videos only")
    return [ExtractSource(one.path, one.path.stem, CropKind.DETECTED, one.url) for one in inputs]


def _videos(path: Path) -> list[ExtractSource]:
    if path.is_dir() and not any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir()):
        raise InputFileError(
            f"{path} holds neither videos nor, up to three folders down, crops named by their frame from 00001.jpg on"
        )
    inputs = expand_inputs([path], None)
    if any(one.kind != "video" for one in inputs):
        raise InputFileError(
            f"{path}: features come from videos, or from crops named by their frame, such as 00001.jpg; these images "
            "have other names"
        )
    return [ExtractSource(one.path, one.path.stem, CropKind.DETECTED) for one in inputs]


def _crop_folders(folder: Path, kind: CropKind | None, depth: int) -> list[ExtractSource]:
    """Return the folders of crops in a folder, or the folder itself."""
    try:
        entries = sorted((entry for entry in folder.iterdir() if entry.name[0] != "."), key=natural_order)
    except OSError as error:
        raise InputFileError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
    if any(frame_of_crop(entry.name) is not None for entry in entries):
        return [ExtractSource(folder, _named(folder).name, kind or _kind_of(folder))]
    if not depth:
        return []
    return [source for entry in entries if entry.is_dir() for source in _crop_folders(entry, kind, depth - 1)]


def _named(folder: Path) -> Path:
    """Return the folder without `.` and `..` in it, but by the names of the links that lead to it."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() follows links, absolute() keeps `..`


def _kind_of(folder: Path) -> CropKind:
    names = (part.lower() for part in reversed(_named(folder).parts))
    return next((_KIND_OF_FOLDER[name] for name in names if name in _KIND_OF_FOLDER), CropKind.CROPPED)


def _check_names(found: Sequence[ExtractSource]) -> None:
    counts = Counter((source.name, source.kind) for source in found)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        places = [source.place for source in found if (source.name, source.kind) == twice]
        raise InputError(f"the name {twice[0]} stands for {' and '.join(places[:3])}; rename one of them")


def video_of(source: ExtractSource, videos: Path) -> Path:
    """Return the video that a crop folder was cut from: its name, without `_left` or `_right`, with any suffix.

    Raises:
        InputFileError: there is none, or more than one.
    """
    for name in dict.fromkeys((source.name, group_of(source.name))):
        found = sorted(path for path in videos.iterdir() if path.stem == name and path.suffix.lower() in VIDEO_SUFFIXES)
        if len(found) == 1:
            return found[0]
        if found:
            raise InputFileError(f"{videos} has several videos {name}: {', '.join(path.name for path in found)}")
    raise InputFileError(
        f"{videos} has no video {group_of(source.name)} for the crops in {source.path}; leave out --videos for "
        "nominal times"
    )
