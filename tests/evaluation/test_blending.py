from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectline.errors import InputError
from affectline.evaluation.blending import BlendOptions, blend_heads, parse_method
from affectline.evaluation.scoring import evaluate
from affectline.evaluation.tuning import TuneOptions, tune_decision, tuned_head
from affectline.features import CropKind
from affectline.heads.head import Decision
from affectline.heads.head_file import load_head, save_head
from affectline.labels import Task
from labelled_examples import DIGEST, OTHER_DIGEST, noisy_data, reading_head, sequence, tables

TASKS = pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
QUICK = BlendOptions(tune=TuneOptions(radii=(0, 2, 4, 6, 9)))


def two_heads(task: Task) -> list:
    return [reading_head(task), reading_head(task, digest=OTHER_DIGEST)]


@TASKS
@pytest.mark.parametrize("method", ["grid", "optimise"])
def test_two_backbones_with_their_own_noise_are_better_together(task: Task, method: str) -> None:
    data, new = (noisy_data(task, seed, videos=12, noise=(1.2, 1.5)) for seed in (11, 12))
    found = blend_heads(two_heads(task), data, replace(QUICK, method=parse_method(method)))
    assert found.weights[0] >= found.weights[1] > 0
    assert sum(found.weights) == pytest.approx(1.0)
    assert found.held_out_p > max(found.part_held_out_p)
    p = evaluate(found.head, new, resamples=1).main.p
    for head in two_heads(task):
        alone = tuned_head(head, data, tune_decision(head, data, QUICK.tune))
        assert evaluate(alone, new, resamples=1).main.p < p


@TASKS
def test_the_blend_is_a_head_like_any_other(task: Task, tmp_path: Path) -> None:
    data = noisy_data(task, seed=13, noise=(1.0, 1.2))
    found = blend_heads(two_heads(task), data, QUICK, ["good", "fair"])
    card = found.head.card
    assert [ref.digest for ref in card.backbones] == [DIGEST, OTHER_DIGEST]
    assert card.training["parts"] == f"good: {found.weights[0]:.3g}, fair: {found.weights[1]:.3g}"
    assert card.validation["blend_p_held_out"] == found.held_out_p
    assert card.validation["best_part_p_held_out"] == max(found.part_held_out_p)
    assert evaluate(found.head, data, resamples=1).main.p == card.validation["p"]
    save_head(found.head, tmp_path / "blend.head")
    again = evaluate(load_head(tmp_path / "blend.head"), data, resamples=1)
    assert again.main.p == pytest.approx(card.validation["p"], abs=1e-3)
    assert again.is_tuned_here


def test_a_useless_head_gets_no_weight_and_its_backbone_is_not_needed() -> None:
    data = noisy_data(Task.VA, seed=14, noise=(0.05, 50.0))
    found = blend_heads(two_heads(Task.VA), data, QUICK)
    assert found.weights == (1.0, 0.0)
    assert [ref.digest for ref in found.head.card.backbones] == [DIGEST]
    assert len(found.head.parts) == 1


def test_the_adjustment_of_a_part_stays_its_own() -> None:
    data = noisy_data(Task.EXPR, seed=15, noise=(1.0, 1.0))
    wild = Decision(logit_adjustment=(9.0, 0, 0, 0, 0, 0, 0, 0))
    options = replace(QUICK, tune=TuneOptions(radii=(0,), adjust=False))
    spoilt = blend_heads([reading_head(Task.EXPR, wild)], data, options)
    plain = blend_heads([reading_head(Task.EXPR)], data, options)
    assert spoilt.tuned.validation["p"] < 0.1 < plain.tuned.validation["p"]
    assert evaluate(spoilt.head, data, resamples=1).main.p == spoilt.tuned.validation["p"]


def test_the_seed_deals_the_folds() -> None:
    data = noisy_data(Task.AU, seed=16, noise=(1.0, 1.0))
    first, again, other = (
        blend_heads(two_heads(Task.AU), data, replace(QUICK, folds=2, seed=seed)) for seed in (0, 0, 1)
    )
    assert first.held_out_p == again.held_out_p
    assert first.weights == again.weights
    assert first.held_out_p != other.held_out_p


def test_the_crop_kind_is_that_of_all_parts() -> None:
    data = noisy_data(Task.VA, seed=17, noise=(1.0, 1.0))
    plain, other = two_heads(Task.VA)
    cropped = [head.with_card(replace(head.card, crop_kind=CropKind.CROPPED)) for head in (plain, other)]
    assert blend_heads(cropped, data, QUICK).head.card.crop_kind is CropKind.CROPPED
    assert blend_heads([cropped[0], other], data, QUICK).head.card.crop_kind is None


def test_what_cannot_be_blended_is_refused() -> None:
    data = noisy_data(Task.VA, seed=18)
    with pytest.raises(InputError, match="a blend needs at least one head"):
        blend_heads([], data)
    with pytest.raises(InputError, match="the head predicts AU, the labels are of VA"):
        blend_heads([reading_head(Task.VA), reading_head(Task.AU)], data)
    lone = tables(Task.VA, sequence(Task.VA, "v", {0: (0, 0)}, {0: (0.1, 0.1), 1: (0, 0)}, frame_count=2))
    with pytest.raises(InputError, match="2 folds and 2 videos or more"):
        blend_heads([reading_head(Task.VA)], lone)
    with pytest.raises(InputError, match="no method 'guess'; known methods: grid, optimise"):
        parse_method("guess")


def test_long_videos_are_thinned_for_the_search_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = noisy_data(Task.AU, seed=19, noise=(1.0, 1.0))
    monkeypatch.setattr("affectline.evaluation.blending._SEARCH_FRAMES", 300)
    found = blend_heads(two_heads(Task.AU), data, QUICK)
    assert found.tuned.validation["frames"] == 1800
    assert np.all(np.array(found.weights) > 0)
