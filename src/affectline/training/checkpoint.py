"""The state of a training run behind its last epoch, so that a killed run can go on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

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
    """Write the state, whole or not at all; what is there is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    content = save(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, {_KEY: json.dumps(asdict(progress))}
    )
    with complete_file(path) as file:
        file.write(content)


def load_checkpoint(path: Path, settings: str) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return the state that a run with these settings has left, or None if there is none.

    Raises:
        ResumeError: the file is damaged, or of a run with other settings.
    """
    if not path.exists():
        return None
    try:
        with safe_open(str(path), "pt") as file:
            record = json.loads((file.metadata() or {})[_KEY])
            tensors: dict[str, Tensor] = {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        progress = Progress(**{**record, "scores": tuple(record["scores"])})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ResumeError(f"{path} cannot be continued ({error}); leave out --resume to start anew") from error
    if progress.settings != settings:
        raise ResumeError(
            f"{path} is of a training run with other data or parameters; leave out --resume to start anew"
        )
    return progress, tensors
