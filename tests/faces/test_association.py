from __future__ import annotations

import numpy as np
import pytest

from affectline.faces.appearance import LOOK_LENGTH
from affectline.faces.association import NO_MATCH, Sight, Track, assign, match_costs
from affectline.faces.motion import BoxMotion


def box(x: float, size: float = 60) -> np.ndarray:
    return np.array([x - size / 2, 100 - size / 2, x + size / 2, 100 + size / 2], np.float32)


def look(value: float) -> np.ndarray:
    return np.full(LOOK_LENGTH, value)


def sight(time_s: float, *boxes: np.ndarray, looks: list[np.ndarray] | None = None, is_cut: bool = False) -> Sight:
    looks = looks or [look(0)] * len(boxes)
    return Sight(time_s, (640, 360), np.array(boxes).reshape(-1, 4), np.array(looks).reshape(-1, LOOK_LENGTH), is_cut)


def track(x: float = 100) -> Track:
    return Track(BoxMotion.start(0.0, box(x)), look(0), 0.0)


def test_the_same_face_in_the_same_place_costs_nothing_but_the_time() -> None:
    assert match_costs([track()], sight(0.0, box(100)))[0, 0] == pytest.approx(0)
    assert match_costs([track()], sight(0.04, box(100)))[0, 0] == pytest.approx(0.02)


def test_distance_counts_in_face_sizes_and_against_the_reach() -> None:
    # At 0.04 s the reach is 1.65 sizes; 60 px is one size.
    costs = match_costs([track()], sight(0.04, box(160), box(100 + 60 * 1.7), box(100, size=120)))
    assert costs[0, 0] == pytest.approx(0.02 + 1 / 1.65, abs=1e-3)
    assert costs[0, 1] == NO_MATCH
    assert costs[0, 2] == pytest.approx(0.02 + np.log(2) / 1.65, abs=1e-3)


def test_another_look_matters_more_the_longer_the_face_was_away_and_after_a_cut() -> None:
    others = [look(3)]
    assert match_costs([track()], sight(0.04, box(100), looks=others))[0, 0] == pytest.approx(0.02 + 0.56)
    assert match_costs([track()], sight(0.5, box(100), looks=others))[0, 0] >= NO_MATCH
    assert match_costs([track()], sight(0.04, box(100), looks=others, is_cut=True))[0, 0] >= NO_MATCH


def test_after_a_cut_half_a_stranger_is_a_stranger() -> None:
    # A difference of 0.55, as two people in one light often have.
    looks = [look(0.64)]
    assert match_costs([track()], sight(1.0, box(100), looks=looks))[0, 0] == pytest.approx(
        0.15 + 1.2 * 0.555, abs=0.01
    )
    assert match_costs([track()], sight(0.04, box(100), looks=looks, is_cut=True))[0, 0] >= NO_MATCH


def test_the_look_of_covered_faces_counts_less() -> None:
    apart = match_costs([track()], sight(0.04, box(100), box(400), looks=[look(3), look(3)]))
    covered = match_costs([track()], sight(0.04, box(100), box(130), looks=[look(3), look(3)]))
    # Half of each box is covered: a quarter of the look's weight is left.
    assert covered[0, 0] - 0.02 == pytest.approx((apart[0, 0] - 0.02) / 4)


def test_no_tracks_or_no_faces_cost_nothing() -> None:
    assert match_costs([], sight(0.0, box(100))).shape == (0, 1)
    assert match_costs([track()], sight(0.0)).shape == (1, 0)


def test_assign_takes_the_cheapest_pairs_and_gives_no_good_pair_up_for_two_bad_ones() -> None:
    assert assign(np.array([[0.2, 0.1], [0.1, 0.9]]), [0, 1], [0, 1], 1.0) == {0: 1, 1: 0}
    assert assign(np.array([[0.1, 0.9], [0.9, 2.0]]), [0, 1], [0, 1], 1.0) == {0: 0}


def test_assign_keeps_to_the_rows_and_columns_given() -> None:
    costs = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    assert assign(costs, [1], [2], 1.0) == {1: 2}
    assert assign(costs, [1], [2], 0.3) == {}
    assert assign(costs, [], [2], 1.0) == {}
    assert assign(costs, [1], [], 1.0) == {}


def test_a_moving_face_is_expected_further_on_but_may_be_anywhere_on_its_way() -> None:
    moving = track()
    moving.motion.velocity[0] = 600.0
    expected_x = float(moving.motion.position_at(0.2)[0])
    ahead, start, behind = match_costs([moving], sight(0.2, box(expected_x), box(100), box(100 - 60)))[0]
    assert expected_x > 200
    assert ahead == pytest.approx(0.1)
    assert ahead < start < behind


def test_of_two_that_fit_alike_the_face_that_was_just_there_is_meant() -> None:
    just_seen, lost = Track(BoxMotion.start(0.46, box(100)), look(0), 0.46), track()
    costs = match_costs([just_seen, lost], sight(0.5, box(106)))[:, 0]
    assert costs[0] == pytest.approx(0.02 + 0.1 / 1.65, abs=1e-3)
    assert costs[1] == pytest.approx(0.15 + 0.1 / 4, abs=1e-3)
