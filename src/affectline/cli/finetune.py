"""`affectline finetune`: train a backbone on pictures of faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from affectline.cli import finetune_options as given
from affectline.cli.arguments import LABELS, SEED, TRAIN_LIST, VAL_LIST, parse_task
from affectline.cli.exit_codes import EXIT_INTERRUPTED
from affectline.cli.openmp import let_threads_sleep
from affectline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from affectline.datasets.labelled_crops import CropOptions
    from affectline.training.export import Exported
    from affectline.training.finetune import EpochRecord, FinetuneRun
    from affectline.training.finetune_params import FinetuneParams
    from affectline.training.start import Start
    from affectline.training.task_recipe import OwnCrops

EXPR, FERPLUS = "expr", "ferplus"
TASKS = (EXPR, "va", "au", FERPLUS)
STATE_NAME = "state.safetensors"
TASK_PATIENCE = 5
"""Epochs without a better score: few videos are soon known by heart. FER+ is trained for all its epochs."""


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: given.TASK,
    output: given.OUTPUT,
    data: given.DATA = None,
    labels: LABELS = None,
    store: given.STORE = None,
    videos: given.VIDEOS = None,
    crops: given.CROPS = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    every: given.EVERY = 1,
    arch: given.ARCH = None,
    init: given.INIT = "imagenet",
    head: given.HEAD = None,
    name: given.NAME = "my_backbone",
    size: given.SIZE = None,
    colour: given.COLOUR = None,
    epochs: given.EPOCHS = 20,
    batch_size: given.BATCH_SIZE = 64,
    learning_rate: given.LEARNING_RATE = 1e-3,
    optimiser: given.OPTIMISER = "adamw",
    sam: given.SAM = 0.0,
    label_smoothing: given.LABEL_SMOOTHING = 0.0,
    class_weights: given.CLASS_WEIGHTS = None,
    mixup: given.MIXUP = 0.0,
    frozen: given.FROZEN = False,
    precision: given.PRECISION = "fp32",
    device: given.DEVICE = "cpu",
    teacher: given.TEACHER = None,
    teach: given.TEACH = 0.5,
    patience: given.PATIENCE = None,
    int8: given.INT8 = False,
    allow_empty_classes: given.ALLOW_EMPTY_CLASSES = False,
    seed: SEED = 0,
    resume: given.RESUME = False,
) -> None:
    """Train a backbone on face pictures, export it to ONNX, and write its card; needs the extra `finetune`."""
    which = _checked(task)
    learning = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "optimiser": optimiser}
    learning |= {"sam": sam, "label_smoothing": label_smoothing, "class_weights": class_weights, "mixup": mixup}
    learning |= {"frozen": frozen, "precision": precision, "teach": teach, "patience": patience, "seed": seed}
    places: dict[str, Any] = {
        "--data": data,
        "--labels": labels,
        "--store": store,
        "--videos": videos,
        "--crops": crops,
    }
    places |= {"--train-list": train_list, "--val-list": val_list}
    params, start = _params(which, learning), _start(init, arch, size, colour, head)
    session = _Session(name, output, resume, device)
    if which == FERPLUS:
        _refuse(which, {**places, "--data": None, "--head": head, "--colour": colour})
        _train_on_ferplus(data, start, params, tuple(teacher or ()), int8, session)
    else:
        _refuse(which, {"--teacher": teacher})
        if which != EXPR:
            _refuse(which, {"--label-smoothing": label_smoothing, "--class-weights": class_weights})
        _train_on_task(which, _source(places, every), start, params, (int8, allow_empty_classes), session)


def _checked(task: str) -> str:
    """Return the task in small letters, if there is such a task and all that it needs is installed."""
    if task.lower() not in TASKS:
        raise InputError(f"no task {task!r}; choose {', '.join(TASKS)}")
    _check_installed()
    let_threads_sleep()
    return task.lower()


def _params(task: str, typed: Mapping[str, object]) -> FinetuneParams:
    """Return how the network is trained; what was not typed and depends on the task is filled in."""
    from affectline.training.finetune_params import FinetuneParams

    is_ferplus = task == FERPLUS
    usual = {"class_weights": task == EXPR, "patience": 0 if is_ferplus else TASK_PATIENCE}
    chosen = {name: value for name, value in typed.items() if value is not None}
    return FinetuneParams(**{**usual, **chosen})  # type: ignore[arg-type]  # it checks each value


def _source(places: Mapping[str, Any], every: int) -> CropOptions | OwnCrops:
    """Return where pictures and labels are."""
    from affectline.datasets.labelled_crops import CropOptions
    from affectline.datasets.loading import DataOptions
    from affectline.training.task_recipe import OwnCrops

    labels, lists = places["--labels"], (places["--train-list"], places["--val-list"])
    if labels is None:
        folder = _needed(
            places["--data"], "--data, a folder in the Aff-Wild2 layout, or --labels, a labels.csv of your own"
        )
        return CropOptions(folder, places["--crops"], *lists, every)
    others = ("--crops", "--train-list", "--val-list", "--data")
    _refuse("--labels", {option: places[option] for option in others})
    store = _needed(places["--store"], "--store, the feature store that `affectline extract` made of the videos")
    return OwnCrops(
        DataOptions(store, labels=labels), _needed(places["--videos"], "--videos, the folder of the videos"), every
    )


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


def _refuse(by: str, typed: Mapping[str, object]) -> None:
    """Raise InputError if an option was typed that would do nothing."""
    useless = [option for option, value in typed.items() if value]
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
    data: Path | None, start: Start, params: FinetuneParams, teachers: tuple[Path, ...], int8: bool, session: _Session
) -> None:
    from dataclasses import replace

    from affectline.training.ferplus_recipe import FerPlusRecipe, train_on_ferplus
    from affectline.training.start import plan

    arch, _ = plan(start, params.arch, session.name)
    path = _needed(data, "--data, the NPZ file of FER+")
    recipe = FerPlusRecipe(path, session.name, start, replace(params, arch=arch), teachers, int8)
    with session as run:
        trained = train_on_ferplus(recipe, session.output, run)
    official, plurality = trained.valid.official.report, trained.valid.plurality.report
    typer.echo(
        f"validation: official {official.accuracy:.2%} of {official.frames}, plurality {plurality.accuracy:.2%} of "
        f"{plurality.frames}, calibration error {trained.valid.calibration_error:.2%} at temperature "
        f"{trained.temperature:.3f}"
    )
    _show_file(trained.exported)


def _train_on_task(
    task: str,
    source: CropOptions | OwnCrops,
    start: Start,
    params: FinetuneParams,
    flags: tuple[bool, bool],
    session: _Session,
) -> None:
    from affectline.training.task_recipe import HEAD_NAME, TaskRecipe, score_name, train_on_task

    recipe = TaskRecipe(parse_task(task), source, session.name, start, params, *flags)
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
