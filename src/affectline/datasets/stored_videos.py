"""The videos of a feature store, as one or several backbones saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.layout import SUBJECT_SUFFIXES, group_of
from affectline.datasets.sequences import largest_faces
from affectline.errors import InputError
from affectline.features import CropKind, FeatureTable, refuse_other_faces
from affectline.features.store import FeatureStore


class StoredVideos:
    """Opens the features of a video for every backbone that is asked for.

    Args:
        store: where.
        digests: of the backbones, at least one.
        crop_kind: None for the only one that the store has.

    Attributes:
        names: the videos that have features of all backbones.

    Raises:
        InputError: the store lacks the crop kind, or has several and none was named.
    """

    def __init__(self, store: FeatureStore, digests: Sequence[str], crop_kind: CropKind | None = None) -> None:
        self._store = store
        self._kinds = {digest: store.find_crop_kind(digest, crop_kind) for digest in digests}
        self.names = frozenset.intersection(*(store.videos(digest, kind) for digest, kind in self._kinds.items()))

    def tables(self, name: str) -> Mapping[str, FeatureTable]:
        """Return the tables of one of `names`, by digest.

        Raises:
            InputError: they are not of the same faces.
        """
        tables = {digest: self._store.open(digest, kind, name) for digest, kind in self._kinds.items()}
        refuse_other_faces(tables.values())
        return tables

    def subject(self, video: str) -> tuple[Mapping[str, FeatureTable], NDArray[np.intp]] | None:
        """Return the tables of a video and the rows of its subject, one a frame at most; None if it is not there.

        The subject of `NAME_left` and `NAME_right` is found by its side where the store has `NAME` alone
        (`faces_on_side`), that of any other video is the largest face.

        Raises:
            InputError: a side was asked for and the features do not tell where a face is.
        """
        name = self._name_of(video)
        if name is None:
            return None
        tables = self.tables(name)
        table = next(iter(tables.values()))
        return tables, largest_faces(table) if name == video else faces_on_side(table, video)

    def frame_counts(self, videos: Sequence[str]) -> dict[str, int]:
        """Return the number of frames of each video.

        Raises:
            InputError: the store lacks one.
        """
        names = {video: self._name_of(video) for video in videos}
        missing = [video for video, name in names.items() if name is None]
        if missing:
            raise InputError(
                f"{self._store.folder} has no features of {listed(missing)}, so their number of frames is not known; "
                "extract them, or give the sample file of the challenge"
            )
        digest, kind = next(iter(self._kinds.items()))
        counts = {
            entry.video: entry.frame_count
            for entry in self._store.entries
            if entry.digest == digest and entry.crop_kind is kind
        }
        return {video: counts[name] for video, name in names.items() if name is not None}

    def _name_of(self, video: str) -> str | None:
        return next((name for name in (video, group_of(video)) if name in self.names), None)


def faces_on_side(table: FeatureTable, video: str) -> NDArray[np.intp]:
    """Return the rows of the left or right subject of a video with two, at most one for each frame.

    Where a frame has several faces, the leftmost (rightmost) counts. A face alone in its frame counts for the side of
    the median midpoint between the two on which it lies. Left is the left of the picture.

    Args:
        table: of the whole video, with boxes.
        video: a name that ends with `_left` or `_right`.

    Raises:
        InputError: the table has no boxes.
    """
    if not len(table):
        return np.empty(0, np.intp)
    centre_x = table.box_xyxy[:, [0, 2]].mean(axis=1)
    if np.isnan(centre_x).any():
        raise InputError(
            f"the features of {table.info.video} tell nothing of where a face is, so {video} cannot be told from the "
            "other subject; extract the crop folder of this name"
        )
    order = np.lexsort((centre_x, table.frame))
    frame = table.frame[order]
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    last = np.append(first[1:], len(frame)) - 1
    is_pair = last > first
    is_left = video.endswith(SUBJECT_SUFFIXES[0])
    chosen = order[first] if is_left else order[last]
    if is_pair.any():
        middle = np.median((centre_x[order[first]] + centre_x[order[last]])[is_pair] / 2)
        is_on_side = (centre_x[chosen] < middle) == is_left
        chosen = chosen[is_pair | is_on_side]
    return np.asarray(chosen, np.intp)


def listed(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - enough to recognise them
    return ", ".join(names[:3]) + more
