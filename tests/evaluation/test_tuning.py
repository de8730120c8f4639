from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from affectline.datasets.labelled import LabelledTables
from affectline.errors import InputError
from affectline.evaluation.scoring import TUNED_ON, Rules, evaluate, labelled_scores
from affectline.evaluation.sequence_scores import decide, score_sequences
from affectline.evaluation.tuning import TuneOptions, tune_decision, tune_scores, tuned_head
from affectline.heads.head import Decision
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.smoothing import SmoothingMode
from labelled_examples import noisy_data, reading_head, sequence, tables

QUICK = TuneOptions(radii=(0, 2, 5, 9))
TASKS = pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)


@TASKS
@pytest.mark.parametrize(
    "options",
    [
        QUICK,
        replace(QUICK, mode="gaussian"),
        replace(QUICK, mode="causal"),
        replace(QUICK, thresholds="cv"),
        replace(QUICK, thresholds="fixed", adjust=False),
        replace(QUICK, paper_exact=True),
    ],
    ids=["box", "gaussian", "causal", "cv", "fixed", "paper"],
)
def test_evaluate_finds_what_tuning_says(task: Task, options: TuneOptions) -> None:
    data = noisy_data(task, seed=5)
    tuned = tune_decision(reading_head(task), data, options)
    found = evaluate(tuned_head(reading_head(task), data, tuned), data, Rules(options.paper_exact), resamples=1)
    assert found.main.p == tuned.validation["p"]
    assert found.frame_wise.p == tuned.validation["p_frame_wise"]
    assert found.is_tuned_here
    assert list(tuned.sweep) == pytest.approx([0, 2 / 30, 5 / 30, 9 / 30], abs=1e-6)
    assert tuned.decision.radius_s == max(tuned.sweep, key=lambda radius_s: tuned.sweep[radius_s]) > 0
    assert tuned.decision.mode == options.mode


@TASKS
def test_no_radius_of_the_sweep_is_better(task: Task) -> None:
    data = noisy_data(task, seed=6)
    tuned = tune_decision(reading_head(task), data, replace(QUICK, thresholds="fixed", adjust=False))
    for radius_s, p in tuned.sweep.items():
        decision = replace(tuned.decision, radius_s=radius_s)
        assert evaluate(reading_head(task, decision), data, resamples=1).main.p == pytest.approx(p, abs=1e-12)
        assert p <= tuned.validation["p"]


def test_thresholds_are_the_best_there_are_behind_the_filter() -> None:
    data = noisy_data(Task.AU, seed=7)
    tuned = tune_decision(reading_head(Task.AU), data, QUICK)
    for shift in (-0.05, 0.05):
        moved = tuple(threshold + shift for threshold in tuned.decision.thresholds)
        other = evaluate(reading_head(Task.AU, replace(tuned.decision, thresholds=moved)), data, resamples=1)
        assert other.main.p <= tuned.validation["p"]
    fixed = tune_decision(reading_head(Task.AU), data, replace(QUICK, thresholds="fixed"))
    assert fixed.decision.thresholds == (0.5, 0.5, 0.5)
    assert fixed.validation["p"] < tuned.validation["p"]


def test_cross_validated_thresholds_say_how_good_they_are_on_other_videos() -> None:
    tuned = tune_decision(reading_head(Task.AU), noisy_data(Task.AU, seed=7), replace(QUICK, thresholds="cv", folds=3))
    assert 0.5 < tuned.validation["p_held_out"] < tuned.validation["p"]


@pytest.mark.parametrize("paper_exact", [False, True])
def test_an_adjustment_is_taken_only_where_it_helps_behind_the_filter(paper_exact: bool) -> None:
    data = noisy_data(Task.EXPR, seed=1)
    plain = tune_decision(reading_head(Task.EXPR), data, TuneOptions(adjust=False, paper_exact=paper_exact))
    tuned = tune_decision(reading_head(Task.EXPR), data, TuneOptions(paper_exact=paper_exact))
    if paper_exact:
        assert tuned == plain
    else:
        assert tuned.validation["p"] > plain.validation["p"]
        assert len(tuned.decision.logit_adjustment) == 8


def test_scores_that_are_no_probabilities_are_not_adjusted() -> None:
    data = noisy_data(Task.EXPR, seed=1)
    scores = [replace(one, values=one.values - 0.2) for one in score_sequences(reading_head(Task.EXPR), data)]
    assert tune_scores(data, scores, QUICK).decision.logit_adjustment == ()


def test_the_notebook_takes_thresholds_from_its_grid_before_smoothing() -> None:
    data = noisy_data(Task.AU, seed=8)
    wide = tune_decision(reading_head(Task.AU), data, replace(QUICK, paper_exact=True))
    still = tune_decision(reading_head(Task.AU), data, TuneOptions(radii=(0,), paper_exact=True))
    assert wide.decision.radius_s > 0
    assert wide.decision.thresholds == still.decision.thresholds
    assert set(wide.decision.thresholds) <= {step / 10 for step in range(1, 10)}
    assert wide.validation["frames"] == 6 * 270


def mixed_rates() -> LabelledTables:
    """Return a step that 1 s of smoothing blurs equally in videos of 10 and 20 frames a second."""
    videos = []
    for rate in (10, 20):
        seen = {frame: (0.8 if frame // rate % 2 else -0.8, 0.1) for frame in range(6 * rate)}
        truth = {frame: values for frame, values in seen.items() if frame % 3 == 0}
        videos.append(sequence(Task.VA, f"v{rate}", seen, truth, frame_count=6 * rate, rate_fps=rate))
    return tables(Task.VA, *videos)


def test_videos_of_different_rates_are_smoothed_over_the_same_time() -> None:
    data = mixed_rates()
    tuned = tune_decision(reading_head(Task.VA), data, TuneOptions(radii=(0, 3, 6)))
    assert list(tuned.sweep) == pytest.approx([0.0, 3 * 0.075, 6 * 0.075])
    for radius_s, p in tuned.sweep.items():
        found = evaluate(reading_head(Task.VA, Decision(radius_s)), data, resamples=1)
        assert found.main.p == pytest.approx(p, abs=1e-12)
    assert tuned.decision.radius_s == 0


def test_metrics_for_the_card() -> None:
    for task, names in (
        (Task.VA, {"ccc_valence", "ccc_arousal"}),
        (Task.AU, {"f1_AU1", "f1_AU2", "f1_AU4"}),
        (Task.EXPR, {"accuracy", *(f"f1_{label}" for label in Task.EXPR.official_labels)}),
    ):
        data = noisy_data(task, seed=2)
        tuned = tune_decision(reading_head(task), data, QUICK)
        assert set(tuned.validation) == {"p", "p_frame_wise", "frames", *names}
        assert tuned.validation["frames"] == 1800
        labels = [value for name, value in tuned.validation.items() if name[:3] in {"ccc", "f1_"}]
        assert np.mean(labels) == pytest.approx(tuned.validation["p"])
        card = tuned_head(reading_head(task), data, tuned).card
        assert (card.decision, card.frame_wise) == (tuned.decision, tuned.frame_wise)
        assert card.validation == tuned.validation
        assert card.training[TUNED_ON] == "noisy 2"


def test_the_first_of_equal_radii_is_taken() -> None:
    seen = dict.fromkeys(range(4), (0.5, 0.5))
    data = tables(Task.VA, sequence(Task.VA, "v", seen, {0: (0.1, 0.2), 1: (0.3, 0.4)}, frame_count=4))
    assert tune_decision(reading_head(Task.VA), data, TuneOptions(radii=(2, 1))).decision.radius_s == pytest.approx(
        1 / 30, abs=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radii": ()}, "radii must be one or more"),
        ({"radii": (1, -1)}, "radii must be one or more"),
        ({"thresholds": "good"}, "'good' is not known; choose one of best, fixed, cv"),
        ({"mode": "median"}, "'median' is not known"),
        ({"mode": "causal", "paper_exact": True}, "the notebook's filter is centred, not causal"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TuneOptions(**options)  # type: ignore[arg-type]  # that is what is tested


def test_every_filter_has_a_test_above() -> None:
    assert set(SmoothingMode.__args__) == {"centred", "gaussian", "causal"}


def test_no_single_step_away_from_the_adjustment_is_better() -> None:
    data = noisy_data(Task.EXPR, seed=3)
    head = reading_head(Task.EXPR)
    tuned = tune_decision(head, data)
    scores = score_sequences(head, data)
    truth = np.concatenate([one.truth for one in scores]).astype(int)
    assert tuned.decision.logit_adjustment

    def macro_f1(adjustment: np.ndarray) -> float:
        decision = replace(tuned.decision, logit_adjustment=tuple(adjustment.tolist()))
        decided = decide(Task.EXPR, labelled_scores(Task.EXPR, scores, decision))
        return make_report(Task.EXPR, truth, decided, data.labels).p

    best = np.array(tuned.decision.logit_adjustment)
    assert macro_f1(best) == pytest.approx(tuned.validation["p"], abs=1e-12)
    for label in range(8):
        for step in (-0.5, -0.1, -0.02, 0.02, 0.1, 0.5):
            assert macro_f1(best + step * np.eye(8)[label]) <= tuned.validation["p"] + 1e-9
