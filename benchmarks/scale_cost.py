"""What archives of video cost: hours of machines and money from a throughput that was measured, and storage.

    python benchmarks/scale_cost.py --speed SPEED/speed.json --price 0.0425 --gpus benchmarks/published_gpus.csv --docs
    python benchmarks/scale_cost.py --bench bench.json [--bench OTHER.json] --price 0.0425
    python benchmarks/scale_cost.py --frames-per-s 57 --cores 2 --price 0.0425 [--store STORE] [--timelines OUT]

Throughput comes from `speed.py` (affectline's rows on the 1280x720 video) or from `affectline bench --json`, prices
from the caller, bytes from a real feature store (`affectline extract`) and real result folders (`affectline analyze`).
`--gpus` is a CSV file of published rates of the B0 network alone with their sources and prices; its rows are marked as
not measured here. A GPU needs cores beside it that decode and find faces: they are counted as the processor time that
the B0 run took beyond that of its network, so `--gpus` wants `--speed`. `--docs` brings docs/scale.md up to date.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from affectline.features.store import FeatureStore
from docs_tables import fill, table
from speed_programs import PROGRAMS
from speed_results import Results

VIDEO_HOURS = (1_000, 100_000, 10_000_000)
SECONDS_PER_HOUR = 3600
MONTH_H = 720
VIDEO = "720p"
MEASURED = ("default", "no-au", "bf16", "b0", "b0-bf16")
"""Rows of `speed.py` that the costs are computed for."""

SCALE_PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


@dataclass(frozen=True)
class Way:
    """A way to analyse.

    Attributes:
        name: for the table.
        core_s: seconds of one core for a frame.
        gpu_s: seconds of a GPU for a frame; 0 where none takes part.
        gpu_price: of an hour of it.
    """

    name: str
    core_s: float
    gpu_s: float = 0.0
    gpu_price: float = 0.0


def main() -> None:
    """Compute the tables, print them and, if wanted, put them into the documentation."""
    arguments = _arguments()
    parts = [_costs(arguments)]
    if arguments.gpus is not None:
        parts.append(_sources(arguments.gpus))
    if arguments.store is not None:
        parts.append(_storage("feature store", *_store_bytes(arguments.store), arguments))
    if arguments.timelines is not None:
        parts.append(_storage("timelines", *_timeline_bytes(arguments.timelines), arguments))
    text = "\n\n".join(parts)
    print(text)
    if arguments.docs:
        fill(SCALE_PAGE, "cost", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=Path, help="what speed.py wrote: OUT/speed.json")
    parser.add_argument("--bench", type=Path, action="append", default=[], help="what `affectline bench --json` wrote")
    parser.add_argument("--frames-per-s", type=float, help="instead of a file, with --cores")
    parser.add_argument("--cores", type=int)
    parser.add_argument("--price", type=float, required=True, help="of one core for an hour, in any currency")
    parser.add_argument("--gpus", type=Path, help="CSV of published rates; with --speed")
    parser.add_argument("--video-fps", type=float, default=25, help="frames of a second of video")
    parser.add_argument("--fps", type=float, help="frames that are analysed of a second of video; all")
    parser.add_argument("--faces", type=float, default=1, help="faces in a frame, on average, for GPUs and storage")
    parser.add_argument("--store", type=Path, help="feature store from which bytes per row are taken")
    parser.add_argument("--timelines", type=Path, help="output folder from which bytes per row are taken")
    parser.add_argument("--docs", action="store_true", help="bring docs/scale.md up to date")
    arguments = parser.parse_args()
    if not (arguments.speed or arguments.bench or (arguments.frames_per_s and arguments.cores)):
        parser.error("give --speed, --bench, or --frames-per-s and --cores")
    if arguments.gpus and not arguments.speed:
        parser.error("--gpus needs --speed: the cores beside a GPU are computed from it")
    return arguments


def _ways(arguments: argparse.Namespace) -> Iterator[Way]:
    """Give one core of what was measured, in each way, then the GPUs."""
    if arguments.frames_per_s:
        yield Way("cores (as given)", arguments.cores / arguments.frames_per_s)
    for path in arguments.bench:
        bench = json.loads(path.read_text(encoding="utf-8"))
        units = "with" if bench["action_units"] else "without"
        what = f"{bench['backbone']}, {bench['device']}, {bench['precision']}, {units} AUs, {bench['height']}p"
        yield Way(f"cores: {what}", bench["cores"] / bench["frames_per_s"])
    if arguments.speed is None:
        return
    results = Results.read(arguments.speed)
    for name in MEASURED:
        row = results.median(name, VIDEO)
        if row:
            yield Way(
                f"cores: {PROGRAMS[name].title.removeprefix('affectline, ')}",
                float(results.machine["cores"]) / row["frames_per_s"],
            )
    if arguments.gpus:
        yield from _gpus(arguments, results)


def _gpus(arguments: argparse.Namespace, results: Results) -> Iterator[Way]:
    row, alone = results.median("b0", VIDEO), results.median("bound-b0", "")
    if not (row and alone):
        raise SystemExit(f"{arguments.speed} has no b0 on the 720p video, or no bound-b0; measure both with speed.py")
    rest_s = (row["cpu_s"] - row["faces"] * alone["cpu_s"] / alone["faces"]) / row["frames"]
    for gpu in _read(arguments.gpus):
        yield Way(
            f"{gpu['name']} (published, not measured here) and cores: B0, no AUs",
            rest_s,
            arguments.faces / float(gpu["crops_per_s"]),
            float(gpu["price"]),
        )


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _frames_per_video_hour(arguments: argparse.Namespace) -> float:
    return SECONDS_PER_HOUR * (arguments.fps or arguments.video_fps)


def _costs(arguments: argparse.Namespace) -> str:
    frames = _frames_per_video_hour(arguments)
    rows = []
    for video_hours in VIDEO_HOURS:
        for way in _ways(arguments):
            core_h, gpu_h = (video_hours * frames * part / SECONDS_PER_HOUR for part in (way.core_s, way.gpu_s))
            cost = core_h * arguments.price + gpu_h * way.gpu_price
            gpu_hours, gpus = (f"{gpu_h:,.0f}", f" + {_units(gpu_h)} GPU") if gpu_h else ("", "")
            cells = [f"{core_h:,.0f}", gpu_hours, f"{_units(core_h)}{gpus}", f"{cost:,.0f}"]
            rows.append([f"{video_hours:,}", way.name, *cells])
    columns = ["hours of video", "on", "core hours", "GPU hours", "cores for 30 days", "cost"]
    said = (
        f"Of each hour of video, {frames:,.0f} frames are analysed and every frame is decoded; an hour of a core is "
        f"taken to cost {arguments.price:g}."
    )
    return f"{said}\n\n{table(columns, rows)}"


def _units(hours: float) -> str:
    """Return how many cores or GPUs do it in 30 days."""
    return f"{math.ceil(hours / MONTH_H):,}"


def _sources(path: Path) -> str:
    """Return where the rates and prices of the GPUs come from."""
    lines = [
        f"- {gpu['name']}: {float(gpu['crops_per_s']):,.0f} crops a second ({gpu['figure']}); {gpu['price']} an hour "
        f"({gpu['price_source']})."
        for gpu in _read(path)
    ]
    return "\n".join(lines)


def _store_bytes(folder: Path) -> tuple[int, int]:
    """Return the rows of a feature store and the bytes of its files."""
    entries = FeatureStore(folder).entries
    return sum(entry.rows for entry in entries), sum((folder / entry.path).stat().st_size for entry in entries)


def _timeline_bytes(folder: Path) -> tuple[int, int]:
    """Return the rows of all Parquet timelines in an output folder and the bytes of their files."""
    files = sorted(folder.glob("*/timeline.parquet"))
    return sum(pq.read_metadata(file).num_rows for file in files), sum(file.stat().st_size for file in files)


def _storage(what: str, rows: int, n_bytes: int, arguments: argparse.Namespace) -> str:
    per_row = n_bytes / rows
    per_hour = per_row * _frames_per_video_hour(arguments) * arguments.faces
    said = f"{what}: {rows:,} rows, {n_bytes:,} bytes, {per_row:,.0f} bytes a row; {arguments.faces:g} faces a frame"
    cells = [[f"{video_hours:,}", f"{video_hours * per_hour / 1e12:,.3f}"] for video_hours in VIDEO_HOURS]
    return f"{said}\n\n{table(['hours of video', 'terabytes'], cells)}"


if __name__ == "__main__":
    main()
