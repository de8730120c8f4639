from __future__ import annotations

from typing import get_args

import pytest

from affectline.errors import InputError, UnknownNameError
from affectline.evaluation.tuning import ThresholdRule
from affectline.experiments.recipes import (
    FINETUNED,
    GROUPS,
    PAPER_TABLES,
    Combination,
    Role,
    RowSmoothing,
    chosen_rows,
    heads,
    rows,
)
from affectline.experiments.results import P_NAMES
from affectline.experiments.settings import ExperimentSettings, parse_settings, with_settings
from affectline.features import parse_parts
from affectline.labels import Task
from affectline.training.params import default_params
from affectline.training.trainers import AUTOML, MODELS


def test_every_line_of_the_files_is_what_its_type_says() -> None:
    for row in rows().values():
        assert row.group in GROUPS
        assert row.smoothing in get_args(RowSmoothing)
        assert row.combination in get_args(Combination)
        assert row.thresholds in {None, *get_args(ThresholdRule)}
        assert (row.thresholds is not None) == (row.task is Task.AU and row.is_ours)
        assert P_NAMES[row.task] in row.metrics
        assert all(heads()[name].task is row.task for name in row.heads)
        assert len(row.heads) > 1 or row.combination == "blend"
    for head in heads().values():
        assert head.backbone in get_args(Role)
        assert head.model in {*MODELS, FINETUNED}
        assert 0 < head.share <= 1
        assert not head.inputs or parse_parts(head.inputs)
    used = {name for row in rows().values() for name in row.heads}
    assert used == set(heads())


def test_the_paper_is_there_whole() -> None:
    ours = [row for row in rows().values() if row.group in PAPER_TABLES and row.is_ours]
    others = [row for row in rows().values() if not row.is_ours]
    assert [sum(row.group == table for row in ours) for table in PAPER_TABLES] == [11, 11, 19]
    assert [sum(row.group == table for row in others) for table in PAPER_TABLES] == [5, 4, 6]
    for row in ours:
        if row.task is Task.VA:
            mean = (row.published["ccc_valence"] + row.published["ccc_arousal"]) / 2
            assert row.published["p_va"] == pytest.approx(mean, abs=0.0011)
    assert rows()["va_both_mlp_smooth"].published["p_va"] == 0.550
    assert rows()["expr_mlp_finetuned_smooth"].published == {"p_expr": 0.433, "accuracy": 0.557}
    assert rows()["au_b0_mlp_automl_smooth"].published["p_au"] == 0.554


def test_rows_are_chosen_by_name_group_and_model() -> None:
    assert [row.name for row in chosen_rows(["au_both", "va_b0_mlp"])] == ["va_b0_mlp", "au_both"]
    assert {row.group for row in chosen_rows(["2", "gaps"])} == {"2", "gaps"}
    without = chosen_rows(with_automl=False)
    assert not any(heads()[name].model == AUTOML for row in without for name in row.heads)
    assert "va_b0_automl" in {row.name for row in chosen_rows(["va_b0_automl"], with_automl=False)}
    with pytest.raises(UnknownNameError, match="no row va_b9"):
        chosen_rows(["va_b9"])
    with pytest.raises(UnknownNameError, match="no row published_1x"):
        chosen_rows(["published_1x"])


def test_one_head_can_be_set() -> None:
    settings = parse_settings(["au_b0_mlp.epochs=5", "au_b0_mlp.l2=0.5", "expr_finetuned.init=mine.onnx"])
    params = with_settings(default_params(Task.AU), heads()["au_b0_mlp"], settings)
    assert (params.epochs, params.l2) == (5, 0.5)
    assert with_settings(default_params(Task.AU), heads()["au_mt_mlp"], settings) == default_params(Task.AU)
    network = with_settings(ExperimentSettings().network, heads()["expr_finetuned"], settings)
    assert network.init == "mine.onnx"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("au_b0_mlp", "write HEAD.PARAMETER=VALUE"),
        ("au_b0_mlp.epochs=", "write HEAD.PARAMETER=VALUE"),
        ("au_b9_mlp.epochs=5", "no head au_b9_mlp"),
        ("au_b0_mlp.epoch=5", "no parameter epoch"),
        ("au_b0_mlp.epochs=five", "epochs is int, got 'five'"),
        ("au_b0_mlp.parts=logits", "no parameter parts that can be set"),
        ("au_b0_mlp.epochs=0", "epochs=0"),
    ],
)
def test_what_cannot_be_set_is_named(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_settings(default_params(Task.AU), heads()["au_b0_mlp"], parse_settings([typed]))
