"""`affectline bench`: how fast is affectline on this machine?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli import analyze_options as given
from affectline.cli.arguments import DEVICE, OFFLINE, PRECISION, THREADS
from affectline.cli.text_table import counted

if TYPE_CHECKING:
    from affectline.bench import BenchResult


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    video: Annotated[Path | None, typer.Argument(metavar="[VIDEO]", help="What to analyse; the demo clip.")] = None,
    times: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the video.")] = 1,
    backbone: given.NETWORKS = None,
    detector: given.DETECTOR = None,
    max_faces: given.MAX_FACES = None,
    au: given.AU = True,
    device: DEVICE = "cpu",
    precision: PRECISION = "fp32",
    threads: THREADS = None,
    offline: OFFLINE = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the figures as JSON.")] = False,
) -> None:
    """Measure frames and faces a second, latency, memory and processor time on a video, or on the demo clip."""
    began = time.perf_counter()
    from affectline.assets import fetch
    from affectline.bench import measure
    from affectline.cli.progress import shown
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.models import load_models
    from affectline.options import AnalyzeOptions

    options = AnalyzeOptions(
        backbone=tuple(backbone or ()) or None,
        detector=detector or DEFAULT_DETECTOR,
        max_faces=max_faces,
        action_units=au,
        device=device,
        precision=precision,
        threads=threads,
        offline=offline,
    )
    models = load_models(options)
    start_up_s = time.perf_counter() - began
    with shown("passes") as on_progress:
        path = video or fetch("demo_clip", offline=offline)
        result = measure(path, models, options, times, start_up_s, on_progress)
    typer.echo(_as_json(result) if as_json else _as_text(result))


def _as_json(result: BenchResult) -> str:
    import json
    from dataclasses import asdict

    return json.dumps(asdict(result), indent=2)


def _as_text(result: BenchResult) -> str:
    units = "with action units" if result.action_units else "without action units"
    memory = "unknown" if result.peak_anonymous_mb is None else f"{result.peak_anonymous_mb:.0f} MB"
    head = (
        f"affectline {result.affectline}, {result.backbone} on {result.device} in {result.precision}, {units}; "
        f"{result.video}, {result.width}x{result.height}; {counted(result.cores, 'core')}"
    )
    rows = [
        ("start-up", f"{result.start_up_s:.2f} s", "imports and loading of the networks"),
        ("speed", f"{result.frames_per_s:.1f} frames/s", f"{result.frames} frames in {result.seconds:.2f} s"),
        ("", f"{result.faces_per_s:.1f} faces/s", f"{result.faces} faces"),
        ("latency", f"{result.latency_p50_ms:.1f} ms", "median, frame by frame, from picture to scores"),
        ("", f"{result.latency_p95_ms:.1f} ms", "95th percentile"),
        ("memory", memory, "most that the process owned (RssAnon)"),
        ("processor", f"{result.cpu_s:.2f} s", f"{1000 * result.cpu_s / result.frames:.1f} ms a frame"),
    ]
    return "\n".join([head, *(f"{name:<9}  {value:>14}  {remark}" for name, value, remark in rows)])
