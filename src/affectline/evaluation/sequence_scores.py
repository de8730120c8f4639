"""What a head says of labelled faces: computed once, then filled, smoothed and judged as often as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.errors import InputError
from affectline.features import FeatureTable
from affectline.heads.head import Decision, Head, HeadCard, adjust, predict
from affectline.labels import Task
from affectline.postprocess.dense import fill_frames
from affectline.postprocess.frame_filters import smooth_frames
from affectline.postprocess.paper_exact import fill_gaps_reversed, smooth_observed
from affectline.postprocess.thresholds import FIXED_THRESHOLD
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FloatArray

USUAL_INTERVAL_S: Final = 1 / 30
"""Seconds between frames where no video says it: most of Aff-Wild2 has 30 frames a second."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceScores:
    """The scores of one labelled face over time, nothing filled, smoothed or decided.

    Attributes:
        video: name of the video or crop folder.
        group: what resampling and cross-validation keep together.
        frame: shape (r,), int64, frames with a face, increasing; may be empty.
        values: shape (r, K), float32, the head's scores of those frames.
        frame_count: number of frames of the video.
        interval_s: seconds from frame to frame, the median.
        labelled_frame: shape (m,), int64, increasing.
        truth: VA and AU: shape (m, K). EXPR: shape (m,), positions in the labels.
    """

    video: str
    group: str
    frame: NDArray[np.int64]
    values: FloatArray
    frame_count: int
    interval_s: float
    labelled_frame: NDArray[np.int64]
    truth: NDArray[np.float32] | NDArray[np.int64]

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Whether each labelled frame has a face, shape (m,)."""
        return np.isin(self.labelled_frame, self.frame)

    def adjusted(self, logit_adjustment: tuple[float, ...]) -> SequenceScores:
        """Return the same with a decision's logit adjustment in the scores."""
        return replace(self, values=adjust(self.values, logit_adjustment)) if logit_adjustment else self

    def radius(self, radius_s: float) -> int:
        """Return how many frames of this video a radius in seconds holds, rounded."""
        return int(radius_s / self.interval_s + 0.5)

    def dense(self, task: Task) -> NDArray[np.float64]:
        """Return a score for each frame of the video, shape (frame_count, K), unsmoothed.

        Gaps are filled on a straight line, edges copied; a video without any face gets `neutral_scores`.
        """
        if not len(self.frame):
            return np.tile(neutral_scores(task, self.values.shape[1]), (self.frame_count, 1))
        return fill_frames(self.frame, self.values, self.frame_count)

    def labelled(self, task: Task, decision: Decision) -> NDArray[np.float64]:
        """Return the smoothed scores of the labelled frames, shape (m, K)."""
        return smooth_frames(self.dense(task), self.radius(decision.radius_s), decision.mode)[self.labelled_frame]

    def labelled_as_paper(self, task: Task, decision: Decision) -> NDArray[np.float64]:
        """Return the scores of the labelled frames that have a face, as the notebook made them (`paper_exact`)."""
        radius, frames = self.radius(decision.radius_s), self.labelled_frame[self.has_face]
        if not len(frames):
            return np.empty((0, self.values.shape[1]))
        if task is Task.EXPR:
            return smooth_frames(fill_gaps_reversed(self.frame, self.values, self.frame_count), radius)[frames]
        return smooth_observed(self.values[np.searchsorted(self.frame, frames)], radius)


def neutral_scores(task: Task, n_labels: int) -> NDArray[np.float64]:
    """Return what stands for a face that was never seen, shape (K,): 0 for VA and AU, 1 / K for EXPR."""
    return np.full(n_labels, 1 / n_labels if task is Task.EXPR else 0.0)


def score_sequences(
    head: Head, data: LabelledTables, on_progress: ProgressHook = ignore_progress
) -> tuple[SequenceScores, ...]:
    """Return what a head says of every labelled face, without the logit adjustment of its own decision.

    Args:
        head: any.
        data: labelled faces with the features that the head needs.
        on_progress: called with the number of videos done.

    Raises:
        InputError: the head is of another task or other labels, or a backbone that it needs is not among the features;
            both digests are named.
    """
    check_labels(head.card, data)
    plain = head.with_card(replace(head.card, decision=Decision()))
    intervals = frame_intervals_s(data.sequences)
    scores = []
    for number, (sequence, interval_s) in enumerate(zip(data.sequences, intervals, strict=True), start=1):
        found = predict(plain, sequence.tables, sequence.rows)
        scores.append(
            SequenceScores(
                sequence.video,
                sequence.group,
                found.frame,
                found.values,
                sequence.frame_count,
                interval_s,
                sequence.labelled_frame,
                sequence.target,
            )
        )
        on_progress(number, len(data.sequences))
    return tuple(scores)


def check_labels(card: HeadCard, data: LabelledTables) -> None:
    """Raise InputError unless a head predicts what the data are labelled with."""
    if card.task is not data.task:
        raise InputError(
            f"the head predicts {card.task.value}, the labels are of {data.task.value}; choose another head"
        )
    if card.labels != data.labels:
        raise InputError(
            f"the head predicts {', '.join(card.labels)}, the data ({data.source}) are labelled with "
            f"{', '.join(data.labels)}; both must be the same, in the same order"
        )


def decide(task: Task, values: NDArray[np.floating], thresholds: Sequence[float] = ()) -> NDArray[np.generic]:
    """Return decisions: VA (n, K) as they are, EXPR (n,) positions of the highest score, AU (n, K) bool.

    Args:
        task: what the scores are of.
        values: shape (n, K).
        thresholds: AU: from which score a unit is on; empty stands for 0.5.
    """
    if task is Task.VA:
        return values
    if task is Task.EXPR:
        return np.asarray(np.argmax(values, axis=1))
    return np.asarray(values >= (np.asarray(thresholds) if len(thresholds) else FIXED_THRESHOLD))


def frame_interval_s(table: FeatureTable, rows: NDArray[np.intp]) -> float | None:
    """Return the median time from frame to frame, seconds; None where fewer than two frames tell it.

    Args:
        table: with the times.
        rows: of one face, in the order of frames.
    """
    frames, times_s = table.frame[rows], table.time_s[rows]
    if len(rows) < 2 or not times_s[-1] > times_s[0]:  # noqa: PLR2004 - a difference needs two
        return None
    return float(np.median(np.diff(times_s) / np.diff(frames)))


def frame_intervals_s(sequences: Sequence[LabelledSequence]) -> list[float]:
    """Return the frame interval of each sequence, seconds; the others' median where one does not tell its own."""
    found = [frame_interval_s(next(iter(one.tables.values())), one.rows) for one in sequences]
    known = [interval for interval in found if interval]
    usual = float(np.median(known)) if known else USUAL_INTERVAL_S
    return [interval or usual for interval in found]
