"""From what backbones and landmarks say of faces to the scores of every task, by trained heads or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from affectline.faces.landmarks import Landmarks
from affectline.heads.action_units import action_units
from affectline.heads.head import Head, adjust
from affectline.heads.pretrained import own_scores
from affectline.labels import ABAW_ACTION_UNITS, Task
from affectline.models import Models
from affectline.records import FaceFeatures, FloatArray
from affectline.schema import score_columns


@dataclass(frozen=True, slots=True, eq=False)
class TaskScores:
    """The scores of n faces, NaN where no score is given: also where a head looks at a face over time.

    Attributes:
        valence_arousal: shape (n, 2), float32, in [-1, 1].
        probabilities: shape (n, K), float32, in the order of `Models.expressions`.
        action_units: shape (n, 12), float32, in the order of `ABAW_ACTION_UNITS`.
        encoded: what such heads keep of each frame (`track_scores` goes on from it), shape (n, encoding size), by task.
    """

    valence_arousal: FloatArray
    probabilities: FloatArray
    action_units: FloatArray
    encoded: Mapping[Task, FloatArray] = field(default_factory=dict)


def score_faces(models: Models, features: Mapping[str, FaceFeatures], marks: Sequence[Landmarks | None]) -> TaskScores:
    """Return the scores of n faces.

    Args:
        models: heads score their tasks. Without one, a task's scores come from the first backbone that has outputs for
            it; else valence and arousal from the expressions (`heads.pretrained`), action units from the blendshapes.
        features: of the n faces, by the digest of the backbone.
        marks: landmarks of each face; None where there are none.
    """
    encoded = {task: head.encode(features) for task, head in models.context_heads.items()}
    scores = {task: _no_scores(models, task, len(values)) for task, values in encoded.items()}
    for task in models.heads.keys() - encoded.keys():
        head = models.heads[task].head
        scores[task] = in_columns(models, head, head.score(features))
    for task in set(Task) - scores.keys():
        backbone = models.own_source(task)
        if backbone is None:
            scores[task] = _blendshapes(marks)
        else:
            scores[task] = own_scores(task, features[backbone.digest], backbone.spec)
    return TaskScores(scores[Task.VA], scores[Task.EXPR], scores[Task.AU], encoded)


def in_columns(models: Models, head: Head, scores: FloatArray) -> FloatArray:
    """Return a head's scores, its adjustment included, in the columns of `schema.score_columns`.

    Args:
        models: tell the columns.
        head: whose scores they are.
        scores: shape (n, number of its labels). A column for which the head has no label is NaN.
    """
    task = head.card.task
    labels = tuple(label.value for label in models.expressions) if task is Task.EXPR else task.official_labels
    table = _no_scores(models, task, len(scores))
    table[:, [labels.index(label) for label in head.card.labels]] = adjust(scores, head.card.decision.logit_adjustment)
    return table


def _no_scores(models: Models, task: Task, n: int) -> FloatArray:
    return np.full((n, len(score_columns(task, models.expressions))), np.nan, np.float32)


def _blendshapes(marks: Sequence[Landmarks | None]) -> FloatArray:
    table = np.full((len(marks), len(ABAW_ACTION_UNITS)), np.nan, np.float32)
    seen = {number: mark for number, mark in enumerate(marks) if mark is not None}
    if seen:
        table[list(seen)] = action_units(
            np.stack([mark.blendshapes for mark in seen.values()]), np.stack([mark.points for mark in seen.values()])
        )
    return table
