"""`affectline report`: the page of an analysis that was made earlier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of one analysed input.")],
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE", help="What was analysed; without it the page has charts alone."),
    ] = None,
    embed_limit: Annotated[
        float, typer.Option(min=0, metavar="MB", help="Larger videos lie beside the page instead of in it.")
    ] = 15.0,
) -> None:
    """Write report.html into the folder of a finished analysis."""
    from affectline.cli.progress import shown
    from affectline.report.page import write_report

    with shown("frames of a preview") as advance:
        path = write_report(folder, video=video, embed_limit_mb=embed_limit, on_progress=advance)
    typer.echo(path)
