"""From what backbones and landmarks say of faces to the scores of every task, by trained heads or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affectline.faces.landmarks import Landmarks
from affectline.heads.action_units import action_units
from affectline.heads.head import Head, adjust
from affectline.heads.pretrained import own_scores
from affectline.labels import ABAW_ACTION_UNITS, VALENCE_AROUSAL, Task
from affectline.models import Models
from affectline.records import FaceFeatures, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TaskScores:
    """The scores of n faces, NaN where no score is given.

    Attributes:
        valence_arousal: shape (n, 2), float32, in [-1, 1].
        probabilities: shape (n, K), float32, in the order of `Models.expressions`.
        action_units: shape (n, 12), float32, in the order of `ABAW_ACTION_UNITS`.
    """

    valence_arousal: FloatArray
    probabilities: FloatArray
    action_units: FloatArray


def score_faces(models: Models, features: Mapping[str, FaceFeatures], marks: Sequence[Landmarks | None]) -> TaskScores:
    """Return the scores of n faces.

    Args:
        models: heads score their tasks. Without one, a task's scores come from the first backbone that has outputs for
            it; else valence and arousal from the expressions (`heads.pretrained`), action units from the blendshapes.
        features: of the n faces, by the digest of the backbone.
        marks: landmarks of each face; None where there are none.
    """
    columns = {
        Task.VA: VALENCE_AROUSAL,
        Task.EXPR: tuple(label.value for label in models.expressions),
        Task.AU: Task.AU.official_labels,
    }
    scores = {task: _head_scores(named.head, features, columns[task]) for task, named in models.heads.items()}
    for task in columns.keys() - scores.keys():
        backbone = models.own_source(task)
        if backbone is None:
            scores[task] = _blendshapes(marks)
        else:
            scores[task] = own_scores(task, features[backbone.digest], backbone.spec)
    return TaskScores(scores[Task.VA], scores[Task.EXPR], scores[Task.AU])


def _head_scores(head: Head, features: Mapping[str, FaceFeatures], columns: Sequence[str]) -> FloatArray:
    """Return the scores of a head in the columns of a table; one that the head does not have is NaN."""
    scores = adjust(head.score(features), head.card.decision.logit_adjustment)
    table = np.full((len(scores), len(columns)), np.nan, np.float32)
    table[:, [columns.index(label) for label in head.card.labels]] = scores
    return table


def _blendshapes(marks: Sequence[Landmarks | None]) -> FloatArray:
    table = np.full((len(marks), len(ABAW_ACTION_UNITS)), np.nan, np.float32)
    seen = {number: mark for number, mark in enumerate(marks) if mark is not None}
    if seen:
        table[list(seen)] = action_units(
            np.stack([mark.blendshapes for mark in seen.values()]), np.stack([mark.points for mark in seen.values()])
        )
    return table
