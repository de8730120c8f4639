"""`affectline finetune`: train a backbone on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import SEED
from affectline.cli.exit_codes import EXIT_INTERRUPTED
from affectline.errors import InputError

if TYPE_CHECKING:
    from affectline.cli.progress import Progress
    from affectline.training.ferplus_recipe import FerPlusRecipe, FerPlusTrained
    from affectline.training.finetune import EpochRecord

TASKS = ("ferplus",)
STATE_NAME = "state.safetensors"


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: Annotated[str, typer.Argument(metavar="TASK", help="ferplus.")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="The NPZ file of FER+.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the backbone and its card.")
    ],
    arch: Annotated[str, typer.Option(help="Name of a timm architecture.")] = "tf_efficientnet_lite0",
    init: Annotated[str, typer.Option(metavar="imagenet|FILE", help="Weights to begin with.")] = "imagenet",
    name: Annotated[str, typer.Option(help="Of the backbone.")] = "my_backbone",
    size: Annotated[int, typer.Option(help="Side of the network's input, pixels.")] = 96,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = 1e-3,
    optimiser: Annotated[str, typer.Option(help="adamw or adam.")] = "adamw",
    sam: Annotated[float, typer.Option(min=0, help="Radius of sharpness-aware minimisation; 0 for none.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(min=0, help="Share of the targets for all classes alike.")] = 0.0,
    frozen: Annotated[bool, typer.Option("--frozen", help="Train the last layer only.")] = False,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    teacher: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Backbone file whose opinion joins the votes.")
    ] = None,
    teach: Annotated[float, typer.Option(min=0, max=1, help="Share of the teachers in the targets.")] = 0.5,
    patience: Annotated[int, typer.Option(min=0, help="Epochs without a better score before the end; 0: all.")] = 0,
    seed: SEED = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")] = False,
) -> None:
    """Train a backbone on face pictures, export it to ONNX, and write its card; needs `affectline[finetune]`."""
    if task not in TASKS:
        raise InputError(f"no task {task!r}; choose {', '.join(TASKS)}")
    _check_installed()
    from affectline.training.ferplus_recipe import FerPlusRecipe
    from affectline.training.finetune_params import FinetuneParams

    params = FinetuneParams(
        arch=arch,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimiser=optimiser,  # type: ignore[arg-type]  # it checks the word
        sam=sam,
        label_smoothing=label_smoothing,
        frozen=frozen,
        precision=precision,  # type: ignore[arg-type]  # it checks the word
        teach=teach,
        patience=patience,
        seed=seed,
    )
    start = init if init == "imagenet" else Path(init)
    _show(_trained(FerPlusRecipe(data, name, start, size, params, tuple(teacher or ())), output, resume))


def _check_installed() -> None:
    from importlib.util import find_spec

    from affectline.errors import MissingExtraError

    missing = [name for name in ("torch", "timm", "torchvision", "onnxscript") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{', '.join(missing)} not installed; fine-tuning needs: pip install 'affectline[finetune]'"
        )


def _trained(recipe: FerPlusRecipe, output: Path, resume: bool) -> FerPlusTrained:
    from functools import partial

    from affectline.cli.progress import Progress
    from affectline.training.ferplus_recipe import train_on_ferplus
    from affectline.training.finetune import FinetuneRun

    try:
        with Progress() as progress:
            progress.begin(recipe.name)
            run = FinetuneRun(
                output / STATE_NAME,
                resume,
                on_epoch=partial(_show_epoch, progress, recipe.params.epochs),
                on_progress=partial(progress.advance, "steps"),
            )
            return train_on_ferplus(recipe, output, run)
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command with --resume to go on behind the last checkpoint", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_epoch(progress: Progress, total: int, records: tuple[EpochRecord, ...]) -> None:
    last = records[-1]
    progress.say(
        f"epoch {last.epoch} of {total}: loss {last.loss:.4f}, validation {last.score:.4f}, {last.seconds:.0f} s"
    )


def _show(trained: FerPlusTrained) -> None:
    official, plurality = trained.valid.official.report, trained.valid.plurality.report
    exported = trained.exported
    typer.echo(
        f"validation: official {official.accuracy:.2%} of {official.frames}, plurality {plurality.accuracy:.2%} of "
        f"{plurality.frames}, calibration error {trained.valid.calibration_error:.2%} at temperature "
        f"{trained.temperature:.3f}"
    )
    typer.echo(f"{exported.path}: {exported.size_bytes:,} bytes, sha256 {exported.sha256}")
    typer.echo(f"use it with: affectline analyze clip.mp4 --backbone {exported.path}")
