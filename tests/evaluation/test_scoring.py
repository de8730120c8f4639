from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from affectline.errors import ShapeError
from affectline.evaluation.scoring import (
    TRAINED_ON,
    TUNED_ON_DIGEST,
    Rules,
    data_digest,
    evaluate,
    evaluate_constant,
    training_fingerprints,
    video_fingerprint,
)
from affectline.heads.blend import BlendHead
from affectline.heads.head import Decision
from affectline.heads.mlp import MlpHead
from affectline.labels import Task
from labelled_examples import noisy_data, reading_head, sequence, tables


def one_hot(label: int) -> list[float]:
    return [0.93 if number == label else 0.01 for number in range(8)]


def test_all_labelled_frames_count_and_those_with_a_face_apart() -> None:
    # Frame 2 has no face: it is filled halfway, and happens to be wrong.
    seen = {0: one_hot(0), 1: one_hot(0), 3: one_hot(1)}
    data = tables(Task.EXPR, sequence(Task.EXPR, "v", seen, {0: 0, 1: 0, 2: 4, 3: 1}, frame_count=4))
    found = evaluate(reading_head(Task.EXPR), data, resamples=10)
    assert found.all_frames is not None
    assert found.with_face is not None
    assert (found.all_frames.frames, found.with_face.frames) == (4, 3)
    assert found.with_face.accuracy == 1.0
    assert found.with_face.p == pytest.approx(2 / 8)
    assert found.all_frames.accuracy == 0.75
    # Classes 0 (2 of 3 predictions right, or all) and 1; the tie at frame 2 goes to class 0.
    assert found.all_frames.p == pytest.approx((2 * 2 / (3 + 2) + 1.0) / 8)
    assert found.main is found.all_frames


def test_smoothing_and_thresholds_of_the_card_are_used() -> None:
    seen = {0: (0.9, 0.1, 0.5), 1: (0.1, 0.1, 0.5), 2: (0.1, 0.1, 0.5)}
    truth = {0: (1, 0, 1), 1: (1, 0, 1), 2: (0, 0, 1)}
    data = tables(Task.AU, sequence(Task.AU, "v", seen, truth, frame_count=3))
    decision = Decision(radius_s=1 / 30, thresholds=(0.3, 0.5, 0.4))
    found = evaluate(reading_head(Task.AU, decision), data, resamples=10)
    # Means of unit 1: 0.5, 0.367, 0.1: right everywhere. Unsmoothed it is on in frame 0 only: F1 = 2/3.
    assert [score.values["f1"] for score in found.main.per_label] == pytest.approx([1.0, 0.0, 1.0])
    assert [score.values["f1"] for score in found.frame_wise.per_label] == pytest.approx([2 / 3, 0.0, 1.0])
    assert found.decision == decision


def test_the_adjustment_of_the_card_is_used_once() -> None:
    # 0.5 against 0.4 turns with a factor between 1.25 and 1.5625.
    data = tables(Task.EXPR, sequence(Task.EXPR, "v", {0: [0.5, 0.4, *[0.1 / 6] * 6]}, {0: 1}, frame_count=1))

    def accuracy(factor: float) -> float | None:
        decision = Decision(logit_adjustment=(0.0, np.log(factor), 0, 0, 0, 0, 0, 0))
        return evaluate(reading_head(Task.EXPR, decision), data, resamples=1).main.accuracy

    assert [accuracy(factor) for factor in (1.2, 1.3)] == [0.0, 1.0]


def test_paper_exact_scores_frames_with_a_face_only() -> None:
    seen = {0: (0.0, 0.2), 2: (0.3, 0.1), 6: (0.9, 0.3)}
    truth = {0: (0.1, 0.2), 1: (-0.9, 0.0), 2: (0.5, 0.0), 6: (0.9, 0.5)}
    data = tables(Task.VA, sequence(Task.VA, "v", seen, truth, frame_count=7))
    found = evaluate(reading_head(Task.VA, Decision(radius_s=1 / 30)), data, Rules(paper_exact=True), resamples=5)
    assert found.all_frames is None
    assert found.main is found.with_face
    assert found.main.frames == 3
    x, y = np.array([0.1, 0.5, 0.9]), np.array([0.15, 0.4, 0.6])
    expected = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found.main.per_label[0].values["ccc"] == pytest.approx(expected, abs=1e-6)


def test_a_video_without_a_face_is_named_and_counts() -> None:
    seen = sequence(Task.AU, "a", {0: (0.9, 0.9, 0.9)}, {0: (1, 1, 1)}, frame_count=1)
    unseen = sequence(Task.AU, "b", {}, {0: (1, 1, 1)}, frame_count=1)
    found = evaluate(reading_head(Task.AU), tables(Task.AU, seen, unseen), resamples=20)
    assert found.videos_without_face == ("b",)
    assert found.main.p == pytest.approx(2 / 3)
    assert found.with_face is not None
    assert found.with_face.p == 1.0
    lost = evaluate(reading_head(Task.AU), tables(Task.AU, unseen), resamples=20)
    assert lost.with_face is None
    assert lost.main.p == 0.0
    with pytest.raises(ShapeError):
        evaluate(reading_head(Task.AU), tables(Task.AU, unseen), Rules(paper_exact=True), resamples=20)


@pytest.mark.parametrize("task", list(Task), ids=lambda task: task.value)
def test_the_interval_holds_the_score_and_follows_the_seed(task: Task) -> None:
    data = noisy_data(task, seed=3)
    head = reading_head(task)
    found = evaluate(head, data, resamples=200)
    assert found.videos == 6
    assert found.interval is not None
    assert found.interval[0] < found.main.p < found.interval[1]
    assert evaluate(head, data, resamples=200).interval == found.interval
    assert evaluate(head, data, resamples=200, seed=1).interval != found.interval


@pytest.mark.parametrize(("videos", "has_interval"), [(1, False), (4, False), (5, True)])
def test_few_videos_have_no_interval(videos: int, has_interval: bool) -> None:
    data = noisy_data(Task.VA, seed=3, videos=videos, frames=40)
    assert (evaluate(reading_head(Task.VA), data, resamples=5).interval is not None) is has_interval
    assert (evaluate_constant(data, resamples=5).interval is not None) is has_interval


def test_videos_without_a_face_are_none_with_paper_exact() -> None:
    seen = [sequence(Task.AU, f"v{number}", {0: (0.9, 0.9, 0.9)}, {0: (1, 1, 1)}, frame_count=1) for number in range(4)]
    data = tables(Task.AU, *seen, sequence(Task.AU, "unseen", {}, {0: (1, 1, 1)}, frame_count=1))
    head = trained(reading_head(Task.AU), "unseen", "v0")
    found = evaluate(head, data, resamples=5)
    assert (found.videos, found.trained_on_here, found.interval is None) == (5, 2, False)
    found = evaluate(head, data, Rules(paper_exact=True), resamples=5)
    assert (found.videos, found.trained_on_here, found.interval is None) == (4, 1, True)


def test_two_subjects_of_one_video_are_resampled_together() -> None:
    left, right = (
        sequence(Task.VA, f"v_{side}", {0: (0.1, 0.2), 1: (0.3, 0.4)}, {0: (0, 0), 1: (0.5, 0.5)}, frame_count=2)
        for side in ("left", "right")
    )
    assert evaluate(reading_head(Task.VA), tables(Task.VA, left, right), resamples=5).videos == 1


def test_constant_baselines() -> None:
    expr = sequence(Task.EXPR, "v", {0: one_hot(2)}, {0: 2, 1: 2, 2: 5}, frame_count=3)
    found = evaluate_constant(tables(Task.EXPR, expr), resamples=5)
    assert found.main.accuracy == pytest.approx(2 / 3)
    assert found.main.p == pytest.approx(2 * 2 / (3 + 2) / 8)
    assert found.with_face is not None
    assert found.with_face.frames == 1

    units = sequence(Task.AU, "v", {}, {0: (1, 0, 0), 1: (1, 1, 0)}, frame_count=2)
    found = evaluate_constant(tables(Task.AU, units), resamples=5)
    assert found.main.p == pytest.approx((1.0 + 2 / 3 + 0.0) / 3)
    assert found.videos_without_face == ("v",)

    va = sequence(Task.VA, "v", {}, {0: (0.5, 0.1), 1: (0.2, 0.3)}, frame_count=2)
    assert evaluate_constant(tables(Task.VA, va), resamples=5).main.p == 0.0


def test_data_are_known_again() -> None:
    first, second = noisy_data(Task.VA, seed=1), noisy_data(Task.VA, seed=2)
    assert data_digest(first) == data_digest(noisy_data(Task.VA, seed=1))
    assert data_digest(first) != data_digest(second)
    head = reading_head(Task.VA)
    card = type(head.card)(
        Task.VA, head.card.labels, head.card.backbones, training={TUNED_ON_DIGEST: data_digest(first)}
    )
    assert evaluate(head.with_card(card), first, resamples=1).is_tuned_here
    assert not evaluate(head.with_card(card), second, resamples=1).is_tuned_here
    assert not evaluate(head, first, resamples=1).is_tuned_here


def trained(head: MlpHead, *videos: str) -> MlpHead:
    """Return a head whose card says which videos it was trained on."""
    prints = " ".join(video_fingerprint(video) for video in videos)
    return head.with_card(replace(head.card, training={TRAINED_ON: prints}))


class TestTrainedOn:
    def test_a_fingerprint_is_of_the_video_and_not_of_the_subject(self) -> None:
        assert video_fingerprint("v1") == hashlib.sha256(b"v1").hexdigest()[:8]
        assert video_fingerprint("v1_left") == video_fingerprint("v1_right") == video_fingerprint("v1")
        assert video_fingerprint("v2") != video_fingerprint("v1")

    def test_groups_are_counted(self) -> None:
        left, right, other = (
            sequence(Task.VA, name, {0: (0.1, 0.2), 1: (0.3, 0.4)}, {0: (0, 0), 1: (0.5, 0.5)}, frame_count=2)
            for name in ("v_left", "v_right", "w")
        )
        data = tables(Task.VA, left, right, other)
        head = reading_head(Task.VA)
        assert evaluate(head, data, resamples=5).trained_on_here == 0
        assert evaluate(trained(head, "v_right", "x"), data, resamples=5).trained_on_here == 1
        assert evaluate(trained(head, "w", "v"), data, resamples=5).trained_on_here == 2
        assert evaluate_constant(data, resamples=5).trained_on_here == 0

    def test_a_blend_was_trained_on_what_its_parts_were(self) -> None:
        head = reading_head(Task.VA)
        inner = BlendHead(head.card, (trained(head, "a", "b"), head), np.ones(2, np.float32))
        outer = BlendHead(head.card, (inner, trained(head, "c")), np.ones(2, np.float32))
        assert training_fingerprints(outer) == {video_fingerprint(video) for video in ("a", "b", "c")}
        assert training_fingerprints(head) == frozenset()
