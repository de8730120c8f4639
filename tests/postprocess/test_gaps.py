from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.postprocess.gaps import gap_rows, stretch_numbers
from affectline.records import MAX_GAP_S


def fill(times_s, frame_numbers, values):
    """Fill one stretch of one column; return the filled frames and values."""
    rows = gap_rows(
        np.zeros(len(frame_numbers), np.intp),
        np.array(frame_numbers, np.intp),
        np.array(times_s, float),
        np.array(values, float)[:, None],
    )
    return rows.frame_number.tolist(), rows.values[:, 0].tolist(), rows.before.tolist()


def test_three_missing_frames_between_0_and_4_get_1_2_3():
    assert fill([0, 0.1, 0.2, 0.3, 0.4], [0, 4], [0, 4]) == (
        [1, 2, 3],
        [pytest.approx(1), pytest.approx(2), pytest.approx(3)],
        [0, 0, 0],
    )


def test_values_are_linear_in_time_not_in_frames():
    assert fill([0, 0.1, 0.4], [0, 2], [0, 4])[1] == [pytest.approx(1)]


def test_every_gap_of_a_stretch_is_filled_from_its_own_ends():
    frames, values, before = fill(np.arange(7) / 10, [0, 2, 3, 6], [0, 2, 10, 4])
    assert frames == [1, 4, 5]
    assert values == pytest.approx([1, 8, 6])
    assert before == [0, 2, 2]


def test_no_frame_is_filled_between_stretches_or_outside_them():
    stretches, frame_numbers = np.array([0, 1]), np.array([1, 3])
    rows = gap_rows(stretches, frame_numbers, np.arange(6.0), np.zeros((2, 1)))
    assert len(rows.before) == 0
    assert rows.values.shape == (0, 1)


def test_a_score_that_is_missing_at_one_end_stays_missing():
    assert np.isnan(fill([0, 0.1, 0.2], [0, 2], [np.nan, 4])[1]).tolist() == [True]


def test_frames_that_share_one_timestamp_take_the_value_before():
    assert fill([1.0, 1.0, 1.0], [0, 2], [3, 5])[1] == [3]


@pytest.mark.parametrize("n_rows", [0, 1])
def test_nothing_is_filled_without_two_rows(n_rows):
    assert fill([0, 1, 2], [1] * n_rows, [7] * n_rows) == ([], [], [])


def test_stretches_end_at_holes_longer_than_a_second_and_at_the_next_track():
    track_ids = np.array([1, 1, 1, 2, 2])
    times_s = np.array([0.0, MAX_GAP_S, 2.001, 2.1, 2.2])
    assert stretch_numbers(track_ids, times_s).tolist() == [0, 0, 1, 2, 2]
    assert stretch_numbers(track_ids, times_s, max_gap_s=2.0).tolist() == [0, 0, 0, 1, 1]


def test_a_gap_of_one_second_is_one_however_its_times_are_rounded():
    times_s = np.round(np.array([7, 7 + 25]) * 0.04, 6)
    assert stretch_numbers(np.array([1, 1]), times_s).tolist() == [0, 0]


def test_no_rows_make_no_stretches():
    assert stretch_numbers(np.empty(0, np.int64), np.empty(0)).tolist() == []


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_filling_agrees_with_numpy_interp(is_seen, data):
    steps = data.draw(st.lists(st.floats(0.001, 0.1), min_size=len(is_seen), max_size=len(is_seen)))
    times_s = np.cumsum(steps)
    seen = np.flatnonzero(is_seen)
    values = np.sin(seen * 1.7)
    frames, filled, _ = fill(times_s, seen, values)
    inside = [i for i in range(len(is_seen)) if len(seen) and seen[0] < i < seen[-1] and not is_seen[i]]
    assert frames == inside
    if inside:
        assert filled == pytest.approx(np.interp(times_s[inside], times_s[seen], values), abs=1e-12)
