from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from affectline.evaluation.sequence_scores import SequenceScores, score_sequences
from affectline.evaluation.tuning import TuneOptions, tune_scores
from affectline.experiments.protocol import ProtocolOptions, apply, choose, cross_validated, joined, prepared
from affectline.experiments.recipes import Row
from affectline.labels import Task
from affectline.metrics.report import make_report
from affectline.postprocess.paper_exact import fill_gaps_reversed
from labelled_examples import DIGEST, OTHER_DIGEST, noisy_data, reading_head

QUICK = ProtocolOptions(folds=3, radii=(0, 2, 5, 9))
TASKS = pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)


def row(task: Task, **other) -> Row:
    thresholds = "best" if task is Task.AU else None
    given = {"heads": ("a",), "smoothing": "mean", "thresholds": thresholds, **other}
    return Row("r", "1", task, "", "", (), {}, **given)


def truth_of(data) -> np.ndarray:
    return np.concatenate([one.target for one in data.sequences])


def p_of(data, decisions) -> float:
    return make_report(data.task, truth_of(data), decisions, data.labels).p


@TASKS
def test_one_head_is_chosen_as_train_chooses(task: Task) -> None:
    data = noisy_data(task, seed=3)
    scores = score_sequences(reading_head(task), data)
    parts = prepared(row(task), [scores])
    choice = choose(row(task), parts, data, QUICK)
    tuned = tune_scores(data, scores, TuneOptions(radii=QUICK.radii, adjust=False))
    assert choice.decision == tuned.decision
    assert p_of(data, apply(row(task), parts, choice).decisions) == tuned.validation["p"]


@TASKS
@pytest.mark.parametrize("smoothing", ["none", "mean", "median", "gaussian"])
def test_held_out_videos_play_no_part_in_what_is_chosen_for_them(task: Task, smoothing: str) -> None:
    which = row(task, smoothing=smoothing)
    data = noisy_data(task, seed=4, videos=5, frames=120)
    parts = prepared(which, [score_sequences(reading_head(task), data)])
    options = replace(QUICK, folds=5)
    before = cross_validated(which, parts, data, options)
    # With a fold for each video, other labels of one video must leave its own decisions alone.
    one = data.sequences[2]
    changed = replace(one, target=one.target[::-1].copy())
    other = replace(data, sequences=(*data.sequences[:2], changed, *data.sequences[3:]))
    moved = [[*part[:2], replace(part[2], truth=changed.target), *part[3:]] for part in parts]
    after = cross_validated(which, moved, other, options)
    assert before is not None
    assert after is not None
    start = sum(len(sequence.labelled_frame) for sequence in data.sequences[:2])
    held_out = slice(start, start + len(one.labelled_frame))
    np.testing.assert_array_equal(before.decisions[held_out], after.decisions[held_out])


@TASKS
def test_two_subjects_of_one_video_are_in_one_fold(task: Task) -> None:
    data = noisy_data(task, seed=5, videos=3)
    pair = [replace(one, group="same") for one in data.sequences[:2]]
    data = replace(data, sequences=(*pair, data.sequences[2]))
    assert (
        cross_validated(row(task), prepared(row(task), [score_sequences(reading_head(task), data)]), data, QUICK)
        is None
    )


def blended(task: Task):
    data = noisy_data(task, seed=6, noise=(1.0, 1.0))
    parts = [score_sequences(reading_head(task, digest=digest), data) for digest in (DIGEST, OTHER_DIGEST)]
    return data, parts


@TASKS
def test_two_heads_with_noise_of_their_own_are_blended(task: Task) -> None:
    data, parts = blended(task)
    which = row(task, heads=("a", "b"))
    together = prepared(which, parts)
    choice = choose(which, together, data, QUICK)
    alone = [
        p_of(data, apply(row(task), [part], choose(row(task), [part], data, QUICK)).decisions) for part in together
    ]
    assert len(choice.weights) == 2
    assert p_of(data, apply(which, together, choice).decisions) > max(alone)


def test_heads_that_know_other_frames_meet_on_the_union() -> None:
    _, (first, second) = blended(Task.VA)
    second = [replace(one, frame=one.frame[::2], values=one.values[::2]) for one in second]
    together = prepared(row(Task.VA, heads=("a", "b")), [first, second])
    for one, other, before in zip(*together, second, strict=True):
        np.testing.assert_array_equal(one.frame, other.frame)
        np.testing.assert_allclose(other.values, before.dense(Task.VA)[other.frame], atol=1e-6)


def test_a_cascade_trusts_its_first_head_where_it_is_sure() -> None:
    data, parts = blended(Task.EXPR)
    which = row(Task.EXPR, heads=("a", "b"), combination="cascade", smoothing="none")
    together = prepared(which, parts)
    choice = choose(which, together, data, QUICK)
    assert choice.sure_from is not None
    found = joined(together, choice)
    for one, first, second in zip(found, *together, strict=True):
        is_sure = first.values.max(axis=1) >= choice.sure_from
        np.testing.assert_array_equal(one.values[is_sure], first.values[is_sure])
        np.testing.assert_array_equal(one.values[~is_sure], second.values[~is_sure])
    alone = [
        p_of(data, apply(row(Task.EXPR, smoothing="none"), [part], choice.__class__()).decisions) for part in together
    ]
    assert p_of(data, apply(which, together, choice).decisions) >= max(alone)


def test_a_median_is_the_median() -> None:
    data = noisy_data(Task.VA, seed=7, videos=3, frames=60)
    which = row(Task.VA, smoothing="median")
    parts = prepared(which, [score_sequences(reading_head(Task.VA), data)])
    choice = choose(which, parts, data, QUICK)
    assert choice.median_radius
    dense = parts[0][0].dense(Task.VA)
    k = choice.median_radius
    found = apply(which, [[parts[0][0]]], choice).scores
    for frame in range(k, len(dense) - k):
        np.testing.assert_allclose(found[frame], np.median(dense[frame - k : frame + k + 1], axis=0), atol=1e-6)


def test_ablations_change_what_they_name() -> None:
    data = noisy_data(Task.VA, seed=8, videos=3)
    scores: list[SequenceScores] = list(score_sequences(reading_head(Task.VA), data))
    scores[0] = replace(scores[0], interval_s=1 / 60)
    is_there = [~np.isin(one.frame, np.arange(100, 110)) for one in scores]
    scores = [
        replace(one, frame=one.frame[kept], values=one.values[kept]) for one, kept in zip(scores, is_there, strict=True)
    ]
    (in_frames,) = prepared(row(Task.VA, counts_frames=True), [scores])
    assert [one.interval_s for one in in_frames] == pytest.approx([1 / 30] * 3)
    (in_seconds,) = prepared(row(Task.VA), [scores])
    assert in_seconds == scores
    (reversed_gaps,) = prepared(row(Task.VA, reverses_gaps=True), [scores])
    for one, before in zip(reversed_gaps, scores, strict=True):
        expected = fill_gaps_reversed(before.frame, before.values, before.frame_count)
        np.testing.assert_allclose(one.dense(Task.VA), expected, atol=1e-6)
        assert not np.allclose(one.dense(Task.VA), before.dense(Task.VA))


def test_weights_for_fixed_thresholds_are_those_that_are_best_at_them() -> None:
    """A head whose probabilities are too low is worth nothing at 0.5, however well it orders the frames."""
    data = noisy_data(Task.AU, seed=6)
    good = score_sequences(reading_head(Task.AU), data)
    low = [replace(one, values=one.values * 0.3) for one in good]
    noise = np.random.default_rng(0)
    rough = [replace(one, values=np.clip(one.values + noise.normal(0, 0.15, one.values.shape), 0, 1)) for one in good]
    which = row(Task.AU, heads=("a", "b"), smoothing="none", thresholds="fixed")
    parts = prepared(which, [rough, low])
    choice = choose(which, parts, data, QUICK)
    found = p_of(data, apply(which, parts, choice).decisions)
    steps = [(share / 10, 1 - share / 10) for share in range(11)]
    every = [p_of(data, apply(which, parts, replace(choice, weights=weights)).decisions) for weights in steps]
    assert found == pytest.approx(max(every), abs=0.01)


def test_one_video_is_enough_for_a_blend() -> None:
    data = noisy_data(Task.VA, seed=2, videos=1)
    scores = score_sequences(reading_head(Task.VA), data)
    which = row(Task.VA, heads=("a", "b"))
    parts = prepared(which, [scores, [replace(one, values=one.values * 0.5) for one in scores]])
    choice = choose(which, parts, data, QUICK)
    assert len(choice.weights) == 2
    assert cross_validated(which, parts, data, QUICK) is None
