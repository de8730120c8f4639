from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from affectline.cli.main import app
from affectline.datasets.affwild2 import find_annotations, find_crops, read_list, refuse_overlap, split_files
from affectline.datasets.annotations import read_annotation
from affectline.datasets.audit import audit
from affectline.datasets.layout import crop_name, frame_of_crop, group_of, write_annotation
from affectline.errors import InputError, InputFileError
from affectline.labels import Task

VA = "valence,arousal\n"
EXPR = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n"
AU = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26\n"
OFF = "0," * 11 + "0\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


class TestReading:
    def test_valence_and_arousal(self, tmp_path: Path) -> None:
        found = read_annotation(put(tmp_path / "7-60.txt", VA + "0.5,-0.25\n-5,-5\n-5.0,0.1\n-1,1\n"), Task.VA)
        assert (found.video, len(found)) == ("7-60", 4)
        # A frame needs both: one of the two invalid makes it invalid.
        assert found.is_valid.tolist() == [True, False, False, True]
        assert found.values[0].tolist() == [0.5, -0.25]

    def test_expressions(self, tmp_path: Path) -> None:
        found = read_annotation(put(tmp_path / "a.txt", EXPR + "0\n-1\n7\n"), Task.EXPR)
        assert found.values.tolist() == [0, -1, 7]
        assert found.is_valid.tolist() == [True, False, True]

    def test_action_units(self, tmp_path: Path) -> None:
        text = AU + OFF + "1" + OFF[1:] + "-1" + OFF[1:] + "-1," * 11 + "-1\n"
        found = read_annotation(put(tmp_path / "a.txt", text), Task.AU)
        assert found.values.shape == (4, 12)
        assert found.is_valid.tolist() == [True, True, False, False]
        assert found.values[1].tolist() == [1.0] + [0.0] * 11

    @pytest.mark.parametrize(
        "text",
        [
            VA + "0.1,0.2\n",
            "\ufeff" + VA + "0.1,0.2",
            VA.replace("\n", "\r\n") + "0.1,0.2\r\n\r\n",
            " Valence, Arousal \n 0.1 , 0.2 \n\n",
        ],
    )
    def test_tolerates_how_editors_save(self, tmp_path: Path, text: str) -> None:
        found = read_annotation(put(tmp_path / "a.txt", text), Task.VA)
        np.testing.assert_allclose(found.values, [[0.1, 0.2]])

    def test_only_a_header_has_no_lines(self, tmp_path: Path) -> None:
        assert len(read_annotation(put(tmp_path / "a.txt", EXPR), Task.EXPR)) == 0

    @pytest.mark.parametrize(
        ("task", "text", "line"),
        [
            (Task.VA, "", 1),
            (Task.VA, EXPR + "1\n", 1),
            (Task.AU, AU.replace("AU4", "AU5") + OFF, 1),
            (Task.VA, VA + "0.1,0.2\n0.1\n", 3),
            (Task.VA, VA + "0.1,0.2,0.3\n", 2),
            (Task.VA, VA + "0.1,1.2\n", 2),
            (Task.VA, VA + "0.1,-4\n", 2),
            (Task.VA, VA + "0.1,nan\n", 2),
            (Task.VA, VA + "0.1,\n", 2),
            (Task.VA, VA + "0.1,0.2\n\n0.1,0.2\n", 3),
            (Task.VA, VA + "happy,0\n", 2),
            (Task.EXPR, EXPR + "1\n8\n", 3),
            (Task.EXPR, EXPR + "1\n1.5\n", 3),
            (Task.EXPR, EXPR + "1,2\n", 2),
            (Task.EXPR, EXPR + "-2\n", 2),
            (Task.AU, AU + OFF + "2" + OFF[1:], 3),
            (Task.AU, AU + "0," * 10 + "0\n", 2),
        ],
    )
    def test_names_file_and_line_of_what_is_wrong(self, tmp_path: Path, task: Task, text: str, line: int) -> None:
        with pytest.raises(InputFileError, match=rf"a\.txt, line {line}: (the header|expected)"):
            read_annotation(put(tmp_path / "a.txt", text), task)

    def test_spaces_beside_commas_are_no_part_of_numbers_and_none_is_inside(self, tmp_path: Path) -> None:
        put(tmp_path / "a.txt", VA + " 0.1 ,\t0.2 \r\n")
        assert read_annotation(tmp_path / "a.txt", Task.VA).values.tolist() == [pytest.approx([0.1, 0.2])]
        put(tmp_path / "a.txt", VA + "0.1 2,0.2\n")
        with pytest.raises(InputFileError, match=r"line 2: expected valence and arousal"):
            read_annotation(tmp_path / "a.txt", Task.VA)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"nothing\.txt"):
            read_annotation(tmp_path / "nothing.txt", Task.VA)

    @pytest.mark.parametrize(
        ("task", "values"),
        [
            (Task.VA, np.array([[0.123, -1.0], [-5, -5]])),
            (Task.EXPR, np.array([3, -1])),
            (Task.AU, np.array([[0, 1] * 6, [-1] * 12])),
        ],
    )
    def test_reads_what_it_writes(self, tmp_path: Path, task: Task, values: np.ndarray) -> None:
        write_annotation(tmp_path / "a.txt", task, values)
        found = read_annotation(tmp_path / "a.txt", task)
        np.testing.assert_allclose(found.values, values, rtol=1e-6)
        assert found.is_valid.tolist() == [True, False]


class TestNames:
    def test_crops_count_from_1(self) -> None:
        assert (crop_name(0), crop_name(123455)) == ("00001.jpg", "123456.jpg")
        assert [frame_of_crop(name) for name in ("00001.jpg", "123456.JPG", "00010.png")] == [0, 123455, 9]
        assert [frame_of_crop(name) for name in ("00000.jpg", "1.jpg", "a.jpg")] == [None, None, None]

    def test_two_subjects_are_one_group(self) -> None:
        assert [group_of(name) for name in ("x_left", "x_right", "x", "_left")] == ["x", "x", "x", "_left"]


def make_set(root: Path, va: str = "VA_Estimation_Challenge", expr: str = "EXPR_Classification_Challenge") -> None:
    put(root / va / "Train_Set" / "a_left.txt", VA + "0.5,0.5\n-5,-5\n0.1,0.1\n")
    put(root / va / "Train_Set" / "b.txt", VA + "0.2,0\n0.4,0\n")
    put(root / va / "Validation_Set" / "c.txt", VA + "0,0\n")
    put(root / expr / "Train_Set" / "a_left.txt", EXPR + "0\n4\n-1\n")
    put(root / expr / "Train_Set" / ".DS_Store", "x")


class TestFinding:
    @pytest.mark.parametrize(
        ("va", "expr"),
        [
            ("VA_Estimation_Challenge", "EXPR_Classification_Challenge"),
            ("va_estimation_challenge", "EXPR_Recognition_Challenge"),
            ("6th ABAW Annotations/VA_Estimation_Challenge", "6th ABAW Annotations/EXPR_Recognition_Challenge"),
        ],
    )
    def test_knows_the_folders_of_every_release(self, tmp_path: Path, va: str, expr: str) -> None:
        make_set(tmp_path, va, expr)
        splits = {split.split: list(split.files) for split in find_annotations(tmp_path, Task.VA)}
        assert splits == {"train": ["a_left", "b"], "val": ["c"]}
        assert [list(split.files) for split in find_annotations(tmp_path, Task.EXPR)] == [["a_left"]]
        assert find_annotations(tmp_path, Task.AU) == ()

    def test_lists_replace_folders(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        put(tmp_path / "val.txt", "b.txt\n\na_left\n")
        put(tmp_path / "train.txt", "c.mp4\n")
        lists = {"train": tmp_path / "train.txt", "val": tmp_path / "val.txt"}
        found = split_files(tmp_path, Task.VA, lists)
        assert {split: list(files) for split, files in found.items()} == {"train": ["c"], "val": ["b", "a_left"]}

    def test_refuses_a_validation_list_that_overlaps(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        put(tmp_path / "val.txt", "b\nc\n")
        files = split_files(tmp_path, Task.VA, {"val": tmp_path / "val.txt"})
        with pytest.raises(InputError, match="1 video is in the training and in the validation list, such as b"):
            refuse_overlap(files["train"], files["val"])

    def test_refuses_lists_with_unknown_videos_and_empty_ones(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        put(tmp_path / "val.txt", "zzz\n")
        with pytest.raises(InputError, match=r"val\.txt names the video zzz"):
            split_files(tmp_path, Task.VA, {"val": tmp_path / "val.txt"})
        with pytest.raises(InputFileError, match="is empty"):
            read_list(put(tmp_path / "empty.txt", "\n"))

    def test_says_which_folders_it_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="no VA annotations: no folder VA_Estimation_Challenge"):
            split_files(tmp_path, Task.VA, {})
        with pytest.raises(InputFileError, match="there is no folder"):
            find_annotations(tmp_path / "nowhere", Task.VA)

    def test_joins_the_crop_folders_of_one_kind(self, tmp_path: Path) -> None:
        for name in ("cropped_aligned/a", "cropped_aligned_new_50_vids/b", "cropped/c"):
            put(tmp_path / "deep" / name / "00001.jpg", "")
        assert list(find_crops(tmp_path, "cropped_aligned")) == ["a", "b"]
        assert list(find_crops(tmp_path, "cropped")) == ["c"]


class TestAudit:
    def test_counts_what_is_there(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        for name in ("a_left/00001.jpg", "a_left/00002.jpg", "b/00002.jpg", "b/readme.txt"):
            put(tmp_path / "cropped" / name, "")
        found = audit(tmp_path)
        va_train, va_val, expr_train = found.splits
        assert (va_train.videos, va_train.lines, va_train.valid, va_train.with_crop, va_train.missing) == (
            2,
            5,
            4,
            2,
            2,
        )
        assert (va_val.videos, va_val.lines, va_val.with_crop) == (1, 1, 0)
        assert va_train.labels == {"valence": pytest.approx(1.2 / 4), "arousal": pytest.approx(0.6 / 4)}
        assert (expr_train.valid, expr_train.with_crop) == (2, 2)
        assert (expr_train.labels["Neutral"], expr_train.labels["Happiness"], expr_train.labels["Fear"]) == (1, 1, 0)
        assert found.crops == {"cropped": (2, 3)}
        notes = "\n".join(found.notes)
        assert "VA val: 1 videos have no folder in `cropped`, such as c" in notes
        assert re.search(r"cropped.b holds 1 files whose names are no frame numbers", notes)

    def test_the_papers_counts_stand_beside(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        found = {(split.task, split.split): split.paper for split in audit(tmp_path).splits}
        assert (found[Task.VA, "train"].videos, found[Task.VA, "train"].frames) == (356, 1_653_757)
        assert found[Task.VA, "val"].frames == 376_323
        # The class counts of the notebook sum to the frames of the paper.
        assert sum(found[Task.EXPR, "train"].classes) == found[Task.EXPR, "train"].frames == 585_317

    def test_names_damaged_files_and_goes_on(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        put(tmp_path / "VA_Estimation_Challenge" / "Train_Set" / "d.txt", VA + "0,7\n")
        found = audit(tmp_path)
        assert found.splits[0].videos == 2
        assert len(found.unreadable) == 1
        assert "d.txt, line 2" in found.unreadable[0]
        result = CliRunner().invoke(app, ["audit", str(tmp_path)])
        assert (result.exit_code, "d.txt, line 2" in result.stderr) == (1, True)
        assert any(note.startswith("no crop folder") for note in found.notes)

    def test_finds_what_is_odd(self, tmp_path: Path) -> None:
        make_set(tmp_path)
        put(tmp_path / "VA_Estimation_Challenge" / "Validation_Set" / "a_right.txt", VA + "-5,-5\n")
        put(tmp_path / "cropped" / "b" / "00009.jpg", "")
        put(tmp_path / "cropped" / "b" / "00009.png", "")
        notes = "\n".join(audit(tmp_path).notes)
        assert "VA: 1 video is in both splits (or its two subjects are): a" in notes
        assert "a_right has no valid line of 1" in notes
        assert "b has crops up to frame 9, but 2 lines" in notes
        assert re.search(r"cropped.b has 1 frames with two crops", notes)

    def test_compares_with_the_raw_videos(self, tmp_path: Path) -> None:
        make_set(tmp_path / "data")
        (tmp_path / "videos").mkdir()
        for name, n in (("a", 2), ("c", 5)):
            video = cv2.VideoWriter(
                str(tmp_path / "videos" / f"{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32)
            )
            for _ in range(n):
                video.write(np.zeros((32, 32, 3), np.uint8))
            video.release()
        notes = "\n".join(audit(tmp_path / "data", tmp_path / "videos").notes)
        assert "VA train: 1 of 1 annotations differ from OpenCV's frame count by one, which is usual" in notes
        assert "VA train: 1 videos are not among the raw videos, such as b" in notes
        assert "VA val: c has 4 lines fewer than its video has frames" in notes

    def test_refuses_a_folder_without_annotations(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="holds no Aff-Wild2 annotations"):
            audit(tmp_path)
