from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from affectline.backbones import BACKBONES
from affectline.errors import ShapeError
from affectline.heads.norms import NORMS
from affectline.heads.pretrained import (
    expression_probabilities,
    origin,
    own_scores,
    zero_shot_valence_arousal,
)
from affectline.labels import (
    ABAW_ACTION_UNITS,
    ABAW_EXPRESSION_8,
    AFFECTNET_7,
    AFFECTNET_8,
    FERPLUS_8,
    ActionUnit,
    Expression,
    HeadKind,
    Task,
)
from affectline.records import FaceFeatures

LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(0, 5), st.just(8)),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_are_the_softmax_of_scaled_logits(logits, temperature) -> None:
    probabilities = expression_probabilities(logits, temperature)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(
        probabilities, softmax(logits.astype(float) / temperature, axis=1), rtol=1e-5, atol=1e-30
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_probabilities_by_hand() -> None:
    logits = np.log(np.float32([[1, 3]]))
    np.testing.assert_allclose(expression_probabilities(logits), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(expression_probabilities(logits, 0.5), [[0.1, 0.9]], rtol=1e-6)


@pytest.mark.parametrize("logits", [np.zeros(8, np.float32), np.zeros((2, 1), np.float32)])
def test_logits_of_another_shape(logits) -> None:
    with pytest.raises(ShapeError, match=r"logits must have shape \(n, K\) with K >= 2"):
        expression_probabilities(logits)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_impossible_temperature(temperature: float) -> None:
    with pytest.raises(ShapeError, match="temperature must be above 0"):
        expression_probabilities(np.zeros((1, 2), np.float32), temperature)


def test_norms_are_the_published_ones() -> None:
    # Russell and Mehrabian (1977), table 4, rows 31, 151, 82, 75, 101, 52 and 85.
    published = {
        "Happy": (0.81, 0.51),
        "Sad": (-0.63, -0.27),
        "Angry": (-0.51, 0.59),
        "Disgusted": (-0.60, 0.35),
        "Fearful": (-0.64, 0.60),
        "Surprised": (0.40, 0.67),
        "Contempt": (-0.23, 0.31),
    }
    assert {norm.word: (norm.valence, norm.arousal) for norm in NORMS.values() if norm.word} == published
    chosen = [label for label, norm in NORMS.items() if norm.word is None]
    assert chosen == [Expression.NEUTRAL, Expression.OTHER]
    assert all((NORMS[label].valence, NORMS[label].arousal) == (0, 0) for label in chosen)


@pytest.mark.parametrize("labels", [AFFECTNET_8, AFFECTNET_7, FERPLUS_8, ABAW_EXPRESSION_8])
def test_certain_expressions_lie_at_their_norms(labels: tuple[Expression, ...]) -> None:
    places = zero_shot_valence_arousal(np.eye(len(labels), dtype=np.float32), labels)
    assert places.dtype == np.float32
    for label, (valence, arousal) in zip(labels, places, strict=True):
        assert (valence, arousal) == pytest.approx((NORMS[label].valence, NORMS[label].arousal))


def test_mixed_expressions_lie_between() -> None:
    labels = (Expression.HAPPINESS, Expression.SADNESS, Expression.NEUTRAL)
    places = zero_shot_valence_arousal(np.float32([[0.5, 0.25, 0.25]]), labels)
    np.testing.assert_allclose(places, [[0.5 * 0.81 - 0.25 * 0.63, 0.5 * 0.51 - 0.25 * 0.27]], rtol=1e-6)
    assert zero_shot_valence_arousal(np.empty((0, 3), np.float32), labels).shape == (0, 2)


def test_number_of_labels_must_match() -> None:
    with pytest.raises(ShapeError, match=r"probabilities must have shape \(n, 8\), got \(2, 7\)"):
        zero_shot_valence_arousal(np.zeros((2, 7), np.float32), AFFECTNET_8)


def test_scores_of_a_backbone_without_valence() -> None:
    spec = BACKBONES["lite0_ferplus"]
    logits = np.full((1, 8), -50, np.float32)
    logits[0, spec.labels.index(Expression.HAPPINESS)] = 50
    features = FaceFeatures(np.zeros((1, 4), np.float32), logits)
    assert own_scores(Task.EXPR, features, spec)[0, spec.labels.index(Expression.HAPPINESS)] == pytest.approx(1)
    assert own_scores(Task.VA, features, spec).tolist() == [pytest.approx([0.81, 0.51])]
    assert origin(Task.VA, spec).kind is HeadKind.ZERO_SHOT
    assert "Russell and Mehrabian (1977)" in origin(Task.VA, spec).source


def test_temperature_of_the_backbone_is_applied() -> None:
    spec = BACKBONES["lite0_ferplus"]
    logits = np.float32([[0, 1, 0, 0, 0, 0, 0, 0]])
    scores = own_scores(Task.EXPR, FaceFeatures(np.zeros((1, 4), np.float32), logits), spec)
    np.testing.assert_allclose(scores, softmax(logits / spec.temperature, axis=1), rtol=1e-6)


def test_own_valence_is_clipped_to_the_scale() -> None:
    spec = BACKBONES["enet_b0_8_va_mtl"]
    features = FaceFeatures(
        np.zeros((3, 4), np.float32), np.zeros((3, 8), np.float32), np.float32([-1.5, 0.25, 1]), np.float32([0, 2, -1])
    )
    assert own_scores(Task.VA, features, spec).T.tolist() == [[-1, 0.25, 1], [0, 1, -1]]
    assert origin(Task.VA, spec).kind is HeadKind.PRETRAINED
    assert origin(Task.EXPR, spec).kind is HeadKind.PRETRAINED


def test_action_units_of_a_backbone_stand_in_their_columns() -> None:
    spec = replace(BACKBONES["lite0_ferplus"], labels=(), action_units=(ActionUnit.AU12, ActionUnit.AU1))
    features = FaceFeatures(
        np.zeros((2, 4), np.float32), np.empty((2, 0), np.float32), au_logits=np.float32([[0, 2], [-3, 0]])
    )
    scores = own_scores(Task.AU, features, spec)
    columns = [ABAW_ACTION_UNITS.index(unit) for unit in spec.action_units]
    np.testing.assert_allclose(scores[:, columns], 1 / (1 + np.exp([[0, -2], [3, 0]])), rtol=1e-6)
    assert np.isnan(np.delete(scores, columns, axis=1)).all()
    assert origin(Task.AU, spec).kind is HeadKind.PRETRAINED
