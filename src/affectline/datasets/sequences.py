"""Putting one face's labels and feature rows together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.datasets.layout import group_of
from affectline.errors import InputError
from affectline.features import FeaturePart, FeatureTable
from affectline.records import FaceFeatures

_CHECKED_ROWS = 65_536


def make_sequence(
    video: str,
    tables: Mapping[str, FeatureTable],
    rows: NDArray[np.intp],
    frames: NDArray[np.int64],
    target: NDArray[np.float32] | NDArray[np.int64],
    n_lines: int = 0,
) -> LabelledSequence:
    """Return the sequence of a face.

    Args:
        video: its name.
        tables: by digest.
        rows: of the face in the tables, in the order of frames.
        frames: with a label, increasing.
        target: the labels.
        n_lines: number of frames that the annotation speaks of, valid or not.
    """
    table = next(iter(tables.values()))
    last_row = int(table.frame[rows[-1]]) if len(rows) else -1
    frame_count = max(n_lines, table.info.frame_count, int(frames[-1]) + 1, last_row + 1)
    return LabelledSequence(video, group_of(video), tables, rows, frame_count, frames, target)


def largest_faces(table: FeatureTable) -> NDArray[np.intp]:
    """Return the row of the largest face of each frame, in the order of frames; ready crops have one for each frame."""
    frame = table.frame
    if not (np.diff(frame) == 0).any():
        return np.arange(len(table))
    box = table.box_xyxy
    area = np.nan_to_num((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]))
    order = np.lexsort((-area, frame))
    return np.asarray(order[np.unique(frame[order], return_index=True)[1]], np.intp)


def check_finite(data: LabelledTables, parts: tuple[FeaturePart, ...], *, every_row: bool = False) -> None:
    """Refuse features that no training survives.

    Args:
        data: labelled faces.
        parts: which features are used.
        every_row: look at the faces between the labelled ones too.

    Raises:
        InputError: one of the faces has NaN or infinite features among the parts; video and frame are named.
    """
    for sequence in data.sequences:
        every = sequence.rows if every_row else sequence.labelled_rows
        for table in sequence.tables.values():
            for start in range(0, len(every), _CHECKED_ROWS):
                rows = every[start : start + _CHECKED_ROWS]
                is_wrong = ~_are_finite(table.features(rows, parts))
                if is_wrong.any():
                    frame = int(table.frame[rows[np.argmax(is_wrong)]])
                    raise InputError(
                        f"{sequence.video}, frame {frame}: the features by {table.info.backbone} hold NaN or infinite "
                        "numbers; extract the video again"
                    )


def _are_finite(features: FaceFeatures) -> NDArray[np.bool_]:
    columns = [features.embedding, features.logits, features.valence, features.arousal]
    flags = [np.isfinite(column).reshape(len(column), -1).all(axis=1) for column in columns if column is not None]
    return np.asarray(np.logical_and.reduce(flags))
