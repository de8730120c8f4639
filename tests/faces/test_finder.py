from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from affectline.errors import InputError
from affectline.faces.finder import FaceFinder
from affectline.records import Detections, Face, Frame

Box = tuple[float, float, float, float]

LEFT: Box = (20, 20, 60, 70)
RIGHT: Box = (200, 40, 260, 110)


@dataclass
class ScriptedDetector:
    """Reports the boxes it is told to, and writes down how it was asked."""

    scan_finds: list[Box] = field(default_factory=list)
    follow_finds: list[Box] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)
    expected: list[np.ndarray] = field(default_factory=list)
    name: str = "scripted"

    def scan(self, rgb: np.ndarray) -> Detections:
        self.calls.append("scan")
        return found(self.scan_finds)

    def follow(self, rgb: np.ndarray, expected_boxes_xyxy: np.ndarray, phase: int) -> Detections:
        self.calls.append("follow")
        self.phases.append(phase)
        self.expected.append(expected_boxes_xyxy)
        return found(self.follow_finds)

    def show(self, *boxes: Box) -> None:
        self.scan_finds = self.follow_finds = list(boxes)


def found(boxes: list[Box]) -> Detections:
    n = len(boxes)
    keypoints = np.arange(n * 8, dtype=np.float32).reshape(n, 4, 2)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), np.full(n, 0.9, np.float32), keypoints)


def picture(seed: int = 0, level: int = 0) -> np.ndarray:
    """Blocks of colour that a thumbnail keeps."""
    blocks = np.random.default_rng(seed).integers(0, 200, (6, 10, 3)) + level
    return np.kron(blocks, np.ones((30, 32, 1))).astype(np.uint8)


def frame(time_s: float | None, rgb: np.ndarray | None = None, *, is_corrupt: bool = False) -> Frame:
    return Frame(0, time_s, picture() if rgb is None else rgb, is_corrupt)


def ids(faces: list[Face]) -> list[int | None]:
    return [face.track_id for face in faces]


def test_the_first_frame_is_scanned_and_the_next_ones_followed_where_faces_are_expected() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT, RIGHT)
    finder = FaceFinder(detector)
    for n in range(4):
        faces = finder.find(frame(n / 25))
        assert ids(faces) == [1, 2]
        # The larger one came first.
        assert faces[0].box_xyxy == pytest.approx(RIGHT)
    assert detector.calls == ["scan", "follow", "follow", "follow"]
    assert detector.phases == [0, 1, 2]
    assert detector.expected[0] == pytest.approx(np.array([LEFT, RIGHT]), abs=1)


def test_a_face_that_following_loses_is_searched_for_at_once_and_then_each_quarter_of_a_second() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT, RIGHT)
    finder = FaceFinder(detector)
    for n in range(50):
        finder.find(frame(n / 25))
    detector.calls.clear()
    detector.show(LEFT)
    scanned_s = []
    for n in range(50, 100):
        assert ids(finder.find(frame(n / 25))) == [2]
        if detector.calls[-1] == "scan":
            scanned_s.append(n / 25)
    assert scanned_s == pytest.approx([2.0, 2.28, 2.56, 2.84])


def test_a_scan_that_finds_the_lost_face_keeps_its_track() -> None:
    detector = ScriptedDetector([LEFT, RIGHT], [LEFT, RIGHT])
    finder = FaceFinder(detector)
    for n in range(5):
        finder.find(frame(n / 25))
    detector.follow_finds = [LEFT]
    for n in range(5, 10):
        assert ids(finder.find(frame(n / 25))) == [1, 2]
        assert detector.calls[-2:] == ["follow", "scan"]


def test_a_scan_that_finds_less_than_following_is_not_used() -> None:
    third = (100.0, 100.0, 150.0, 160.0)
    detector = ScriptedDetector()
    detector.show(LEFT, RIGHT, third)
    finder = FaceFinder(detector)
    for n in range(5):
        finder.find(frame(n / 25))
    detector.follow_finds, detector.scan_finds = [LEFT, RIGHT], [LEFT]
    assert len(finder.find(frame(5 / 25))) == 2
    assert detector.calls[-1] == "scan"


def test_a_detection_of_one_frame_is_not_searched_for() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT)
    finder = FaceFinder(detector)
    finder.find(frame(0.0))
    detector.show()
    assert finder.find(frame(0.04)) == []
    assert detector.calls == ["scan", "follow"]


def test_sparse_frames_are_all_scanned() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT)
    finder = FaceFinder(detector)
    assert [ids(finder.find(frame(n / 5))) for n in range(4)] == [[1]] * 4
    assert detector.calls == ["scan"] * 4


def test_a_new_scene_is_scanned_and_who_looks_different_gets_a_new_number() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT)
    finder = FaceFinder(detector)
    for n in range(10):
        finder.find(frame(n / 25))
    assert detector.calls[-1] == "follow"
    assert ids(finder.find(frame(0.4, picture(seed=1)))) == [2]
    assert detector.calls[-1] == "scan"
    assert ids(finder.find(frame(0.44, picture(seed=1)))) == [2]
    assert detector.calls[-1] == "follow"


def test_a_change_of_light_is_no_new_scene() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT)
    finder = FaceFinder(detector)
    finder.find(frame(0.0))
    assert ids(finder.find(frame(0.04, picture(level=20)))) == [1]
    assert ids(finder.find(frame(0.08, picture() // 8))) == [1]
    assert ids(finder.find(frame(0.12, picture()))) == [1]
    assert detector.calls == ["scan", "follow", "follow", "follow"]


def test_new_scenes_are_noticed_in_dark_films_and_behind_black() -> None:
    detector = ScriptedDetector()
    finder = FaceFinder(detector)
    black = np.zeros_like(picture())
    shown = [picture() // 8, picture(), picture(seed=1) // 8, black, black, picture(seed=1)]
    for n, rgb in enumerate(shown):
        finder.find(frame(n / 25, rgb))
    assert detector.calls == ["scan", "follow", "scan", "scan", "follow", "scan"]


def test_noise_in_the_dark_is_no_new_scene() -> None:
    detector = ScriptedDetector()
    finder = FaceFinder(detector)
    rng = np.random.default_rng(0)
    for n in range(5):
        finder.find(frame(n / 25, rng.integers(0, 4, (180, 320, 3)).astype(np.uint8)))
    assert detector.calls == ["scan", *["follow"] * 4]


def test_a_corrupt_frame_shows_nobody_and_changes_nothing() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT)
    finder = FaceFinder(detector)
    finder.find(frame(0.0))
    before = finder.thumbnail
    assert finder.find(frame(0.04, picture(seed=5), is_corrupt=True)) == []
    assert finder.thumbnail is before
    assert not finder.begins_scene
    assert detector.calls == ["scan"]
    assert ids(finder.find(frame(0.08))) == [1]
    assert detector.calls == ["scan", "follow"]


def test_a_frame_without_time_is_refused() -> None:
    with pytest.raises(InputError, match="frame 0 has no time; use find_independent"):
        FaceFinder(ScriptedDetector()).find(frame(None))


def test_max_faces_limits_the_tracked_faces() -> None:
    detector = ScriptedDetector()
    detector.show(LEFT, RIGHT)
    (face,) = FaceFinder(detector, max_faces=1).find(frame(0.0))
    assert (face.track_id, face.box_xyxy.tolist()) == (1, list(RIGHT))
    with pytest.raises(InputError, match="max_faces is 0"):
        FaceFinder(detector, max_faces=0)


@pytest.mark.parametrize(("max_faces", "boxes"), [(None, [RIGHT, LEFT]), (1, [RIGHT])])
def test_independent_images_give_the_largest_faces_without_numbers(max_faces: int | None, boxes: list[Box]) -> None:
    detector = ScriptedDetector()
    detector.show(LEFT, RIGHT)
    finder = FaceFinder(detector, max_faces)
    faces = finder.find_independent(frame(None))
    assert [tuple(face.box_xyxy.tolist()) for face in faces] == boxes
    assert ids(faces) == [None] * len(boxes)
    # RIGHT was the second detection.
    assert faces[0].keypoints[0].tolist() == [8, 9]
    assert finder.thumbnail is None


def test_an_image_without_faces_gives_none() -> None:
    assert FaceFinder(ScriptedDetector()).find_independent(frame(None)) == []


def test_tiny_frames_are_accepted() -> None:
    finder = FaceFinder(ScriptedDetector())
    assert [finder.find(frame(n / 25, np.full((1, 1, 3), n, np.uint8))) for n in range(3)] == [[], [], []]


def film(n: int, *, shift: float = 1.0) -> list[np.ndarray]:
    """A picture that moves to the right."""
    first = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8), (0, 0), 2)
    first = np.clip((first.astype(np.float32) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    matrices = [np.array([[1, 0, shift * step], [0, 1, 0]], np.float64) for step in range(n)]
    return [cv2.warpAffine(first, matrix, (320, 180), borderMode=cv2.BORDER_REFLECT) for matrix in matrices]


def shifted(box: Box, x: float) -> Box:
    return (box[0] + x, box[1], box[2] + x, box[3])


class TestBetweenSearches:
    def test_every_nth_frame_is_searched_and_faces_move_with_their_pixels_between(self) -> None:
        detector = ScriptedDetector()
        finder = FaceFinder(detector, detect_every=3)
        for n, rgb in enumerate(film(9)):
            detector.show(*[shifted(box, n) for box in (LEFT, RIGHT)])
            faces = finder.find(frame(n / 25, rgb))
            assert ids(faces) == [1, 2]
            assert [face.is_detected for face in faces] == [n < 3 or n % 3 == 2] * 2
            assert [face.score for face in faces] == pytest.approx([0.9] * 2)
            np.testing.assert_allclose(faces[0].box_xyxy, shifted(RIGHT, n), atol=0.7)
        assert len(detector.calls) == 5

    def test_left_open_a_search_comes_within_its_time(self) -> None:
        for rate, every in ((25, 4), (60, 10), (5, 1)):
            detector = ScriptedDetector()
            detector.show(LEFT)
            finder = FaceFinder(detector, detect_every=None)
            searched = [finder.find(frame(n / rate, rgb))[0].is_detected for n, rgb in enumerate(film(24, shift=0))]
            assert searched == [n < 3 or (n - 2) % every == 0 for n in range(24)]

    def test_a_missing_face_is_searched_for_in_every_frame(self) -> None:
        detector = ScriptedDetector()
        finder = FaceFinder(detector, detect_every=8)
        for n, rgb in enumerate(film(60, shift=0)):
            detector.show(*[LEFT, RIGHT][: 1 if n >= 16 else 2])
            finder.find(frame(n / 25, rgb))
            if n == 16:
                detector.calls.clear()
        # It was there for 0.6 s and is awaited as long; a vain whole search comes now and then.
        assert detector.calls.count("follow") >= 15
        assert detector.calls.count("follow") < 43

    def test_a_sudden_picture_is_searched(self) -> None:
        detector = ScriptedDetector()
        detector.show(LEFT)
        finder = FaceFinder(detector, detect_every=100)
        still = film(1)[0]
        assert [finder.find(frame(n / 25, still))[0].is_detected for n in range(4)] == [True, True, True, False]
        changed = still.copy()
        changed[10:90, 10:80] = film(2, shift=37)[1][10:90, 10:80]
        assert finder.find(frame(0.16, changed))[0].is_detected

    def test_behind_a_cut_nothing_of_before_is_followed(self) -> None:
        detector = ScriptedDetector()
        finder = FaceFinder(detector, detect_every=100)
        (texture,) = film(1)
        before, behind = (picture(seed) + texture // 6 for seed in (0, 1))
        detected = []
        for n in range(12):
            detector.show(*([LEFT] if n < 6 else [LEFT, RIGHT]))
            faces = finder.find(frame(n / 25, before if n < 6 else behind))
            detected.append([face.is_detected for face in faces])
        assert detected[:6] == [[True]] * 3 + [[False]] * 3
        assert detected[6:] == [[True, True]] * 3 + [[False, False]] * 3

    def test_a_face_that_is_detected_once_is_not_followed(self) -> None:
        detector = ScriptedDetector()
        finder = FaceFinder(detector, detect_every=10)
        found = []
        for n, rgb in enumerate(film(20, shift=0)):
            detector.show(*[RIGHT, LEFT][: 2 if n == 12 else 1])
            found.append(len(finder.find(frame(n / 25, rgb))))
        # Searched in frames 0, 1, 2, 12 and, for the new face, 13.
        assert found == [1] * 12 + [2] + [1] * 7

    def test_no_face_needs_no_search_before_it_is_due(self) -> None:
        detector = ScriptedDetector()
        finder = FaceFinder(detector, detect_every=4)
        found = []
        for n, rgb in enumerate(film(9, shift=0)):
            detector.show(*([LEFT] if n >= 2 else []))
            found.append(len(finder.find(frame(n / 25, rgb))))
        assert found == [0, 0, 0, 0, 1, 1, 1, 1, 1]

    def test_zero_is_refused(self) -> None:
        with pytest.raises(InputError, match="detect_every is 0; give 1"):
            FaceFinder(ScriptedDetector(), detect_every=0)
