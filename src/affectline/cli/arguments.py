"""Options that several commands share: the same name, help and meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.errors import InputError
from affectline.labels import Task

if TYPE_CHECKING:
    from affectline.cluster import ClusterOptions
    from affectline.datasets.loading import DataOptions
    from affectline.features import CropKind
    from affectline.heads.head_file import OpaqueOpener
    from affectline.postprocess.smoothing import Smoothing, SmoothingChoice, SmoothingMode

TASK = Annotated[str, typer.Argument(metavar="TASK", help="va, expr or au.")]
STORE = Annotated[Path, typer.Option("--store", metavar="DIR", help="Feature store that `affectline extract` made.")]
DATA = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Annotations in the Aff-Wild2 layout.")]
LABELS = Annotated[Path | None, typer.Option("--labels", metavar="CSV", help="Labels of your own (docs/data.md).")]
BACKBONES = Annotated[
    list[str] | None,
    typer.Option("--backbone", metavar="NAME|DIGEST", help="Whose features, if the store has several backbones."),
]
CROPS = Annotated[
    str | None, typer.Option("--crops", metavar="KIND", help="cropped, cropped_aligned or detected, if it has several.")
]
TRAIN_LIST = Annotated[
    Path | None, typer.Option("--train-list", metavar="FILE", help="Video names to train on, instead of Train_Set.")
]
VAL_LIST = Annotated[
    Path | None,
    typer.Option("--val-list", metavar="FILE", help="Video names to validate on, instead of Validation_Set."),
]
SEED = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of everything that is drawn at random.")]
DEVICE = Annotated[str, typer.Option(help="What runs the backbones: cpu, openvino, cuda or tensorrt.")]
PRECISION = Annotated[
    str, typer.Option(help="What they compute with: fp32, bf16 or int8, where the device can (docs/backbones.md).")
]
OFFLINE = Annotated[bool, typer.Option("--offline", help="Use no network.")]
THREADS = Annotated[int | None, typer.Option(min=1, metavar="N", help="Cores to use; all if left out.")]
ENGINE = Annotated[str, typer.Option(help="local, or ray: one task for each input on a cluster (docs/scale.md).")]
CPUS = Annotated[int, typer.Option("--task-cpus", min=1, metavar="N", help="With ray: cores for each input.")]
TRUST_PICKLE = Annotated[
    list[str] | None,
    typer.Option("--trust-pickle", metavar="SHA256", help="Open the automl head with this pickle (docs/automl.md)."),
]


FILTERS: dict[str, SmoothingMode] = {"box": "centred", "gaussian": "gaussian", "causal": "causal"}
"""Filters by their word on the command line."""


def parse_task(text: str) -> Task:
    """Return the task that `va`, `expr` or `au` names, in any case.

    Raises:
        InputError: the text is none of them.
    """
    for task in Task:
        if text.upper() == task.value:
            return task
    raise InputError(f"no task {text!r}; choose va, expr or au")


def check_split(text: str) -> None:
    """Raise InputError unless a text names a split that can be scored."""
    from affectline.datasets.labelled import TRAIN, VALIDATION
    from affectline.datasets.loading import TRAIN_AND_VALIDATION

    if text not in {VALIDATION, TRAIN, TRAIN_AND_VALIDATION}:
        raise InputError(f"no split {text!r}; choose {VALIDATION}, {TRAIN} or {TRAIN_AND_VALIDATION}")


def parse_crops(text: str | None) -> CropKind | None:
    """Return the crop kind that a word names.

    Raises:
        InputError: there is no such kind.
    """
    from affectline.features import CropKind

    if text is None:
        return None
    try:
        return CropKind(text)
    except ValueError as error:
        raise InputError(f"no crops {text!r}; choose {', '.join(kind.value for kind in CropKind)}") from error


def data_options(  # noqa: PLR0913, PLR0917 - one for each option
    store: Path,
    data: Path | None,
    labels: Path | None,
    backbones: list[str] | tuple[str, ...] | None,
    crops: str | None,
    train_list: Path | None = None,
    val_list: Path | None = None,
) -> DataOptions:
    """Return where labels and features are, from what was typed."""
    from affectline.datasets.loading import DataOptions

    return DataOptions(store, data, labels, tuple(backbones or ()), parse_crops(crops), train_list, val_list)


def opaque_opener(trusted: list[str] | None) -> OpaqueOpener | None:
    """Return what opens automl heads with the digests that were typed; None where none was."""
    if not trusted:
        return None
    from affectline.training.automl import opaque_opener as make_opener

    return make_opener(trusted)


def parse_filter(text: str) -> SmoothingMode:
    """Return the smoothing mode that `box`, `gaussian` or `causal` names.

    Raises:
        InputError: there is no such filter.
    """
    if text not in FILTERS:
        raise InputError(f"no filter {text!r}; choose {', '.join(FILTERS)}")
    return FILTERS[text]


def parse_smoothing(radii: str | None, filter_name: str | None) -> Smoothing | SmoothingChoice:
    """Return the smoothing that `--smooth` and `--filter` ask for; what they leave open is the head's.

    Raises:
        InputError: one of them is not understood.
    """
    from affectline.postprocess.smoothing import SmoothingChoice

    mode = None if filter_name is None else parse_filter(filter_name)
    return SmoothingChoice(mode=mode) if radii is None else SmoothingChoice.parse(radii, mode)


def parse_engine(engine: str, task_cpus: int, device: str) -> ClusterOptions | None:
    """Return what a task gets of a Ray cluster; None for the local engine.

    Raises:
        InputError: there is no such engine.
    """
    from affectline.cluster import ClusterOptions
    from affectline.runtime import Device

    if engine not in {"local", "ray"}:
        raise InputError(f"no engine {engine!r}; choose local or ray")
    if engine == "local":
        return None
    return ClusterOptions(task_cpus, gpus=int(device in {one.value for one in Device if one.is_gpu}))
