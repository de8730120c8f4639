from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from affectline.errors import ShapeError
from affectline.labels import FERPLUS_8
from affectline.postprocess.finish import FinishSettings, finish
from affectline.postprocess.smoothing import Smoothing
from affectline.schema import timeline_schema
from raw_tables import RAW, THRESHOLDS, UNSMOOTHED, blank, face, random_raw_table, raw_table


def cells(table: pa.Table, *names: str) -> list[tuple[object, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def track(frames, **kwargs):
    return [face(frame, **kwargs) for frame in frames]


def test_a_gap_gets_rows_on_the_line_between_its_ends():
    rows = [*track([0, 1]), face(2, valence=0.0), *(blank(i) for i in (3, 4, 5)), face(6, valence=0.4, box_x1=50.0)]
    table = finish(raw_table([*rows, *track([7])]), UNSMOOTHED)
    assert table.schema.equals(timeline_schema(FERPLUS_8))
    assert cells(table, "frame", "track_id", "status")[2:7] == [
        (2, 1, "observed"),
        (3, 1, "interpolated"),
        (4, 1, "interpolated"),
        (5, 1, "interpolated"),
        (6, 1, "observed"),
    ]
    assert table["valence"].to_numpy()[2:7] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert table["box_x1"].to_numpy()[2:7] == pytest.approx([10, 20, 30, 40, 50])
    assert cells(table.slice(3, 1), "face_score", "quality", "expression", "p_neutral", "au12_on") == [
        (None, None, "Neutral", 1.0, False)
    ]
    assert cells(table.slice(2, 1), "face_score", "quality") == [(pytest.approx(0.9), pytest.approx(0.8))]


def test_a_track_is_not_extended_and_a_long_gap_stays_open():
    rows = [blank(0), *track([1, 2, 3]), *(blank(i) for i in range(4, 30)), *track([30, 31, 32]), blank(33)]
    table = finish(raw_table(rows), UNSMOOTHED)
    assert len(table) == 34
    expected = ["no_face", *["observed"] * 3, *["no_face"] * 26, *["observed"] * 3, "no_face"]
    assert table["status"].to_pylist() == expected
    assert table.slice(0, 1).drop_columns(["frame", "time_s", "status"]).to_pylist()[0].keys() >= {"valence"}
    assert set(table.slice(0, 1).drop_columns(["frame", "time_s", "status"]).to_pylist()[0].values()) == {None}


def test_a_gap_of_exactly_one_second_is_filled():
    rows = [*track([0, 1, 2]), *(blank(i) for i in range(3, 27)), *track([27, 28, 29])]
    assert finish(raw_table(rows), UNSMOOTHED)["status"].to_pylist().count("interpolated") == 24


def test_another_face_in_the_frames_of_a_gap_keeps_its_row():
    rows = [*track([0, 1, 2, 4, 5, 6]), *track(range(7), track=2)]
    table = finish(raw_table(rows), UNSMOOTHED)
    assert cells(table.slice(6, 2), "frame", "track_id", "status") == [(3, 1, "interpolated"), (3, 2, "observed")]


def test_a_broken_frame_is_an_error_only_where_no_face_can_be_given():
    rows = [blank(0, status="error"), *track([1, 2, 3]), blank(4, status="error"), *track([5, 6, 7])]
    table = finish(raw_table(rows), UNSMOOTHED)
    assert cells(table, "frame", "track_id", "status")[0] == (0, None, "error")
    assert cells(table, "frame", "track_id", "status")[4] == (4, 1, "interpolated")


def test_low_quality_rows_are_observations():
    rows = [face(0), face(1, status="low_quality", quality=0.1), face(2)]
    table = finish(raw_table(rows), UNSMOOTHED)
    assert table["status"].to_pylist() == ["observed", "low_quality", "observed"]


class TestFlickers:
    @pytest.mark.parametrize(
        ("interval_s", "observations", "is_kept"),
        [
            (0.04, 2, False),
            (0.04, 3, True),
            (0.1, 2, False),
            (0.2, 1, False),
            (0.2, 2, True),
            (0.5, 1, False),
            (0.6, 1, True),
        ],
    )
    def test_a_stretch_needs_observations_according_to_the_interval(self, interval_s, observations, is_kept):
        rows = [face(i, interval_s=interval_s) if i < observations else blank(i, interval_s) for i in range(6)]
        table = finish(raw_table(rows), UNSMOOTHED)
        assert table["status"].to_pylist() == [
            "observed" if i < observations and is_kept else "no_face" for i in range(6)
        ]

    def test_observations_a_gap_apart_count_together(self):
        rows = [face(i) if i in {0, 10, 20} else blank(i) for i in range(22)]
        assert finish(raw_table(rows), UNSMOOTHED)["status"].to_pylist().count("interpolated") == 18

    @pytest.mark.parametrize("n_frames", [1, 2])
    def test_a_short_video_needs_no_more_than_its_frames(self, n_frames):
        table = finish(raw_table(track(range(n_frames))), UNSMOOTHED)
        assert table["status"].to_pylist() == ["observed"] * n_frames

    def test_a_stride_counts_as_the_interval(self):
        rows = [face(i) if i % 50 == 0 else blank(i) for i in range(101)]
        settings = replace(UNSMOOTHED, stride_s=2.0)
        assert finish(raw_table(rows), settings)["status"].to_pylist().count("interpolated") == 98
        assert set(finish(raw_table(rows), UNSMOOTHED)["status"].to_pylist()) == {"no_face"}


class TestSmoothing:
    def test_each_task_has_its_radius(self):
        rows = [face(i) for i in range(9)]
        rows[4] = face(4, valence=0.9, p_neutral=0.0, p_happiness=1.0, au12=0.6)
        settings = FinishSettings(THRESHOLDS, Smoothing(va_s=0.04, expr_s=0.08, au_s=0.0))
        table = finish(raw_table(rows), settings)
        assert table["valence"].to_numpy() == pytest.approx([0, 0, 0, 0.3, 0.3, 0.3, 0, 0, 0])
        assert table["p_happiness"].to_numpy() == pytest.approx([0, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0, 0])
        assert table["au12"].to_numpy() == pytest.approx([0, 0, 0, 0, 0.6, 0, 0, 0, 0])
        assert table["au12_on"].to_pylist() == [i == 4 for i in range(9)]
        assert table["face_score"].to_numpy() == pytest.approx([0.9] * 9)

    def test_decisions_rest_on_smoothed_scores(self):
        rows = [face(i, p_neutral=0.0, **{"p_fear" if i == 2 else "p_anger": 1.0}) for i in range(5)]
        assert finish(raw_table(rows), UNSMOOTHED)["expression"].to_pylist()[2] == "Fear"
        assert finish(raw_table(rows), FinishSettings(THRESHOLDS))["expression"].to_pylist() == ["Anger"] * 5

    def test_tracks_and_stretches_do_not_mix(self):
        rows = [*track(range(5), valence=1.0), *track(range(5), track=2, valence=-1.0)]
        rows += [*(blank(i) for i in range(5, 35)), *track(range(35, 40), valence=0.0)]
        table = finish(raw_table(rows), FinishSettings(THRESHOLDS, Smoothing(5.0, 5.0, 5.0)))
        assert table["valence"].to_pylist()[:10] == [1.0, -1.0] * 5
        assert table["valence"].to_pylist()[-5:] == [0.0] * 5

    def test_interpolated_rows_take_part(self):
        rows = [face(0), face(1, valence=0.3), blank(2), face(3, valence=0.9), face(4)]
        settings = FinishSettings(THRESHOLDS, Smoothing(0.04, 0.0, 0.0))
        assert finish(raw_table(rows), settings)["valence"].to_numpy()[2] == pytest.approx((0.3 + 0.6 + 0.9) / 3)

    def test_causal_leaves_gaps_open_and_drops_nothing(self):
        rows = [face(0, valence=0.2), blank(1), face(2, valence=0.4), face(2, track=2), blank(3)]
        table = finish(raw_table(rows), FinishSettings(THRESHOLDS, Smoothing(1.0, 1.0, 1.0, "causal")))
        assert cells(table, "frame", "track_id", "status") == [
            (0, 1, "observed"),
            (1, None, "no_face"),
            (2, 1, "observed"),
            (2, 2, "observed"),
            (3, None, "no_face"),
        ]
        assert table["valence"].to_pylist()[2] == pytest.approx(0.3)

    def test_missing_scores_stay_missing(self):
        rows = [face(0), face(1, au12=None), face(2)]
        table = finish(raw_table(rows), FinishSettings(THRESHOLDS))
        assert cells(table, "au12", "au12_on", "valence") == [(0, False, 0), (None, None, 0), (0, False, 0)]


@pytest.mark.parametrize(
    ("interval_s", "scores", "is_kept"),
    [
        (0.04, [0.9, 0.71, 0.8], True),
        (0.04, [0.9, 0.69, 0.8], False),
        (0.04, [*[0.65] * 20, 0.8, 0.8], False),
        (0.04, [*[0.65] * 20, 0.8, 0.8, 0.8], True),
        (0.2, [0.9, 0.65], False),
        (0.2, [0.9, 0.71], True),
        (1.0, [0.4], True),
    ],
)
def test_a_track_needs_clear_observations(interval_s: float, scores: list[float], is_kept: bool) -> None:
    rows = [face(i, interval_s=interval_s, face_score=score) for i, score in enumerate(scores)]
    rows += [blank(i, interval_s=interval_s) for i in range(len(scores), len(scores) + 5)]
    table = finish(raw_table(rows), UNSMOOTHED)
    expected = ["observed" if is_kept else "no_face"] * len(scores)
    assert table["status"].to_pylist() == [*expected, *["no_face"] * 5]


def test_numbers_are_rounded_once_for_all_files():
    rows = track(range(3), valence=0.123456789, box_x1=10.129, time_s=0.0)
    table = finish(raw_table([{**row, "time_s": row["frame"] / 24000 * 1001} for row in rows]), UNSMOOTHED)
    assert table["time_s"].to_pylist() == [0.0, 0.041708, 0.083417]
    assert table["valence"].to_pylist()[0] == np.float32(0.12346)
    assert table["box_x1"].to_pylist()[0] == np.float32(10.13)


def test_rows_come_in_the_order_of_frame_and_track_whatever_their_order_was():
    raw = random_raw_table(np.random.default_rng(1), np.arange(20) / 25, {1: [True] * 20, 2: [True] * 20})
    shuffled = raw.take(np.random.default_rng(2).permutation(len(raw)))
    table = finish(shuffled, FinishSettings(THRESHOLDS))
    assert cells(table, "frame", "track_id") == [(i, j) for i in range(20) for j in (1, 2)]
    assert table.equals(finish(raw, FinishSettings(THRESHOLDS)))


def test_a_video_without_rows_and_one_without_faces():
    assert finish(RAW.empty_table(), UNSMOOTHED).equals(timeline_schema(FERPLUS_8).empty_table())
    table = finish(raw_table([blank(i) for i in range(4)]), UNSMOOTHED)
    assert cells(table, "frame", "status") == [(i, "no_face") for i in range(4)]
    assert table["expression"].null_count == 4


def test_independent_images_are_only_decided():
    image = {"time_s": None, "track_id": None}
    rows = [
        {**face(1, p_neutral=0.2, p_fear=0.8, au04=0.5), **image, "source": "b.jpg"},
        {**face(0), **image, "source": "a.jpg"},
        {**face(0, status="low_quality", valence=0.123456), **image, "source": "a.jpg"},
        {**blank(2), **image, "source": "c.jpg"},
    ]
    table = finish(raw_table(rows, with_source=True), FinishSettings(THRESHOLDS))
    assert table.schema.equals(timeline_schema(FERPLUS_8, with_source=True))
    assert cells(table, "source", "frame", "time_s", "track_id", "status", "expression", "au04_on") == [
        ("a.jpg", 0, None, None, "observed", "Neutral", False),
        ("a.jpg", 0, None, None, "low_quality", "Neutral", False),
        ("b.jpg", 1, None, None, "observed", "Fear", True),
        ("c.jpg", 2, None, None, "no_face", None, None),
    ]
    assert table["valence"].to_pylist()[1] == np.float32(0.12346)


@pytest.mark.parametrize("times_s", [[0.0, 0.2, 0.1], [0.0, None, 0.1]])
def test_times_must_be_there_and_not_decrease(times_s):
    rows = [blank(frame, time_s=time_s) for frame, time_s in enumerate(times_s)]
    with pytest.raises(ShapeError, match=r"frame [12] has no time, or an earlier one"):
        finish(raw_table(rows), UNSMOOTHED)


def test_the_window_is_right_far_into_a_long_video():
    n = 20_000
    rng = np.random.default_rng(3)
    block = random_raw_table(rng, np.arange(200) / 25, {1: [True] * 200})
    raw = pa.concat_tables([block] * (n // 200))
    raw = raw.set_column(0, "frame", pa.array(np.arange(n))).set_column(1, "time_s", pa.array(np.arange(n) / 25))
    table = finish(raw, FinishSettings(THRESHOLDS))
    middle = raw["valence"].to_numpy()[n // 2 - 21 : n // 2 + 22].mean(dtype=float)
    assert table["valence"].to_numpy()[n // 2] == pytest.approx(middle, abs=1e-5)
