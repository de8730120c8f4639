"""From what backbones and landmarks say of faces to the scores of every task, by trained heads or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from affectline.cascade import Cascade
from affectline.faces.landmarks import Landmarks
from affectline.heads.action_units import action_units
from affectline.heads.head import Head, adjust
from affectline.heads.pretrained import own_scores, zero_shot_valence_arousal
from affectline.labels import ABAW_ACTION_UNITS, Task
from affectline.models import Models, first_for
from affectline.records import FaceFeatures, FloatArray
from affectline.schema import score_columns


@dataclass(frozen=True, slots=True, eq=False)
class TaskScores:
    """The scores of n faces, NaN where no score is given: also where a head looks at a face over time.

    Attributes:
        valence_arousal: shape (n, 2), float32, in [-1, 1].
        probabilities: shape (n, K), float32, in the order of `Models.expressions`.
        action_units: shape (n, 12), float32, in the order of `ABAW_ACTION_UNITS`.
        is_asked: shape (n,), bool: a larger network was asked (`cascade`).
        encoded: what such heads keep of each frame (`track_scores` goes on from it), shape (n, encoding size), by task.
    """

    valence_arousal: FloatArray
    probabilities: FloatArray
    action_units: FloatArray
    is_asked: NDArray[np.bool_]
    encoded: Mapping[Task, FloatArray] = field(default_factory=dict)


Prepare = Callable[[int], FloatArray]
"""Gives a face, by its number, as the larger network of a cascade wants it."""


def score_faces(
    models: Models, features: Mapping[str, FaceFeatures], marks: Sequence[Landmarks | None], prepare: Prepare
) -> TaskScores:
    """Return the scores of n faces.

    Args:
        models: heads score their tasks. Without one, a task's scores come from the first backbone that has outputs for
            it; else valence and arousal from the expressions (`heads.pretrained`), action units from the blendshapes.
        features: of the n faces, by the digest of the backbone.
        marks: landmarks of each face; None where there are none.
        prepare: called for faces about which a cascade's larger network is asked.
    """
    encoded = {task: head.encode(features) for task, head in models.context_heads.items()}
    scores = {task: _no_scores(models, task, len(values)) for task, values in encoded.items()}
    for task in models.heads.keys() - encoded.keys():
        head = models.heads[task].head
        scores[task] = in_columns(models, head, head.score(features))
    for task in set(Task) - scores.keys():
        backbone = models.own_source(task)
        if backbone is None:
            scores[task] = _blendshapes(marks if models.reads_blendshapes else [None] * len(marks))
        else:
            scores[task] = own_scores(task, features[backbone.digest], backbone.spec)
    is_asked = np.zeros(len(marks), np.bool_)
    if models.cascade is not None:
        is_asked[_ask(models, models.cascade, scores, prepare)] = True
    return TaskScores(scores[Task.VA], scores[Task.EXPR], scores[Task.AU], is_asked, encoded)


def _ask(models: Models, cascade: Cascade, scores: dict[Task, FloatArray], prepare: Prepare) -> NDArray[np.intp]:
    """Replace the scores of unsure faces by what the larger network says; return their numbers.

    Valence and arousal follow where they are made from expressions.
    """
    unsure = cascade.unsure(scores[Task.EXPR])
    if len(unsure):
        answers = cascade.answers([prepare(number) for number in unsure], models.expressions)
        scores[Task.EXPR][unsure] = answers
        if Task.VA not in models.heads and first_for(Task.VA, models.backbones) is None:
            scores[Task.VA][unsure] = zero_shot_valence_arousal(answers, models.expressions)
    return unsure


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
