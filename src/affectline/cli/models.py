"""`affectline models`: what can be fetched, what is here, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectline.assets import AssetState, fetch, list_assets, verify_assets
from affectline.cli.exit_codes import EXIT_FAILED

app = typer.Typer(help="List, fetch and verify model files and clips.", no_args_is_help=True)

_FILE_WIDTH = 200
"""Columns of text where no terminal says how wide it is."""

_NAMES = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; all if none is named.")]


@app.command("list")
def list_command() -> None:
    """Show every model and clip: its licence, what it was trained on, and whether it is on this machine."""
    from rich.console import Console
    from rich.table import Column, Table

    narrow = [Column(title, no_wrap=True) for title in ("name", "for", "size", "here")]
    table = Table(*narrow, "licence of the file", "trained on")
    for state in list_assets():
        spec = state.spec
        here = "embedded" if spec.embedded else ("yes" if state.path else "no")
        table.add_row(spec.name, spec.kind.value, _megabytes(state), here, spec.licence, spec.training_data)
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(table)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="What to fetch.")],
) -> None:
    """Fetch files into the cache, verify them and print their paths."""
    for name in names:
        typer.echo(fetch(name))


@app.command()
def verify(names: _NAMES = None) -> None:
    """Check the digest of the files that are here; exit code 1 if one is damaged."""
    states = verify_assets(names or ())
    for state in states:
        verdict = {None: "not here", True: "ok", False: "DAMAGED: remove it and pull it again"}[state.verified]
        typer.echo(f"{state.spec.name}: {verdict}" + (f" ({state.path})" if state.path else ""))
    if any(state.verified is False for state in states):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def quantise(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="Name or file.")],
    faces: Annotated[list[Path], typer.Argument(metavar="FACES...", help="Folders of crops of faces, 512 are enough.")],
) -> None:
    """Write a backbone in 8 bits, scaled by some faces, for `--precision int8`."""
    from itertools import chain

    from affectline.images import open_images
    from affectline.training.quantise import quantise_backbone

    frames = chain.from_iterable(open_images(folder).frames() for folder in faces)
    typer.echo(quantise_backbone(backbone, (frame.rgb for frame in frames if not frame.is_corrupt)))


def _megabytes(state: AssetState) -> str:
    return "?" if state.size_bytes is None else f"{state.size_bytes / 1e6:.1f} MB"
