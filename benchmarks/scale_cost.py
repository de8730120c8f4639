"""What archives of video cost: hours of machines and money from a throughput that was measured, and storage.

    affectline bench --times 10 --json > bench.json
    python benchmarks/scale_cost.py --bench bench.json --price 0.04 [--store STORE] [--timelines OUT]
    python benchmarks/scale_cost.py --frames-per-s 57 --cores 2 --price 0.04 \
        --gpu 900 0.70 "https://example.org/figures"

No figure is built in: throughput comes from `affectline bench` on the machine in question, prices from the caller,
bytes from a real feature store (`affectline extract`) and real result folders (`affectline analyze`). A GPU row needs
the frames a second, the price of an hour, and where the figure was published; it is marked as not measured here.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from affectline.features.store import FeatureStore

VIDEO_HOURS = (1_000, 100_000, 10_000_000)
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Machine:
    """What analyses: frames a second of one unit, and what an hour of the unit costs."""

    name: str
    frames_per_s: float
    price: float


def main() -> None:
    """Compute and print the tables."""
    arguments = _arguments()
    machines = [_measured(arguments)]
    for frames_per_s, price, source in arguments.gpu:
        machines.append(Machine(f"GPU (published, not measured here: {source})", float(frames_per_s), float(price)))
    _print_costs(machines, arguments)
    if arguments.store is not None:
        _print_storage("feature store", *_store_bytes(arguments.store), arguments)
    if arguments.timelines is not None:
        _print_storage("timelines", *_timeline_bytes(arguments.timelines), arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, help="what `affectline bench --json` wrote")
    parser.add_argument("--frames-per-s", type=float, help="instead of --bench, with --cores")
    parser.add_argument("--cores", type=int)
    parser.add_argument("--price", type=float, required=True, help="of one core for an hour, in any currency")
    parser.add_argument("--gpu", nargs=3, action="append", default=[], metavar=("FRAMES_PER_S", "PRICE", "SOURCE"))
    parser.add_argument("--video-fps", type=float, default=25, help="frames of a second of video")
    parser.add_argument("--fps", type=float, help="frames that are analysed of a second of video; all")
    parser.add_argument("--faces", type=float, default=1, help="faces in a frame, on average, for storage")
    parser.add_argument("--store", type=Path, help="feature store from which bytes per row are taken")
    parser.add_argument("--timelines", type=Path, help="output folder from which bytes per row are taken")
    arguments = parser.parse_args()
    if arguments.bench is None and not (arguments.frames_per_s and arguments.cores):
        parser.error("give --bench, or --frames-per-s and --cores")
    return arguments


def _measured(arguments: argparse.Namespace) -> Machine:
    """Return one core of the machine that was measured."""
    if arguments.bench is None:
        return Machine("CPU core (as given)", arguments.frames_per_s / arguments.cores, arguments.price)
    bench = json.loads(arguments.bench.read_text(encoding="utf-8"))
    units = "with" if bench["action_units"] else "without"
    what = (
        f"CPU core ({bench['frames_per_s']:.1f} frames/s on {bench['cores']} cores: {bench['backbone']}, "
        f"{bench['device']}, {bench['precision']}, {units} action units, {bench['width']}x{bench['height']})"
    )
    return Machine(what, bench["frames_per_s"] / bench["cores"], arguments.price)


def _frames_per_video_hour(arguments: argparse.Namespace) -> float:
    return SECONDS_PER_HOUR * (arguments.fps or arguments.video_fps)


def _print_costs(machines: list[Machine], arguments: argparse.Namespace) -> None:
    frames = _frames_per_video_hour(arguments)
    print(f"Of each hour of video, {frames:,.0f} frames are analysed; every frame of it is decoded.\n")
    print("| hours of video | on | hours of it | units for 30 days | cost |")
    print("|---|---|---|---|---|")
    for video_hours in VIDEO_HOURS:
        for machine in machines:
            hours = video_hours * frames / machine.frames_per_s / SECONDS_PER_HOUR
            print(
                f"| {video_hours:,} | {machine.name} | {hours:,.0f} | {max(1, hours / 720):,.0f} "
                f"| {hours * machine.price:,.0f} |"
            )


def _store_bytes(folder: Path) -> tuple[int, int]:
    """Return the rows of a feature store and the bytes of its files."""
    entries = FeatureStore(folder).entries
    return sum(entry.rows for entry in entries), sum((folder / entry.path).stat().st_size for entry in entries)


def _timeline_bytes(folder: Path) -> tuple[int, int]:
    """Return the rows of all Parquet timelines in an output folder and the bytes of their files."""
    files = sorted(folder.glob("*/timeline.parquet"))
    return sum(pq.read_metadata(file).num_rows for file in files), sum(file.stat().st_size for file in files)


def _print_storage(what: str, rows: int, n_bytes: int, arguments: argparse.Namespace) -> None:
    per_row = n_bytes / rows
    per_hour = per_row * _frames_per_video_hour(arguments) * arguments.faces
    print(
        f"\n{what}: {rows:,} rows, {n_bytes:,} bytes, {per_row:,.0f} bytes a row; {arguments.faces:g} faces a frame\n"
    )
    print("| hours of video | terabytes |")
    print("|---|---|")
    for video_hours in VIDEO_HOURS:
        print(f"| {video_hours:,} | {video_hours * per_hour / 1e12:,.3f} |")


if __name__ == "__main__":
    main()
