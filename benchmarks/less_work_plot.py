"""The curves of `less_work.py` as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

STYLES = {
    "stride": ("#0b3c5d", "o", "fixed stride"),
    "stride as built": ("#0b3c5d", "D", "fixed stride, as built (--stride)"),
    "unchanged crops": ("#d55e00", "s", "only crops that have changed"),
    "adaptive rate": ("#009e73", "^", "adaptive rate, one threshold"),
    "adaptive rate, calibrated": ("#8a5ba8", "v", "adaptive rate, thresholds from the other videos"),
    "stride of the large network": ("#0b3c5d", "o", "large network, fixed stride"),
    "cascade": ("#d55e00", "s", "cascade: small network, large where unsure"),
}
LONE = {"stride as built"}

Panel = tuple[str, Callable[[Any], float]]
PANELS: tuple[Panel, ...] = (
    ("expression differs in, % of rows", lambda figures: 100 * (1 - figures.expression)),
    (
        "valence, arousal: mean difference",
        lambda figures: (figures.valence_difference + figures.arousal_difference) / 2,
    ),
    ("action units: mean difference", lambda figures: figures.units_difference),
)
INK = "#3a4150"


def plot_methods(points: Sequence[Any], path: Path) -> None:
    """Draw how far from the full run each way ends up, over the share of the calls; smoothed and not."""
    _plot(points, PANELS, path, "networks asked, share of the faces", lowest=0.035)


def plot_cascade(points: Sequence[Any], path: Path) -> None:
    """Draw the same of the cascade, beside the large network on every face; action units do not depend on it."""
    _plot(points, PANELS[:2], path, "large network asked, share of the faces", lowest=0.035)


def _plot(points: Sequence[Any], panels: Sequence[Panel], path: Path, cost: str, lowest: float) -> None:
    names = {"default": "smoothed as by default", "off": "not smoothed"}
    size = (4.1 * len(panels), 6.6)
    figure, grid = plt.subplots(len(names), len(panels), figsize=size, sharex=True, layout="constrained", squeeze=False)
    for row, (smoothing, title) in zip(grid, names.items(), strict=True):
        for axes, (label, measure) in zip(row, panels, strict=True):
            _draw(axes, [point for point in points if point.smoothing == smoothing], measure)
            axes.set_ylabel(label, color=INK)
            axes.set_xlim(lowest, 1.05)
        row[0].set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel(cost, color=INK)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw(axes: Axes, points: Sequence[Any], measure: Callable[[Any], float]) -> None:
    for method in dict.fromkeys(point.method for point in points):
        some = sorted((point for point in points if point.method == method), key=lambda point: point.asked)
        colour, marker, label = STYLES[method]
        hollow = {"linestyle": "none", "markerfacecolor": "white", "markersize": 7} if method in LONE else {}
        axes.plot(
            [max(point.asked, 1e-3) for point in some],
            [measure(point.figures) for point in some],
            color=colour,
            marker=marker,
            label=label,
            **{"markersize": 4.5, "linewidth": 1.4, **hollow},
        )
    axes.set_xscale("log")
    axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1.0])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
