"""Small labelled data in memory, and heads that read their scores straight from the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.features import CropKind, FeatureInfo, FeaturePart, FeatureTable, TimeSource, feature_schema
from affectline.heads.head import BackboneRef, Decision, HeadCard
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.labels import AFFECTNET_8, Task

DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32
LABELS = {
    Task.VA: ("valence", "arousal"),
    Task.EXPR: Task.EXPR.official_labels,
    Task.AU: ("AU1", "AU2", "AU4"),
}
"""At most eight, the number of logits."""


def make_info(video: str, frame_count: int, digest: str = DIGEST, rate_fps: float = 30.0) -> FeatureInfo:
    return FeatureInfo(
        video, f"net-{digest[:2]}", digest, AFFECTNET_8, 1.0, 1, False, CropKind.CROPPED, None, None,
        TimeSource.NOMINAL, rate_fps, frame_count, "0",
    )  # fmt: skip


def make_table(info: FeatureInfo, frames: Sequence[int] | np.ndarray, logits: np.ndarray) -> FeatureTable:
    """Return a table whose first logits are those given, shape (n, up to 8), the others 0."""
    n = len(frames)
    wide = np.zeros((n, 8), np.float32)
    wide[:, : logits.shape[1]] = logits
    columns = {
        "frame": np.asarray(frames, np.int64),
        "time_s": np.asarray(frames) / info.rate_fps,
        "track_id": pa.nulls(n, pa.int32()),
        "box_xyxy": pa.nulls(n, pa.list_(pa.float32(), 4)),
        "face_score": pa.nulls(n, pa.float32()),
        "embedding": pa.FixedSizeListArray.from_arrays(np.zeros(n, np.float16), 1),
        "logits": pa.FixedSizeListArray.from_arrays(wide.reshape(-1), 8),
    }
    schema = feature_schema(info)
    return FeatureTable(
        pa.table([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema), info
    )


def logits_for(task: Task, scores: np.ndarray) -> np.ndarray:
    """Return the logits from which `reading_head` makes these scores: the inverse of the task's activation."""
    scores = np.asarray(scores, np.float64)
    if task is Task.VA:
        return np.arctanh(scores)
    return np.log(scores) if task is Task.EXPR else np.log(scores / (1 - scores))


def reading_head(
    task: Task, decision: Decision | None = None, digest: str = DIGEST, labels: tuple[str, ...] | None = None
) -> MlpHead:
    """Return a head that applies the activation of the task to the first logits and does nothing else."""
    labels = labels or LABELS[task]
    card = HeadCard(task, labels, (BackboneRef(f"net-{digest[:2]}", digest),), decision=decision or Decision())
    weight = np.eye(len(labels), 8, dtype=np.float32)
    layer = DenseLayer(weight, np.zeros(len(labels), np.float32))
    return MlpHead(card, (FeaturePart.LOGITS,), (layer,), np.zeros(8, np.float32), np.ones(8, np.float32))


def sequence(
    task: Task,
    video: str,
    seen: Mapping[int, Sequence[float]],
    truth: Mapping[int, float | Sequence[float]],
    *,
    frame_count: int,
    rate_fps: float = 30.0,
) -> LabelledSequence:
    """Return a video with the scores that `reading_head` gives for the frames with a face, and labels by frame."""
    scores = np.array(list(seen.values()), np.float64).reshape(len(seen), len(LABELS[task]))
    table = make_table(make_info(video, frame_count, rate_fps=rate_fps), list(seen), logits_for(task, scores))
    target = np.array(list(truth.values()), np.int64 if task is Task.EXPR else np.float32)
    group = video.removesuffix("_left").removesuffix("_right")
    frames = np.array(list(truth), np.int64)
    return LabelledSequence(video, group, {DIGEST: table}, np.arange(len(seen)), frame_count, frames, target)


def tables(task: Task, *sequences: LabelledSequence, labels: tuple[str, ...] | None = None) -> LabelledTables:
    return LabelledTables(task, labels or LABELS[task], sequences, "examples")


def noisy_data(
    task: Task, seed: int, videos: int = 6, frames: int = 300, noise: Sequence[float] = (1.0,)
) -> LabelledTables:
    """Return random videos whose slow truth is seen through noise, once for each backbone: DIGEST, OTHER_DIGEST.

    Every tenth frame has no face.
    """
    rng = np.random.default_rng(seed)
    n_labels = len(LABELS[task])
    sequences = []
    for number in range(videos):
        slow = np.repeat(rng.normal(size=(frames // 20 + 1, n_labels)), 20, axis=0)[:frames]
        seen = np.flatnonzero(np.arange(frames) % 10 != 7)
        opened = {}
        for digest, amount in zip((DIGEST, OTHER_DIGEST), noise, strict=False):
            logits = slow + amount * rng.normal(size=slow.shape)
            opened[digest] = make_table(make_info(f"v{number}", frames, digest), seen, logits[seen].astype(np.float32))
        if task is Task.VA:
            truth = np.tanh(slow).astype(np.float32)
        else:
            truth = np.argmax(slow, axis=1) if task is Task.EXPR else (slow > 0.5).astype(np.float32)
        sequences.append(
            LabelledSequence(f"v{number}", f"v{number}", opened, np.arange(len(seen)), frames, np.arange(frames), truth)
        )
    return LabelledTables(task, LABELS[task], tuple(sequences), f"noisy {seed}")
