"""Figures 2 to 5 of the paper: how the scores depend on the radius of the filter."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from affectline.atomic_file import complete_file, complete_path
from affectline.evaluation.scoring import labelled_scores
from affectline.evaluation.sequence_scores import decide
from affectline.evaluation.tuning import DEFAULT_RADII
from affectline.experiments.protocol import Choice, joined
from affectline.experiments.recipes import PAPER_TABLES, Row
from affectline.experiments.recipes import rows as rows_by_name
from affectline.experiments.results import RowResult, values_of
from affectline.experiments.run import Experiments
from affectline.experiments.units import Unit
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.records import TIME_DECIMALS


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """One figure.

    Attributes:
        name: of its files.
        task: whose rows are its lines.
        metric: what stands on the y axis, by the names of the paper's tables.
        title: above it.
    """

    name: str
    task: Task
    metric: str
    title: str


FIGURES: Final = (
    CurveFigure("figure_2_valence", Task.VA, "ccc_valence", "CCC of valence"),
    CurveFigure("figure_3_arousal", Task.VA, "ccc_arousal", "CCC of arousal"),
    CurveFigure("figure_4_expressions", Task.EXPR, "p_expr", "Macro F1 of expressions"),
    CurveFigure("figure_5_action_units", Task.AU, "p_au", "Mean F1 of action units"),
)

FOLDER: Final = "figures"
VERSION: Final = 1
"""Of what a kept figure shows; another number makes all anew."""

_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which readers with any colour vision tell apart."""

Curve = Mapping[int, Mapping[str, float]]
"""By radius in frames: scores by name."""


def write_curves(
    experiments: Experiments, results: Mapping[str, RowResult], out: Path, source: str
) -> tuple[Path, ...]:
    """Write PNG, SVG and CSV of each figure of which a row was run; return the SVG files.

    The lines are the paper's rows with smoothing, with their weights, thresholds fixed as they were chosen.

    Args:
        experiments: with the data.
        results: by row.
        out: folder.
        source: the data set, in words; stands in every figure.

    Raises:
        OutputError: a file cannot be written.
    """
    lines = {
        figure: [row for row in _smoothed_rows(figure.task) if row.name in results and not results[row.name].error]
        for figure in FIGURES
    }
    drawn = {figure: rows for figure, rows in lines.items() if rows}
    shown = {row.name: results[row.name] for rows in drawn.values() for row in rows}
    unit = Unit(out / FOLDER, {"version": VERSION, "results": shown, "source": source})
    paths = tuple(unit.folder / f"{figure.name}.svg" for figure in drawn)
    if unit.facts() is not None and all(path.is_file() for path in paths):
        return paths
    unit.begin()
    curves = {name: _curve(experiments, rows_by_name()[name], result.choice) for name, result in shown.items()}
    for figure, rows in drawn.items():
        _write_csv(unit.folder / f"{figure.name}.csv", figure, rows, curves)
        _draw(unit.folder, figure, rows, curves, source)
    unit.finish({})
    return paths


def _smoothed_rows(task: Task) -> list[Row]:
    return [
        row
        for row in rows_by_name().values()
        if row.task is task and row.is_ours and row.group in PAPER_TABLES and row.smoothing == "mean"
    ]


def _curve(experiments: Experiments, row: Row, choice: Choice) -> tuple[float, Curve]:
    """Return the usual frame interval in seconds, and the scores for each radius."""
    parts, data = experiments.parts(row)
    together = joined(parts, choice)
    truth = np.concatenate([one.target for one in data.sequences])
    interval_s = float(np.median([one.interval_s for one in together]))
    found = {}
    for radius in DEFAULT_RADII:
        decision = replace(choice.decision, radius_s=round(radius * interval_s, TIME_DECIMALS))
        decided = decide(row.task, labelled_scores(row.task, together, decision), decision.thresholds)
        found[radius] = values_of(make_report(row.task, truth, decided, data.labels))
    return interval_s, found


def _write_csv(
    path: Path, figure: CurveFigure, lines: Sequence[Row], curves: Mapping[str, tuple[float, Curve]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "radius_frames", "radius_s", figure.metric])
    for row in lines:
        interval_s, curve = curves[row.name]
        for radius, values in curve.items():
            writer.writerow([row.name, radius, f"{radius * interval_s:.4f}", f"{values[figure.metric]:.6f}"])
    with complete_file(path) as file:
        file.write(text.getvalue().encode())


def _draw(
    out: Path,
    figure: CurveFigure,
    lines: Sequence[Row],
    curves: Mapping[str, tuple[float, Curve]],
    source: str,
) -> None:
    canvas = Figure(figsize=(7.5, 4.6), dpi=160, layout="constrained")
    axes = canvas.subplots()
    for number, row in enumerate(lines):
        _, curve = curves[row.name]
        radii, values = list(curve), [curve[radius][figure.metric] for radius in curve]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.plot(radii, values, color=colour, linewidth=1.5, label=f"{row.features}: {row.method}")
        best = int(np.argmax(values))
        axes.plot(radii[best], values[best], "o", color=colour, markersize=5)
    axes.set_xscale("symlog", linthresh=10, linscale=1)
    axes.set_xlim(0, max(DEFAULT_RADII))
    axes.set_xticks([0, 2, 5, 10, 20, 50, 100, 150], ["0", "2", "5", "10", "20", "50", "100", "150"])
    axes.set_xlabel("radius k of the mean filter, frames (2k + 1 frames are averaged)")
    axes.set_ylabel(figure.title)
    axes.set_title(source, fontsize=9, loc="left", color="#555555")
    axes.grid(color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=7.5, frameon=False, loc="best")
    for ending in ("png", "svg"):
        with complete_path(out / f"{figure.name}.{ending}") as unfinished:
            canvas.savefig(unfinished, format=ending)
