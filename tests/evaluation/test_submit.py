from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.stored_videos import faces_on_side
from affectline.datasets.submission import Sample, sample_of
from affectline.errors import InputError
from affectline.evaluation.needed_features import digests_of, require_backbones, usual_crop_kind, videos_for
from affectline.evaluation.submit import submission_values
from affectline.features import CropKind
from affectline.heads.blend import BlendHead
from affectline.heads.head import Decision
from affectline.labels import Task
from feature_stores import put_two_faces, put_video
from labelled_examples import OTHER_DIGEST, make_info, make_table, reading_head

UNITS = tuple(Task.AU.official_labels)


def taken(sample: Sample, order: list[int]) -> Sample:
    return Sample(sample.header, sample.paths.take(order), sample.videos, sample.video[order], sample.frame[order])


def test_gaps_are_filled_edges_copied_and_rows_follow_the_sample(tmp_path: Path) -> None:
    put_video(tmp_path, Task.VA, "a", {1: (0.0, 0.5), 3: (0.4, 0.5)}, 4)
    store = put_video(tmp_path, Task.VA, "b_left", {0: (-0.5, 0.1)}, 1)
    head = reading_head(Task.VA)
    # The sample asks for two frames more than the store knows of `a`.
    sample = taken(sample_of(Task.VA, {"a": 6, "b_left": 1}), [6, 5, 0, 1, 2, 3, 4])
    found = submission_values(head, sample, videos_for(store, head, "my.head"))
    assert found.values[:, 0] == pytest.approx([-0.5, 0.4, 0.0, 0.0, 0.2, 0.4, 0.4], abs=1e-6)
    assert found.without_face == ()
    # Rows 00005 and 00006 of `a` are behind its four frames.
    assert found.beyond == {"a": 2}


@pytest.mark.parametrize(("n_rows", "beyond"), [(4, {}), (5, {}), (6, {"a": 2}), (9, {"a": 5})])
def test_rows_behind_the_last_frame_are_counted_if_they_are_more_than_the_usual_one(
    n_rows: int, beyond: dict[str, int], tmp_path: Path
) -> None:
    store = put_video(tmp_path, Task.VA, "a", {1: (0.2, 0.5)}, 4)
    head = reading_head(Task.VA)
    found = submission_values(head, sample_of(Task.VA, {"a": n_rows}), videos_for(store, head, "my.head"))
    assert found.beyond == beyond
    assert found.values[:, 0] == pytest.approx([0.2] * n_rows, abs=1e-6)


def test_a_video_without_a_face_has_no_rows_behind_its_end(tmp_path: Path) -> None:
    store = put_video(tmp_path, Task.VA, "dark", {}, 2)
    head = reading_head(Task.VA)
    sample = sample_of(Task.VA, {"dark": 9, "lost": 9})
    assert submission_values(head, sample, videos_for(store, head, "my.head"), allow_missing=True).beyond == {}


def test_scores_are_smoothed_over_all_frames_before_rows_are_taken(tmp_path: Path) -> None:
    store = put_video(tmp_path, Task.VA, "a", {frame: (0.9 * (frame == 1), 0.0) for frame in range(4)}, 4)
    head = reading_head(Task.VA, Decision(radius_s=1 / 30))
    sample = taken(sample_of(Task.VA, {"a": 4}), [0, 2])
    assert submission_values(head, sample, videos_for(store, head, "my.head")).values[:, 0] == pytest.approx(
        [0.45, 0.3], abs=1e-6
    )


def test_adjustment_and_thresholds_of_the_head_decide(tmp_path: Path) -> None:
    store = put_video(tmp_path / "e", Task.EXPR, "a", {0: [0.5, 0.4, *[0.1 / 6] * 6]}, 1)
    for factor, expected in ((1.0, 0), (2.0, 1)):
        head = reading_head(Task.EXPR, Decision(logit_adjustment=(0, np.log(factor), 0, 0, 0, 0, 0, 0)))
        values = submission_values(head, sample_of(Task.EXPR, {"a": 1}), videos_for(store, head, "my.head")).values
        assert values.tolist() == [expected]


def test_a_video_without_a_face_is_an_error_or_neutral(tmp_path: Path) -> None:
    put_video(tmp_path, Task.EXPR, "a", {0: [0.1, 0.3, *[0.1] * 6]}, 1)
    store = put_video(tmp_path, Task.EXPR, "dark", {}, 2)
    head = reading_head(Task.EXPR)
    tables = videos_for(store, head, "my.head")
    sample = sample_of(Task.EXPR, {"dark": 2, "a": 1, "lost": 1})
    with pytest.raises(InputError, match=r"no face features of dark, lost; extract these videos, or .*--allow-missing"):
        submission_values(head, sample, tables)
    done: list[int] = []
    found = submission_values(head, sample, tables, allow_missing=True, on_progress=lambda n, _: done.append(n))
    assert found.values.tolist() == [0, 0, 1, 0]
    assert found.without_face == ("dark", "lost")
    assert done == [1, 2, 3]


def test_a_head_with_other_labels_is_refused(tmp_path: Path) -> None:
    store = put_video(tmp_path, Task.AU, "a", {0: (0.5, 0.5, 0.5)}, 1)
    head = reading_head(Task.AU)
    with pytest.raises(InputError, match=r"a submission needs AU1, .*AU26; the head gives AU1, AU2, AU4"):
        submission_values(head, sample_of(Task.AU, {"a": 1}), videos_for(store, head, "my.head"))


class TestTwoSubjects:
    # Both in frames 0 and 2 (middle 150); one face alone in 1 (left) and in 3 (right).
    FACES = ((0, 100, 0.1), (0, 200, 0.9), (1, 120, 0.2), (2, 90, 0.3), (2, 210, 0.7), (3, 190, 0.6))

    @pytest.mark.parametrize(
        ("video", "expected"),
        [("v_left", [0.1, 0.2, 0.3, 0.3]), ("v_right", [0.9, 0.8, 0.7, 0.6])],
    )
    def test_each_has_a_side(self, video: str, expected: list[float], tmp_path: Path) -> None:
        store = put_two_faces(tmp_path, "v", self.FACES, 4)
        head = reading_head(Task.VA)
        found = submission_values(head, sample_of(Task.VA, {video: 4}), videos_for(store, head, "my.head"))
        assert found.values[:, 0] == pytest.approx(expected, abs=1e-6)

    def test_a_lone_face_is_both(self, tmp_path: Path) -> None:
        store = put_two_faces(tmp_path, "v", ((0, 100, 0.1), (1, 120, 0.2)), 2)
        head = reading_head(Task.VA)
        for side in ("left", "right"):
            found = submission_values(head, sample_of(Task.VA, {f"v_{side}": 2}), videos_for(store, head, "my.head"))
            assert found.values[:, 0] == pytest.approx([0.1, 0.2], abs=1e-6)

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_where_nobody_is_seen_there_is_no_side(self, side: str) -> None:
        assert faces_on_side(make_table(make_info("v", 5), [], np.zeros((0, 2))), f"v_{side}").tolist() == []

    def test_crops_do_not_tell_a_side(self, tmp_path: Path) -> None:
        store = put_video(tmp_path, Task.VA, "v", {0: (0.1, 0.2)}, 1)
        head = reading_head(Task.VA)
        with pytest.raises(InputError, match="v_left cannot be told from the other subject; extract the crop folder"):
            submission_values(head, sample_of(Task.VA, {"v_left": 1}), videos_for(store, head, "my.head"))


def test_frame_counts_come_from_the_store(tmp_path: Path) -> None:
    put_video(tmp_path, Task.VA, "b", {0: (0, 0)}, 7)
    store = put_video(tmp_path, Task.VA, "a", {2: (0, 0)}, 5)
    tables = videos_for(store, reading_head(Task.VA), "my.head")
    assert list(tables.frame_counts(["b", "a", "a_right"]).items()) == [("b", 7), ("a", 5), ("a_right", 5)]
    with pytest.raises(InputError, match="has no features of c, d, e and 1 more, so their number"):
        tables.frame_counts(["a", "c", "d", "e", "f"])


def test_both_digests_are_named_where_the_backbone_differs(tmp_path: Path) -> None:
    store = put_video(tmp_path, Task.VA, "a", {0: (0, 0)}, 1)
    head = reading_head(Task.VA, digest=OTHER_DIGEST)
    with pytest.raises(InputError, match=rf"my\.head .*sha256 {OTHER_DIGEST}\), but .*sha256 {'ab' * 32}\)"):
        require_backbones(store, head, "my.head")
    with pytest.raises(InputError, match=OTHER_DIGEST):
        videos_for(store, head, "my.head")
    put_video(tmp_path, Task.VA, "a", {0: (0, 0)}, 1, digest=OTHER_DIGEST)
    store.refresh()
    require_backbones(store, head, "my.head")
    assert digests_of([head, reading_head(Task.VA), head]) == (OTHER_DIGEST, "ab" * 32)


def test_the_crops_of_the_training_are_taken_if_they_are_there(tmp_path: Path) -> None:
    store = put_video(tmp_path, Task.VA, "a", {0: (0, 0)}, 1)
    plain = reading_head(Task.VA)
    trained, other = (
        plain.with_card(replace(plain.card, crop_kind=kind)) for kind in (CropKind.CROPPED, CropKind.DETECTED)
    )
    assert usual_crop_kind(store, {"one": trained, "two": trained}) is CropKind.CROPPED
    assert usual_crop_kind(store, {"one": other}) is None
    assert usual_crop_kind(store, {"one": trained, "two": other}) is CropKind.CROPPED
    assert usual_crop_kind(store, {"one": plain}) is None


def test_heads_of_different_crops_are_not_scored_on_the_crops_of_one(tmp_path: Path) -> None:
    for kind in (CropKind.CROPPED, CropKind.CROPPED_ALIGNED):
        store = put_video(tmp_path, Task.VA, "a", {0: (0, 0)}, 1, crop_kind=kind)
    store.refresh()
    plain = reading_head(Task.VA)
    one, other = (
        plain.with_card(replace(plain.card, crop_kind=kind)) for kind in (CropKind.CROPPED, CropKind.CROPPED_ALIGNED)
    )
    with pytest.raises(InputError, match=r"these differ \(one: cropped; two: cropped_aligned\); score them one by one"):
        usual_crop_kind(store, {"one": one, "two": other})
    blend = BlendHead(replace(plain.card, crop_kind=None), (one, other), np.ones(2, np.float32))
    with pytest.raises(InputError, match=r"these differ \(both: cropped and cropped_aligned\)"):
        videos_for(store, blend, "both")
    assert videos_for(store, blend, "both", CropKind.CROPPED_ALIGNED).names == {"a"}


@pytest.mark.parametrize("mode", ["centred", "gaussian", "causal"])
def test_rows_far_behind_the_end_cost_nothing_and_change_nothing(mode, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = {frame: tuple(rng.uniform(-0.9, 0.9, 2)) for frame in range(12)}
    store = put_video(tmp_path, Task.VA, "a", scores, 12)
    head = reading_head(Task.VA, Decision(radius_s=3 / 30, mode=mode))
    videos = videos_for(store, head, "my.head")
    near = submission_values(head, sample_of(Task.VA, {"a": 40}), videos).values
    far = sample_of(Task.VA, {"a": 41})
    far.frame[40] = 9_999_998
    found = submission_values(head, far, videos).values
    np.testing.assert_allclose(found[:40], near, atol=1e-12)
    np.testing.assert_allclose(found[40], near[39], atol=1e-12)
