"""From scores to decisions: radius, thresholds and logit adjustment, chosen on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledTables
from affectline.errors import InputError
from affectline.evaluation.scoring import (
    TUNED_ON,
    TUNED_ON_DIGEST,
    Rules,
    data_digest,
    labelled_scores,
)
from affectline.evaluation.sequence_scores import SequenceScores, decide, score_sequences
from affectline.heads.head import Decision, Head, HeadCard, normalise
from affectline.labels import Task
from affectline.metrics.report import Report, make_report
from affectline.postprocess.adjustment import best_adjustment
from affectline.postprocess.paper_exact import grid_thresholds
from affectline.postprocess.smoothing import SmoothingMode
from affectline.postprocess.sweep import DenseSequence, sweep_radii
from affectline.postprocess.thresholds import FIXED_THRESHOLD, best_thresholds, cross_validated_thresholds
from affectline.records import TIME_DECIMALS

ThresholdRule = Literal["best", "fixed", "cv"]

DEFAULT_RADII: Final = (
    *range(11), 12, 15, 18, 20, 22, 25, 28, 30, 35, 40, 45, 50, 55, 60, 70, 80, 100, 125, 150,
)  # fmt: skip
"""In frames: every one where action units are best, up to five seconds at 30 fps (paper, Figures 2 to 5)."""


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How decisions are chosen.

    Attributes:
        radii: of the filter, in frames of the usual rate of the data (the median), each tried.
        mode: which filter.
        thresholds: AU: `best` searches all cut points, `fixed` is 0.5, `cv` takes the mean over folds of videos.
        adjust: EXPR: look for a logit adjustment.
        paper_exact: as the notebook behind the paper: no adjustment, thresholds from a 0.1 grid chosen before
            smoothing, frames with a face only, box filter.
        folds: of `cv`.
        seed: of the folds.
    """

    radii: tuple[int, ...] = DEFAULT_RADII
    mode: SmoothingMode = "centred"
    thresholds: ThresholdRule = "best"
    adjust: bool = True
    paper_exact: bool = False
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.radii or min(self.radii) < 0:
            raise InputError(f"radii must be one or more whole numbers of frames from 0 up, got {self.radii}")
        for value, kind in ((self.thresholds, ThresholdRule), (self.mode, SmoothingMode)):
            if value not in get_args(kind):
                raise InputError(f"{value!r} is not known; choose one of {', '.join(get_args(kind))}")
        if self.paper_exact and self.mode != "centred":
            raise InputError(f"the notebook's filter is centred, not {self.mode}; leave one of the two options out")


FRAME_WISE: Final = "p_frame_wise"
"""The metric without smoothing, with the decision that is best for that."""

_MAX_ROUNDS: Final = 10
"""How often thresholds and radius are chosen in turns, at most."""

DEFAULT_TUNE_OPTIONS: Final = TuneOptions()


@dataclass(frozen=True, slots=True)
class Tuned:
    """A decision and what it was chosen from.

    Attributes:
        decision: for the head's card.
        frame_wise: the best without smoothing, for the card too.
        validation: metrics on the data it was chosen on, for the card: `p` (all labelled frames, smoothed; with
            `paper_exact` on frames with a face), `p_frame_wise` (not smoothed, by `frame_wise`), `frames`, `accuracy`
            (EXPR), the score of each label as `ccc_<label>` or `f1_<label>`, and with `cv` thresholds `p_held_out`.
        sweep: radius in seconds to score, with adjustment and thresholds fixed.
    """

    decision: Decision
    frame_wise: Decision
    validation: Mapping[str, float]
    sweep: Mapping[float, float]


def parse_thresholds(text: str) -> ThresholdRule:
    """Return the rule that a word names.

    Raises:
        InputError: there is no such rule.
    """
    rules: tuple[ThresholdRule, ...] = get_args(ThresholdRule)
    for rule in rules:
        if text == rule:
            return rule
    raise InputError(f"no thresholds {text!r}; choose {', '.join(rules)}")


def tune_decision(head: Head, valid: LabelledTables, options: TuneOptions = DEFAULT_TUNE_OPTIONS) -> Tuned:
    """Return the decision that is best for a head on validation data; the head's own decision plays no part.

    AU: thresholds are chosen on unsmoothed scores, the radius with these thresholds, thresholds once more on the
    smoothed scores, and so on in turns while that helps (with `paper_exact`: one radius, no more). EXPR: the radius is
    chosen without a logit adjustment; the adjustment on scores smoothed by it, the radius with this adjustment, and so
    on in turns while that helps.

    Raises:
        InputError: head and data do not fit; see `sequence_scores.score_sequences`.
    """
    return tune_scores(valid, score_sequences(head, valid), options)


def tuned_head(head: Head, valid: LabelledTables, tuned: Tuned) -> Head:
    """Return the head with a decision in its card, the metrics, and on which data they were chosen."""
    return head.with_card(tuned_card(head.card, valid, tuned))


def tuned_card(card: HeadCard, valid: LabelledTables, tuned: Tuned) -> HeadCard:
    """Return the card with a decision, the metrics, and on which data they were chosen."""
    training = {**card.training, TUNED_ON: valid.source, TUNED_ON_DIGEST: data_digest(valid)}
    return replace(
        card, decision=tuned.decision, frame_wise=tuned.frame_wise, validation=tuned.validation, training=training
    )


def tune_scores(
    valid: LabelledTables, scores: Sequence[SequenceScores], options: TuneOptions = DEFAULT_TUNE_OPTIONS
) -> Tuned:
    """Return the best decision for scores that are there already; see `tune_decision`.

    Args:
        valid: the labelled faces.
        scores: of each of their sequences, without adjustment.
        options: how decisions are chosen.
    """
    plain = _Bench(valid, scores, options).tuned()
    is_probable = all(_are_probabilities(one.values) for one in scores)
    if valid.task is not Task.EXPR or not options.adjust or options.paper_exact or not is_probable:
        return plain
    truth = np.concatenate([one.truth for one in scores]).astype(np.int64)

    def adjusted(start: Decision) -> Tuned:
        values = normalise(labelled_scores(valid.task, scores, start))
        known = np.asarray(start.logit_adjustment or np.zeros(values.shape[1]))
        offsets = known + best_adjustment(values, truth)
        return _Bench(valid, scores, options, tuple(map(float, offsets)) if offsets.any() else ()).tuned()

    best, alone = plain, max(plain, adjusted(plain.frame_wise), key=lambda tuned: tuned.validation[FRAME_WISE])
    for _ in range(_MAX_ROUNDS):
        again = adjusted(best.decision)
        if again.validation["p"] <= best.validation["p"]:
            break
        best = again
    validation = {**best.validation, FRAME_WISE: alone.validation[FRAME_WISE]}
    return replace(best, frame_wise=alone.frame_wise, validation=validation)


def _are_probabilities(values: NDArray[np.floating]) -> bool:
    """Return whether scores can be adjusted: the notebook's gate adds raw logits to them."""
    return not len(values) or (values.min() >= 0 and np.allclose(values.sum(axis=1), 1.0, atol=1e-3))


class _Bench:
    """Tries radii and thresholds behind a given adjustment."""

    def __init__(
        self,
        valid: LabelledTables,
        scores: Sequence[SequenceScores],
        options: TuneOptions,
        adjustment: tuple[float, ...] = (),
    ) -> None:
        self._valid = valid
        self._options = options
        self._rules = Rules(options.paper_exact)
        self._scores = scores
        self._truth = np.concatenate([one.truth[one.has_face] if options.paper_exact else one.truth for one in scores])
        self._start = Decision(0.0, options.mode, logit_adjustment=adjustment)
        self._interval_s = float(np.median([one.interval_s for one in scores]))

    def tuned(self) -> Tuned:
        """Return the best radius and thresholds, found in turns: each sweep has its thresholds fixed."""
        frame_wise, frame_wise_p = self._frame_wise()
        decision, validation, sweep = self._round(frame_wise)
        if self._valid.task is Task.AU and not self._options.paper_exact:
            # Smoothed scores need other thresholds, and these another radius, as long as that helps.
            for _ in range(_MAX_ROUNDS):
                again = self._round(decision)
                if again[1]["p"] <= validation["p"]:
                    break
                decision, validation, sweep = again
        return Tuned(decision, frame_wise, {**validation, FRAME_WISE: frame_wise_p}, sweep)

    def _frame_wise(self) -> tuple[Decision, float]:
        """Return the decision without smoothing, and its score."""
        values = self._labelled(self._start)
        decision = self._start
        if self._valid.task is Task.AU:
            decision = replace(self._start, thresholds=self._thresholds(values)[0])
        return decision, self._report(values, decision).p

    def _round(self, decision: Decision) -> tuple[Decision, dict[str, float], dict[float, float]]:
        """Return the best radius for given thresholds with the best thresholds for it; its metrics; the sweep."""
        sweep = self._sweep(decision)
        decision = replace(decision, radius_s=max(sweep, key=lambda radius_s: sweep[radius_s]))
        values = self._labelled(decision)
        held_out: dict[str, float] = {}
        if self._valid.task is Task.AU and not self._options.paper_exact:
            thresholds, held_out = self._thresholds(values)
            decision = replace(decision, thresholds=thresholds)
        return decision, _metrics(self._report(values, decision)) | held_out, sweep

    def _sweep(self, decision: Decision) -> dict[float, float]:
        """Return the score for each radius in seconds, in increasing order."""
        radii = sorted(set(self._options.radii))
        radii_s = [round(radius * self._interval_s, TIME_DECIMALS) for radius in radii]
        has_one_rate = all([one.radius(radius_s) for radius_s in radii_s] == radii for one in self._scores)
        if has_one_rate and not self._options.paper_exact:
            task = self._valid.task
            scores = [one.adjusted(decision.logit_adjustment) for one in self._scores]
            dense = [DenseSequence(one.dense(task), one.labelled_frame, one.truth) for one in scores]
            found = sweep_radii(task, dense, radii, np.asarray(decision.thresholds), decision.mode).tolist()
        else:
            # Videos of different rates hold different numbers of frames in the same seconds: no common running sum.
            tried = [replace(decision, radius_s=radius_s) for radius_s in radii_s]
            found = [self._report(self._labelled(one), one).p for one in tried]
        return dict(zip(radii_s, found, strict=True))

    def _thresholds(self, values: NDArray[np.float64]) -> tuple[tuple[float, ...], dict[str, float]]:
        """Return thresholds, and with `cv` the score on held-out videos."""
        held_out: dict[str, float] = {}
        options = self._options
        if options.thresholds == "fixed":
            found = np.full(values.shape[1], FIXED_THRESHOLD)
        elif options.paper_exact:
            found = grid_thresholds(values, self._truth)
        elif options.thresholds == "best":
            found = best_thresholds(values, self._truth)
        else:
            groups = np.repeat([one.group for one in self._scores], [len(one.truth) for one in self._scores])
            found, p = cross_validated_thresholds(values, self._truth, groups, options.folds, options.seed)
            held_out = {"p_held_out": p}
        return tuple(map(float, found)), held_out

    def _labelled(self, decision: Decision) -> NDArray[np.float64]:
        return labelled_scores(self._valid.task, self._scores, decision, self._rules)

    def _report(self, values: NDArray[np.float64], decision: Decision) -> Report:
        decided = decide(self._valid.task, values, decision.thresholds)
        return make_report(self._valid.task, self._truth, decided, self._valid.labels)


def _metrics(report: Report) -> dict[str, float]:
    metrics = {"p": report.p, "frames": float(report.frames)}
    if report.accuracy is not None:
        metrics["accuracy"] = report.accuracy
    name = "ccc" if report.task is Task.VA else "f1"
    return metrics | {f"{name}_{score.label}": score.values[name] for score in report.per_label}
