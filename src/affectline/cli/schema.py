"""`affectline schema`: what every column of the result table means."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show every column of the result table: meaning, unit, range and source."""
    from affectline.schema import schema_as_json, schema_as_text

    typer.echo(json_text.dumps(schema_as_json(), indent=2) if json else schema_as_text())
