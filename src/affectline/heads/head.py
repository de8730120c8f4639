"""What every head is: features of one task in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError
from affectline.features import CropKind, FeatureTable, refuse_other_faces
from affectline.labels import Task
from affectline.postprocess.smoothing import SmoothingMode
from affectline.records import FaceFeatures, FloatArray

ROWS_AT_ONCE: Final = 16_384
"""Rows of a table that a head sees together: bounds memory at 84 MB for 1280 numbers each."""


MAX_RADIUS_S: Final = 10_000.0
"""What is longer than any video is a mistake."""


@dataclass(frozen=True, slots=True)
class BackboneRef:
    """A backbone, by its name and the sha256 of its file; the digest decides."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Decision:
    """How the scores of a head become decisions, chosen on validation data.

    Attributes:
        radius_s: of the filter over time, seconds; 0 smooths nothing.
        mode: which filter.
        thresholds: AU: for each label the score from which the unit is on. Empty for other tasks.
        logit_adjustment: EXPR: added to the logarithm of each class's probability. Empty where nothing is added, and
            for other tasks.

    Raises:
        InputError: a number is not finite, or the radius is not in 0 to `MAX_RADIUS_S`.
    """

    radius_s: float = 0.0
    mode: SmoothingMode = "centred"
    thresholds: tuple[float, ...] = ()
    logit_adjustment: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.radius_s <= MAX_RADIUS_S:
            raise InputError(f"a radius is 0 to {MAX_RADIUS_S:g} seconds, got {self.radius_s}")
        for name, numbers in (("thresholds", self.thresholds), ("logit adjustment", self.logit_adjustment)):
            if not np.isfinite(numbers).all():
                raise InputError(f"the {name} of a decision must be finite numbers, got {list(numbers)}")


@dataclass(frozen=True, slots=True)
class HeadCard:
    """What a head says of itself; the JSON part of its file.

    Attributes:
        task: what it predicts.
        labels: the columns of its scores: `valence` and `arousal`, expression values or action unit names.
        backbones: whose features it needs.
        crop_kind: the crops that it was trained on; None where it was not trained.
        decision: how its scores become decisions.
        frame_wise: the decision that is best without smoothing, of radius 0; None where it was not looked for.
        validation: metric name to value, on the validation data; empty where there was none.
        training: what it was trained on and how (data, videos, frames, model, seed, versions), as text by name.

    Raises:
        InputError: a label stands there twice, or a decision has another number of thresholds or offsets than labels.
    """

    task: Task
    labels: tuple[str, ...]
    backbones: tuple[BackboneRef, ...]
    crop_kind: CropKind | None = None
    decision: Decision = field(default_factory=Decision)
    frame_wise: Decision | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise InputError(f"a head needs labels, each once, got {', '.join(self.labels) or 'none'}")
        for decision in (self.decision, self.frame_wise or self.decision):
            for name, numbers in (("thresholds", decision.thresholds), ("offsets", decision.logit_adjustment)):
                if len(numbers) not in {0, len(self.labels)}:
                    raise InputError(f"a head with {len(self.labels)} labels cannot have {len(numbers)} {name}")

    def with_radius(self, radius_s: float) -> HeadCard:
        """Return the card with another radius, seconds; without smoothing, `frame_wise` decides if it is known."""
        if radius_s == 0 and self.frame_wise is not None:
            return replace(self, decision=self.frame_wise)
        return replace(self, decision=replace(self.decision, radius_s=radius_s))


class Head(Protocol):
    """Turns features of one task into scores, frame by frame.

    Scores are in [-1, 1] for VA; probabilities with row sum 1 for EXPR; probabilities in [0, 1] for AU.
    """

    @property
    def card(self) -> HeadCard:
        """What the head says of itself."""

    def with_card(self, card: HeadCard) -> Head:
        """Return the same head with another card: a decision, metrics."""

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32, before the decision's adjustment.

        Args:
            features: by backbone digest; all with the same n faces.
        """


class Context(str, Enum):
    """What else of a face's track the score of a frame rests on."""

    NONE = "none"
    """Nothing: the frame alone."""

    WINDOW = "window"
    """The frames before and after it."""

    CAUSAL = "causal"
    """The frames before it."""


class FaceFollower(Protocol):
    """Scores one face while its frames come, in bounded memory."""

    def push(self, encoded: FloatArray, time_s: float) -> FloatArray:
        """Return the scores of the face's next frame, shape (number of labels,), float32.

        Args:
            encoded: shape (encoding size,), float32.
            time_s: seconds, not before the last one.
        """


@runtime_checkable
class ContextHead(Head, Protocol):
    """A head that looks at a face over time: each face is encoded alone, then a track's encodings are scored together.

    `score` gives what it says of faces of which nothing else is known, such as independent images.
    """

    @property
    def context(self) -> Context:
        """What the score of a frame rests on."""

    @property
    def encoding_size(self) -> int:
        """How many numbers an encoding has."""

    @property
    def memory_s(self) -> float:
        """A face that stays away for longer, in seconds, is begun anew."""

    def encode(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the encodings of n faces, shape (n, encoding size), float32.

        Args:
            features: by backbone digest; all with the same n faces.
        """

    def score_encoded(self, encoded: FloatArray, time_s: NDArray[np.float64]) -> FloatArray:
        """Return the scores of one face over time, shape (n, number of labels), float32, before the adjustment.

        Args:
            encoded: shape (n, encoding size), float32, from `encode`, in the order of time.
            time_s: shape (n,), float64, seconds, never decreasing.
        """

    def follow(self) -> FaceFollower:
        """Return what scores one face frame by frame, with the numbers that `score_encoded` gives.

        Raises:
            InputError: the head looks ahead.
        """


def context_head(head: Head) -> ContextHead | None:
    """Return the head if it looks at more than single frames, None if it does not."""
    return head if isinstance(head, ContextHead) and head.context is not Context.NONE else None


def score_tracks(
    head: ContextHead, encoded: FloatArray, track_id: NDArray[np.int64], time_s: NDArray[np.float64]
) -> FloatArray:
    """Return the scores of the faces of one video, shape (n, number of labels), float32, before the adjustment.

    Args:
        head: scores each track for itself, in the order of time.
        encoded: shape (n, encoding size), float32.
        track_id: shape (n,), int64.
        time_s: shape (n,), float64, seconds.
    """
    values = np.empty((len(encoded), len(head.card.labels)), np.float32)
    for track in np.unique(track_id):
        rows = np.flatnonzero(track_id == track)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        values[rows] = head.score_encoded(encoded[rows], time_s[rows])
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of the rows of a feature table.

    Attributes:
        task: what they are scores of.
        labels: their columns.
        frame: shape (n,), int64.
        track_id: shape (n,), int64; 0 where nobody tracked.
        values: shape (n, number of labels), float32; EXPR with a logit adjustment: not normalised yet (`adjust`).
    """

    task: Task
    labels: tuple[str, ...]
    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    values: FloatArray


def predict(head: Head, tables: Mapping[str, FeatureTable], rows: NDArray[np.intp] | None = None) -> Scores:
    """Return a head's scores for rows of the feature tables of one video, the decision's adjustment included.

    A head with a context scores the rows of each track together; the other rows of the tables count as unseen.

    Args:
        head: any.
        tables: one for each backbone of the head, by digest, with the same faces in the same rows.
        rows: row numbers; None for all.

    Raises:
        InputError: a backbone that the head needs is not among the tables (both digests are named), or the tables do
            not have the same rows.
    """
    used = {ref.digest: _table_of(ref, tables) for ref in head.card.backbones}
    refuse_other_faces(used.values())
    first = next(iter(used.values()))
    numbers = np.arange(len(first)) if rows is None else rows
    parts = [numbers[start : start + ROWS_AT_ONCE] for start in range(0, len(numbers), ROWS_AT_ONCE)]
    track_id, context = first.track_id[numbers], context_head(head)
    read, width = (head.score, len(head.card.labels)) if context is None else (context.encode, context.encoding_size)
    found = [read({digest: table.features(part) for digest, table in used.items()}) for part in parts]
    values = np.concatenate([np.empty((0, width), np.float32), *found])
    if context is not None:
        values = score_tracks(context, values, track_id, first.time_s[numbers])
    return Scores(
        head.card.task,
        head.card.labels,
        first.frame[numbers],
        track_id,
        adjust(values, head.card.decision.logit_adjustment),
    )


def _table_of(ref: BackboneRef, tables: Mapping[str, FeatureTable]) -> FeatureTable:
    if ref.digest in tables:
        return tables[ref.digest]
    there = ", ".join(f"{table.info.backbone} (sha256 {digest})" for digest, table in tables.items()) or "none"
    raise InputError(
        f"the head was trained on features of {ref.name} (sha256 {ref.digest}), but these are features of {there}; "
        "extract features with the head's backbone, or train a head for this one"
    )


def adjust(probabilities: FloatArray, logit_adjustment: tuple[float, ...]) -> FloatArray:
    """Return probabilities with a number added to each class's logarithm (Menon et al. 2021), not normalised.

    A mean over time of such scores is the mean of the probabilities with the same numbers added: that is how they were
    chosen. `normalise` comes behind the filter.

    Args:
        probabilities: shape (n, K), rows sum to 1.
        logit_adjustment: K numbers; empty leaves everything as it is.
    """
    if not logit_adjustment:
        return probabilities
    return np.asarray(probabilities * np.exp(np.asarray(logit_adjustment, np.float32)), np.float32)


def normalise(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return scores (n, K), 0 or above, divided by their sum; NaN stays NaN."""
    total = np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(scores / total, scores.dtype)
