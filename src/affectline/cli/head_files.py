"""What commands that take head files have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affectline.cli.arguments import opaque_opener

if TYPE_CHECKING:
    from affectline.datasets.labelled import LabelledTables
    from affectline.datasets.loading import DataOptions
    from affectline.heads.head import Head
    from affectline.labels import Task


def open_heads(paths: Sequence[Path], task: Task | None, trusted: list[str] | None = None) -> list[Head]:
    """Return the heads of files.

    Args:
        paths: of the files.
        task: that they must be of; None for the task of the first.
        trusted: sha256 of each pickle that may be opened.

    Raises:
        InputError: a head is of another task.
        ModelFileError: a file is damaged, or holds a pickle that is not trusted.
    """
    from affectline.errors import InputError
    from affectline.heads.head_file import load_head

    opener = opaque_opener(trusted)
    heads = [load_head(path, opener) for path in paths]
    wanted = task or heads[0].card.task
    for path, head in zip(paths, heads, strict=True):
        if head.card.task is not wanted:
            raise InputError(f"{path} predicts {head.card.task.value}, not {wanted.value}; name a head of that task")
    return heads


def load_for_heads(
    heads: Sequence[Head], paths: Sequence[Path], task: Task, split: str, options: DataOptions
) -> LabelledTables:
    """Return labelled data with the features of every backbone that the heads need.

    Args:
        heads: all of the task.
        paths: their files, for messages.
        task: which labels.
        split: `train`, `val` or `train+val`.
        options: where the data are; the backbones are filled in, and the crop kind if all heads agree on it.

    Raises:
        InputError: the store lacks a backbone of a head (both digests are named), or heads were trained on different
            crops.
    """
    from dataclasses import replace

    from affectline.datasets.loading import load_labelled
    from affectline.evaluation.needed_features import digests_of, require_backbones, usual_crop_kind
    from affectline.features.store import FeatureStore

    store = FeatureStore(options.store)
    for head, path in zip(heads, paths, strict=True):
        require_backbones(store, head, str(path))
    crop_kind = options.crop_kind or usual_crop_kind(store, dict(zip(names_of(paths), heads, strict=True)))
    options = replace(options, backbones=digests_of(heads), crop_kind=crop_kind)
    return load_labelled(task, split, options, heads[0].card.labels)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return short names: those of the files, or whole paths where two files have one name."""
    names = [path.stem for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
