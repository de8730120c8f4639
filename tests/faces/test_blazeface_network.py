from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from affectline.errors import InputFileError, ModelFileError
from affectline.faces.blazeface_network import BlazeFaceNetwork, RawFaces, anchors, average_duplicates, decode


def test_anchors_are_the_896_of_mediapipe() -> None:
    points = anchors(128, 128)
    assert points.shape == (896, 2)
    # 16 x 16 cells of 8 px with two anchors each, then 8 x 8 of 16 px with six.
    assert points[[0, 1, 2, 511, 512, 517, 518, 895]].tolist() == [
        [4, 4], [4, 4], [12, 4], [124, 124], [8, 8], [8, 8], [24, 8], [120, 120],
    ]  # fmt: skip


def test_anchors_of_a_wider_input_go_row_by_row() -> None:
    points = anchors(16, 32)
    assert points.shape == (2 * 4 * 2 + 1 * 2 * 6, 2)
    assert points[[6, 8, 16, 27]].tolist() == [[28, 4], [4, 12], [8, 8], [24, 8]]


def test_decode_by_hand() -> None:
    regressors = np.array([[2, -4, 20, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]], np.float32)
    faces = decode(regressors, np.array([0], np.float32), np.array([[50, 60]], np.float32))
    assert faces.scores.tolist() == [0.5]
    assert faces.boxes_xyxy.tolist() == [[42, 51, 62, 61]]
    assert faces.points[0, 2:].tolist() == [[51, 62], [53, 64], [55, 66], [57, 68], [59, 70], [61, 72]]


def test_decode_of_extreme_logits_neither_overflows_nor_leaves_the_range() -> None:
    faces = decode(np.zeros((2, 16), np.float32), np.array([-1e4, 1e4], np.float32), np.zeros((2, 2), np.float32))
    assert faces.scores == pytest.approx([0, 1], abs=1e-6)


def raw(*boxes_and_scores: tuple[float, float, float, float, float]) -> RawFaces:
    rows = np.array(boxes_and_scores, np.float32)
    points = np.concatenate([rows[:, :4].reshape(-1, 2, 2), np.repeat(rows[:, None, :2], 6, axis=1)], axis=1)
    return RawFaces(points, rows[:, 4])


def test_duplicates_are_averaged_by_score_and_keep_the_best_one() -> None:
    faces = average_duplicates(raw((0, 0, 10, 10, 0.2), (4, 0, 14, 10, 0.6), (50, 50, 60, 60, 0.7)))
    assert faces.scores == pytest.approx([0.7, 0.6])
    np.testing.assert_allclose(faces.boxes_xyxy, [[50, 50, 60, 60], [3, 0, 13, 10]], atol=1e-5)


def test_empty_boxes_are_not_lost_in_an_endless_loop() -> None:
    assert len(average_duplicates(raw((5, 5, 5, 5, 0.9), (5, 5, 5, 5, 0.8))).scores) == 2


@pytest.mark.parametrize("size", [(128, 128), (64, 192), (16, 16)])
def test_any_size_of_whole_cells_runs_and_plain_grey_has_no_face(task_file: Path, size: tuple[int, int]) -> None:
    found = BlazeFaceNetwork(task_file).find(np.full((*size, 3), 128, np.uint8), 0.2)
    assert found.points.shape == (0, 8, 2)


def test_a_missing_task_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read the task file .*gone\.task"):
        BlazeFaceNetwork(tmp_path / "gone.task")


def test_a_file_that_is_no_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.task").write_text("hello")
    with pytest.raises(ModelFileError, match=r"text\.task is not a MediaPipe task file with face_detector\.tflite"):
        BlazeFaceNetwork(tmp_path / "text.task")


@pytest.mark.parametrize(
    ("member", "message"),
    [("other.tflite", "with face_detector.tflite in it"), ("face_detector.tflite", "is not the BlazeFace network")],
)
def test_a_zip_without_the_network_is_named(tmp_path: Path, member: str, message: str) -> None:
    path = tmp_path / "zip.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"no network at all")
    with pytest.raises(ModelFileError, match=message):
        BlazeFaceNetwork(path)
