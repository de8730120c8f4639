"""How heads are trained: every default in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from affectline.errors import InputError
from affectline.features import FeatureInfo, FeaturePart
from affectline.labels import Task

MOST: Final = {"hidden": 16_384, "l2": 1e6, "learning_rate": 10.0}
"""Beyond these nothing is learned."""


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How one perceptron is trained.

    Attributes:
        parts: its input; None takes the task's default (`default_parts`).
        hidden: width of the hidden layer; 0 for none.
        epochs: at most so many passes over the training data; all of them where nothing is held out.
        patience: passes without a better score on the validation data before training ends.
        batch_size: frames of one step, at most; see `batch_for`.
        learning_rate: of Adam (Kingma and Ba 2015).
        l2: the loss is increased by this times the sum of the squared weights.
        average: the head is the running mean of the weights, each step keeping this share of it (Polyak averaging; as
            fresh weights are far off, the share is at most (1 + step) / (10 + step)); 0 takes the weights themselves.
        seed: of the first weights and of the order of the frames.
        allow_empty_classes: train although a class or unit has no examples; it will never be predicted rightly.
    """

    parts: tuple[FeaturePart, ...] | None = None
    hidden: int = 128
    epochs: int = 10
    patience: int = 3
    batch_size: int = 512
    learning_rate: float = 1e-3
    l2: float = 0.0
    average: float = 0.995
    seed: int = 0
    allow_empty_classes: bool = False

    def __post_init__(self) -> None:
        wrong = [name for name in ("epochs", "patience", "batch_size") if getattr(self, name) < 1]
        wrong += [name for name in ("hidden", "l2", "seed") if getattr(self, name) < 0]
        wrong += [] if self.learning_rate > 0 else ["learning_rate"]
        wrong += [] if 0 <= self.average < 1 else ["average"]
        wrong += [name for name in ("hidden", "l2", "learning_rate") if getattr(self, name) > MOST[name]]
        if wrong:
            names = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            limits = ", ".join(f"{name} {most:g}" for name, most in MOST.items())
            raise InputError(
                f"training cannot use {names}: epochs, patience and batch size start at 1, the learning rate is above "
                f"0, the share of the average below 1, others start at 0; at most: {limits}"
            )


LOGITS_L2, EMBEDDING_L2, EMBEDDING_RATE = 1e-4, 1.0, 1e-3
"""L2 of the VA head on ten numbers; L2 and learning rate on an embedding of a thousand that vary together."""

DEFAULTS: Final = {
    Task.VA: TrainParams(hidden=0, epochs=20, patience=5, batch_size=4096, learning_rate=3e-3, l2=LOGITS_L2),
    Task.EXPR: TrainParams(epochs=15, patience=4, l2=0.1),
    Task.AU: TrainParams(epochs=15, patience=4, l2=0.005),
}
"""The paper's recipes: for VA two tanh outputs right on the logits, for EXPR and AU a hidden layer of 128. Epochs,
L2, learning rate and batch size were chosen on synthetic data (docs/training.md): with few videos a hidden layer with
the notebook's settings (10 epochs at 1e-3 without L2) learns the videos by heart."""


def default_params(task: Task, parts: tuple[FeaturePart, ...] | None = None) -> TrainParams:
    """Return how a head of this task is trained on these parts if nobody says otherwise; None: on `default_parts`."""
    params = replace(DEFAULTS[task], parts=parts)
    if task is Task.VA and FeaturePart.EMBEDDING in (parts or ()):
        return replace(params, l2=EMBEDDING_L2, learning_rate=EMBEDDING_RATE)
    return params


MIN_STEPS: Final = 50
"""Steps that an epoch should have: smaller sets are cut into smaller batches, down to `MIN_BATCH`."""

MIN_BATCH: Final = 64


def batch_for(params: TrainParams, n_examples: int) -> int:
    """Return how many frames a step takes where there are so many examples."""
    return min(params.batch_size, max(MIN_BATCH, n_examples // MIN_STEPS))


def default_parts(task: Task, info: FeatureInfo) -> tuple[FeaturePart, ...]:
    """Return what a head of this task looks at if nobody says otherwise (paper, section 2)."""
    if task is not Task.VA:
        return (FeaturePart.EMBEDDING,)
    extra = (FeaturePart.VALENCE_AROUSAL,) if info.has_valence_arousal else ()
    return (FeaturePart.LOGITS, *extra)
