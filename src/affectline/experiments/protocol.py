"""From the scores of a row's heads to its figures: on the videos that decisions were chosen on, and on others.

The paper chooses weights, radius and thresholds on the validation videos and reports the score on the same ones
(`chosen`). `cross_validated` chooses them on all folds of source videos but one and decides on that one, in turn: what
is left of the gain on videos that no decision has seen. Heads are trained once, on the training videos, for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from affectline.datasets.labelled import LabelledTables
from affectline.evaluation.blending import BlendOptions, choose_weights, mix_scores
from affectline.evaluation.scoring import labelled_scores
from affectline.evaluation.sequence_scores import SequenceScores, decide
from affectline.evaluation.tuning import DEFAULT_RADII, TuneOptions, tune_scores
from affectline.experiments.recipes import Row
from affectline.heads.cascade import SURE_FROM_GRID, cascaded
from affectline.heads.head import Decision
from affectline.labels import Task
from affectline.postprocess.paper_exact import fill_gaps_reversed
from affectline.postprocess.thresholds import deal_folds

Scores = Sequence[SequenceScores]

MEDIAN_RADII: Final = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
"""Frames to each side; a median has no running sum, so fewer are tried than of a mean."""

MIN_FOLD_VIDEOS: Final = 2
"""Of videos that a decision is chosen on."""


@dataclass(frozen=True, slots=True)
class ProtocolOptions:
    """How figures are made.

    Attributes:
        folds: of source videos.
        seed: of the folds.
        radii: of filters, in frames of the usual rate, each tried.
    """

    folds: int = 5
    seed: int = 0
    radii: tuple[int, ...] = DEFAULT_RADII


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen on labelled videos.

    Attributes:
        weights: of each head; empty for one alone and for a cascade.
        sure_from: of a cascade; None for others.
        median_radius: of a median filter, frames; None for other filters.
        decision: filter, thresholds, adjustment.
    """

    weights: tuple[float, ...] = ()
    sure_from: float | None = None
    median_radius: int | None = None
    decision: Decision = field(default_factory=Decision)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions on the labelled frames of all videos, one after the other.

    Attributes:
        scores: shape (n, K), smoothed.
        decisions: VA: shape (n, K). EXPR: shape (n,), positions in the labels. AU: shape (n, K), bool.
    """

    scores: NDArray[np.float64]
    decisions: NDArray[np.generic]


def prepared(row: Row, parts: Sequence[Scores]) -> list[Scores]:
    """Return the scores of a row's heads as its ablation wants them, all on the same frames."""
    changed = [[_changed(row, one) for one in part] for part in parts]
    if row.counts_frames:
        usual = float(np.median([one.interval_s for one in changed[0]]))
        changed = [[replace(one, interval_s=usual) for one in part] for part in changed]
    together = [_on_same_frames(row.task, sequences) for sequences in zip(*changed, strict=True)]
    return [list(part) for part in zip(*together, strict=True)]


def _changed(row: Row, one: SequenceScores) -> SequenceScores:
    if not row.reverses_gaps or not len(one.frame):
        return one
    values = fill_gaps_reversed(one.frame, one.values, one.frame_count).astype(np.float32)
    return replace(one, frame=np.arange(one.frame_count), values=values)


def _on_same_frames(task: Task, sequences: Sequence[SequenceScores]) -> list[SequenceScores]:
    """Return the scores of several heads for one face; where they know different frames, those that one knows."""
    first = sequences[0].frame
    if all(np.array_equal(first, one.frame) for one in sequences):
        return list(sequences)
    frames = np.unique(np.concatenate([one.frame for one in sequences]))
    frames = frames[frames < min(one.frame_count for one in sequences)]
    return [replace(one, frame=frames, values=one.dense(task)[frames].astype(np.float32)) for one in sequences]


def choose(row: Row, parts: Sequence[Scores], data: LabelledTables, options: ProtocolOptions) -> Choice:
    """Return what is best for a row on labelled videos.

    Args:
        row: which.
        parts: `prepared` scores of its heads.
        data: the labelled videos that they are of, in the same order.
        options: how.
    """
    if row.combination == "cascade":
        tried = [_decision(row, parts, data, options, Choice(sure_from=sure)) for sure in SURE_FROM_GRID]
        return max(tried, key=lambda pair: pair[1])[0]
    weights: tuple[float, ...] = ()
    if len(parts) > 1:
        # As the paper does, without a test on held-out videos: `cross_validated` is that test.
        blend = BlendOptions("grid", options.folds, options.seed, _tune_options(row, options), is_tested=False)
        weights = choose_weights(parts, data, blend).weights
    return _decision(row, parts, data, options, Choice(weights))[0]


def joined(parts: Sequence[Scores], choice: Choice) -> Scores:
    """Return the scores of a row's heads as one, unsmoothed."""
    if choice.sure_from is not None:
        return [
            replace(first, values=cascaded(first.values, second.values, choice.sure_from))
            for first, second in zip(*parts, strict=True)
        ]
    return mix_scores(parts, choice.weights) if choice.weights else parts[0]


def apply(row: Row, parts: Sequence[Scores], choice: Choice) -> Decided:
    """Return the decisions of a row on labelled frames, with what was chosen, perhaps on other videos."""
    together = joined(parts, choice)
    if choice.median_radius is not None:
        together = _medians(row.task, together, choice.median_radius)
    scores = labelled_scores(row.task, together, choice.decision)
    return Decided(scores, decide(row.task, scores, choice.decision.thresholds))


def cross_validated(
    row: Row, parts: Sequence[Scores], data: LabelledTables, options: ProtocolOptions
) -> Decided | None:
    """Return decisions on every labelled frame, each with what was chosen on videos of other folds.

    `_left` and `_right` of a video are in one fold. None where there are too few videos for that.
    """
    groups = [one.group for one in data.sequences]
    if len(set(groups)) <= MIN_FOLD_VIDEOS:
        return None
    frames = [len(one.labelled_frame) for one in data.sequences]
    fold_of_frame = deal_folds(np.repeat(groups, frames), options.folds, options.seed)
    fold = fold_of_frame[np.cumsum([0, *frames])[:-1]]
    found: list[Decided | None] = [None] * len(groups)
    for number in range(int(fold.max()) + 1):
        seen, unseen = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        others = replace(data, sequences=tuple(data.sequences[index] for index in seen))
        choice = choose(row, [_picked(part, seen) for part in parts], others, options)
        for index in unseen:
            found[index] = apply(row, [_picked(part, [index]) for part in parts], choice)
    whole = [one for one in found if one is not None]
    return Decided(np.concatenate([one.scores for one in whole]), np.concatenate([one.decisions for one in whole]))


def _picked(part: Scores, indices: Sequence[int]) -> list[SequenceScores]:
    return [part[index] for index in indices]


def _tune_options(row: Row, options: ProtocolOptions) -> TuneOptions:
    return TuneOptions(
        radii=options.radii if row.smoothing in {"mean", "gaussian"} else (0,),
        mode="gaussian" if row.smoothing == "gaussian" else "centred",
        thresholds=row.thresholds or "best",
        adjust=row.is_adjusted,
        folds=options.folds,
        seed=options.seed,
    )


def _decision(
    row: Row, parts: Sequence[Scores], data: LabelledTables, options: ProtocolOptions, choice: Choice
) -> tuple[Choice, float]:
    """Return the choice with filter, thresholds and adjustment chosen, and its score."""
    tune, together = _tune_options(row, options), joined(parts, choice)
    if row.smoothing != "median":
        tuned = tune_scores(data, together, tune)
        return replace(choice, decision=tuned.decision), tuned.validation["p"]
    tried = []
    for radius in MEDIAN_RADII:
        tuned = tune_scores(data, _medians(row.task, together, radius), tune)
        tried.append((replace(choice, median_radius=radius, decision=tuned.decision), tuned.validation["p"]))
    return max(tried, key=lambda pair: pair[1])


def _medians(task: Task, scores: Scores, radius: int) -> list[SequenceScores]:
    """Return the running median over 2 `radius` + 1 frames; beyond its ends a video is mirrored."""
    found = []
    for one in scores:
        dense = one.dense(task)
        values = np.stack([median_filter(column, 2 * radius + 1, mode="reflect") for column in dense.T], axis=1)
        found.append(replace(one, frame=np.arange(one.frame_count), values=values.astype(np.float32)))
    return found
