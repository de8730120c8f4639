"""Options that `affectline serve` alone has; their defaults stand in the command, a test holds them to the records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HOST = Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")]
PORT = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
FOLDER = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="Where analyses are kept.", show_default="user's data")
]
WORKERS = Annotated[int, typer.Option(min=1, help="Analyses at a time.")]
QUEUE = Annotated[int, typer.Option(min=1, help="Uploads that may wait; more are refused.")]
TOKEN = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="AFFECTLINE_TOKEN",
        show_envvar=True,
        help="What clients must show; `new` makes one and shows it.",
    ),
]
TOKEN_FILE = Annotated[Path | None, typer.Option(metavar="FILE", help="Read the token from the first line of a file.")]
ALLOW_HOST = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="A name by which browsers reach this machine; again for more.")
]
MAX_MB = Annotated[float, typer.Option(help="Megabytes of an upload.")]
MAX_MINUTES = Annotated[float, typer.Option(help="Length of a video.")]
MAX_MEGAPIXELS = Annotated[float, typer.Option(help="Size of a picture.")]
MEMORY_MB = Annotated[int, typer.Option(help="Address space of each child process (POSIX).")]
JOB_MINUTES = Annotated[float, typer.Option(help="Time for one analysis.")]
KEEP_HOURS = Annotated[float, typer.Option(help="Remove results after so long; 0 keeps them.")]
LIVE = Annotated[int, typer.Option("--live", min=1, help="Cameras at a time.")]
ACTION_UNITS = Annotated[bool, typer.Option("--au/--no-au", help="Estimate action units of uploads.")]
LOG_LEVEL = Annotated[str, typer.Option(help="debug, info, warning or error.")]
