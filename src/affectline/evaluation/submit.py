"""A head's decisions for every row that a challenge asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.layout import SUBJECT_SUFFIXES, group_of
from affectline.datasets.sequences import largest_faces
from affectline.datasets.submission import Sample
from affectline.errors import InputError
from affectline.evaluation.needed_features import require_backbones
from affectline.evaluation.sequence_scores import USUAL_INTERVAL_S, decide, frame_interval_s, neutral_scores
from affectline.features import CropKind, FeatureTable
from affectline.features.store import FeatureStore
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
    """

    values: NDArray[np.generic]
    without_face: tuple[str, ...]


class VideoTables:
    """Opens the features of a video for all backbones of a head.

    Args:
        store: where.
        head: whose backbones are needed.
        crop_kind: None for the only one that the store has.

    Raises:
        InputError: the store lacks a backbone or the crop kind.
    """

    def __init__(self, store: FeatureStore, head: Head, crop_kind: CropKind | None = None) -> None:
        require_backbones(store, head, "the head")
        digests = [ref.digest for ref in head.card.backbones]
        self._store = store
        self._kinds = {digest: store.find_crop_kind(digest, crop_kind) for digest in digests}
        self._videos = frozenset.intersection(*(store.videos(digest, kind) for digest, kind in self._kinds.items()))
        counts = {
            entry.video: entry.frame_count
            for entry in store.entries
            if entry.digest == digests[0] and entry.crop_kind is self._kinds[digests[0]]
        }
        self._frame_counts: Mapping[str, int] = counts

    def name_of(self, video: str) -> str | None:
        """Return the name under which the store has a video, without `_left` or `_right` if need be; None if not."""
        return next((name for name in (video, group_of(video)) if name in self._videos), None)

    def frame_counts(self, videos: Sequence[str]) -> dict[str, int]:
        """Return the number of frames of each video.

        Raises:
            InputError: the store lacks one.
        """
        names = {video: self.name_of(video) for video in videos}
        missing = [video for video, name in names.items() if name is None]
        if missing:
            raise InputError(
                f"{self._store.folder} has no features of {_listed(missing)}, so their number of frames is not known; "
                "extract them, or give the sample file of the challenge"
            )
        return {video: self._frame_counts[name] for video, name in names.items() if name is not None}

    def of(self, video: str) -> tuple[Mapping[str, FeatureTable], NDArray[np.intp]] | None:
        """Return the tables of a video and the rows that show its subject; None if there is no row."""
        name = self.name_of(video)
        if name is None:
            return None
        tables = {digest: self._store.open(digest, kind, name) for digest, kind in self._kinds.items()}
        table = next(iter(tables.values()))
        rows = largest_faces(table) if name == video else faces_on_side(table, video)
        return (tables, rows) if len(rows) else None


def submission_values(
    head: Head,
    sample: Sample,
    tables: VideoTables,
    *,
    allow_missing: bool = False,
    on_progress: ProgressHook = ignore_progress,
) -> SubmissionValues:
    """Return a decision for each row of a sample.

    Per video: scores, gaps filled over the whole video and edges copied, smoothed over all frames, decided.

    Args:
        head: with its decision.
        sample: the rows.
        tables: the features.
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
    found = {video: tables.of(video) for video in sample.videos}
    missing = tuple(video for video, opened in found.items() if opened is None)
    if missing and not allow_missing:
        raise InputError(
            f"the store has no face features of {_listed(missing)}; extract these videos, or give their rows the "
            "neutral constant with --allow-missing"
        )
    # EXPR is decided from scores (n, 8), so all tasks share one array here.
    scores = np.tile(neutral_scores(card.task, len(card.labels)), (len(sample), 1))
    ends = np.cumsum(np.bincount(sample.video, minlength=len(sample.videos)))
    for number, rows in enumerate(np.split(np.argsort(sample.video, kind="stable"), ends[:-1])):
        opened = found[sample.videos[number]]
        if opened is not None:
            frames = sample.frame[rows]
            scores[rows] = _smoothed(head, *opened, int(frames.max()) + 1)[frames]
        on_progress(number + 1, len(sample.videos))
    return SubmissionValues(decide(card.task, scores, card.decision.thresholds), missing)


def _smoothed(
    head: Head, tables: Mapping[str, FeatureTable], rows: NDArray[np.intp], n_frames: int
) -> NDArray[np.float64]:
    """Return smoothed scores of every frame of a video, at least `n_frames`."""
    table = next(iter(tables.values()))
    found = predict(head, tables, rows)
    frame_count = max(n_frames, table.info.frame_count, int(found.frame[-1]) + 1)
    interval_s = frame_interval_s(table, rows) or USUAL_INTERVAL_S
    decision = head.card.decision
    dense = fill_frames(found.frame, found.values, frame_count)
    return smooth_frames(dense, int(decision.radius_s / interval_s + 0.5), decision.mode)


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
    centre_x = table.box_xyxy[:, [0, 2]].mean(axis=1)
    if len(table) and np.isnan(centre_x).any():
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


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - enough to recognise them
    return ", ".join(names[:3]) + more
