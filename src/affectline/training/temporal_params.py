"""How temporal heads are trained: every default in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from affectline.errors import InputError
from affectline.features import FeaturePart
from affectline.heads.temporal_spec import LONGEST_WINDOW, SHORTEST_WINDOW, TemporalSpec
from affectline.labels import Task
from affectline.training.params import TrainParams, default_params

MOST: Final = {"weight_decay": 1e3, "learning_rate": 1.0}
"""Beyond these nothing is learned."""


@dataclass(frozen=True, slots=True)
class TemporalParams:
    """How one temporal head is trained.

    Attributes:
        parts: its input; None takes the task's default, as for perceptrons (`training.params.default_parts`).
        causal: scores rest on the past alone.
        projected: numbers of a linear layer on the backbone's outputs that the network sees beside the perceptron's; 0
            for none. Few outputs are seen as they are (`heads.temporal_encoder.MOST_PASSED`).
        hidden: numbers in each hidden state of the network.
        layers: of the network; None takes the model's default. A TCN's default reaches as far as
            the window does.
        window_s: how long the windows are that the network sees, seconds; rounded to an even number of frames.
        epochs: at most so many passes over the training data; all of them where nothing is held out.
        patience: passes without a better score on the validation data before training ends.
        batch_size: frames of one step, at most, in whole windows; at least one window.
        learning_rate: of AdamW (Loshchilov and Hutter 2019).
        weight_decay: of AdamW; of weights, not of biases and norms.
        dropout: share of the hidden numbers that are left out at random in each step of training.
        frame_dropout: share of the frames that a step of training leaves out, as if they had no face.
        average: as `TrainParams.average`.
        seed: of the first weights, of where windows begin, of their order and of what is left out.
        allow_empty_classes: train although a class or unit has no examples; it will never be predicted rightly.
    """

    parts: tuple[FeaturePart, ...] | None = None
    causal: bool = False
    projected: int = 0
    hidden: int = 32
    layers: int | None = None
    window_s: float = 8.0
    epochs: int = 20
    patience: int = 5
    batch_size: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    dropout: float = 0.5
    frame_dropout: float = 0.0
    average: float = 0.99
    seed: int = 0
    allow_empty_classes: bool = False

    def __post_init__(self) -> None:
        wrong = [name for name in ("epochs", "patience", "batch_size", "hidden") if getattr(self, name) < 1]
        wrong += [name for name in ("weight_decay", "seed", "projected") if getattr(self, name) < 0]
        wrong += [name for name in ("learning_rate", "window_s") if not getattr(self, name) > 0]
        wrong += [name for name in ("dropout", "frame_dropout", "average") if not 0 <= getattr(self, name) < 1]
        wrong += [name for name, most in MOST.items() if getattr(self, name) > most]
        if wrong:
            names = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            limits = ", ".join(f"{name} {most:g}" for name, most in MOST.items())
            raise InputError(
                f"training cannot use {names}: epochs, patience, batch size and hidden start at 1, the learning rate "
                "and the window are above 0, dropout and the share of the average below 1, others start at 0; at most: "
                f"{limits}"
            )

    def spec(self, model: str, inputs: int, interval_s: float) -> TemporalSpec:
        """Return filter and network for encodings of so many numbers and data with a frame interval in seconds.

        Raises:
            InputError: such a network is not possible: the window has too few or too many frames.
        """
        window = 2 * round(self.window_s / interval_s / 2)
        if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
            raise InputError(
                f"a window of {self.window_s:g} s holds {window} frames of these data ({1 / interval_s:.3g} a second); "
                f"{SHORTEST_WINDOW} to {LONGEST_WINDOW} are possible: choose another --window"
            )
        layers = self.layers or _LAYERS.get(model) or max(1, (window - 1).bit_length() - 1)
        reach = round(_REACH * window) * (2 if self.causal else 1)
        return TemporalSpec(model, self.causal, inputs, self.hidden, layers, window, reach, interval_s)

    def reader(self, task: Task, parts: tuple[FeaturePart, ...]) -> TrainParams:
        """Return how the perceptron is trained that reads single frames: as one that works alone."""
        return replace(default_params(task, parts), seed=self.seed, allow_empty_classes=self.allow_empty_classes)


DEFAULTS: Final = {
    Task.VA: TemporalParams(epochs=20, batch_size=4096),
    Task.EXPR: TemporalParams(
        projected=64, hidden=64, epochs=12, patience=4, weight_decay=0.1, dropout=0.3, frame_dropout=0.1
    ),
    Task.AU: TemporalParams(window_s=4.0, epochs=20),
}
"""Chosen on synthetic data (docs/training.md)."""

FIRST_RADIUS_S: Final = {Task.VA: 0.5, Task.EXPR: 0.4, Task.AU: 0.13}
"""Of the mean over time that a filter begins as, seconds."""

FOLDS: Final = 3
"""Of perceptrons, each of which has not seen the videos that it reads for the network over time."""

_REACH: Final = 3 / 8
"""Of the filter to each side, as a share of the window."""


def default_temporal(task: Task, *, causal: bool = False) -> TemporalParams:
    """Return how a temporal head of this task is trained if nobody says otherwise."""
    return replace(DEFAULTS[task], causal=causal)


_LAYERS: Final = {"gru": 1, "transformer": 2}
