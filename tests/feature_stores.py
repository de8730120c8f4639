"""Small feature stores on disk, for heads that read their scores straight from the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectline.features import CropKind
from affectline.features.store import FeatureStore
from affectline.features.writer import write_features
from affectline.labels import Task
from affectline.records import FaceFeatures
from labelled_examples import DIGEST, logits_for, make_info


def put_video(  # noqa: PLR0913 - the last two have defaults
    folder: Path,
    task: Task,
    video: str,
    seen: Mapping[int, Sequence[float]],
    frame_count: int,
    *,
    digest: str = DIGEST,
    crop_kind: CropKind = CropKind.CROPPED,
) -> FeatureStore:
    """Add a video with the scores that `reading_head` gives for the frames with a face; return the store."""
    scores = np.array(list(seen.values()), np.float64).reshape(len(seen), -1 if seen else 2)
    wide = np.zeros((len(seen), 8), np.float32)
    wide[:, : scores.shape[1]] = logits_for(task, scores)
    info = replace(make_info(video, frame_count, digest), crop_kind=crop_kind)
    return _put(folder, info, np.array(list(seen), int), wide)


def put_two_faces(
    folder: Path, video: str, faces: Sequence[tuple[int, float, float]], frame_count: int
) -> FeatureStore:
    """Add a video of several faces: frame, centre of the box in x, valence."""
    frame, centre_x, valence = map(np.array, zip(*faces, strict=True))
    wide = np.zeros((len(faces), 8), np.float32)
    wide[:, 0] = np.arctanh(valence)
    boxes = np.stack([centre_x - 10, 0 * centre_x, centre_x + 10, 0 * centre_x + 20], axis=1).astype(np.float32)
    tracks = np.array([1 + list(frame[:row]).count(frame[row]) for row in range(len(frame))])
    info = replace(make_info(video, frame_count), crop_kind=CropKind.DETECTED)
    return _put(folder, info, frame, wide, tracks, boxes)


def _put(folder, info, frame, logits, tracks=None, boxes=None) -> FeatureStore:
    store = FeatureStore(folder, create=True)
    features = FaceFeatures(np.zeros((len(frame), 1), np.float32), logits)
    write_features(store, info, (frame, frame / 30, features, tracks, boxes, None))
    store.refresh()
    return store
