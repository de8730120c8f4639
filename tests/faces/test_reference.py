from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.errors import ShapeError
from affectline.faces.reference import BoxFit, containments, keep_distinct, overlaps

SAME = BoxFit(shift_x=0, shift_y=0, scale_x=1, scale_y=1)
edges = st.floats(-1000, 1000, width=32)
sides = st.floats(1, 1000, width=32)


def box(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    return np.array([[x1, y1, x2, y2]], np.float32)


def test_fit_moves_by_parts_of_the_box_and_scales_about_the_new_centre() -> None:
    fit = BoxFit(shift_x=0.1, shift_y=-0.5, scale_x=2, scale_y=0.5)
    # 20 wide and 40 high about (110, 120): centre to (112, 100), size to 40 and 20.
    assert fit.apply(box(100, 100, 120, 140)).tolist() == [[92, 90, 132, 110]]


def test_fit_of_no_boxes_is_no_boxes() -> None:
    assert SAME.apply(np.empty((0, 4), np.float32)).shape == (0, 4)


@given(edges, edges, sides, sides)
def test_neutral_fit_changes_nothing(x: float, y: float, width: float, height: float) -> None:
    boxes = box(x, y, x + width, y + height)
    np.testing.assert_allclose(SAME.apply(boxes), boxes, atol=1e-3)


def test_overlap_and_containment_by_hand() -> None:
    # Two squares of 10 that share 5x10: 50 of 150, and 50 of the smaller's 100.
    first, second = box(0, 0, 10, 10), box(5, 0, 15, 10)
    assert overlaps(first, second)[0, 0] == pytest.approx(1 / 3)
    assert containments(first, second)[0, 0] == pytest.approx(0.5)
    assert overlaps(first, box(20, 20, 30, 30))[0, 0] == 0
    assert containments(box(0, 0, 100, 100), box(10, 10, 20, 20))[0, 0] == 1


def test_empty_boxes_overlap_nothing() -> None:
    assert overlaps(box(3, 3, 3, 3), box(3, 3, 3, 3))[0, 0] == 0
    assert containments(box(3, 3, 3, 3), box(0, 0, 9, 9))[0, 0] == 0


@given(edges, edges, sides, sides, edges, edges)
def test_overlap_is_symmetric_and_in_range(
    x: float, y: float, width: float, height: float, dx: float, dy: float
) -> None:
    first, second = box(x, y, x + width, y + height), box(x + dx, y + dy, x + dx + height, y + dy + width)
    assert overlaps(first, second)[0, 0] == overlaps(second, first)[0, 0]
    assert 0 <= overlaps(first, second)[0, 0] <= containments(first, second)[0, 0] <= 1 + 1e-5


def test_the_best_of_overlapping_boxes_stays_and_the_order_is_by_score() -> None:
    boxes = np.concatenate([box(0, 0, 10, 10), box(1, 0, 11, 10), box(50, 50, 60, 60)])
    assert keep_distinct(boxes, np.array([0.5, 0.8, 0.9], np.float32), max_overlap=0.5).tolist() == [2, 1]


def test_a_box_inside_another_goes_only_if_containment_counts() -> None:
    boxes = np.concatenate([box(0, 0, 100, 100), box(10, 10, 20, 20)])
    scores = np.array([0.9, 0.8], np.float32)
    assert keep_distinct(boxes, scores, max_overlap=0.3).tolist() == [0, 1]
    assert keep_distinct(boxes, scores, max_overlap=0.3, max_containment=0.6).tolist() == [0]


def test_no_boxes_leave_none() -> None:
    assert keep_distinct(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.3).tolist() == []


def test_boxes_without_scores_are_an_error() -> None:
    with pytest.raises(ShapeError, match="1 boxes came with 2 scores"):
        keep_distinct(box(0, 0, 1, 1), np.zeros(2, np.float32), 0.3)
