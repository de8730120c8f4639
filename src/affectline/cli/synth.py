"""`affectline synth`: a data set in the files of Aff-Wild2 that needs no licence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    videos: Annotated[int, typer.Option(metavar="N", help="How many videos.")] = 60,
    frames: Annotated[int, typer.Option(metavar="N", help="Frames of a video, on average.")] = 1500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set.")] = 0,
    form: Annotated[
        str, typer.Option("--as", help="features: tables of two make-believe backbones; crops: small pictures; both.")
    ] = "features",
    width: Annotated[int, typer.Option(help="Numbers in an embedding.")] = 1280,
) -> None:
    """Make a synthetic Aff-Wild2 with a planted structure, and say how well anyone could do on it."""
    from affectline.cli.progress import shown
    from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
    from affectline.labels import Task

    options = SynthOptions(videos, frames, seed, form, width)  # type: ignore[arg-type]  # it checks the form
    with shown("videos") as advance:
        result = write_synthetic(output, options, advance)
    parts = ", ".join(f"{count} {split}" for split, count in result.videos.items())
    typer.echo(f"{output}: {parts} videos, {result.frames} frames (synthetic: scores on it say nothing about people)")
    typer.echo(f"\n{'the best that is possible on val, from':<42}  P_VA  P_EXPR   P_AU")
    for one in result.ceilings:
        scores = (one.p[task] for task in (Task.VA, Task.EXPR, Task.AU))
        typer.echo(f"{one.source:<42}  " + "  ".join(f"{score:.3f}" for score in scores))
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
