"""`affectline tracks`: mend what tracking could not know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Mend the tracks of a finished analysis.", no_args_is_help=True)


@app.command()
def merge(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of one analysed video.")],
    keep: Annotated[int, typer.Argument(metavar="ID", help="The track that stays.")],
    other: Annotated[int, typer.Argument(metavar="ID", help="The track that becomes part of it.")],
    video: Annotated[
        Path | None,
        typer.Option(
            "--video", metavar="FILE", help="What was analysed, if it is not where it was: for the pictures of it."
        ),
    ] = None,
) -> None:
    """Join two tracks that are one person, in every file of the folder."""
    from affectline.cli.progress import Progress
    from affectline.mending import merge_tracks
    from affectline.report.page import REPORT_NAME

    with Progress() as progress:
        progress.begin("")
        merged = merge_tracks(folder, keep, other, progress, video)
    left = ", ".join(map(str, merged.timeline.track_ids))
    typer.echo(f"track {other} is now part of track {keep}; tracks: {left}")
    for name in merged.stale:
        advice = f"; `affectline report {folder} --video FILE` makes it anew" if name == REPORT_NAME else ""
        typer.echo(f"{name} still shows both: what was analysed is not where it was{advice}")


@app.callback()
def _group() -> None:
    """Keep `merge` a command of its own, although it is the only one so far."""
