"""How good a head is on labelled faces: the official score with an interval, and what is behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledTables
from affectline.datasets.layout import group_of
from affectline.evaluation.sequence_scores import SequenceScores, decide, score_sequences
from affectline.heads.blend import BlendHead
from affectline.heads.head import Decision, Head
from affectline.labels import Task
from affectline.metrics.bootstrap import MIN_GROUPS, bootstrap_interval
from affectline.metrics.report import Report, make_report
from affectline.progress import ProgressHook, ignore_progress

TUNED_ON: Final = "tuned_on"
"""Key of `HeadCard.training`: the data on which the decision was chosen, in words."""

TUNED_ON_DIGEST: Final = "tuned_on_digest"
"""Key of `HeadCard.training`: `data_digest` of those data."""

TRAINED_ON: Final = "trained_on"
"""Key of `HeadCard.training`: the `video_fingerprint` of each training video, with spaces between them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How scores become figures.

    Attributes:
        paper_exact: as the notebook behind the paper did (`postprocess.paper_exact`), on frames with a face only.
    """

    paper_exact: bool = False


DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good decisions are.

    Attributes:
        task: of what.
        all_frames: on every labelled frame; None with `paper_exact`, which knows frames with a face only.
        with_face: on the labelled frames that have a face, as the reference notebooks score; None if no frame has one.
        frame_wise: without smoothing, on the frames of `all_frames` (of `with_face` with `paper_exact`), with the
            decision that was best for that when the head was tuned.
        interval: 95 % bootstrap interval of the score of `main`, by video; None with fewer than
            `metrics.bootstrap.MIN_GROUPS` videos, where it means nothing.
        decision: what was used.
        videos: number of groups that were scored and resampled.
        videos_without_face: names of the videos in which no face was found at all; neutral scores stand for them.
        is_tuned_here: the decision was chosen on these very data: the figures are too good by a little.
        trained_on_here: number of the groups scored here that the head was trained on: the figures say nothing about
            new videos. 0 where the head's card does not tell what it was trained on.
    """

    task: Task
    all_frames: Report | None
    with_face: Report | None
    frame_wise: Report
    interval: tuple[float, float] | None
    decision: Decision
    videos: int
    videos_without_face: tuple[str, ...]
    is_tuned_here: bool
    trained_on_here: int

    @property
    def main(self) -> Report:
        """The report that counts: on all labelled frames, with `paper_exact` on those with a face."""
        return self.all_frames or self.with_face or self.frame_wise


def evaluate(
    head: Head,
    data: LabelledTables,
    rules: Rules = DEFAULT_RULES,
    *,
    resamples: int = 1000,
    seed: int = 0,
    on_progress: ProgressHook = ignore_progress,
) -> Evaluation:
    """Return how good a head is, with the decision that its card holds.

    Per video: scores, gaps filled and edges copied, smoothed over all frames, then judged on the labelled frames.

    Args:
        head: any; its task and labels are those of the data.
        data: labelled faces.
        rules: how scores become figures.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        on_progress: called with the number of videos done.

    Raises:
        InputError: head and data do not fit; see `score_sequences`.
        ShapeError: no frame is labelled (with `paper_exact`: none with a face).
    """
    frames = _Frames.of(data, rules)
    scores = score_sequences(head, data, on_progress)
    decided, frame_wise = (
        decide(data.task, labelled_scores(data.task, scores, decision, rules), decision.thresholds)
        for decision in (head.card.decision, head.card.with_radius(0.0).decision)
    )
    return Evaluation(
        data.task,
        *frames.reports(decided),
        frames.report(frame_wise),
        frames.interval(decided, resamples, seed),
        head.card.decision,
        len(frames.group_names),
        tuple(one.video for one in scores if not len(one.frame)),
        head.card.training.get(TUNED_ON_DIGEST) == data_digest(data),
        _count_known(training_fingerprints(head), data, frames.group_names),
    )


def evaluate_constant(
    data: LabelledTables, rules: Rules = DEFAULT_RULES, *, resamples: int = 1000, seed: int = 0
) -> Evaluation:
    """Return how good it is to say the same of every frame: VA 0, EXPR the commonest class of the data, AU all on.

    What a head is worth is what it does better. Arguments and errors as `evaluate`.
    """
    frames = _Frames.of(data, rules)
    decisions: NDArray[np.generic]
    if data.task is Task.EXPR:
        decisions = np.full(len(frames.truth), np.argmax(np.bincount(frames.truth.astype(np.int64))))
    else:
        decisions = np.full((len(frames.truth), len(data.labels)), 0.0 if data.task is Task.VA else 1.0)
    return Evaluation(
        data.task,
        *frames.reports(decisions),
        frames.report(decisions),
        frames.interval(decisions, resamples, seed),
        Decision(),
        len(frames.group_names),
        tuple(one.video for one in data.sequences if not len(one.rows)),
        False,
        0,
    )


def labelled_scores(
    task: Task, scores: Sequence[SequenceScores], decision: Decision, rules: Rules = DEFAULT_RULES
) -> NDArray[np.float64]:
    """Return the adjusted, smoothed scores of all labelled frames (`paper_exact`: of those with a face), (n, K)."""
    scores = [one.adjusted(decision.logit_adjustment) for one in scores]
    if rules.paper_exact:
        return np.concatenate([one.labelled_as_paper(task, decision) for one in scores])
    return np.concatenate([one.labelled(task, decision) for one in scores])


def data_digest(data: LabelledTables) -> str:
    """Return a text that tells labelled data from others: 16 digits of a sha256 over videos, frames and labels."""
    digest = hashlib.sha256()
    for sequence in sorted(data.sequences, key=lambda one: one.video):
        digest.update(f"{sequence.video}\0{len(sequence.labelled_frame)}\0".encode())
        digest.update(np.ascontiguousarray(sequence.labelled_frame).tobytes())
        digest.update(np.ascontiguousarray(sequence.target).tobytes())
    return digest.hexdigest()[:16]


def video_fingerprint(video: str) -> str:
    """Return 8 digits that tell a video from others: of a sha256 of its name without `_left` and `_right`."""
    return hashlib.sha256(group_of(video).encode()).hexdigest()[:8]


def training_fingerprints(head: Head) -> frozenset[str]:
    """Return the fingerprint of every video that a head, or a part of it, was trained on; empty where no card tells."""
    parts = head.parts if isinstance(head, BlendHead) else ()
    own = frozenset(head.card.training.get(TRAINED_ON, "").split())
    return own.union(*map(training_fingerprints, parts))


def _count_known(known: frozenset[str], data: LabelledTables, groups: frozenset[str]) -> int:
    """Return how many of the groups have a video with one of the fingerprints."""
    return len(groups & {one.group for one in data.sequences if video_fingerprint(one.video) in known})


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """The frames that are judged, of all videos, one after the other.

    Attributes:
        data: where they come from.
        truth: shape (n, ...).
        group: shape (n,), position of each frame's group in `every_group`.
        every_group: names of the groups of the data, also of those without a frame here.
        has_face: shape (n,).
        paper_exact: frames without a face were left out.
    """

    data: LabelledTables
    truth: NDArray[np.generic]
    group: NDArray[np.intp]
    every_group: tuple[str, ...]
    has_face: NDArray[np.bool_]
    paper_exact: bool

    @property
    def group_names(self) -> frozenset[str]:
        """The groups that have a frame here."""
        return frozenset(self.every_group[number] for number in np.unique(self.group).tolist())

    @classmethod
    def of(cls, data: LabelledTables, rules: Rules) -> _Frames:
        has_face = [one.has_face for one in data.sequences]
        is_kept = has_face if rules.paper_exact else [np.ones_like(flags) for flags in has_face]
        every_group, numbers = np.unique([one.group for one in data.sequences], return_inverse=True)
        return cls(
            data,
            np.concatenate([one.target[kept] for one, kept in zip(data.sequences, is_kept, strict=True)]),
            np.repeat(numbers.reshape(-1), [int(kept.sum()) for kept in is_kept]),
            tuple(every_group.tolist()),
            np.concatenate([flags[kept] for flags, kept in zip(has_face, is_kept, strict=True)]),
            rules.paper_exact,
        )

    def report(self, decisions: NDArray[np.generic]) -> Report:
        return make_report(self.data.task, self.truth, decisions, self.data.labels)

    def reports(self, decisions: NDArray[np.generic]) -> tuple[Report | None, Report | None]:
        """Return the reports on all labelled frames and on those with a face, None for one that does not exist."""
        if self.paper_exact:
            return None, self.report(decisions)
        if not self.has_face.any():
            return self.report(decisions), None
        truth, picked = self.truth[self.has_face], decisions[self.has_face]
        return self.report(decisions), make_report(self.data.task, truth, picked, self.data.labels)

    def interval(self, decisions: NDArray[np.generic], resamples: int, seed: int) -> tuple[float, float] | None:
        """Return the interval of the score; None where there are too few groups for one."""
        if len(self.group_names) < MIN_GROUPS:
            return None
        labels = self.data.labels
        return bootstrap_interval(
            self.data.task, self.truth, decisions, self.group, labels, resamples=resamples, seed=seed
        )
