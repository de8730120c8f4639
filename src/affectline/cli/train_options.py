"""What can be said to `affectline train`, option by option, and how a network is trained then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.errors import InputError
from affectline.labels import Task

if TYPE_CHECKING:
    from affectline.features import FeaturePart
    from affectline.training.params import TrainParams
    from affectline.training.temporal_params import TemporalParams

MODEL = Annotated[
    str, typer.Option(help="mlp, gated, gated_paper, cascade, gru, tcn, transformer, pretrained or automl.")
]
INPUT = Annotated[str | None, typer.Option("--input", help="embedding, logits, va, or several joined by +.")]
EPOCHS = Annotated[int | None, typer.Option(min=1, help="At most; exactly, where nothing is held out.")]
HIDDEN = Annotated[
    int | None, typer.Option(min=0, help="Width of the hidden layer, 0 for none; gru, tcn, transformer: of all.")
]
L2 = Annotated[float | None, typer.Option(min=0, help="Weight of the squared weights in the loss.")]
WEIGHT_DECAY = Annotated[float | None, typer.Option(min=0, help="gru, tcn, transformer: of AdamW.")]
DROPOUT = Annotated[float | None, typer.Option(min=0, help="gru, tcn, transformer: share left out.")]
WINDOW = Annotated[float | None, typer.Option(metavar="SECONDS", help="gru, tcn, transformer: what they see together.")]
CAUSAL = Annotated[bool, typer.Option("--causal", help="gru, tcn, transformer: look back only, for live use.")]
LEARNING_RATE = Annotated[float | None, typer.Option(min=0, help="Of Adam.")]
BATCH_SIZE = Annotated[int | None, typer.Option(min=1, help="Frames of a step, at most.")]
PATIENCE = Annotated[int | None, typer.Option(min=1, help="Epochs without a better score before the end.")]
ONNX = Annotated[Path | None, typer.Option(metavar="FILE", help="gru, tcn, transformer: write the head as ONNX too.")]
FILTER = Annotated[
    str | None, typer.Option("--filter", help="box, gaussian or causal; causal with --causal, else box.")
]
DECISION_FROM = Annotated[
    Path | None, typer.Option("--decision-from", metavar="HEAD", help="Take radius and thresholds from this head.")
]
OUTPUT = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The head, such as va.safetensors.")]
ON = Annotated[str, typer.Option(metavar="SPLIT", help="train, or train+val for a final model.")]
ALLOW_EMPTY_CLASSES = Annotated[bool, typer.Option("--allow-empty-classes", help="Train without examples.")]
TIME_LIMIT = Annotated[float, typer.Option(metavar="S", help="automl: seconds for the whole search.")]
THRESHOLDS = Annotated[str, typer.Option(help="AU: best, fixed (0.5) or cv (over folds of videos).")]
PAPER_EXACT = Annotated[bool, typer.Option("--paper-exact", help="Decide as the paper's notebook did.")]
RESUME = Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")]


@dataclass(frozen=True, slots=True)
class Network:
    """What was typed about a network; None is what was not.

    Attributes:
        model: one of `training.trainers.MODELS`.
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

    @property
    def parts(self) -> tuple[FeaturePart, ...] | None:
        """The input; None takes the task's default.

        Raises:
            InputError: a part is unknown or named twice.
        """
        from affectline.features import parse_parts

        return None if self.inputs is None else parse_parts(self.inputs)


def network_params(task: Task, network: Network) -> tuple[TrainParams | None, TemporalParams | None]:
    """Return the task's defaults with what was chosen: for a perceptron, or for a model that sees a face over time.

    Raises:
        InputError: an option means nothing to the model.
    """
    from dataclasses import replace

    from affectline.heads.temporal_spec import TEMPORAL_MODELS
    from affectline.training.params import default_params
    from affectline.training.temporal_params import default_temporal

    parts = network.parts
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
    _refuse_unused(network, given)
    return replace(default_params(task, parts), **given), None  # type: ignore[arg-type]  # mypy does not see into **


def _refuse_unused(network: Network, given: Mapping[str, float]) -> None:
    """Refuse what was chosen for a perceptron where none is trained."""
    if network.model not in {"pretrained", "automl"}:
        return
    typed = [f"--{name.replace('_', '-')}" for name in given if name not in {"seed", "allow_empty_classes"}]
    typed += ["--input"] if network.model == "pretrained" and network.inputs is not None else []
    if typed:
        raise InputError(f"{', '.join(typed)} mean nothing to {network.model}, which trains no network")
