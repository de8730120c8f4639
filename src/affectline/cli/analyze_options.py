"""The options of `affectline analyze`, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

INPUTS = Annotated[
    list[str],
    typer.Argument(metavar="INPUT...", help="Videos, images, folders of them, patterns, @LIST files, URLs."),
]
OUTPUT = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")]
NETWORKS = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        help="Name (see `affectline models list`) or model file; again for another. Without: mobilenet96_ferplus.",
    ),
]
HEADS = Annotated[
    list[Path] | None,
    typer.Option("--head", metavar="FILE", help="Trained head (docs/training.md), at most one for each task."),
]
DETECTOR = Annotated[str | None, typer.Option(help="blazeface, libfacedetection or yunet.", show_default="blazeface")]
MAX_FACES = Annotated[int | None, typer.Option(min=1, help="Follow the N largest faces only.")]
DETECT_EVERY = Annotated[
    str, typer.Option(metavar="N|auto", help="Search every N-th frame for faces, follow them in between.")
]
EVERY = Annotated[int, typer.Option(min=1, metavar="N", help="Take every N-th frame.")]
FPS = Annotated[float | None, typer.Option(metavar="F", help="Take F frames a second.")]
STRIDE = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Run the networks once in so many seconds, fill in the frames between."),
]
CASCADE = Annotated[
    str | None,
    typer.Option(
        metavar="NETWORK", help="Larger network that is asked about expressions where the backbone is unsure."
    ),
]
SURE_FROM = Annotated[
    float | None, typer.Option(metavar="P", help="With --cascade: the backbone is sure from this probability (0.7).")
]
START = Annotated[float | None, typer.Option(metavar="S", help="Begin at this second.")]
END = Annotated[float | None, typer.Option(metavar="S", help="Stop before this second.")]
SMOOTH = Annotated[
    str | None,
    typer.Option(metavar="RADII|off", help="Radii in seconds: va=0.83,expr=1.67,au=0.10; a head brings its own."),
]
FILTER = Annotated[
    str | None, typer.Option("--filter", metavar="NAME", help="box, gaussian or causal; a head brings its own.")
]
FORMATS = Annotated[str, typer.Option("--format", help="Any of csv, parquet, jsonl.")]
VIDEO = Annotated[bool, typer.Option("--video/--no-video", help="Write annotated.mp4.")]
REPORT = Annotated[bool, typer.Option("--report", help="Write report.html (docs/report.md).")]
AU = Annotated[bool, typer.Option("--au/--no-au", help="Estimate action units.")]
LANDMARKS = Annotated[bool, typer.Option(help="Write landmarks.arrow: 478 points, blendshapes.")]
SEQUENCE = Annotated[float | None, typer.Option(metavar="FPS", help="A folder of images is one video with this rate.")]
CROPS = Annotated[bool, typer.Option("--crops", help="The pictures are faces already.")]
WORKERS = Annotated[
    int, typer.Option(min=1, metavar="N", help="Processes that share each video and the cores (docs/scale.md).")
]
RESUME = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")]
