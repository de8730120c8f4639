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
) -> None:
    """Join two tracks that are one person, in every file of the folder."""
    from affectline.jobs import merge_tracks
    from affectline.report.page import REPORT_NAME

    timeline = merge_tracks(folder, keep, other)
    left = ", ".join(map(str, timeline.track_ids))
    typer.echo(f"track {other} is now part of track {keep}; tracks: {left}")
    if (folder / REPORT_NAME).is_file():
        typer.echo(f"{REPORT_NAME} still shows them as two: `affectline report {folder} --video FILE` makes it anew")


@app.callback()
def _group() -> None:
    """Keep `merge` a command of its own, although it is the only one so far."""
