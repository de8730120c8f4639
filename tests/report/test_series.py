from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_tables import empty_row, face_row, long_table, table_of

from affectline.labels import AFFECTNET_7, UNCERTAIN, ActionUnit, Status
from affectline.report.series import NO_LABEL, action_units_in, expressions_in, make_grid, runs, split_tracks


def test_a_cell_is_a_frame_and_lasts_until_the_next() -> None:
    rows = [face_row(0, time_s=0.0), face_row(1, time_s=0.1), face_row(2, time_s=0.4), face_row(3, time_s=0.5)]
    grid = make_grid(table_of(rows))
    # The last frame lasts as long as the median one.
    assert grid.edges == pytest.approx([0, 0.1, 0.4, 0.5, 0.6])
    assert grid.has_time
    assert not grid.is_binned


@pytest.mark.parametrize(
    ("times", "is_even"),
    [([0, 0.1, 0.2, 0.3], True), ([0, 0.12, 0.2, 0.32], True), ([0, 0.1, 0.2, 2.2, 2.3], False), ([1.0], True)],
)
def test_a_held_picture_makes_times_uneven(times: list[float], is_even: bool) -> None:
    grid = make_grid(table_of([face_row(number, time_s=time_s) for number, time_s in enumerate(times)]))
    assert grid.is_even is is_even


def test_images_have_no_times_that_could_be_uneven() -> None:
    assert make_grid(table_of([face_row(number, time_s=None) for number in (0, 1, 2, 30)])).is_even


def test_images_stand_in_the_middle_of_their_cells() -> None:
    grid = make_grid(table_of([face_row(0, time_s=None), face_row(1, time_s=None)]))
    assert grid.edges.tolist() == [-0.5, 0.5, 1.5]
    assert not grid.has_time


def test_an_empty_table_has_one_cell() -> None:
    table = table_of([])
    assert make_grid(table).edges.tolist() == [0, 1]
    assert split_tracks(table, make_grid(table), 4) == ([], 0)


def test_frames_share_cells_in_a_long_video() -> None:
    table = table_of([face_row(frame, valence=0.1 * (frame % 4)) for frame in range(8)])
    grid = make_grid(table, max_cells=2)
    assert grid.edges == pytest.approx([0, 0.16, 0.32])
    assert grid.frames_per_cell.tolist() == [4, 4]
    [track], _ = split_tracks(table, grid, 4)
    summary = track.summary("valence")
    assert summary.mean == pytest.approx([0.15, 0.15])
    assert summary.low == pytest.approx([0, 0])
    assert summary.high == pytest.approx([0.3, 0.3])


@given(
    frames=st.lists(st.integers(0, 500), min_size=1, max_size=60, unique=True),
    max_cells=st.integers(1, 70),
)
def test_cells_hold_every_frame_once(frames: list[int], max_cells: int) -> None:
    table = table_of([face_row(frame, valence=frame / 500) for frame in sorted(frames)])
    grid = make_grid(table, max_cells)
    assert 1 <= len(grid) <= max_cells
    assert len(grid.edges) == len(grid) + 1
    assert (np.diff(grid.edges) > 0).all()
    assert grid.frames_per_cell.min() >= 1
    assert grid.frames_per_cell.sum() == len(frames)
    [track], _ = split_tracks(table, grid, 1)
    total = (track.summary("valence").mean * grid.frames_per_cell).sum()
    assert total == pytest.approx(sum(frames) / 500, abs=1e-4)
    assert not track.is_gap().any()


def test_gaps_are_frames_without_observation() -> None:
    rows = [face_row(0), face_row(1, status=Status.INTERPOLATED.value), empty_row(2), face_row(3)]
    rows.append(face_row(4, status=Status.LOW_QUALITY.value, valence=None))
    table = table_of(rows)
    [track], left_out = split_tracks(table, make_grid(table), 4)
    assert left_out == 0
    assert track.is_gap().tolist() == [False, True, True, False, False]
    assert track.is_low_quality().tolist() == [False, False, False, False, True]
    np.testing.assert_allclose(track.summary("valence").mean, [0.5, 0.5, np.nan, 0.5, np.nan])


def test_the_most_frequent_label_wins_a_cell() -> None:
    words = ["Anger", "Fear", "Fear", "Anger", "Anger", UNCERTAIN]
    table = table_of([face_row(frame, expression=word) for frame, word in enumerate(words)])
    [track], _ = split_tracks(table, make_grid(table, max_cells=2), 4)
    assert track.winning_label(["Anger", "Fear"]).tolist() == [1, 0]
    assert track.winning_label(["Disgust"]).tolist() == [NO_LABEL, NO_LABEL]


def test_the_longest_tracks_are_kept_in_the_order_of_their_numbers() -> None:
    lengths = {1: 3, 2: 1, 3: 5, 4: 2}
    table = table_of([face_row(frame, track=track) for track, n in lengths.items() for frame in range(n)])
    tracks, left_out = split_tracks(table, make_grid(table), 2)
    assert [track.name for track in tracks] == ["Track 1", "Track 3"]
    assert left_out == 2


def test_faces_of_images_are_grouped_by_rank() -> None:
    rows = [face_row(frame, track=None, time_s=None, valence=v) for frame, v in ((0, 0.1), (0, 0.2), (1, 0.3))]
    table = table_of(rows)
    tracks, _ = split_tracks(table, make_grid(table), 4)
    assert [track.name for track in tracks] == ["Face 1", "Face 2"]
    np.testing.assert_allclose(tracks[0].summary("valence").mean, [0.1, 0.3], rtol=1e-6)
    np.testing.assert_allclose(tracks[1].summary("valence").mean, [0.2, np.nan], rtol=1e-6)


def test_empty_columns_are_left_out() -> None:
    table = table_of([face_row(0)], AFFECTNET_7, with_units=False)
    assert expressions_in(table) == list(AFFECTNET_7)
    assert action_units_in(table) == []
    assert action_units_in(table_of([face_row(0)])) == list(ActionUnit)
    assert expressions_in(table_of([empty_row(0)])) == []


def test_a_long_table_is_reduced() -> None:
    table = long_table(5000)
    grid = make_grid(table)
    assert len(grid) <= 1200
    [track], _ = split_tracks(table, grid, 4)
    assert np.isfinite(track.summary("au12").mean).all()


@given(st.lists(st.booleans(), max_size=30))
def test_runs_cover_exactly_what_is_true(values: list[bool]) -> None:
    mask = np.array(values, dtype=bool)
    rebuilt = np.zeros_like(mask)
    found = runs(mask)
    for first, last in found:
        rebuilt[first:last] = True
    assert (rebuilt == mask).all()
    assert all(last < following for (_, last), (following, _) in pairwise(found))
