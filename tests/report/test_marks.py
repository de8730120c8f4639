from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from result_tables import empty_row, face_row, table_of

from affectline.labels import UNCERTAIN, ActionUnit, Status
from affectline.report.marks import MarkTable, expression_word


def test_a_mark_says_what_its_row_says() -> None:
    [mark] = MarkTable(table_of([face_row(3)])).at(3)
    assert mark.box_xyxy == (250, 100, 390, 280)
    assert (mark.track_id, mark.status, mark.expression) == (1, Status.OBSERVED, "Happiness")
    assert mark.probability == pytest.approx(0.8)
    assert (mark.valence, mark.arousal) == (0.5, -0.25)
    assert [unit for unit, _ in mark.action_units] == [ActionUnit.AU24, ActionUnit.AU25, ActionUnit.AU26]
    assert [value for _, value in mark.action_units] == pytest.approx([9 / 12, 10 / 12, 11 / 12])


def test_the_strongest_units_keep_the_order_of_facs() -> None:
    [mark] = MarkTable(table_of([face_row(0, au12=0.99, au01=0.97, au26=0.98)])).at(0)
    assert [unit.value for unit, _ in mark.action_units] == ["AU1", "AU12", "AU26"]


def test_what_is_missing_is_left_out() -> None:
    row = face_row(0, track=None, expression=UNCERTAIN, valence=None)
    [mark] = MarkTable(table_of([row], with_units=False)).at(0)
    assert (mark.track_id, mark.probability, mark.action_units) == (None, None, ())
    assert math.isnan(mark.valence)


def test_each_frame_has_its_own_faces_whatever_the_order_of_rows() -> None:
    table = table_of([face_row(2, track=5), empty_row(1), face_row(0, track=1), face_row(0, track=2)])
    marks = MarkTable(table)
    found = [sorted(mark.track_id or 0 for mark in marks.at(frame)) for frame in range(4)]
    assert found == [[1, 2], [], [5], []]


@pytest.mark.parametrize("frames", [(0, 5, 10), (0, 2, 5, 7, 10)])
def test_marks_of_sampled_frames_stay_until_the_next(frames: tuple[int, ...]) -> None:
    marks = MarkTable(table_of([face_row(frame, track=frame + 1) for frame in frames]))
    longest = max(later - earlier for earlier, later in pairwise(frames))
    for frame in range(10):
        assert [mark.track_id for mark in marks.at(frame)] == [max(f for f in frames if f <= frame) + 1]
    assert len(marks.at(10 + longest - 1)) == 1
    assert marks.at(10 + longest) == []


def test_nothing_is_drawn_outside_the_table() -> None:
    marks = MarkTable(table_of([face_row(5)]))
    assert marks.at(4) == []
    assert len(marks.at(5)) == 1
    assert marks.at(6) == []
    assert MarkTable(table_of([])).at(0) == []


def test_words_name_what_is_not_observed() -> None:
    [mark] = MarkTable(table_of([face_row(0)])).at(0)
    assert expression_word(mark) == "Happiness 80 %"
    assert expression_word(replace(mark, status=Status.INTERPOLATED)) == "Happiness (interpolated)"
    assert expression_word(replace(mark, expression=UNCERTAIN, probability=None)) == "uncertain"
    assert expression_word(replace(mark, expression=None, probability=None)) == "face"
