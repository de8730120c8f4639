"""How temporal heads are trained: every default in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from affectline.errors import InputError
from affectline.features import FeaturePart
from affectline.heads.temporal_spec import LONGEST_WINDOW, SHORTEST_WINDOW, TemporalSpec
from affectline.labels import Task

MOST: Final = {"weight_decay": 1e3, "learning_rate": 1.0}
"""Beyond these nothing is learned."""


@dataclass(frozen=True, slots=True)
class TemporalParams:
    """How one temporal head is trained.

    Attributes:
        parts: its input; None takes the task's default, as for perceptrons (`training.params.default_parts`).
        causal: scores rest on the past alone.
        hidden: numbers in an encoding and in each hidden state.
        layers: of the network behind the encodings; None takes the model's default. A TCN's default reaches as far as
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
    hidden: int = 64
    layers: int | None = None
    window_s: float = 8.0
    epochs: int = 20
    patience: int = 5
    batch_size: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.3
    frame_dropout: float = 0.1
    average: float = 0.99
    seed: int = 0
    allow_empty_classes: bool = False

    def __post_init__(self) -> None:
        wrong = [name for name in ("epochs", "patience", "batch_size", "hidden") if getattr(self, name) < 1]
        wrong += [name for name in ("weight_decay", "seed") if getattr(self, name) < 0]
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

    def spec(self, model: str, interval_s: float) -> TemporalSpec:
        """Return the network for data with a frame interval in seconds.

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
        return TemporalSpec(model, self.causal, self.hidden, layers, window, interval_s)


DEFAULTS: Final = {
    Task.VA: TemporalParams(hidden=32, epochs=20, batch_size=4096),
    Task.EXPR: TemporalParams(epochs=10, patience=4),
    Task.AU: TemporalParams(
        hidden=128, window_s=4.0, epochs=10, patience=4, batch_size=1024, learning_rate=5e-4, average=0.995
    ),
}
"""Chosen on synthetic data (docs/training.md). On an embedding a network over time learns the noise of single videos by
heart within a few epochs, most of all valence and arousal: they are learned from the few logits."""


def default_temporal(task: Task, *, causal: bool = False) -> TemporalParams:
    """Return how a temporal head of this task is trained if nobody says otherwise."""
    return replace(DEFAULTS[task], causal=causal)


_LAYERS: Final = {"gru": 1, "transformer": 2}
