from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError
from affectline.faces.tracking import Tracker, TrackerSettings
from affectline.records import Detections, Face

WIDTH, HEIGHT = 640, 360

Path = Callable[[float], tuple[float, float]]


@dataclass
class Actor:
    """A planted face: where its centre is, how large it is, what it looks like, and when nobody can see it."""

    path: Path
    size: float = 60
    texture: int = 0
    hidden: list[tuple[float, float]] = field(default_factory=list)
    score: float = 0.9

    def is_seen(self, t: float) -> bool:
        x, y = self.path(t)
        is_inside = 0 <= x < WIDTH and 0 <= y < HEIGHT
        return is_inside and not any(start <= t < end for start, end in self.hidden)


@dataclass
class Shot:
    """One rendered frame with its detections, and which actor each of them is."""

    t: float
    rgb: np.ndarray
    detections: Detections
    actors: list[int]


def at(x: float, y: float) -> Path:
    return lambda t: (x, y)


def line(x: float, y: float, vx: float, vy: float = 0) -> Path:
    return lambda t: (x + vx * t, y + vy * t)


def every(fps: float, seconds: float) -> list[float]:
    return [n / fps for n in range(round(fps * seconds))]


@functools.cache
def texture_of(number: int) -> np.ndarray:
    """A face of its own: bright skin with dark eyes and mouth as all have, of its own colour and marks."""
    rng = np.random.default_rng(number)
    skin = np.array([190, 150, 130]) + rng.integers(-40, 40, 3)
    face = np.tile(skin, (8, 8, 1)) + rng.integers(-25, 25, (8, 8, 1))
    face[2:4, [1, 2, 5, 6]] -= 70
    face[6, 2:6] -= 50
    return np.clip(face, 0, 255).astype(np.uint8)


def detections_of(boxes: list[np.ndarray], scores: list[float]) -> Detections:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.array(scores, np.float32), np.zeros((len(array), 4, 2), np.float32))


def film(actors: list[Actor], times: list[float], jitter: float = 0.02, seed: int = 0) -> Iterator[Shot]:
    """Render the actors, later ones in front; detections scatter by `jitter` of the size and come in any order."""
    rng = np.random.default_rng(seed)
    background = rng.integers(60, 120, (9, 16, 3)).astype(np.uint8)
    background = cv2.resize(background, (WIDTH, HEIGHT))
    for t in times:
        rgb = background.copy()
        seen = [n for n, actor in enumerate(actors) if actor.is_seen(t)]
        for n in seen:
            draw(rgb, actors[n], t)
        seen = [int(n) for n in rng.permutation(seen) if not is_covered(int(n), actors, t)]
        boxes = [box_of(actors[n], t) + rng.normal(0, jitter * actors[n].size, 4) for n in seen]
        yield Shot(t, rgb, detections_of(boxes, [actors[n].score for n in seen]), seen)


def is_covered(number: int, actors: list[Actor], t: float) -> bool:
    """Whether somebody in front hides more than 60 % of the face: no detector reports it apart then."""
    box = box_of(actors[number], t)
    for front in actors[number + 1 :]:
        other = box_of(front, t)
        shared = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None)
        if front.is_seen(t) and shared.prod() > 0.6 * (box[2:] - box[:2]).prod():
            return True
    return False


def box_of(actor: Actor, t: float) -> np.ndarray:
    x, y = actor.path(t)
    return np.array([x, y, x, y]) + np.array([-0.5, -0.6, 0.5, 0.6]) * actor.size


def draw(rgb: np.ndarray, actor: Actor, t: float) -> None:
    x1, y1, x2, y2 = box_of(actor, t).round().astype(int)
    face = cv2.resize(texture_of(actor.texture), (x2 - x1, y2 - y1))
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, WIDTH), min(y2, HEIGHT)
    rgb[top:bottom, left:right] = face[top - y1 : bottom - y1, left - x1 : right - x1]


def follow(shots: Iterator[Shot], tracker: Tracker | None = None) -> list[dict[int, int]]:
    """Track all shots; return the track number by actor, frame by frame."""
    tracker = tracker or Tracker()
    return [actor_ids(shot, tracker.update(shot.t, shot.rgb, shot.detections)) for shot in shots]


def actor_ids(shot: Shot, faces: list[Face]) -> dict[int, int]:
    row_of = {box.tobytes(): row for row, box in enumerate(shot.detections.boxes_xyxy)}
    return {shot.actors[row_of[face.box_xyxy.tobytes()]]: face.track_id for face in faces}


def ids_by_actor(frames: list[dict[int, int]]) -> dict[int, list[int]]:
    """Return the different track numbers that each actor had, in order of appearance."""
    ids: dict[int, list[int]] = {}
    for frame in frames:
        for actor, track_id in frame.items():
            if track_id not in ids.setdefault(actor, []):
                ids[actor].append(track_id)
    return ids


def assert_no_switch(frames: list[dict[int, int]]) -> None:
    ids = ids_by_actor(frames)
    assert all(len(numbers) == 1 for numbers in ids.values()), ids
    assert len({numbers[0] for numbers in ids.values()}) == len(ids), ids


def crossing(
    hidden_s: float, speeds: tuple[float, float] = (120, 60), textures: tuple[int, int] = (1, 2)
) -> list[Actor]:
    """Two faces of one size that meet in the middle of the picture after two seconds."""
    hidden = [(2 - hidden_s / 2, 2 + hidden_s / 2)]
    return [
        Actor(line(320 - 2 * speeds[0], 180, speeds[0]), texture=textures[0], hidden=hidden),
        Actor(line(320 + 2 * speeds[1], 180, -speeds[1]), texture=textures[1]),
    ]


@pytest.mark.parametrize("fps", [60, 25, 5])
@pytest.mark.parametrize("hidden_s", [0, 0.3])
def test_two_faces_that_cross_do_not_swap(fps: float, hidden_s: float) -> None:
    for seed in range(2):
        actors = crossing(hidden_s, textures=(2 * seed, 2 * seed + 1))
        frames = follow(film(actors, every(fps, 4), jitter=0.03, seed=seed))
        assert set(frames[-1]) == {0, 1}
        assert_no_switch(frames)


def test_a_face_that_overtakes_another_does_not_swap_with_it() -> None:
    actors = [Actor(line(60, 180, 140), texture=3), Actor(line(200, 180, 60), texture=4)]
    assert_no_switch(follow(film(actors, every(25, 3.5))))


def test_crossing_faces_that_look_the_same_are_told_apart_by_motion() -> None:
    assert_no_switch(follow(film(crossing(0.3, textures=(5, 5)), every(25, 4))))


def test_a_face_that_moves_60_px_a_frame_and_turns_back_keeps_its_number() -> None:
    def bounce(t: float) -> tuple[float, float]:
        return 50 + abs((t * 1500 + 540) % 1080 - 540), 180

    assert_no_switch(follow(film([Actor(bounce, size=80)], every(25, 4))))


@pytest.mark.parametrize("fps", [60, 25, 5])
def test_twelve_moving_faces_keep_their_numbers(fps: float) -> None:
    def sway(n: int) -> Path:
        x, y, pace = 60 + 100 * (n % 6), 100 + 150 * (n // 6), 1 + n / 4
        return lambda t: (x + 25 * np.sin(pace * t + n), y + 15 * np.cos(pace * t))

    frames = follow(film([Actor(sway(n), texture=n) for n in range(12)], every(fps, 2)))
    assert all(len(frame) == 12 for frame in frames)
    assert_no_switch(frames)


def test_irregular_frame_times_do_not_matter() -> None:
    gaps = np.random.default_rng(0).choice([1 / 60, 1 / 30, 0.1, 0.25], 60)
    times = [float(t) for t in np.cumsum(gaps) * 4 / gaps.sum()]
    assert_no_switch(follow(film(crossing(0.3), times)))


def test_a_face_hidden_while_it_moves_on_keeps_its_number() -> None:
    frames = follow(film([Actor(line(50, 180, 150), hidden=[(1, 1.9)])], every(25, 3)))
    assert ids_by_actor(frames) == {0: [1]}
    assert frames[-1] == {0: 1}


def test_a_face_that_leaves_over_the_border_and_comes_back_keeps_its_number() -> None:
    def out_and_in(t: float) -> tuple[float, float]:
        return 640 - 160 * (abs(t - 1.2) - 0.4), 180

    shots = list(film([Actor(out_and_in)], every(25, 2.4)))
    unseen = [shot.t for shot in shots if not shot.actors]
    assert 0.7 < unseen[-1] - unseen[0] < 0.9
    assert ids_by_actor(follow(iter(shots))) == {0: [1]}


@pytest.mark.parametrize(("gap_s", "ids"), [(0.96, [1]), (1.0, [1]), (1.04, [1, 2])])
def test_a_gap_of_up_to_a_second_keeps_the_number(gap_s: float, ids: list[int]) -> None:
    # Last seen at 1 s, seen again a gap later.
    actor = Actor(at(300, 180), hidden=[(1.01, 1 + gap_s - 0.01)])
    assert ids_by_actor(follow(film([actor], every(25, 3)))) == {0: ids}


def test_frames_further_apart_than_the_gap_keep_the_number_of_a_face_that_stays() -> None:
    assert ids_by_actor(follow(film([Actor(at(300, 180))], [0, 3, 6, 9]))) == {0: [1]}
    different = [Actor(at(300, 180), texture=1, hidden=[(5, 99)]), Actor(at(300, 180), texture=2, hidden=[(0, 5)])]
    assert ids_by_actor(follow(film(different, [0, 3, 6, 9]))) == {0: [1], 1: [2]}


def test_a_newcomer_near_a_lost_face_does_not_take_its_number() -> None:
    lost = Actor(line(200, 180, 20), texture=1, hidden=[(1, 1.6)])
    newcomer = Actor(at(230, 190), texture=2, hidden=[(0, 1.3), (1.55, 9)])
    assert ids_by_actor(follow(film([lost, newcomer], every(25, 2.5)))) == {0: [1], 1: [2]}


def test_where_two_could_be_the_lost_face_the_one_that_looks_like_it_is() -> None:
    lost = Actor(at(200, 180), texture=1, hidden=[(1, 1.6)])
    newcomer = Actor(at(280, 180), texture=2, hidden=[(0, 1.6)])
    # They have changed places while nobody looked.
    lost.path = lambda t: (200, 180) if t < 1.3 else (280, 180)
    newcomer.path = at(200, 180)
    assert ids_by_actor(follow(film([lost, newcomer], every(25, 2.5)))) == {0: [1], 1: [2]}


@pytest.mark.parametrize("is_cut", [False, True])
def test_after_a_cut_other_people_elsewhere_get_new_numbers(is_cut: bool) -> None:
    before = [Actor(at(150, 150), texture=1), Actor(at(450, 150), texture=2)]
    after = [Actor(at(300, 250), texture=3, size=90), Actor(at(560, 250), texture=4, size=90)]
    tracker = Tracker()
    follow(film(before, every(25, 1)), tracker)
    for shot in film(after, [1 + t for t in every(25, 1)], seed=9):
        faces = tracker.update(shot.t, shot.rgb, shot.detections, is_cut=is_cut and shot.t == 1)
        assert {face.track_id for face in faces} == {3, 4}


def test_after_a_cut_place_alone_does_not_make_a_face_the_same() -> None:
    shots = [*film([Actor(at(300, 180), texture=1)], every(25, 1)), *film([Actor(at(300, 180), texture=2)], [1.0])]
    for is_cut, track_id in ((True, 2), (False, 1)):
        tracker = Tracker()
        follow(iter(shots[:-1]), tracker)
        last = shots[-1]
        (face,) = tracker.update(last.t, last.rgb, last.detections, is_cut=is_cut)
        assert face.track_id == track_id


def test_who_turns_up_some_frames_after_a_cut_is_nobody_of_before() -> None:
    for is_cut, track_id in ((True, 2), (False, 1)):
        tracker = Tracker()
        follow(film([Actor(at(300, 180), texture=1)], every(25, 1)), tracker)
        for empty in film([], [1.0, 1.04]):
            assert tracker.update(empty.t, empty.rgb, empty.detections, is_cut=is_cut and empty.t == 1) == []
        (shot,) = film([Actor(at(300, 180), texture=2)], [1.08])
        (face,) = tracker.update(shot.t, shot.rgb, shot.detections)
        assert face.track_id == track_id


def test_who_is_filmed_again_after_a_cut_keeps_the_number() -> None:
    tracker = Tracker()
    follow(film([Actor(at(300, 180), texture=1)], every(25, 1)), tracker)
    for empty in film([], [1.0, 1.04]):
        tracker.update(empty.t, empty.rgb, empty.detections, is_cut=empty.t == 1)
    (shot,) = film([Actor(at(300, 180), texture=1)], [1.08])
    (face,) = tracker.update(shot.t, shot.rgb, shot.detections, is_cut=True)
    assert face.track_id == 1


def test_numbers_count_from_1_by_appearance_and_the_largest_first() -> None:
    actors = [Actor(at(100, 180), size=40), Actor(at(300, 180), size=80), Actor(at(500, 180), hidden=[(0, 0.5)])]
    frames = follow(film(actors, every(25, 1)))
    assert frames[0] == {0: 2, 1: 1}
    assert frames[-1] == {0: 2, 1: 1, 2: 3}


def test_faint_detections_continue_a_face_but_start_none() -> None:
    (shot,) = film([Actor(at(300, 180))], [0.0])
    faint = Detections(shot.detections.boxes_xyxy, np.array([0.35], np.float32), shot.detections.keypoints)
    assert Tracker().update(0.0, shot.rgb, faint) == []
    tracker = Tracker()
    tracker.update(0.0, shot.rgb, shot.detections)
    (face,) = tracker.update(0.04, shot.rgb, faint)
    assert (face.track_id, face.is_detected) == (1, True)
    assert face.score == pytest.approx(0.35)


def test_the_box_reported_is_the_detections_own() -> None:
    for shot in film([Actor(line(50, 180, 200))], every(25, 1)):
        (face,) = (tracker := Tracker()).update(shot.t, shot.rgb, shot.detections)
        assert np.array_equal(face.box_xyxy, shot.detections.boxes_xyxy[0])
        assert tracker.predict(shot.t) == pytest.approx(shot.detections.boxes_xyxy, abs=1e-3)


def test_predict_says_where_a_moving_face_will_be_and_forgets_it_after_the_gap() -> None:
    tracker = Tracker()
    assert tracker.predict(0.0).shape == (0, 4)
    actor = Actor(line(100, 180, 100))
    shots = list(film([actor], every(25, 1), jitter=0))
    follow(iter(shots), tracker)
    assert tracker.predict(1.0).dtype == np.float32
    assert tracker.predict(1.0)[0] == pytest.approx(box_of(actor, 1.0), abs=0.5)
    tracker.update(1.0, shots[-1].rgb, Detections.none())
    assert len(tracker.predict(1.9)) == 1
    assert len(tracker.predict(2.0)) == 0


def test_match_changes_nothing_and_counts_faces_that_should_be_there() -> None:
    shots = list(film([Actor(at(200, 180), texture=1), Actor(at(400, 180), texture=2)], every(25, 1)))
    tracker = Tracker()
    follow(iter(shots), tracker)
    before = (tracker.predict(1.0).tolist(), [boxes.tolist() for boxes in tracker.in_sight])
    rgb, detections = shots[-1].rgb, shots[-1].detections
    assert tracker.match(1.0, rgb, detections).missing_count == 0
    assert tracker.match(1.0, rgb, detections.take([0])).missing_count == 1
    assert tracker.match(1.0, rgb, Detections.none()).missing_count == 2
    assert tracker.match(3.0, rgb, Detections.none()).missing_count == 0
    assert (tracker.predict(1.0).tolist(), [boxes.tolist() for boxes in tracker.in_sight]) == before


def test_time_cannot_go_backwards() -> None:
    (shot,) = film([Actor(at(300, 180))], [1.0])
    tracker = Tracker()
    tracker.update(1.0, shot.rgb, shot.detections)
    with pytest.raises(InputError, match=r"frame at 0\.5 s follows one at 1\.0 s"):
        tracker.update(0.5, shot.rgb, shot.detections)


def test_max_faces_keeps_the_largest() -> None:
    actors = [Actor(at(100 + 130 * n, 180), size=40 + 20 * n, texture=n) for n in range(4)]
    frames = follow(film(actors, every(25, 1)), Tracker(TrackerSettings(max_faces=2)))
    assert all(frame == {3: 1, 2: 2} for frame in frames)


@pytest.mark.parametrize(("size", "takes_over"), [(64, False), (80, True)])
def test_a_followed_face_gives_way_only_to_one_clearly_larger_for_a_second(size: float, takes_over: bool) -> None:
    actors = [Actor(at(200, 180), texture=1), Actor(at(400, 180), size=size, texture=2, hidden=[(0, 1.5)])]
    frames = follow(film(actors, every(25, 3)), Tracker(TrackerSettings(max_faces=1)))
    assert all(frame == {0: 1} for frame in frames[:62])
    assert all(frame == ({1: 2} if takes_over else {0: 1}) for frame in frames[65:])


def test_in_its_first_second_as_many_again_are_followed_that_might_have_had_a_place_before() -> None:
    # In area, the second is 0.9 times and the third 0.64 times the largest; the fourth is clearly smaller.
    actors = [Actor(at(100 + 130 * n, 180), size=size, texture=n) for n, size in enumerate((80, 76, 64, 40))]
    frames = follow(film(actors, every(25, 2)), Tracker(TrackerSettings(max_faces=1)))
    assert all(frame.keys() == {0, 1} for frame in frames)
    late = [Actor(at(100, 180), size=80), Actor(at(400, 180), size=76, texture=1, hidden=[(0, 1.1)])]
    frames = follow(film(late, every(25, 2)), Tracker(TrackerSettings(max_faces=1)))
    assert all(frame.keys() == {0} for frame in frames)


def test_a_place_that_is_free_goes_to_another() -> None:
    actors = [
        Actor(at(200, 180), texture=1, hidden=[(1, 4)]),
        Actor(at(400, 180), size=30, texture=2, hidden=[(0, 0.5), (5, 9)]),
    ]
    frames = follow(film(actors, every(25, 7)), Tracker(TrackerSettings(max_faces=1)))
    # The place is kept for a second, then the other one has it.
    assert frames[45] == {}
    assert frames[52] == {1: 2}
    assert frames[-1].keys() == {0}


def test_a_face_of_one_frame_holds_no_place() -> None:
    actors = [Actor(at(200, 180), hidden=[(0.01, 9)], texture=1), Actor(at(400, 180), hidden=[(0, 0.01)], texture=2)]
    frames = follow(film(actors, every(25, 0.2)), Tracker(TrackerSettings(max_faces=1)))
    assert [frame.keys() for frame in frames[:2]] == [{0}, {1}]


def test_max_faces_below_1_is_refused() -> None:
    with pytest.raises(InputError, match="max_faces is 0; give 1 or more"):
        TrackerSettings(max_faces=0)


BOXES = st.tuples(st.floats(-200, 800), st.floats(-200, 500), st.floats(0, 400), st.floats(0, 400))
FRAMES = st.lists(st.tuples(st.floats(0, 1.5), st.lists(st.tuples(BOXES, st.floats(0, 1)), max_size=5)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(FRAMES, st.sampled_from([None, 1, 3]))
def test_whatever_is_detected_numbers_are_unique_and_limited_and_the_same_each_time(
    frames: list[tuple[float, list[tuple[tuple[float, ...], float]]]], max_faces: int | None
) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (36, 64, 3)).astype(np.uint8)
    first, second = (Tracker(TrackerSettings(max_faces=max_faces)) for _ in range(2))
    t = 0.0
    for elapsed, found in frames:
        t += elapsed
        boxes = [np.array([x, y, x + w, y + h]) for (x, y, w, h), _ in found]
        detections = detections_of(boxes, [score for _, score in found])
        faces = first.update(t, rgb, detections)
        ids = [face.track_id for face in faces]
        assert ids == sorted(set(ids))
        assert len(ids) <= (2 * max_faces if max_faces else len(found))
        assert [face.track_id for face in second.update(t, rgb, detections)] == ids
        assert np.isfinite(first.predict(t)).all()


def test_no_look_is_learnt_from_faces_that_overlap() -> None:
    tracker = Tracker()
    actors = [Actor(at(300, 180), texture=1), Actor(line(330, 180, 130), texture=2)]
    shots = list(film(actors, [0.0, 0.1, 0.3], jitter=0.03))
    seen = []
    for shot in shots:
        faces = tracker.update(shot.t, shot.rgb, shot.detections)
        seen.append([face.look.tolist() for face in faces])
    # They are 30, 43 and 69 px apart, at a width of 60.
    assert seen[1] == seen[0]
    assert all(later != earlier for later, earlier in zip(seen[2], seen[1], strict=True))
