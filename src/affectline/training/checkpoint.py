"""The state of a training run behind its last epoch, so that a killed run can go on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from affectline.atomic_file import complete_file
from affectline.errors import ResumeError

_KEY = "affectline"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        settings: digest of everything that the run depends on; another run's state is refused.
        epoch: epochs that are done.
        best_epoch: the epoch with the best score, from 1.
        best_score: on the validation data; of no meaning where there are none.
        scores: of every epoch.
    """

    settings: str
    epoch: int
    best_epoch: int
    best_score: float
    scores: tuple[float, ...]


def save_checkpoint(path: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Write the state of a head's run, whole or not at all; what is there is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    save_state(path, asdict(progress), tensors)


def load_checkpoint(path: Path, settings: str) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return the state that a head's run with these settings has left, or None if there is none.

    Raises:
        ResumeError: the file is damaged, or of a run with other settings.
    """
    found = load_state(path, settings)
    if found is None:
        return None
    record, tensors = found
    try:
        return Progress(**{**record, "scores": tuple(record["scores"])}), tensors
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def save_state(path: Path, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a record and tensors, whole or not at all; what is there is replaced.

    Args:
        path: where.
        record: JSON values, `settings` among them.
        tensors: by name.

    Raises:
        OutputError: the file cannot be written.
    """
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {_KEY: json.dumps(record)})
    with complete_file(path) as file:
        file.write(content)


def load_state(path: Path, settings: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return the record and the tensors of a file, or None if there is none.

    Raises:
        ResumeError: the file is damaged, or its `settings` are others.
    """
    if not path.exists():
        return None
    try:
        with safe_open(str(path), "pt") as file:
            record = json.loads((file.metadata() or {})[_KEY])
            tensors: dict[str, Tensor] = {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        is_same = record["settings"] == settings
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    if not is_same:
        raise ResumeError(
            f"{path} is of a training run with other data or parameters; leave out --resume to start anew"
        )
    return record, tensors


def _damaged(path: Path, error: Exception) -> ResumeError:
    return ResumeError(f"{path} cannot be continued ({error}); leave out --resume to start anew")
