"""`affectline finetune`: train a backbone on pictures of faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import LABELS, SEED, TRAIN_LIST, VAL_LIST, parse_task
from affectline.cli.exit_codes import EXIT_INTERRUPTED
from affectline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from affectline.training.export import Exported
    from affectline.training.finetune import EpochRecord, FinetuneRun
    from affectline.training.finetune_params import FinetuneParams
    from affectline.training.start import Start
    from affectline.training.task_recipe import TaskRecipe

FERPLUS = "ferplus"
TASKS = ("expr", "va", "au", FERPLUS)
STATE_NAME = "state.safetensors"
TASK_PATIENCE = 5
"""Epochs without a better score: few videos are soon known by heart. FER+ is trained for all its epochs."""


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: Annotated[str, typer.Option(metavar="TASK", help="expr, va, au or ferplus.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the backbone and its card.")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR|FILE", help="Aff-Wild2 annotations and crops; the NPZ file of FER+.")
    ] = None,
    labels: LABELS = None,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --labels: feature store that has the faces' boxes.")
    ] = None,
    videos: Annotated[Path | None, typer.Option(metavar="DIR", help="With --labels: folder of the videos.")] = None,
    crops: Annotated[
        str | None, typer.Option(metavar="KIND", help="cropped or cropped_aligned, if both exist.")
    ] = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of the labelled frames take every Nth.")] = 1,
    arch: Annotated[
        str | None, typer.Option(help="Name of a timm architecture; that of --init, or tf_efficientnet_lite0.")
    ] = None,
    init: Annotated[
        str, typer.Option(metavar="imagenet|NAME|FILE", help="Weights or backbone to begin with.")
    ] = "imagenet",
    head: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained perceptron to begin with behind the embedding.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the backbone.")] = "my_backbone",
    size: Annotated[
        int | None, typer.Option(help="Side of the network's input, pixels; that of --init, or 96 for FER+, 112.")
    ] = None,
    colour: Annotated[str | None, typer.Option(help="rgb or grey; that of --init, or grey for FER+, rgb.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=2)] = 64,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = 1e-3,
    optimiser: Annotated[str, typer.Option(help="adamw or adam.")] = "adamw",
    sam: Annotated[float, typer.Option(min=0, help="Radius of sharpness-aware minimisation; 0 for none.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(min=0, help="Share of the targets for all classes alike.")] = 0.0,
    class_weights: Annotated[
        bool | None, typer.Option("--class-weights/--no-class-weights", help="Expressions weigh the same in total.")
    ] = None,
    mixup: Annotated[
        float, typer.Option(min=0, help="Largest share of a second picture that is mixed into each; 0 for none.")
    ] = 0.0,
    frozen: Annotated[bool, typer.Option("--frozen", help="Train only what is behind the embedding.")] = False,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda or another device of PyTorch.")] = "cpu",
    teacher: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="FER+: backbone file whose opinion joins the votes.")
    ] = None,
    teach: Annotated[float, typer.Option(min=0, max=1, help="Share of the teachers in the targets.")] = 0.5,
    patience: Annotated[
        int | None, typer.Option(min=0, help="Epochs without a better score before the end; 0: all.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Write the int8 form too.")] = False,
    allow_empty_classes: Annotated[bool, typer.Option("--allow-empty-classes", help="Train without examples.")] = False,
    seed: SEED = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")] = False,
) -> None:
    """Train a backbone on face pictures, export it to ONNX, and write its card; needs `affectline[finetune]`."""
    which = task.lower()
    if which not in TASKS:
        raise InputError(f"no task {task!r}; choose {', '.join(TASKS)}")
    _check_installed()
    from affectline.datasets.labelled_crops import CropOptions
    from affectline.datasets.loading import DataOptions
    from affectline.training.finetune_params import FinetuneParams
    from affectline.training.task_recipe import OwnCrops, TaskRecipe

    is_ferplus = which == FERPLUS
    params = FinetuneParams(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimiser=optimiser,  # type: ignore[arg-type]  # it checks the word
        sam=sam,
        label_smoothing=label_smoothing,
        class_weights=not is_ferplus if class_weights is None else class_weights,
        mixup=mixup,
        frozen=frozen,
        precision=precision,  # type: ignore[arg-type]  # it checks the word
        teach=teach,
        patience=(0 if is_ferplus else TASK_PATIENCE) if patience is None else patience,
        seed=seed,
    )
    start = _start(init, arch, size, colour, head)
    session = _Session(name, output, resume, device)
    if is_ferplus:
        given = {"--labels": labels, "--store": store, "--videos": videos, "--crops": crops, "--head": head}
        _refuse(which, given | {"--colour": colour, "--train-list": train_list, "--val-list": val_list})
        _train_on_ferplus(
            _needed(data, "--data, the NPZ file of FER+"), start, params, tuple(teacher or ()), int8, session
        )
        return
    _refuse(which, {"--teacher": teacher})
    if labels is None:
        folder = _needed(data, "--data, a folder in the Aff-Wild2 layout, or --labels, a labels.csv of your own")
        source: CropOptions | OwnCrops = CropOptions(folder, crops, train_list, val_list, every)
    else:
        _refuse("--labels", {"--crops": crops, "--train-list": train_list, "--val-list": val_list, "--data": data})
        store, videos = _needed(store, "--store"), _needed(videos, "--videos, the folder of the videos")
        source = OwnCrops(DataOptions(store, labels=labels), videos, every)
    recipe = TaskRecipe(parse_task(which), source, name, start, params, int8, allow_empty_classes)
    _train_on_task(recipe, session)


def _start(init: str, arch: str | None, size: int | None, colour: str | None, head: Path | None) -> Start:
    from affectline.backbones.spec import Colour
    from affectline.training.cnn import IMAGENET
    from affectline.training.start import Start

    known = {one.value: one for one in Colour}
    if colour is not None and colour not in known:
        raise InputError(f"no colour {colour!r}; choose {' or '.join(known)}")
    return Start(init if init == IMAGENET else Path(init), arch, size, None if colour is None else known[colour], head)


def _needed(given: Path | None, what: str) -> Path:
    if given is None:
        raise InputError(f"give {what}")
    return given


def _refuse(by: str, given: Mapping[str, object]) -> None:
    """Raise InputError if an option was typed that would do nothing."""
    useless = [option for option, value in given.items() if value]
    if useless:
        raise InputError(f"{', '.join(useless)} does not go with {by}; leave it out")


def _check_installed() -> None:
    from importlib.util import find_spec

    from affectline.errors import MissingExtraError

    missing = [name for name in ("torch", "timm", "torchvision", "onnxscript") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{', '.join(missing)} not installed; fine-tuning needs: pip install 'affectline[finetune]'"
        )


class _Session:
    """Progress on the terminal, checkpoints, and the word to the user when it is interrupted."""

    def __init__(self, name: str, output: Path, resume: bool, device: str) -> None:
        from affectline.cli.progress import Progress

        self.output = output
        self.name = name
        self._resume = resume
        self._device = device
        self._progress = Progress()

    def __enter__(self) -> FinetuneRun:
        from affectline.training.finetune import FinetuneRun

        progress = self._progress.__enter__()
        progress.begin(self.name)
        return FinetuneRun(
            self.output / STATE_NAME,
            self._resume,
            on_epoch=self._show_epoch,
            on_progress=partial(progress.advance, "steps"),
            device=self._device,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            typer.echo("interrupted; run the same command with --resume to go on behind the last checkpoint", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None

    def read(self, done: int, total: int | None) -> None:
        self._progress.advance("read", done, total)

    def note(self, text: str) -> None:
        typer.echo(f"note: {text}", err=True)

    def _show_epoch(self, records: tuple[EpochRecord, ...]) -> None:
        last = records[-1]
        self._progress.say(
            f"epoch {last.epoch}: loss {last.loss:.4f}, validation {last.score:.4f}, {last.seconds:.0f} s"
        )


def _train_on_ferplus(
    data: Path, start: Start, params: FinetuneParams, teachers: tuple[Path, ...], int8: bool, session: _Session
) -> None:
    from dataclasses import replace

    from affectline.training.ferplus_recipe import FerPlusRecipe, train_on_ferplus
    from affectline.training.start import plan

    arch, _ = plan(start, params.arch, session.name)
    recipe = FerPlusRecipe(data, session.name, start, replace(params, arch=arch), teachers, int8)
    with session as run:
        trained = train_on_ferplus(recipe, session.output, run)
    official, plurality = trained.valid.official.report, trained.valid.plurality.report
    typer.echo(
        f"validation: official {official.accuracy:.2%} of {official.frames}, plurality {plurality.accuracy:.2%} of "
        f"{plurality.frames}, calibration error {trained.valid.calibration_error:.2%} at temperature "
        f"{trained.temperature:.3f}"
    )
    _show_file(trained.exported)


def _train_on_task(recipe: TaskRecipe, session: _Session) -> None:
    from affectline.training.task_recipe import HEAD_NAME, score_name, train_on_task

    with session as run:
        trained = train_on_task(recipe, session.output, run, session.read, session.note)
    found = trained.valid
    reach = "" if found.interval is None else f" ({found.interval[0]:.4f} to {found.interval[1]:.4f} over videos)"
    typer.echo(
        f"validation: {score_name(recipe.task)}: {found.report.p:.4f}{reach}, {found.report.frames} pictures of "
        f"{found.videos} videos"
    )
    typer.echo(f"{session.output / HEAD_NAME}: its last layer, for evaluate, blend and submission")
    _show_file(trained.exported)


def _show_file(exported: Exported) -> None:
    typer.echo(f"{exported.path}: {exported.size_bytes:,} bytes, sha256 {exported.sha256}")
    typer.echo(f"use it with: affectline analyze clip.mp4 --backbone {exported.path}")
