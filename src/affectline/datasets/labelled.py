"""Labels joined with features: what heads are trained, tuned and scored on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.features import FeatureInfo, FeatureTable
from affectline.heads.head import BackboneRef
from affectline.labels import Task

TRAIN, VALIDATION = "train", "val"
"""The two splits, as labels.csv and the command line name them."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSequence:
    """One face of one video over time: its labels, and the rows of the feature tables that show it.

    Attributes:
        video: name of the video or crop folder.
        group: what resampling and cross-validation keep together: the video without `_left` and `_right`.
        tables: by backbone digest; the same rows are the same faces in all of them.
        rows: shape (r,), intp, row numbers in the tables, at most one for each frame, in the order of frames.
        frame_count: number of frames of the video that scores are asked for: enough for every label and row.
        labelled_frame: shape (m,), int64, frames with a valid label, increasing.
        target: the labels of those frames. VA: shape (m, number of labels), float32, in [-1, 1]. EXPR: shape (m,),
            int64, positions in the labels. AU: shape (m, number of labels), float32, 0 or 1.
    """

    video: str
    group: str
    tables: Mapping[str, FeatureTable]
    rows: NDArray[np.intp]
    frame_count: int
    labelled_frame: NDArray[np.int64]
    target: NDArray[np.float32] | NDArray[np.int64]

    @property
    def row_frame(self) -> NDArray[np.int64]:
        """Frame of each of `rows`, shape (r,), int64, increasing."""
        table = next(iter(self.tables.values()))
        return table.frame[self.rows]

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Whether each labelled frame has a face, shape (m,)."""
        return np.isin(self.labelled_frame, self.row_frame)

    @property
    def labelled_positions(self) -> NDArray[np.intp]:
        """Positions in `rows` of the labelled frames that have a face, shape (number of True in `has_face`,)."""
        return np.searchsorted(self.row_frame, self.labelled_frame[self.has_face])

    @property
    def labelled_rows(self) -> NDArray[np.intp]:
        """Row numbers of the labelled frames that have a face, shape (number of True in `has_face`,)."""
        return self.rows[self.labelled_positions]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledTables:
    """The labelled faces of one split, for one task.

    Attributes:
        task: what the labels are of.
        labels: what `LabelledSequence.target` counts or holds, in order.
        sequences: at least one.
        source: what the data are, for cards and messages, such as `Aff-Wild2 layout, VA train`.
        missing: labelled videos that were left out because the store has no features of them.
    """

    task: Task
    labels: tuple[str, ...]
    sequences: tuple[LabelledSequence, ...]
    source: str
    missing: tuple[str, ...] = ()

    @property
    def infos(self) -> Mapping[str, FeatureInfo]:
        """What the feature tables are of, by digest (the first sequence's)."""
        return {digest: table.info for digest, table in self.sequences[0].tables.items()}

    @property
    def backbones(self) -> tuple[BackboneRef, ...]:
        """The backbones whose features are here."""
        return tuple(BackboneRef(info.backbone, digest) for digest, info in self.infos.items())

    @property
    def frame_count(self) -> int:
        """Number of labelled frames, with or without a face."""
        return sum(len(sequence.labelled_frame) for sequence in self.sequences)
