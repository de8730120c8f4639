"""A folder of feature tables: which there are, and where.

    STORE/<backbone>-<first 8 digits of its digest>/<crop kind>/<video>.arrow

The files are the truth: each holds its own `FeatureInfo`, so that a store can be copied and merged by hand. `index.csv`
says the same in one place; it is written again after every change and never trusted.
"""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.ipc

from affectline.atomic_file import complete_file
from affectline.errors import InputError, InputFileError, OutputError
from affectline.features.table import METADATA_KEY, CropKind, FeatureInfo, FeatureTable

INDEX_NAME: Final = "index.csv"
SUFFIX: Final = ".arrow"
DIGITS_IN_NAME: Final = 8
MIN_DIGITS: Final = 6
"""Digits of a digest that are enough to ask for a backbone by it."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One table of a store; the fields are the columns of `index.csv`.

    Attributes:
        video: name of the video.
        backbone: its name.
        digest: sha256 of the backbone's file.
        crop_kind: where the crops came from.
        rows: number of faces.
        frame_count: number of frames of the video.
        path: relative to the store.
    """

    video: str
    backbone: str
    digest: str
    crop_kind: CropKind
    rows: int
    frame_count: int
    path: str


class FeatureStore:
    """The feature tables in a folder.

    Args:
        folder: made if `create` is set.
        create: the folder may be missing.

    Raises:
        InputFileError: there is no such folder.
        OutputError: it cannot be made.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.folder = folder
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot make the store {folder}: {error.strerror}; choose another folder") from error
        if not folder.is_dir():
            raise InputFileError(f"there is no feature store {folder}; make it with `affectline extract`")

    def path_of(self, info: FeatureInfo) -> Path:
        """Return where the table of this video, backbone and crop kind lies."""
        name = f"{_file_name(info.backbone)}-{info.digest[:DIGITS_IN_NAME]}"
        return self.folder / name / info.crop_kind.value / f"{_file_name(info.video)}{SUFFIX}"

    def refresh(self) -> None:
        """Look at the folder again, and write `index.csv`.

        Raises:
            OutputError: the index cannot be written.
        """
        self.__dict__.pop("entries", None)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(StoreEntry)])
        for entry in self.entries:
            writer.writerow(
                [
                    entry.video,
                    entry.backbone,
                    entry.digest,
                    entry.crop_kind.value,
                    entry.rows,
                    entry.frame_count,
                    entry.path,
                ]
            )
        with complete_file(self.folder / INDEX_NAME) as file:
            file.write(text.getvalue().encode())

    @cached_property
    def entries(self) -> tuple[StoreEntry, ...]:
        """Every table, in the order of its path.

        Raises:
            InputFileError: a file is damaged or no feature file.
        """
        return tuple(
            _entry(path, self.folder) for path in sorted(self.folder.glob(f"*/*/*{SUFFIX}")) if _is_named(path)
        )

    def find_backbone(self, wanted: str | None) -> tuple[str, str]:
        """Return name and digest of the backbone that a name or the start of a digest stands for.

        Args:
            wanted: None stands for the only one in the store.

        Raises:
            InputError: there is none, or more than one.
        """
        known = dict.fromkeys((entry.backbone, entry.digest) for entry in self.entries)
        if not known:
            raise InputError(f"the feature store {self.folder} is empty; fill it with `affectline extract`")
        if wanted is None:
            found = list(known)
        else:
            by_digest = len(wanted) >= MIN_DIGITS
            found = [
                (name, digest)
                for name, digest in known
                if name == wanted or (by_digest and digest.startswith(wanted.lower()))
            ]
        if len(found) != 1:
            there = ", ".join(f"{name} ({digest[:12]})" for name, digest in known)
            asked = "several backbones" if wanted is None else f"no single backbone {wanted}"
            raise InputError(
                f"{self.folder} has features of {asked}; there are: {there}; name one with --backbone, by its name or "
                f"the first {MIN_DIGITS} digits or more of its sha256"
            )
        return found[0]

    def find_crop_kind(self, digest: str, wanted: CropKind | None) -> CropKind:
        """Return the crop kind that is wanted, or the only one that the store has for a backbone.

        Of `cropped` and `cropped_aligned` it is `cropped` if nothing was wanted: the better one in the paper (Table 2).

        Raises:
            InputError: it is not there, or nothing was wanted and there are several.
        """
        there = list(dict.fromkeys(entry.crop_kind for entry in self.entries if entry.digest == digest))
        if wanted in there:
            return wanted
        if wanted is None and len(there) == 1:
            return there[0]
        if wanted is None and set(there) == {CropKind.CROPPED, CropKind.CROPPED_ALIGNED}:
            return CropKind.CROPPED
        names = ", ".join(kind.value for kind in there) or "none"
        asked = "name one with --crops" if wanted is None else f"{wanted.value} is not among them"
        raise InputError(f"{self.folder} has features of these crops for the backbone {digest[:12]}: {names}; {asked}")

    def videos(self, digest: str, kind: CropKind) -> frozenset[str]:
        """Return the names of the videos with features of a backbone on such crops."""
        return frozenset(self._paths(digest, kind))

    def open(self, digest: str, kind: CropKind, video: str) -> FeatureTable:
        """Open a table without reading its rows.

        Raises:
            InputFileError: there is none, or its file is damaged.
        """
        paths = self._paths(digest, kind)
        if video not in paths:
            near = ", ".join(difflib.get_close_matches(video, list(paths), 3)) or "none alike"
            raise InputFileError(
                f"{self.folder} has no features of the video {video} by the backbone {digest[:12]} on {kind.value} "
                f"crops (alike: {near}); extract them first"
            )
        return FeatureTable.open(self.folder / paths[video])

    def _paths(self, digest: str, kind: CropKind) -> dict[str, str]:
        return {entry.video: entry.path for entry in self.entries if entry.digest == digest and entry.crop_kind is kind}


def read_info(path: Path) -> tuple[FeatureInfo, int]:
    """Return what a feature file is of, and its number of rows, without reading the rows.

    Raises:
        InputFileError: the file is damaged or no feature file.
    """
    try:
        with pa.memory_map(str(path)) as source, pyarrow.ipc.open_file(source) as reader:
            text = (reader.schema.metadata or {}).get(METADATA_KEY, b"").decode()
            rows = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        return FeatureInfo.from_json(text, str(path)), rows
    except (OSError, pa.ArrowInvalid, InputError) as error:
        raise InputFileError(f"{path} is no feature file ({error}); remove it and extract it again") from error


def _entry(path: Path, folder: Path) -> StoreEntry:
    info, rows = read_info(path)
    place = path.relative_to(folder).as_posix()
    return StoreEntry(info.video, info.backbone, info.digest, info.crop_kind, rows, info.frame_count, place)


def _is_named(path: Path) -> bool:
    """Return whether a file is no half-written one of a killed run."""
    return not path.name.startswith(".")


def _file_name(text: str) -> str:
    """Return a text as a file name: separators and what some systems refuse become `_`."""
    return "".join("_" if character in '<>:"/\\|?*' or ord(character) < 32 else character for character in text)  # noqa: PLR2004 - control characters
