"""`affectline analyze`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from affectline.cli import analyze_options as given
from affectline.cli.arguments import CPUS, DEVICE, ENGINE, OFFLINE, PRECISION, THREADS, TRUST_PICKLE
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from pathlib import Path

    from affectline.cluster import ClusterOptions
    from affectline.job_index import JobResult
    from affectline.jobs import OutputOptions
    from affectline.options import AnalyzeOptions
    from affectline.video import Sampling


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    inputs: given.INPUTS,
    output: given.OUTPUT,
    backbone: given.NETWORKS = None,
    head: given.HEADS = None,
    detector: given.DETECTOR = None,
    max_faces: given.MAX_FACES = None,
    detect_every: given.DETECT_EVERY = "auto",
    every: given.EVERY = 1,
    fps: given.FPS = None,
    stride: given.STRIDE = None,
    cascade: given.CASCADE = None,
    sure_from: given.SURE_FROM = None,
    start: given.START = None,
    end: given.END = None,
    smooth: given.SMOOTH = None,
    filter_mode: given.FILTER = None,
    formats: given.FORMATS = "csv,parquet",
    video: given.VIDEO = True,
    report: given.REPORT = False,
    au: given.AU = True,
    save_landmarks: given.LANDMARKS = False,
    sequence: given.SEQUENCE = None,
    crops: given.CROPS = False,
    device: DEVICE = "cpu",
    precision: PRECISION = "fp32",
    threads: THREADS = None,
    workers: given.WORKERS = 1,
    offline: OFFLINE = False,
    trust_pickle: TRUST_PICKLE = None,
    resume: given.RESUME = False,
    engine: ENGINE = "local",
    task_cpus: CPUS = 1,
) -> None:
    """Turn videos into timelines of valence, arousal, expression and action units, per frame and face."""
    from affectline.cli.arguments import parse_engine, parse_smoothing
    from affectline.options import AnalyzeOptions

    options = AnalyzeOptions(
        backbone=tuple(backbone or ()) or None,
        heads=tuple(head or ()),
        detector=detector or _default_detector(),
        max_faces=max_faces,
        detect_every=_parse_detect_every(detect_every),
        action_units=au,
        sampling=_sampling(every, fps, start, end),
        stride_s=stride,
        cascade=cascade,
        cascade_sure_from=_sure_from(sure_from, cascade),
        smoothing=parse_smoothing(smooth, filter_mode),
        sequence_fps=sequence,
        crops=crops,
        device=device,
        precision=precision,
        threads=threads,
        workers=workers,
        offline=offline,
    )
    saving = _saving(output, formats, annotate=video, save_landmarks=save_landmarks, resume=resume, report=report)
    _exit_with(_run(inputs, options, saving, parse_engine(engine, task_cpus, device), trust_pickle))


def _default_detector() -> str:
    from affectline.faces.registry import DEFAULT_DETECTOR

    return DEFAULT_DETECTOR


def _saving(output: Path, formats: str, **switches: bool) -> OutputOptions:
    from affectline.jobs import OutputOptions, parse_formats

    return OutputOptions(output, parse_formats(formats), **switches)


def _sampling(every: int, fps: float | None, start: float | None, end: float | None) -> Sampling:
    from affectline.video import Sampling

    return Sampling(every=every, fps=fps, start_s=start, end_s=end)


def _run(
    inputs: list[str],
    options: AnalyzeOptions,
    saving: OutputOptions,
    cluster: ClusterOptions | None,
    trust_pickle: list[str] | None,
) -> list[JobResult]:
    from affectline.cli.arguments import opaque_opener
    from affectline.cli.progress import Progress
    from affectline.inputs import expand_urls
    from affectline.jobs import run_jobs
    from affectline.jobs_on_ray import run_jobs_on_ray

    expanded, opener = expand_urls(inputs, options.sequence_fps), opaque_opener(trust_pickle)
    try:
        with Progress() as progress:
            if cluster is None:
                return run_jobs(expanded, options, saving, progress, opener)
            return run_jobs_on_ray(expanded, options, saving, progress, cluster, opener)
    except KeyboardInterrupt:
        typer.echo("interrupted; whole rows are kept: run the same command with --resume to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _parse_detect_every(text: str) -> int | None:
    from affectline.errors import InputError

    if text == "auto":
        return None
    if not text.isdecimal() or not int(text):
        raise InputError(f"--detect-every takes auto or a number of frames from 1 on, got {text!r}")
    return int(text)


def _sure_from(sure_from: float | None, cascade: str | None) -> float:
    from affectline.errors import InputError
    from affectline.options import CASCADE_SURE_FROM

    if sure_from is None:
        return CASCADE_SURE_FROM
    if cascade is None:
        raise InputError("--sure-from says when the network of --cascade is asked; give both or neither")
    return sure_from


def _exit_with(results: list[JobResult]) -> None:
    bad = [result for result in results if result.message]
    for result in bad:
        typer.echo(f"affectline: {result.message}", err=True)
    if bad:
        raise typer.Exit(EXIT_FAILED)
