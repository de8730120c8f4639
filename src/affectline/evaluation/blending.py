"""Joins heads of one task: a weighted mean of their scores, with weights chosen on labelled videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, get_args

import numpy as np

from affectline.datasets.labelled import LabelledTables
from affectline.errors import InputError
from affectline.evaluation.blend_metrics import BlendMetric, blend_metric
from affectline.evaluation.blend_weights import BlendMethod, WeightsFound, find_weights
from affectline.evaluation.scoring import labelled_scores
from affectline.evaluation.sequence_scores import SequenceScores, score_sequences
from affectline.evaluation.tuning import Tuned, TuneOptions, tune_scores, tuned_card
from affectline.heads.blend import BlendHead, joint_backbones
from affectline.heads.head import Decision, Head, HeadCard, normalise
from affectline.labels import Task
from affectline.postprocess.thresholds import deal_folds

_SEARCH_FRAMES: Final = 100_000
"""Labelled frames on which weights are compared (not VA): neighbouring frames say nearly the same."""


@dataclass(frozen=True, slots=True)
class BlendOptions:
    """How a blend is made.

    Attributes:
        method: `grid` or `optimise`; see `blend_weights.find_weights`.
        folds: of videos, for the test on held-out videos.
        seed: of the folds.
        tune: how its decision is chosen afterwards.
        is_tested: whether a head alone is taken where no blend beats it on held-out videos.
    """

    method: BlendMethod = "grid"
    folds: int = 5
    seed: int = 0
    tune: TuneOptions = field(default_factory=TuneOptions)
    is_tested: bool = True


DEFAULT_BLEND_OPTIONS: Final = BlendOptions()


@dataclass(frozen=True, slots=True)
class Blended:
    """A blend and how it was found.

    Attributes:
        head: the blend, with its decision; heads with weight 0 are left out.
        weights: one for each head that was given, sum 1.
        held_out_p: score of what was chosen on held-out videos, at one radius.
        part_held_out_p: likewise of each head alone.
        mixed_held_out_p: likewise of the mixture that was looked for, also where a head alone was chosen instead.
        tuned: its decision and metrics.
    """

    head: BlendHead
    weights: tuple[float, ...]
    held_out_p: float
    part_held_out_p: tuple[float, ...]
    mixed_held_out_p: float
    tuned: Tuned


def parse_method(text: str) -> BlendMethod:
    """Return the method that a word names.

    Raises:
        InputError: there is no such method.
    """
    methods: tuple[BlendMethod, ...] = get_args(BlendMethod)
    for method in methods:
        if text == method:
            return method
    raise InputError(f"no method {text!r}; known methods: {', '.join(methods)}")


def blend_heads(
    heads: Sequence[Head],
    data: LabelledTables,
    options: BlendOptions = DEFAULT_BLEND_OPTIONS,
    names: Sequence[str] | None = None,
) -> Blended:
    """Return the best blend of heads, or the best of them alone where no blend beats it on held-out videos.

    Args:
        heads: of one task, with the labels of the data; each keeps its own logit adjustment.
        data: labelled videos, best those on which the heads were not trained, with the features of all backbones.
        options: how.
        names: what to call the heads in the blend's card; their numbers if None.

    Raises:
        InputError: no heads, heads and data do not fit, or fewer than two videos.
    """
    if not heads:
        raise InputError("a blend needs at least one head; name the files of two or more")
    parts = [_part_scores(head, data) for head in heads]
    found = choose_weights(parts, data, options)
    weights, best_part_p = found.weights, max(found.part_p)
    tuned = tune_scores(data, mix_scores(parts, weights), options.tune)
    held_out_p = best_part_p if max(weights) == 1 else found.blend_p
    held_out = {"blend_p_held_out": held_out_p, "best_part_p_held_out": best_part_p}
    tuned = replace(tuned, validation={**tuned.validation, **held_out})
    blend = _join(heads, weights, names or [str(number) for number in range(1, len(heads) + 1)], options)
    blend = blend.with_card(tuned_card(blend.card, data, tuned))
    return Blended(blend, weights, held_out_p, found.part_p, found.blend_p, tuned)


def _part_scores(head: Head, data: LabelledTables) -> list[SequenceScores]:
    """Return a head's scores as `BlendHead` takes them: with its own logit adjustment."""
    scores = score_sequences(head, data)
    adjustment = head.card.decision.logit_adjustment
    return [replace(one, values=normalise(one.adjusted(adjustment).values)) if adjustment else one for one in scores]


def choose_weights(
    parts: Sequence[Sequence[SequenceScores]], data: LabelledTables, options: BlendOptions = DEFAULT_BLEND_OPTIONS
) -> WeightsFound:
    """Return the best weights of several heads' scores.

    Blends are smoothed as the equal blend is smoothed best, each head alone as it is.

    Args:
        parts: of each head, in one order of the sequences.
        data: the labelled videos that the scores are of.
        options: how.

    Raises:
        InputError: fewer than two videos, where weights are tested on held-out ones.
    """
    groups = np.repeat([one.group for one in parts[0]], [len(one.truth) for one in parts[0]])
    is_alone = not options.is_tested and len(np.unique(groups)) == 1
    fold = np.zeros(len(groups), np.intp) if is_alone else deal_folds(groups, options.folds, options.seed)
    n_folds = int(fold.max()) + 1
    step = 1 if data.task is Task.VA else max(1, len(fold) // _SEARCH_FRAMES)
    truth = np.concatenate([one.truth for one in parts[0]])[::step]
    tune = replace(options.tune, adjust=False)

    def filter_of(scores: Sequence[SequenceScores]) -> Decision:
        tuned = tune_scores(data, scores, tune).decision
        return Decision(tuned.radius_s, tuned.mode)

    def metric(filters: Sequence[Decision]) -> BlendMetric:
        smoothed = [labelled_scores(data.task, *pair)[::step] for pair in zip(parts, filters, strict=True)]
        scores = np.stack(smoothed).astype(np.float32)
        return blend_metric(data.task, scores, truth, fold[::step], n_folds, options.tune.thresholds)

    together = filter_of(mix_scores(parts, (1.0,) * len(parts)))
    alone = [filter_of(part) for part in parts]
    metrics = metric([together] * len(parts)), metric(alone)
    return find_weights(*metrics, len(parts), n_folds, options.method, is_tested=options.is_tested)


def mix_scores(parts: Sequence[Sequence[SequenceScores]], weights: Sequence[float]) -> list[SequenceScores]:
    """Return the weighted mean of several heads' scores, exactly as `BlendHead` computes it.

    Args:
        parts: of each head, in one order of the sequences; all on the same frames.
        weights: one for each head, 0 or above.
    """
    given = np.array(weights, np.float32)
    shares = given / given.sum()
    mixed = []
    for sequences in zip(*parts, strict=True):
        total = shares[0] * sequences[0].values
        for share, one in zip(shares[1:], sequences[1:], strict=True):
            total = total + share * one.values
        mixed.append(replace(sequences[0], values=total))
    return mixed


def _join(heads: Sequence[Head], weights: Sequence[float], names: Sequence[str], options: BlendOptions) -> BlendHead:
    """Return the blend of the heads that have a weight, undecided."""
    used = [number for number, weight in enumerate(weights) if weight > 0]
    parts = tuple(heads[number] for number in used)
    kinds = {part.card.crop_kind for part in parts}
    card = HeadCard(
        parts[0].card.task,
        parts[0].card.labels,
        joint_backbones(parts),
        kinds.pop() if len(kinds) == 1 else None,
        training={
            "model": "blend",
            "parts": ", ".join(f"{names[number]}: {weights[number]:.3g}" for number in used),
            "method": options.method,
            "folds": str(options.folds),
            "seed": str(options.seed),
        },
    )
    return BlendHead(card, parts, np.array([weights[number] for number in used], np.float32))
