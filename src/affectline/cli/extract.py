"""`affectline extract`: what a backbone says of every face, kept for training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import CPUS, DEVICE, ENGINE, OFFLINE, PRECISION, THREADS
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from affectline.cli.text_table import counted
from affectline.file_names import as_utf8

if TYPE_CHECKING:
    from affectline.cluster import ClusterOptions
    from affectline.extract import ExtractOptions, ExtractSource


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Videos, folders of them or of crops, patterns, @LIST files, URLs."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Folder of the feature store.")],
    backbone: Annotated[str | None, typer.Option(help="Name (see `affectline models list`) or model file.")] = None,
    detector: Annotated[str | None, typer.Option(help="For videos: blazeface, libfacedetection or yunet.")] = None,
    crops: Annotated[
        str | None, typer.Option(metavar="KIND", help="What folders of crops are: cropped or cropped_aligned.")
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="Crops take their times from these videos.")
    ] = None,
    crop_fps: Annotated[
        float | None, typer.Option(metavar="F", help="Rate of crops without their videos; 30 is assumed.")
    ] = None,
    max_faces: Annotated[int | None, typer.Option(min=1, help="Of a video: the N largest faces only.")] = None,
    device: DEVICE = "cpu",
    precision: PRECISION = "fp32",
    threads: THREADS = None,
    offline: OFFLINE = False,
    again: Annotated[bool, typer.Option("--again", help="Redo what is there already.")] = False,
    engine: ENGINE = "local",
    task_cpus: CPUS = 1,
) -> None:
    """Run a backbone on every face of videos or crops; finished ones are skipped, so that a killed run goes on."""
    from affectline.backbones import DEFAULT_BACKBONE
    from affectline.cli.arguments import parse_crops, parse_engine
    from affectline.extract import ExtractOptions, find_sources
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.inputs import read_lists

    options = ExtractOptions(
        backbone=backbone or DEFAULT_BACKBONE,
        detector=detector or DEFAULT_DETECTOR,
        max_faces=max_faces,
        crop_fps=crop_fps,
        videos=videos,
        device=device,
        precision=precision,
        threads=threads,
        offline=offline,
        again=again,
    )
    cluster = parse_engine(engine, task_cpus, device)
    sources = find_sources(read_lists(inputs), parse_crops(crops))
    try:
        failed = _run(sources, output, options, cluster)
    except KeyboardInterrupt:
        typer.echo("interrupted; finished videos are kept: run the same command to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _run(
    sources: tuple[ExtractSource, ...], output: Path, options: ExtractOptions, cluster: ClusterOptions | None
) -> bool:
    """Extract, show what came of each input, and return whether one of them failed."""
    from affectline.cli.progress import Progress
    from affectline.extract import extract_all, load_extractor
    from affectline.extract.on_ray import extract_all_on_ray
    from affectline.features.store import FeatureStore

    store, failed = FeatureStore(output, create=True), False
    with Progress() as progress:
        if cluster is None:
            extractor = load_extractor(options, sources)
            results = extract_all(sources, store, extractor, partial(progress.advance, "frames"))
        else:
            results = extract_all_on_ray(sources, store, options, cluster, partial(progress.advance, "inputs"))
        for number, result in enumerate(results, start=1):
            faces = counted(result.rows, "face")
            typer.echo(f"{number} of {len(sources)} {as_utf8(result.source.name)}: {result.status}, {faces}")
            if result.message:
                typer.echo(f"affectline: {result.message}", err=True)
            failed |= result.status in {"failed", "incomplete"}
    return failed
