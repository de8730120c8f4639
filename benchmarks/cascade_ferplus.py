"""A cascade on the photographs of FER+: accuracy over how often the large network is asked; the threshold.

    python benchmarks/cascade_ferplus.py FERPLUS.npz --large NETWORK.onnx [--small NETWORK]

On the validation split. Both networks' probabilities are at the temperatures in their files. The threshold is the
lowest from which on the decisions differ from those of the large network in at most `--most` of the photographs: chosen
on one half of the split it is checked on the other, both ways, and then chosen on the whole. Beside the cascade stand
asking about photographs drawn at random, as many; the mean of both networks instead of the large one alone; and the
large one choosing only among the classes that the small one did not discard (those below `DISCARD`).

Writes cascade_ferplus.csv and cascade_ferplus.png to benchmarks/results and prints a table.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from affectline.backbones import BACKBONES, DEFAULT_BACKBONE, load_backbone
from affectline.datasets.ferplus import FerPlusSplit, load_ferplus, official_labels, plurality_labels
from affectline.evaluation.ferplus import ferplus_logits
from affectline.heads.pretrained import expression_probabilities
from affectline.records import FloatArray
from affectline.runtime import Runtime

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

RESULTS = Path(__file__).parent / "results"
THRESHOLDS = (*(round(0.3 + 0.05 * step, 2) for step in range(15)), 1.01)
DISCARD = 0.02

Row = dict[str, float]


def main() -> None:
    """Run both networks on the split; print, write and draw what a cascade of them gives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="NPZ file of FER+")
    parser.add_argument("--large", required=True, help="name or file")
    parser.add_argument("--small", default=DEFAULT_BACKBONE, help="name or file")
    parser.add_argument("--most", type=float, default=0.01, help="share of decisions that may differ")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    split = load_ferplus(arguments.data)["valid"]
    small, small_ms = probabilities(arguments.small, split)
    large, large_ms = probabilities(arguments.large, split)
    rows = [figures(small, large, split, sure_from) for sure_from in THRESHOLDS]
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(rows, arguments.out / "cascade_ferplus.csv")
    draw(rows, arguments.out / "cascade_ferplus.png")
    print_table(rows)
    print(f"\nProcessor time of a photograph: small network {small_ms:.2f} ms, large network {large_ms:.2f} ms")
    half = np.random.default_rng(0).permutation(len(split)) % 2
    for number in (0, 1):
        chosen = threshold(small[half == number], large[half == number], arguments.most)
        share, differs = outcome(small[half != number], large[half != number], chosen)
        print(f"Chosen on half {number + 1}: {chosen}; on the other {share:.1%} are asked about, {differs:.2%} differ.")
    print(f"Chosen on the whole split: {threshold(small, large, arguments.most)}")


def probabilities(name: str, split: FerPlusSplit) -> tuple[FloatArray, float]:
    """Return a network's probabilities in the order of FERPLUS_8, and processor milliseconds for a photograph."""
    backbone = load_backbone(name if name in BACKBONES else Path(name), Runtime(threads=1))
    begun = time.process_time()
    logits = ferplus_logits(backbone, split)
    milliseconds = 1000 * (time.process_time() - begun) / len(split)
    return expression_probabilities(logits, backbone.spec.temperature), milliseconds


def figures(small: FloatArray, large: FloatArray, split: FerPlusSplit, sure_from: float) -> Row:
    """Return what one threshold gives."""
    is_asked = small.max(axis=1) < sure_from
    narrowed = np.where((small >= DISCARD) | (small == small.max(axis=1, keepdims=True)), large, 0.0)
    answers = {"cascade": large, "mean": (small + large) / 2, "narrowed": narrowed}
    row: Row = {"sure_from": sure_from, "asked": float(is_asked.mean())}
    row["differs"] = outcome(small, large, sure_from)[1]
    for protocol, labels in (("official", official_labels(split.votes)), ("plurality", plurality_labels(split.votes))):
        counts = labels >= 0
        for name, answer in answers.items():
            decided = np.where(is_asked[:, None], answer, small).argmax(axis=1)
            row[f"{protocol} {name}"] = float((decided == labels)[counts].mean())
        row[f"{protocol} random"] = at_random(small[counts], large[counts], labels[counts], row["asked"])
    return row


def at_random(small: FloatArray, large: FloatArray, labels: NDArray[np.int64], share: float) -> float:
    """Return the accuracy where a share is asked about whatever the small network says."""
    hits = (small.argmax(axis=1) == labels).mean(), (large.argmax(axis=1) == labels).mean()
    return float((1 - share) * hits[0] + share * hits[1])


def outcome(small: FloatArray, large: FloatArray, sure_from: float) -> tuple[float, float]:
    """Return the share that is asked about, and the share whose decision differs from the large network's."""
    is_asked = small.max(axis=1) < sure_from
    return float(is_asked.mean()), float((~is_asked & (small.argmax(axis=1) != large.argmax(axis=1))).mean())


def threshold(small: FloatArray, large: FloatArray, most: float) -> float:
    """Return the lowest threshold from which on at most a share of the decisions differs."""
    return next(one for one in THRESHOLDS if outcome(small, large, one)[1] <= most)


def write_csv(rows: list[Row], path: Path) -> None:
    """Write all figures."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([f"{value:.4f}" for value in row.values()] for row in rows)


def print_table(rows: list[Row]) -> None:
    """Print accuracies in percent."""
    names = [name for name in rows[0] if name not in {"sure_from"}]
    print("| sure from |", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for row in rows:
        print(f"| {row['sure_from']:g} |", " | ".join(f"{100 * row[name]:.2f} %" for name in names), "|")


def draw(rows: list[Row], path: Path) -> None:
    """Draw accuracy over the share that is asked about."""
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    ink, styles = "#3a4150", {"cascade": ("#d55e00", "s"), "mean": ("#009e73", "^"), "random": ("#8d95a3", "o")}
    labels = {
        "cascade": "large network where the small one is unsure",
        "mean": "mean of both there",
        "random": "large network for photographs drawn at random",
    }
    for axes, protocol in zip(panels, ("official", "plurality"), strict=True):
        for name, (colour, marker) in styles.items():
            shares, scores = [row["asked"] for row in rows], [100 * row[f"{protocol} {name}"] for row in rows]
            axes.plot(shares, scores, color=colour, marker=marker, markersize=4.5, linewidth=1.4, label=labels[name])
        axes.set_title(f"FER+ validation, {protocol} protocol", loc="left", color=ink, fontsize=11, fontweight="bold")
        axes.set_xlabel("large network asked", color=ink)
        axes.set_ylabel("accuracy, %", color=ink)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.grid(color="#e3e6ea", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=ink, labelsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
