"""Runs rows: fits or finds the heads that they need, chooses, scores, keeps what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from affectline import __version__
from affectline.datasets.labelled import LabelledTables
from affectline.errors import AffectlineError, InputError
from affectline.evaluation.sequence_scores import SequenceScores
from affectline.evaluation.tuning import TuneOptions, tune_scores
from affectline.experiments.data import ExperimentData
from affectline.experiments.fitted import Fitted, fit
from affectline.experiments.protocol import (
    Choice,
    Decided,
    ProtocolOptions,
    Scores,
    apply,
    choose,
    cross_validated,
    joined,
    prepared,
)
from affectline.experiments.recipes import FINETUNED, Row, heads
from affectline.experiments.results import (
    P_NAMES,
    Figures,
    RowResult,
    SeedScores,
    figures,
    with_face,
    write_decisions,
)
from affectline.experiments.settings import ExperimentSettings
from affectline.experiments.units import Unit
from affectline.json_records import read_record, to_json_object
from affectline.metrics.report import make_report
from affectline.progress import ProgressHook, ignore_progress
from affectline.training.trainers import AUTOML, PRETRAINED

HEADS_FOLDER: Final = "heads"
ROWS_FOLDER: Final = "rows"
PREDICTIONS_FOLDER: Final = "predictions"

ONE_SEED: Final = frozenset({AUTOML, FINETUNED, PRETRAINED})
"""Models that are fitted once: a search and a network take long, and nothing is fitted of the third."""

VERSION: Final = 3
"""Of what a kept result means; another number makes all anew."""


@dataclass(frozen=True, slots=True)
class ExperimentOptions:
    """What is asked for besides rows.

    Attributes:
        out: folder of heads, rows, predictions and tables.
        seeds: heads are trained with the seeds 0, 1, ...; figures are those of seed 0.
        paper_exact: also score with the notebook's post-processing.
        protocol: how figures are made.
        settings: how heads are trained.
    """

    out: Path
    seeds: int = 1
    paper_exact: bool = False
    protocol: ProtocolOptions = field(default_factory=ProtocolOptions)
    settings: ExperimentSettings = field(default_factory=ExperimentSettings)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"an experiment needs one seed or more, got {self.seeds}")


RowHook = Callable[[Row, RowResult, bool], None]
"""Told what came of a row, and whether it was there already."""


def ignore_rows(row: Row, result: RowResult, was_kept: bool) -> None:
    """Do nothing: the hook of those who do not ask."""


class Experiments:
    """Rows on one data set.

    Args:
        data: labels and features.
        options: how.
        begin: told what is done next, in a word or two.
        on_progress: told how far it is.
    """

    def __init__(
        self,
        data: ExperimentData,
        options: ExperimentOptions,
        begin: Callable[[str], None] = lambda _: None,
        on_progress: ProgressHook = ignore_progress,
    ) -> None:
        self._data = data
        self._options = options
        self._begin = begin
        self._on_progress = on_progress
        self._failed: dict[tuple[str, int], Exception] = {}

    def run(self, rows: Sequence[Row], on_row: RowHook = ignore_rows) -> Mapping[str, RowResult]:
        """Return the result of each row by its name. A row that fails says why in its result; the rest goes on."""
        results = {}
        for row in rows:
            try:
                result, was_kept = self._row(row)
            except AffectlineError as error:
                result, was_kept = RowResult(row.name, error=str(error)), False
            except Exception as error:  # noqa: BLE001 - one row's fault must not cost the others hours of work
                result, was_kept = RowResult(row.name, error=f"{type(error).__name__}: {error}"), False
            results[row.name] = result
            on_row(row, result, was_kept)
        return results

    def parts(self, row: Row, seed: int = 0) -> tuple[list[Scores], LabelledTables]:
        """Return the prepared scores of a row's heads and the videos that they are of."""
        return _together(row, [self._fitted(name, seed) for name in row.heads])

    def _fitted(self, name: str, seed: int) -> Fitted:
        recipe = heads()[name]
        seed = 0 if recipe.model in ONE_SEED else seed
        if (name, seed) in self._failed:
            raise self._failed[name, seed]
        self._begin(f"{name}, seed {seed}")
        try:
            return fit(
                recipe, self._data, self._options.settings, seed, self._options.out / HEADS_FOLDER, self._on_progress
            )
        except Exception as error:
            # Other rows want this head too: what took an hour to fail is not tried again.
            self._failed[name, seed] = error
            raise

    def _row(self, row: Row) -> tuple[RowResult, bool]:
        seeds = range(self._options.seeds if any(heads()[name].model not in ONE_SEED for name in row.heads) else 1)
        fitted = {seed: [self._fitted(name, seed) for name in row.heads] for seed in seeds}
        options = self._options
        inputs = {
            "version": (VERSION, __version__),
            "row": replace(row, features="", method="", published={}),
            "heads": [[one.digest for one in found] for found in fitted.values()],
            "protocol": options.protocol,
            "paper_exact": options.paper_exact,
        }
        unit = Unit(options.out / ROWS_FOLDER / row.name, inputs)
        predictions = options.out / PREDICTIONS_FOLDER / f"{row.name}.arrow"
        facts = unit.facts()
        if facts is not None and predictions.is_file():
            return read_record(RowResult, facts["result"], f"the result of {row.name}"), True
        self._begin(row.name)
        unit.begin()
        started_s = time.monotonic()
        result = self._scored(row, fitted, predictions)
        seconds = sum(one.seconds for one in fitted[0]) + time.monotonic() - started_s
        result = replace(result, seconds=round(seconds, 2))
        unit.finish({"result": to_json_object(result)})
        return result, False

    def _scored(self, row: Row, fitted: Mapping[int, Sequence[Fitted]], predictions: Path) -> RowResult:
        options = self._options.protocol
        parts, data = _together(row, fitted[0])
        choice = choose(row, parts, data, options)
        decided, held_out = apply(row, parts, choice), cross_validated(row, parts, data, options)
        predictions.parent.mkdir(parents=True, exist_ok=True)
        write_decisions(predictions, row, data, choice, {"chosen": decided, "cross_validated": held_out})
        chosen = figures(data, decided.decisions)
        others = None if held_out is None else figures(data, held_out.decisions)
        name = P_NAMES[row.task]
        first = SeedScores(0, chosen.values[name], None if others is None else others.values[name])
        return RowResult(
            row.name,
            chosen=chosen,
            cross_validated=others,
            with_face=with_face(data, decided.decisions),
            paper_exact=self._paper_exact(row, parts, data, choice) if self._options.paper_exact else None,
            choice=choice,
            notes=_notes(fitted[0], data),
            seeds=(first, *(self._of_seed(row, seed, found) for seed, found in fitted.items() if seed)),
        )

    def _of_seed(self, row: Row, seed: int, fitted: Sequence[Fitted]) -> SeedScores:
        options = self._options.protocol
        parts, data = _together(row, fitted)
        found = (apply(row, parts, choose(row, parts, data, options)), cross_validated(row, parts, data, options))
        chosen, held_out = (None if one is None else _p(row, data, one) for one in found)
        return SeedScores(seed, chosen or 0.0, held_out)

    def _paper_exact(self, row: Row, parts: Sequence[Scores], data: LabelledTables, choice: Choice) -> Figures | None:
        """Return the figures by the notebook's rules; None for a row that it does not have."""
        if row.smoothing not in {"none", "mean"} or row.is_adjusted or row.reverses_gaps:
            return None
        radii = self._options.protocol.radii if row.smoothing == "mean" else (0,)
        tune = TuneOptions(radii=radii, thresholds=row.thresholds or "best", paper_exact=True)
        found = tune_scores(data, joined(parts, choice), tune).validation
        values = {P_NAMES[row.task]: found["p"]}
        values |= {name: found[name] for name in row.metrics if name in found}
        return Figures(values, None, int(found["frames"]))


def _notes(fitted: Sequence[Fitted], data: LabelledTables) -> tuple[str, ...]:
    """Return what readers of a row must know: what its heads say, and which videos not all of them know."""
    notes = dict.fromkeys(note for one in fitted for note in one.notes)
    every = {one.video for found in fitted for one in found.valid.sequences}
    lost = sorted(every - {one.video for one in data.sequences})
    if lost:
        named = f"{', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''}"  # noqa: PLR2004 - enough to find them
        notes[f"{len(lost)} validation videos are left out: not all heads know them ({named})"] = None
    return tuple(notes)


def _p(row: Row, data: LabelledTables, decided: Decided) -> float:
    truth = np.concatenate([one.target for one in data.sequences])
    return make_report(data.task, truth, decided.decisions, data.labels).p


def _together(row: Row, fitted: Sequence[Fitted]) -> tuple[list[Scores], LabelledTables]:
    """Return the scores of several heads on the videos that all of them know.

    Raises:
        InputError: there is no such video.
    """
    first = fitted[0].valid
    common = set.intersection(*({one.video for one in found.scores} for found in fitted))
    if not common:
        raise InputError(f"the heads of {row.name} know no validation video in common")
    data = replace(first, sequences=tuple(one for one in first.sequences if one.video in common))
    by_video: list[dict[str, SequenceScores]] = [{one.video: one for one in found.scores} for found in fitted]
    parts = [[scores[one.video] for one in data.sequences] for scores in by_video]
    return prepared(row, parts), data
