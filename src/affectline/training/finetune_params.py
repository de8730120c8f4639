"""How networks are trained on pictures: every default in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from affectline.errors import InputError
from affectline.training.augment import AugmentParams

Optimiser = Literal["adamw", "adam"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class FinetuneParams:
    """How one network is trained.

    Attributes:
        arch: name of a timm architecture.
        epochs: passes over the training pictures.
        batch_size: pictures of a step, at least 2.
        learning_rate: the highest; it rises in a line over `warmup` of all steps and falls to 0 along a cosine.
        warmup: share of the steps.
        weight_decay: AdamW: decoupled (Loshchilov and Hutter 2019); Adam: L2.
        optimiser: `adamw` or `adam`.
        sam: radius of sharpness-aware minimisation (Foret et al. 2021); 0 for none. It takes two passes a step.
        average: the network is the running mean of its weights, each step keeping this share of it; as fresh weights
            are far off, the share is at most (1 + step) / (10 + step).
        label_smoothing: share of the targets that goes to all classes alike.
        class_weights: classes weigh the same in total instead of each picture.
        drop: share of the embedding that is dropped.
        drop_path: stochastic depth.
        frozen: the trunk stays as it is; only the last layer learns.
        precision: `fp32`, or `bf16` for forward and backward passes, which is faster where the processor has it.
        augment: how pictures are changed.
        mixup: each picture is mixed with another one of its batch, of which it gets a share drawn from 0 to this
            (Zhang et al. 2018, with a uniform share); targets likewise.
        teach: share of the targets that comes from teachers where there are any.
        seed: of first weights, order and changes of the pictures.
        patience: epochs without a better validation score before training ends; 0 runs all epochs.
    """

    arch: str = "tf_efficientnet_lite0"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.15
    weight_decay: float = 0.05
    optimiser: Optimiser = "adamw"
    sam: float = 0.0
    average: float = 0.998
    label_smoothing: float = 0.0
    class_weights: bool = False
    drop: float = 0.2
    drop_path: float = 0.1
    frozen: bool = False
    precision: Precision = "fp32"
    augment: AugmentParams = field(default_factory=AugmentParams)
    mixup: float = 0.0
    teach: float = 0.5
    seed: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name, least in (("epochs", 1), ("batch_size", 2)) if getattr(self, name) < least]
        wrong += [name for name in ("sam", "weight_decay", "seed", "patience") if getattr(self, name) < 0]
        shares = ("average", "label_smoothing", "drop", "drop_path", "warmup", "mixup")
        wrong += [name for name in shares if not 0 <= getattr(self, name) < 1]
        wrong += [] if 0 < self.learning_rate <= 10 else ["learning_rate"]  # noqa: PLR2004
        wrong += [] if 0 <= self.teach <= 1 else ["teach"]
        wrong += [] if self.optimiser in get_args(Optimiser) else ["optimiser"]
        wrong += [] if self.precision in get_args(Precision) else ["precision"]
        if wrong:
            names = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            raise InputError(f"fine-tuning cannot use {names}; see affectline.training.finetune_params for what it can")
