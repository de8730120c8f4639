"""What can be said to `affectline reproduce`, option by option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Annotations (and crops) in the Aff-Wild2 layout.")
]
STORE = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Feature store that `affectline extract` made.")
]
OUTPUT = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Tables, figures, and what is kept of each row.")
]
ONLY = Annotated[
    list[str] | None, typer.Option("--only", metavar="ROW|GROUP", help="Run these alone; may be given repeatedly.")
]
LIST = Annotated[bool, typer.Option("--list", help="Show the names of all rows and groups, and end.")]
AUTOML = Annotated[bool, typer.Option("--automl/--no-automl", help="Rows with LightAutoML, too.")]
TIME_LIMIT = Annotated[float, typer.Option(metavar="S", help="Seconds for each search of LightAutoML.")]
SEEDS = Annotated[int, typer.Option(min=1, help="Train heads with so many seeds, and show the spread.")]
PAPER_EXACT = Annotated[
    bool, typer.Option("--paper-exact", help="Also the notebook's own post-processing, beside the right one.")
]
EMOTIEFFNET = Annotated[
    str | None, typer.Option("--emotieffnet", metavar="NAME|DIGEST", help="Features that stand for EmotiEffNet.")
]
MT_EMOTIEFFNET = Annotated[
    str | None, typer.Option("--mt-emotieffnet", metavar="NAME|DIGEST", help="Likewise for MT-EmotiEffNet.")
]
FINETUNE_INIT = Annotated[
    str | None,
    typer.Option(
        "--finetune-init",
        metavar="NAME|FILE",
        help="With what the fine-tuned network begins; the default backbone if nothing is said.",
    ),
]
FINETUNE_CROPS = Annotated[int, typer.Option("--finetune-crops", min=1, help="Crops that it learns from, at most.")]
SETTINGS = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="HEAD.NAME=VALUE", help="Train one head otherwise, such as au_b0_mlp.epochs=5."),
]
