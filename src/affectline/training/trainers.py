"""Which trainer makes a model, and how it trains if nobody says otherwise: what `affectline train --model` names."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from affectline.features import FeaturePart
from affectline.heads.temporal_spec import TEMPORAL_MODELS
from affectline.labels import Task
from affectline.training.automl import AutomlParams, AutomlTrainer
from affectline.training.epochs import RunOptions
from affectline.training.heads import PERCEPTRONS, HeadTrainer, PretrainedTrainer
from affectline.training.params import TrainParams, default_params
from affectline.training.temporal import TemporalTrainer
from affectline.training.temporal_params import TemporalParams, default_temporal

AUTOML: Final = "automl"
PRETRAINED: Final = "pretrained"
MODELS: Final = (*PERCEPTRONS, *TEMPORAL_MODELS, PRETRAINED, AUTOML)
"""Every model that `affectline train` knows."""

ModelParams = TrainParams | TemporalParams | AutomlParams | None
"""How a model is trained; None where nothing is."""


def default_model_params(model: str, task: Task, parts: tuple[FeaturePart, ...] | None = None) -> ModelParams:
    """Return how a model is trained if nobody says otherwise.

    Args:
        model: one of `MODELS`.
        task: which.
        parts: its input; None for the task's default.
    """
    if model == PRETRAINED:
        return None
    if model == AUTOML:
        return AutomlParams(parts)
    if model in TEMPORAL_MODELS:
        return replace(default_temporal(task), parts=parts)
    return default_params(task, parts)


def make_trainer(model: str, params: ModelParams, run: RunOptions) -> HeadTrainer:
    """Return what makes a head of a model.

    Args:
        model: one of `MODELS`.
        params: of the kind that `default_model_params` gives for it.
        run: checkpoints and progress.
    """
    if isinstance(params, AutomlParams):
        return AutomlTrainer(params, run.on_progress)
    if isinstance(params, TemporalParams):
        return TemporalTrainer(model, params, run)
    if isinstance(params, TrainParams):
        return PERCEPTRONS[model](params, run)
    return PretrainedTrainer()
