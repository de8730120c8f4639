from __future__ import annotations

import numpy as np
import pytest

from affectline.errors import InputError
from affectline.labels import ABAW_ACTION_UNITS, ActionUnit, Expression
from affectline.postprocess.decide import UNCERTAIN_MARGIN, Thresholds, decide_action_units, decide_expression

LABELS = (Expression.NEUTRAL, Expression.HAPPINESS, Expression.FEAR)


@pytest.mark.parametrize(
    ("probabilities", "word"),
    [
        ([0.1, 0.7, 0.2], "Happiness"),
        ([0.34, 0.33, 0.33], "uncertain"),
        # Floating point has 0.5 - 0.4 below 0.1, and 0.45 - 0.35 above it.
        ([0.5, 0.4, 0.1], "Neutral"),
        ([0.35, 0.2, 0.45], "Fear"),
        ([0.4501, 0.3502, 0.1997], "uncertain"),
        ([np.nan, 0.7, 0.2], None),
        ([np.nan, np.nan, np.nan], None),
    ],
)
def test_the_expression_is_the_likeliest_if_it_leads_by_the_margin(probabilities, word):
    assert decide_expression(np.array([probabilities]), LABELS, UNCERTAIN_MARGIN).to_pylist() == [word]


def test_the_margin_can_be_chosen():
    probabilities = np.array([[0.5, 0.4, 0.1], [0.6, 0.2, 0.2]])
    assert decide_expression(probabilities, LABELS, 0.3).to_pylist() == ["uncertain", "Neutral"]
    assert decide_expression(np.full((1, 3), 1 / 3), LABELS, 0.0).to_pylist() == ["Neutral"]


def test_no_rows_give_no_labels():
    assert decide_expression(np.empty((0, 3)), LABELS).to_pylist() == []


def test_a_unit_is_on_from_its_own_threshold():
    limits = dict.fromkeys(ABAW_ACTION_UNITS, 0.5) | {ActionUnit.AU12: 0.3}
    activations = np.full((4, 12), [0.4])
    activations[1] = 0.5 - 1e-15
    activations[2] = np.nan
    activations[3] = 0.4999996
    is_on = decide_action_units(activations, limits)
    assert [unit for unit, on in zip(ABAW_ACTION_UNITS, is_on[0], strict=True) if on] == [ActionUnit.AU12]
    assert is_on[1].all()
    assert not is_on[2].any()
    assert [unit for unit, on in zip(ABAW_ACTION_UNITS, is_on[3], strict=True) if on] == [ActionUnit.AU12]


def test_every_unit_needs_a_threshold():
    limits = {unit: 0.5 for unit in ABAW_ACTION_UNITS if unit not in {ActionUnit.AU6, ActionUnit.AU26}}
    with pytest.raises(InputError, match="none was given for AU6, AU26"):
        Thresholds(limits)
