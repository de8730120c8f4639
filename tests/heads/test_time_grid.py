from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.heads.time_grid import PlacedRows, distinct, links, pieces, places


def placed(place: list[float], values: list[float] | None = None) -> PlacedRows:
    where = np.array(place, np.float64)
    numbers = np.arange(len(place)) if values is None else values
    return PlacedRows(where, links(where), np.array(numbers, np.float32)[:, None])


def grid(rows: PlacedRows, start: int, stop: int) -> list[float | None]:
    values, mask = rows.on_grid(start, stop)
    return [float(value) if seen else None for value, seen in zip(values[:, 0], mask, strict=True)]


class TestPlaces:
    def test_rounded_timestamps_are_on_the_grid(self) -> None:
        for decimals in (3, 6):
            times_s = np.round(5 + np.arange(40) / 30, decimals)
            np.testing.assert_array_equal(places(times_s, times_s[0], 1 / 30), np.arange(40))

    def test_others_lie_where_they_are(self) -> None:
        np.testing.assert_allclose(places(np.array([0, 0.5, 0.75]), 0.0, 0.5), [0, 1, 1.5])

    def test_frames_at_one_time_count_once(self) -> None:
        assert distinct(np.array([0.0, 1.0, 1.0, 2.0])).tolist() == [True, True, False, True]
        assert distinct(np.empty(0)).tolist() == []


class TestLinks:
    def test_a_missing_frame_breaks_the_run(self) -> None:
        assert links(np.array([0.0, 1, 2, 4, 5])).tolist() == [False, True, True, False, True]

    def test_a_coarser_video_is_linked_at_its_own_interval(self) -> None:
        assert links(np.array([0.0, 6, 12, 18, 30, 36])).tolist() == [False, False, True, True, False, True]

    def test_a_gap_at_the_start_is_one(self) -> None:
        assert links(np.array([0.0, 20, 21, 22])).tolist() == [False, False, True, True]
        assert links(np.array([0.0, 1, 3, 4])).tolist() == [False, True, False, True]

    def test_a_finer_video_may_lose_a_frame(self) -> None:
        assert links(np.array([0.0, 0.5, 1.5, 2.0, 4.0])).tolist() == [False, True, True, True, False]

    @given(st.lists(st.floats(0.1, 20), min_size=1, max_size=60), st.data())
    @settings(deadline=None)
    def test_the_future_breaks_no_link(self, steps: list[float], data) -> None:
        place = np.cumsum([0, *steps])
        n = data.draw(st.integers(1, len(place)))
        np.testing.assert_array_equal(links(place[:n]), links(place)[:n])


class TestOnGrid:
    def test_rows_on_the_grid_are_themselves_and_gaps_are_masked(self) -> None:
        assert grid(placed([0, 1, 2, 5, 6]), -1, 8) == [None, 0, 1, 2, None, None, 3, 4, None]

    def test_between_linked_rows_lies_a_straight_line(self) -> None:
        assert grid(placed([0, 0.8, 1.6, 2.4], [0, 8, 16, 24]), 0, 3) == pytest.approx([0, 10, 20], abs=1e-5)

    def test_a_coarser_video_fills_the_grid(self) -> None:
        assert grid(placed([0, 2, 4, 6], [0, 2, 4, 6]), 0, 7) == [0, None, 2, 3, 4, 5, 6]

    def test_the_first_row_behind_a_gap_stands_for_the_step_before_it(self) -> None:
        assert grid(placed([0, 1, 2, 5.5, 6.5], [0, 1, 2, 7, 9]), 2, 8) == [2, None, None, 7, 8, None]

    @given(st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.2, 4.0, 7.7]), max_size=30), st.integers(0, 5), st.integers(1, 9))
    @settings(deadline=None)
    def test_a_part_of_the_grid_is_that_part(self, steps: list[float], start: int, length: int) -> None:
        rows = placed(np.cumsum([0, *steps]).tolist())
        whole = grid(rows, 0, 40)
        assert grid(rows, start, start + length) == whole[start : start + length]

    @given(st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.2, 4.0, 7.7]), max_size=30))
    @settings(deadline=None)
    def test_every_row_has_a_value_at_the_step_before_it(self, steps: list[float]) -> None:
        place = np.cumsum([0, *steps])
        _, mask = placed(place.tolist()).on_grid(0, int(place[-1]) + 1)
        assert mask[place.astype(int)].all()


def test_a_long_absence_ends_a_piece() -> None:
    assert pieces(np.array([0.0, 1, 2, 9, 10, 30]), 5) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert pieces(np.empty(0), 5) == []
