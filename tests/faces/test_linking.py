"""Tracks of successive stretches: whose number goes on, and who has a place."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest
from test_tracking import Actor, Shot, at, every, film, ids_by_actor, line

from affectline.faces.finder import FaceFinder
from affectline.faces.follower import FaceFollower
from affectline.faces.linking import Linker, LinkerState, sighting_of
from affectline.faces.stretches import STRETCH_S, Stretches, stretch_of
from affectline.json_records import read_record, to_json_object
from affectline.records import Detections, Face, Frame, UInt8Array


class Sees:
    """A detector that finds what a shot shows."""

    name = "planted"

    def __init__(self) -> None:
        self.shot: Shot | None = None

    def scan(self, rgb: UInt8Array) -> Detections:
        assert self.shot is not None
        return self.shot.detections

    def follow(self, rgb: UInt8Array, expected_boxes_xyxy: np.ndarray, phase: int) -> Detections:
        return self.scan(rgb)


def ids_of(shot: Shot, faces: Iterable[Face]) -> dict[int, int | None]:
    """Return the track number of each actor that is seen."""
    row_of = {box.tobytes(): row for row, box in enumerate(shot.detections.boxes_xyxy)}
    return {shot.actors[row_of[face.box_xyxy.tobytes()]]: face.track_id for face in faces}


def follow(actors: list[Actor], times: list[float], max_faces: int | None = None) -> list[dict[int, int | None]]:
    """Follow the actors, searching every frame; return their numbers in each."""
    sees = Sees()
    follower = FaceFollower(sees, max_faces)
    found = []
    for number, shot in enumerate(film(actors, times)):
        sees.shot = shot
        found.append(ids_of(shot, follower.find(Frame(number, shot.t, shot.rgb))))
    return found


def around(border_s: float, before_s: float = 1.5, after_s: float = 1.5, fps: float = 25) -> list[float]:
    return [border_s - before_s + t for t in every(fps, before_s + after_s)]


def gone(start: float, end: float) -> list[tuple[float, float]]:
    return [(STRETCH_S + start, STRETCH_S + end)]


def test_a_stretch_begins_at_fixed_times_whatever_is_sampled() -> None:
    for fps, start_s in ((25, 0.0), (29.97, 3.3), (1, 7.0), (0.3, 0.0)):
        times_s = [start_s + k / fps for k in range(int(40 * fps))]
        stretches = Stretches()
        begun = [t for t in times_s if stretches.begins_with(t)]
        numbers = sorted({stretch_of(t) for t in times_s})
        assert begun == [next(t for t in times_s if stretch_of(t) == number) for number in numbers]
        assert len(begun) == len(numbers) > 3
    assert stretch_of(9.999999) == 0
    assert stretch_of(10.0) == 1


def test_time_that_stands_still_and_images_begin_stretches_too() -> None:
    still, images = Stretches(), Stretches()
    assert [k for k in range(2500) if still.begins_with(3.0)] == [0, 1200, 2400]
    assert [k for k in range(100) if images.begins_with(None)] == [0, 48, 96]


def test_numbers_go_on_over_a_border() -> None:
    actors = [Actor(at(150, 180), texture=1), Actor(line(250 - 30 * 8.5, 180, 30), texture=2, size=50)]
    frames = follow(actors, around(STRETCH_S))
    assert ids_by_actor(frames) == {0: [1], 1: [2]}
    assert all(len(frame) == 2 for frame in frames)


def test_two_that_cross_at_a_border_keep_their_numbers() -> None:
    # They meet at 320 at the border, the second in front.
    speed = 120
    actors = [
        Actor(line(320 - speed * STRETCH_S, 180, speed), texture=3),
        Actor(line(325 + speed * STRETCH_S, 180, -speed), texture=4),
    ]
    frames = follow(actors, around(STRETCH_S))
    assert {actor: len(ids) for actor, ids in ids_by_actor(frames).items()} == {0: 1, 1: 1}


@pytest.mark.parametrize(("start", "end", "is_same"), [(-0.4, 0.5, True), (-0.9, 0.05, True), (-0.6, 0.6, False)])
def test_a_face_that_is_away_at_the_border_keeps_its_number_for_a_second(
    start: float, end: float, *, is_same: bool
) -> None:
    frames = follow([Actor(at(200, 180), hidden=gone(start, end))], around(STRETCH_S))
    assert ids_by_actor(frames) == {0: [1] if is_same else [1, 2]}


def test_another_person_at_the_same_place_is_another_track() -> None:
    actors = [
        Actor(at(200, 180), texture=1, hidden=gone(-0.2, 9)),
        Actor(at(205, 180), texture=5, hidden=gone(-9, 0.4)),
    ]
    assert ids_by_actor(follow(actors, around(STRETCH_S))) == {0: [1], 1: [2]}


def test_a_cut_at_the_border_separates_people_who_sit_alike() -> None:
    """The pictures differ, and so do the people; without the cut the place would be enough."""
    sees = Sees()
    follower = FaceFollower(sees)
    rooms = np.random.default_rng(1).integers(0, 255, (2, 9, 16, 3)).astype(np.uint8)
    found = []
    actors = [Actor(at(200, 180), texture=1, hidden=gone(0, 9)), Actor(at(200, 180), texture=5, hidden=gone(-9, 0))]
    for number, shot in enumerate(film(actors, around(STRETCH_S))):
        room = np.kron(rooms[int(shot.t >= STRETCH_S)], np.ones((40, 40, 1))).astype(np.uint8)
        x1, y1, x2, y2 = shot.detections.boxes_xyxy[0].round().astype(int)
        room[y1:y2, x1:x2] = shot.rgb[y1:y2, x1:x2]
        sees.shot = shot
        found.append(ids_of(shot, follower.find(Frame(number, shot.t, room))))
    assert ids_by_actor(found) == {0: [1], 1: [2]}


def test_a_stretch_finds_the_same_whatever_came_before() -> None:
    actors = [Actor(line(-150, 180, 30), texture=2), Actor(at(450, 200), texture=1)]
    shots = list(film(actors, around(STRETCH_S)))

    def boxes(shown: list[Shot]) -> list[list[list[float]]]:
        sees, stretches, found = Sees(), Stretches(), []
        finder = FaceFinder(sees, None, None)
        for number, shot in enumerate(shown):
            sees.shot = shot
            if stretches.begins_with(shot.t):
                finder = FaceFinder(sees, None, None)
            faces = finder.find(Frame(number, shot.t, shot.rgb))
            found.append([[*face.box_xyxy.tolist(), float(face.is_detected), face.track_id or 0] for face in faces])
        return found

    later = [shot for shot in shots if shot.t >= STRETCH_S]
    assert boxes(later) == boxes(shots)[-len(later) :]


class TestPlaces:
    def test_max_faces_1_is_one_track_through_any_gap_and_border(self) -> None:
        actors = [
            Actor(at(200, 180), texture=1, hidden=gone(-1, 2)),
            Actor(at(400, 180), size=30, texture=2, hidden=gone(3.5, 9)),
        ]
        frames = follow(actors, around(STRETCH_S, 3, 4), max_faces=1)
        assert {tuple(frame.values()) for frame in frames} == {(1,), ()}
        assert frames[70].keys() == set(), "the place is kept for a second"
        assert frames[90].keys() == {1}
        assert frames[-1].keys() == {0}

    @pytest.mark.parametrize("size", [55, 64])
    def test_who_has_a_place_keeps_it_over_a_border(self, size: float) -> None:
        """The other one is nearly as large or larger, but not clearly."""
        other = Actor(at(400, 180), size=size, texture=2, hidden=[(0, STRETCH_S - 1.2)])
        frames = follow([Actor(at(200, 180), texture=1), other], around(STRETCH_S, 1.5, 2.5), max_faces=1)
        assert all(frame == {0: 1} for frame in frames)

    @pytest.mark.parametrize("begins_s", [-3.0, -2.0, 0.2, 1.4])
    def test_one_clearly_larger_takes_it_after_a_second(self, begins_s: float) -> None:
        times = around(STRETCH_S, 4, 3)
        larger = Actor(at(400, 180), size=80, texture=2, hidden=[(0, STRETCH_S + begins_s)])
        frames = follow([Actor(at(200, 180), texture=1), larger], times, max_faces=1)
        changes = [t for t, before, after in zip(times[1:], frames, frames[1:], strict=False) if before != after]
        assert frames[0] == {0: 1}
        assert frames[-1] == {1: 1}
        assert changes == [pytest.approx(STRETCH_S + begins_s + 1.0, abs=0.09)]

    def test_of_several_the_largest_have_numbers_of_their_own(self) -> None:
        actors = [Actor(at(100 + 130 * n, 180), size=40 + 20 * n, texture=n) for n in range(4)]
        assert all(frame == {3: 1, 2: 2} for frame in follow(actors, around(STRETCH_S), max_faces=2))

    def test_nobody_else_is_seen_in_a_frame_of_the_one_who_is_awaited(self) -> None:
        actors = [Actor(at(200, 180), texture=1, hidden=gone(-0.3, 0.3)), Actor(at(400, 180), size=58, texture=2)]
        times = around(STRETCH_S, 2, 2)
        frames = dict(zip(times, follow(actors, times, max_faces=1), strict=True))
        assert all(frame == {0: 1} for t, frame in frames.items() if t < STRETCH_S - 0.31)
        # Where a stretch begins, nobody is awaited: the place goes to who is there.
        assert all(frame == {1: 1} for t, frame in frames.items() if t >= STRETCH_S)


@pytest.mark.parametrize("max_faces", [None, 1, 2])
def test_a_linker_restored_from_json_goes_on_like_the_original(max_faces: int | None) -> None:
    actors = [
        Actor(line(-100, 150, 30), texture=1, size=70),
        Actor(at(420, 180), texture=2, hidden=gone(-0.5, 0.3)),
        Actor(at(560, 120), texture=3, size=66, hidden=gone(-9, -0.2)),
    ]
    sees, stretches = Sees(), Stretches()
    finder = FaceFinder(sees, max_faces)
    original = restored = Linker(max_faces)
    for number, shot in enumerate(film(actors, around(STRETCH_S))):
        begins = stretches.begins_with(shot.t)
        if begins:
            finder = FaceFinder(sees, max_faces)
            state = json.loads(json.dumps(to_json_object(original.state())))
            restored = Linker.from_state(read_record(LinkerState, state, "the state"), max_faces)
        sees.shot = shot
        frame = Frame(number, shot.t, shot.rgb)
        sighting = sighting_of(frame, finder.find(frame), finder, begins_stretch=begins)
        numbers = original.link(sighting)
        assert original is not restored
        assert restored.link(sighting) == numbers
        assert restored.state() == original.state()
