"""`affectline extract`: what a backbone says of every face, kept for training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from affectline.cli.arguments import DEVICE, OFFLINE, PRECISION, THREADS
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from affectline.cli.text_table import counted


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Videos, or folders of crops.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Folder of the feature store.")],
    backbone: Annotated[str | None, typer.Option(help="Name (see `affectline models list`) or model file.")] = None,
    detector: Annotated[str | None, typer.Option(help="For videos: blazeface, libfacedetection or yunet.")] = None,
    crops: Annotated[
        str | None, typer.Option(metavar="KIND", help="What folders of crops are: cropped or cropped_aligned.")
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="Crops take their times from these videos.")
    ] = None,
    crop_fps: Annotated[float, typer.Option(metavar="F", help="Rate of crops without their videos.")] = 30.0,
    max_faces: Annotated[int | None, typer.Option(min=1, help="Of a video: the N largest faces only.")] = None,
    device: DEVICE = "cpu",
    precision: PRECISION = "fp32",
    threads: THREADS = None,
    offline: OFFLINE = False,
    again: Annotated[bool, typer.Option("--again", help="Redo what is there already.")] = False,
) -> None:
    """Run a backbone on every face of videos or crops; finished ones are skipped, so that a killed run goes on."""
    from affectline.backbones import DEFAULT_BACKBONE
    from affectline.cli.arguments import parse_crops
    from affectline.cli.progress import Progress
    from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.features.store import FeatureStore

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
    sources = find_sources(inputs, parse_crops(crops))
    extractor = load_extractor(options, sources)
    failed = False
    try:
        with Progress() as progress:
            results = extract_all(
                sources, FeatureStore(output, create=True), extractor, partial(progress.advance, "frames")
            )
            for number, result in enumerate(results, start=1):
                faces = counted(result.rows, "face")
                typer.echo(f"{number} of {len(sources)} {result.source.name}: {result.status}, {faces}")
                if result.message:
                    typer.echo(f"affectline: {result.message}", err=True)
                failed |= result.status in {"failed", "incomplete"}
    except KeyboardInterrupt:
        typer.echo("interrupted; finished videos are kept: run the same command to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if failed:
        raise typer.Exit(EXIT_FAILED)
