"""From what was typed to how a network is trained; options that mean nothing to a model are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affectline.errors import InputError
from affectline.labels import Task

if TYPE_CHECKING:
    from affectline.training.params import TrainParams
    from affectline.training.temporal_params import TemporalParams


@dataclass(frozen=True, slots=True)
class Network:
    """What was typed about a network; None is what was not.

    Attributes:
        model: one of `training.heads.MODELS`.
        inputs: parts of the input, joined by `+`.
        chosen: parameters that all networks have, by name.
        l2: of perceptrons.
        weight_decay, dropout, window_s, causal, onnx: of models that see a face over time.
    """

    model: str
    inputs: str | None
    chosen: Mapping[str, float | None]
    l2: float | None
    weight_decay: float | None
    dropout: float | None
    window_s: float | None
    causal: bool
    onnx: Path | None


def network_params(task: Task, network: Network) -> tuple[TrainParams | None, TemporalParams | None]:
    """Return the task's defaults with what was chosen: for a perceptron, or for a model that sees a face over time.

    Raises:
        InputError: an option means nothing to the model.
    """
    from dataclasses import replace

    from affectline.features import parse_parts
    from affectline.heads.temporal_spec import TEMPORAL_MODELS
    from affectline.training.params import default_params
    from affectline.training.temporal_params import default_temporal

    parts = None if network.inputs is None else parse_parts(network.inputs)
    given = {name: value for name, value in network.chosen.items() if value is not None}
    own = {"weight_decay": network.weight_decay, "dropout": network.dropout, "window_s": network.window_s}
    if network.model in TEMPORAL_MODELS:
        if network.l2 is not None:
            raise InputError(f"{network.model} heads have no --l2; AdamW trains them: choose --weight-decay instead")
        given |= {name: value for name, value in own.items() if value is not None}
        return None, replace(default_temporal(task, causal=network.causal), parts=parts, **given)  # type: ignore[arg-type]  # mypy does not see into **
    words = {"--weight-decay": network.weight_decay, "--dropout": network.dropout, "--window": network.window_s}
    typed = [word for word, value in words.items() if value is not None]
    typed += ["--causal"] if network.causal else []
    typed += ["--onnx"] if network.onnx is not None else []
    if typed:
        raise InputError(
            f"{', '.join(typed)} mean nothing to {network.model}; they are for --model {', '.join(TEMPORAL_MODELS)}"
        )
    given |= {} if network.l2 is None else {"l2": network.l2}
    return replace(default_params(task, parts), **given), None  # type: ignore[arg-type]  # mypy does not see into **
