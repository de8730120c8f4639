"""A head's decisions for every row that a challenge asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.stored_videos import StoredVideos, listed
from affectline.datasets.submission import Sample
from affectline.errors import InputError
from affectline.evaluation.sequence_scores import USUAL_INTERVAL_S, decide, frame_interval_s, neutral_scores
from affectline.features import FeatureTable
from affectline.heads.head import Head, predict
from affectline.postprocess.dense import fill_frames
from affectline.postprocess.frame_filters import smooth_frames
from affectline.progress import ProgressHook, ignore_progress


@dataclass(frozen=True, slots=True, eq=False)
class SubmissionValues:
    """What goes into the rows of a submission.

    Attributes:
        values: for each row of the sample; see `datasets.submission.write_submission`.
        without_face: videos for which nothing is known; their rows hold the neutral constant (VA 0, EXPR the first
            class, AU all off).
        beyond: by video, how many rows lie behind the last frame that its features know of and repeat it. Only videos
            with a row more than one frame behind it: samples of Aff-Wild2 often ask for one frame more than there is.
    """

    values: NDArray[np.generic]
    without_face: tuple[str, ...]
    beyond: Mapping[str, int]


def submission_values(
    head: Head,
    sample: Sample,
    videos: StoredVideos,
    *,
    allow_missing: bool = False,
    on_progress: ProgressHook = ignore_progress,
) -> SubmissionValues:
    """Return a decision for each row of a sample.

    Per video: scores, gaps filled over the whole video and edges copied, smoothed over all frames, decided.

    Args:
        head: with its decision.
        sample: the rows.
        videos: their features.
        allow_missing: give videos without any face the neutral constant.
        on_progress: called with the number of videos done.

    Raises:
        InputError: the head's labels are not those of the challenge, or a video has no features.
    """
    card = head.card
    if card.labels != card.task.official_labels:
        raise InputError(
            f"a submission needs {', '.join(card.task.official_labels)}; the head gives {', '.join(card.labels)}"
        )
    found = {video: videos.subject(video) for video in sample.videos}
    missing = tuple(video for video, opened in found.items() if opened is None or not len(opened[1]))
    if missing and not allow_missing:
        raise InputError(
            f"the store has no face features of {listed(missing)}; extract these videos, or give their rows the "
            "neutral constant with --allow-missing"
        )
    # EXPR is decided from scores (n, 8), so all tasks share one array here.
    scores = np.tile(neutral_scores(card.task, len(card.labels)), (len(sample), 1))
    beyond: dict[str, int] = {}
    ends = np.cumsum(np.bincount(sample.video, minlength=len(sample.videos)))
    for number, rows in enumerate(np.split(np.argsort(sample.video, kind="stable"), ends[:-1])):
        video, frames = sample.videos[number], sample.frame[rows]
        opened = found[video]
        if opened is not None and len(opened[1]):
            smoothed, n_known = _smoothed(head, *opened, int(frames.max()) + 1)
            scores[rows] = smoothed[np.minimum(frames, len(smoothed) - 1)]
            if frames.max() > n_known:
                beyond[video] = int((frames >= n_known).sum())
        on_progress(number + 1, len(sample.videos))
    return SubmissionValues(decide(card.task, scores, card.decision.thresholds), missing, beyond)


def _smoothed(
    head: Head, tables: Mapping[str, FeatureTable], rows: NDArray[np.intp], n_frames: int
) -> tuple[NDArray[np.float64], int]:
    """Return smoothed scores of the frames of a video, and how many frames its features know of.

    There are `n_frames` of them, or fewer where all that follow are equal to the last one.
    """
    table = next(iter(tables.values()))
    found = predict(head, tables, rows)
    n_known = max(table.info.frame_count, int(found.frame[-1]) + 1)
    interval_s = frame_interval_s(table, rows) or USUAL_INTERVAL_S
    decision = head.card.decision
    radius = int(decision.radius_s / interval_s + 0.5)
    # Two radii behind the last known frame a window holds copies of it alone.
    dense = fill_frames(found.frame, found.values, max(n_known, min(n_frames, n_known + 2 * radius + 1)))
    return smooth_frames(dense, radius, decision.mode), n_known
