"""What can be said to `affectline finetune`, option by option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TASK = Annotated[str, typer.Option(metavar="TASK", help="expr, va, au or ferplus.")]
OUTPUT = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the backbone and its card.")]
DATA = Annotated[
    Path | None, typer.Option(metavar="DIR|FILE", help="Aff-Wild2 annotations and crops; the NPZ file of FER+.")
]
STORE = Annotated[
    Path | None, typer.Option(metavar="DIR", help="With --labels: feature store that has the faces' boxes.")
]
VIDEOS = Annotated[Path | None, typer.Option(metavar="DIR", help="With --labels: folder of the videos.")]
CROPS = Annotated[str | None, typer.Option(metavar="KIND", help="cropped or cropped_aligned, if both exist.")]
EVERY = Annotated[int, typer.Option(min=1, metavar="N", help="Of the labelled frames take every Nth.")]
ARCH = Annotated[
    str | None, typer.Option(help="Name of a timm architecture; that of --init, or tf_efficientnet_lite0.")
]
INIT = Annotated[str, typer.Option(metavar="imagenet|NAME|FILE", help="Weights or backbone to begin with.")]
HEAD = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Trained perceptron to begin with behind the embedding.")
]
NAME = Annotated[str, typer.Option(help="Of the backbone.")]
SIZE = Annotated[
    int | None, typer.Option(help="Side of the network's input, pixels; that of --init, or 96 for FER+, 112.")
]
COLOUR = Annotated[str | None, typer.Option(help="rgb or grey; that of --init, or grey for FER+, rgb.")]
EPOCHS = Annotated[int, typer.Option(min=1)]
BATCH_SIZE = Annotated[int, typer.Option(min=2)]
LEARNING_RATE = Annotated[float, typer.Option(help="The highest.")]
OPTIMISER = Annotated[str, typer.Option(help="adamw or adam.")]
SAM = Annotated[float, typer.Option(min=0, help="Radius of sharpness-aware minimisation; 0 for none.")]
LABEL_SMOOTHING = Annotated[float, typer.Option(min=0, help="Share of the targets for all classes alike.")]
CLASS_WEIGHTS = Annotated[
    bool | None, typer.Option("--class-weights/--no-class-weights", help="Expressions weigh the same in total.")
]
MIXUP = Annotated[
    float, typer.Option(min=0, help="Largest share of a second picture that is mixed into each; 0 for none.")
]
FROZEN = Annotated[bool, typer.Option("--frozen", help="Train only what is behind the embedding.")]
PRECISION = Annotated[str, typer.Option(help="fp32 or bf16.")]
DEVICE = Annotated[str, typer.Option(help="cpu, cuda or another device of PyTorch.")]
TEACHER = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="FER+: backbone file whose opinion joins the votes.")
]
TEACH = Annotated[float, typer.Option(min=0, max=1, help="Share of the teachers in the targets.")]
PATIENCE = Annotated[int | None, typer.Option(min=0, help="Epochs without a better score before the end; 0: all.")]
INT8 = Annotated[bool, typer.Option("--int8", help="Write the int8 form too.")]
ALLOW_EMPTY_CLASSES = Annotated[bool, typer.Option("--allow-empty-classes", help="Train without examples.")]
RESUME = Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")]
