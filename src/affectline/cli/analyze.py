"""`affectline analyze`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import TRUST_PICKLE
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from affectline.job_index import JobResult


NETWORKS = Annotated[
    list[str] | None,
    typer.Option("--backbone", help="Name (see `affectline models list`) or model file; again for another."),
]
HEADS = Annotated[
    list[Path] | None,
    typer.Option("--head", metavar="FILE", help="Trained head (docs/training.md), at most one for each task."),
]
SMOOTH = Annotated[
    str | None,
    typer.Option(metavar="RADII|off", help="Radii in seconds: va=0.83,expr=1.67,au=0.10; a head brings its own."),
]
FILTER = Annotated[
    str | None, typer.Option("--filter", metavar="NAME", help="box, gaussian or causal; a head brings its own.")
]


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Videos, images or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")],
    backbone: NETWORKS = None,
    head: HEADS = None,
    detector: Annotated[str | None, typer.Option(help="blazeface, libfacedetection or yunet.")] = None,
    max_faces: Annotated[int | None, typer.Option(min=1, help="Follow the N largest faces only.")] = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Take every N-th frame.")] = 1,
    fps: Annotated[float | None, typer.Option(metavar="F", help="Take F frames a second.")] = None,
    start: Annotated[float | None, typer.Option(metavar="S", help="Begin at this second.")] = None,
    end: Annotated[float | None, typer.Option(metavar="S", help="Stop before this second.")] = None,
    smooth: SMOOTH = None,
    filter_mode: FILTER = None,
    formats: Annotated[str, typer.Option("--format", help="Any of csv, parquet, jsonl.")] = "csv,parquet",
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write annotated.mp4.")] = True,
    report: Annotated[bool, typer.Option("--report", help="Write report.html (docs/report.md).")] = False,
    au: Annotated[bool, typer.Option("--au/--no-au", help="Estimate action units.")] = True,
    save_landmarks: Annotated[bool, typer.Option(help="Write landmarks.arrow: 478 points, blendshapes.")] = False,
    sequence: Annotated[
        float | None, typer.Option(metavar="FPS", help="A folder of images is one video with this rate.")
    ] = None,
    crops: Annotated[bool, typer.Option("--crops", help="The pictures are faces already.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
    trust_pickle: TRUST_PICKLE = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")] = False,
) -> None:
    """Turn videos into timelines of valence, arousal, expression and action units, per frame and face."""
    from affectline.cli.arguments import opaque_opener, parse_filter
    from affectline.cli.progress import Progress
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.inputs import expand_inputs
    from affectline.jobs import OutputOptions, parse_formats, run_jobs
    from affectline.options import AnalyzeOptions
    from affectline.postprocess.smoothing import SmoothingChoice
    from affectline.video import Sampling

    mode = None if filter_mode is None else parse_filter(filter_mode)
    options = AnalyzeOptions(
        backbone=tuple(backbone or ()) or None,
        heads=tuple(head or ()),
        detector=detector or DEFAULT_DETECTOR,
        max_faces=max_faces,
        action_units=au,
        sampling=Sampling(every=every, fps=fps, start_s=start, end_s=end),
        smoothing=SmoothingChoice(mode=mode) if smooth is None else SmoothingChoice.parse(smooth, mode),
        sequence_fps=sequence,
        crops=crops,
        device=device,
        offline=offline,
    )
    saving = OutputOptions(output, parse_formats(formats), video, save_landmarks, resume, report)
    try:
        with Progress() as progress:
            results = run_jobs(expand_inputs(inputs, sequence), options, saving, progress, opaque_opener(trust_pickle))
    except KeyboardInterrupt:
        typer.echo("interrupted; whole rows are kept: run the same command with --resume to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _exit_with(results)


def _exit_with(results: list[JobResult]) -> None:
    bad = [result for result in results if result.message]
    for result in bad:
        typer.echo(f"affectline: {result.message}", err=True)
    if bad:
        raise typer.Exit(EXIT_FAILED)
