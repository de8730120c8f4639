from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from affectline.errors import InputError
from affectline.evaluation.sequence_scores import decide, frame_interval_s, neutral_scores, score_sequences
from affectline.heads.head import Decision
from affectline.labels import Task
from labelled_examples import DIGEST, OTHER_DIGEST, make_info, make_table, reading_head, sequence, tables


def test_gaps_are_filled_and_edges_copied() -> None:
    seen = {1: (0.0, 0.5), 5: (0.8, -0.5)}
    data = tables(Task.VA, sequence(Task.VA, "v", seen, {0: (0, 0)}, frame_count=7))
    (scores,) = score_sequences(reading_head(Task.VA), data)
    expected = [[0, 0.5], [0, 0.5], [0.2, 0.25], [0.4, 0], [0.6, -0.25], [0.8, -0.5], [0.8, -0.5]]
    assert scores.dense(Task.VA) == pytest.approx(np.array(expected), abs=1e-6)


def test_smoothing_runs_over_frames_without_a_label() -> None:
    seen = {frame: (0.9 if frame == 1 else 0.0, 0.0) for frame in range(5)}
    data = tables(Task.VA, sequence(Task.VA, "v", seen, {0: (0, 0), 3: (0, 0)}, frame_count=5))
    (scores,) = score_sequences(reading_head(Task.VA), data)
    smoothed = scores.labelled(Task.VA, Decision(radius_s=1 / 30))
    assert smoothed[:, 0] == pytest.approx([0.45, 0.0], abs=1e-6)
    causal = scores.labelled(Task.VA, Decision(radius_s=2 / 30, mode="causal"))
    assert causal[:, 0] == pytest.approx([0.0, 0.3], abs=1e-6)


@pytest.mark.parametrize(("rate_fps", "radius"), [(30.0, 15), (25.0, 13), (60.0, 30)])
def test_a_radius_in_seconds_is_a_number_of_frames_of_each_video(rate_fps: float, radius: int) -> None:
    seen = dict.fromkeys(range(4), (0.0, 0.0))
    data = tables(Task.VA, sequence(Task.VA, "v", seen, {0: (0, 0)}, frame_count=4, rate_fps=rate_fps))
    (scores,) = score_sequences(reading_head(Task.VA), data)
    assert scores.radius(0.5) == radius


def test_a_video_with_one_face_has_the_rate_of_the_others() -> None:
    slow = sequence(Task.VA, "a", {0: (0, 0), 1: (0, 0)}, {0: (0, 0)}, frame_count=2, rate_fps=10.0)
    lone = sequence(Task.VA, "b", {0: (0, 0)}, {0: (0, 0)}, frame_count=2)
    scores = score_sequences(reading_head(Task.VA), tables(Task.VA, slow, lone))
    assert [one.interval_s for one in scores] == pytest.approx([0.1, 0.1])
    (alone,) = score_sequences(reading_head(Task.VA), tables(Task.VA, lone))
    assert alone.interval_s == pytest.approx(1 / 30)


def test_the_interval_is_the_median_and_gaps_do_not_change_it() -> None:
    table = make_table(make_info("v", 9), [0, 1, 2, 8], np.zeros((4, 1)))
    assert frame_interval_s(table, np.arange(4)) == pytest.approx(1 / 30)
    assert frame_interval_s(table, np.arange(1)) is None
    assert frame_interval_s(table, np.arange(0)) is None


@pytest.mark.parametrize(("task", "neutral"), [(Task.VA, 0.0), (Task.EXPR, 0.125), (Task.AU, 0.0)])
def test_a_video_without_any_face_gets_neutral_scores(task: Task, neutral: float) -> None:
    truth = {2: 3 if task is Task.EXPR else (0,) * (2 if task is Task.VA else 3)}
    (scores,) = score_sequences(reading_head(task), tables(task, sequence(task, "v", {}, truth, frame_count=4)))
    assert scores.dense(task).tolist() == [[neutral] * scores.values.shape[1]] * 4
    assert neutral_scores(task, 8).tolist() == [neutral] * 8
    assert not scores.has_face.any()


def test_the_notebook_smooths_what_it_sees_and_exchanges_gap_weights() -> None:
    truth = dict.fromkeys((0, 1, 2, 6), (0, 0))
    seen = {0: (0.0, 0.0), 2: (0.3, 0.0), 6: (0.9, 0.0)}
    (scores,) = score_sequences(
        reading_head(Task.VA), tables(Task.VA, sequence(Task.VA, "v", seen, truth, frame_count=7))
    )
    # Frames 0, 2 and 6 are neighbours for the notebook; frame 1 has no face.
    found = scores.labelled_as_paper(Task.VA, Decision(radius_s=1 / 30))
    assert found[:, 0] == pytest.approx([0.15, 0.4, 0.6], abs=1e-6)
    # Expressions: filled 0, w=1/2: 0.15, 0.3, w=1/4: 0.75, 0.6, 0.45, 0.9, and smoothed over all frames.
    filled = [0.0, 0.15, 0.3, 0.75, 0.6, 0.45, 0.9]
    smoothed = [np.mean(filled[max(0, frame - 1) : frame + 2]) for frame in (0, 2, 6)]
    expr = replace(scores, truth=np.zeros(4, np.int64)).labelled_as_paper(Task.EXPR, Decision(radius_s=1 / 30))
    assert expr[:, 0] == pytest.approx(smoothed, abs=1e-6)


def test_decisions() -> None:
    values = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.5]])
    assert decide(Task.VA, values) is values
    assert decide(Task.EXPR, values).tolist() == [1, 0]
    assert decide(Task.AU, values).tolist() == [[False, True, False], [True, False, True]]
    assert decide(Task.AU, values, (0.2, 0.2, 0.4)).tolist() == [[True, True, False], [True, False, True]]


def test_the_decision_of_the_head_plays_no_part_in_its_scores() -> None:
    one = sequence(Task.EXPR, "v", {0: [0.3, *[0.1] * 7]}, {0: 0}, frame_count=1)
    raised = Decision(logit_adjustment=(0.0, 5.0, 0, 0, 0, 0, 0, 0))
    (scores,) = score_sequences(reading_head(Task.EXPR, raised), tables(Task.EXPR, one))
    assert scores.values[0] == pytest.approx([0.3, *[0.1] * 7])
    assert np.argmax(scores.adjusted(raised.logit_adjustment).values) == 1
    assert scores.adjusted(()) is scores


def test_progress_is_reported_for_each_video() -> None:
    done: list[tuple[int, int | None]] = []
    one = sequence(Task.VA, "v", {0: (0, 0)}, {0: (0, 0)}, frame_count=1)
    score_sequences(reading_head(Task.VA), tables(Task.VA, one, one), lambda *numbers: done.append(numbers))
    assert done == [(1, 2), (2, 2)]


def test_a_head_that_does_not_fit_is_refused() -> None:
    data = tables(Task.VA, sequence(Task.VA, "v", {0: (0, 0)}, {0: (0, 0)}, frame_count=1))
    with pytest.raises(InputError, match="the head predicts AU, the labels are of VA"):
        score_sequences(reading_head(Task.AU), data)
    with pytest.raises(InputError, match=r"predicts arousal, the data \(examples\) are labelled with valence, arousal"):
        score_sequences(reading_head(Task.VA, labels=("arousal",)), data)
    with pytest.raises(InputError, match=f"sha256 {OTHER_DIGEST}.*sha256 {DIGEST}"):
        score_sequences(reading_head(Task.VA, digest=OTHER_DIGEST), data)
