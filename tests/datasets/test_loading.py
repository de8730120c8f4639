from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.layout import write_annotation
from affectline.datasets.loading import DataOptions, load_labelled
from affectline.datasets.own_labels import read_own_labels
from affectline.datasets.sequences import check_finite
from affectline.errors import InputError, InputFileError
from affectline.features import CropKind, FeaturePart, TimeSource
from affectline.features.store import FeatureStore
from affectline.features.writer import write_features
from affectline.labels import Task
from affectline.records import FaceFeatures
from feature_stores import put_two_faces
from labelled_examples import DIGEST, OTHER_DIGEST, make_info


def put(
    store: Path, video: str, frames: list[int], *, frame_count: int = 50, tracks=None, sizes=None, **change
) -> None:
    info = replace(make_info(video, frame_count, change.pop("digest", DIGEST)), **change)
    n = len(frames)
    features = FaceFeatures(np.zeros((n, 1), np.float32), np.tile(np.arange(n, dtype=np.float32)[:, None], (1, 8)))
    boxes = None
    if sizes is not None:
        boxes = np.array([(0, 0, size, size) for size in sizes], np.float32)
    times = np.array(frames) / 25
    write_features(FeatureStore(store, create=True), info, (np.array(frames), times, features, tracks, boxes, None))


def annotate(data: Path, task: Task, split: str, video: str, values: np.ndarray) -> None:
    folder = data / {Task.VA: "VA_Estimation_Challenge", Task.EXPR: "EXPR_Classification_Challenge"}[task] / split
    folder.mkdir(parents=True, exist_ok=True)
    write_annotation(folder / f"{video}.txt", task, values)


class TestAffWild2:
    def test_joins_lines_and_faces_by_frame(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "a_left", [0, 2, 3], frame_count=4)
        annotate(tmp_path, Task.EXPR, "Train_Set", "a_left", np.array([1, -1, 2, 3, 4]))
        data = load_labelled(Task.EXPR, "train", DataOptions(tmp_path / "store", tmp_path))
        (one,) = data.sequences
        assert (one.group, one.frame_count) == ("a", 5)
        assert one.labelled_frame.tolist() == [0, 2, 3, 4]
        assert one.target.tolist() == [1, 2, 3, 4]
        assert one.has_face.tolist() == [True, True, True, False]
        assert one.labelled_rows.tolist() == [0, 1, 2]

    def test_two_subjects_are_told_apart_in_the_features_of_their_video(self, tmp_path: Path) -> None:
        put_two_faces(tmp_path / "store", "a", ((0, 100, 0.1), (0, 200, 0.9), (1, 120, 0.2), (2, 180, 0.8)), 3)
        for side in ("left", "right"):
            annotate(tmp_path, Task.VA, "Train_Set", f"a_{side}", np.array([[0.5, 0.5]] * 3))
        data = load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", tmp_path))
        assert [(one.video, one.group, one.rows.tolist()) for one in data.sequences] == [
            ("a_left", "a", [0, 2]),
            ("a_right", "a", [1, 3]),
        ]

    def test_leaves_out_and_names_videos_without_features(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "a", [0])
        annotate(tmp_path, Task.VA, "Train_Set", "a", np.array([[0.5, 0.5]]))
        annotate(tmp_path, Task.VA, "Train_Set", "b", np.array([[0.5, 0.5]]))
        data = load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", tmp_path))
        assert (len(data.sequences), data.missing) == (1, ("b",))
        with pytest.raises(InputError, match=r"no labelled video .* val"):
            load_labelled(Task.VA, "val", DataOptions(tmp_path / "store", tmp_path))

    def test_both_splits_together(self, tmp_path: Path) -> None:
        for video, split in (("a", "Train_Set"), ("b", "Validation_Set")):
            put(tmp_path / "store", video, [0])
            annotate(tmp_path, Task.VA, split, video, np.array([[0.5, 0.5]]))
        data = load_labelled(Task.VA, "train+val", DataOptions(tmp_path / "store", tmp_path))
        assert [one.video for one in data.sequences] == ["a", "b"]

    def test_several_backbones_must_have_seen_the_same_faces(self, tmp_path: Path) -> None:
        annotate(tmp_path, Task.VA, "Train_Set", "a", np.array([[0.5, 0.5]] * 3))
        put(tmp_path / "store", "a", [0, 1])
        put(tmp_path / "store", "a", [0, 1], digest=OTHER_DIGEST)
        options = DataOptions(tmp_path / "store", tmp_path, backbones=(DIGEST, "net-cd"))
        assert list(load_labelled(Task.VA, "train", options).infos) == [DIGEST, OTHER_DIGEST]
        put(tmp_path / "store", "a", [0, 2], digest=OTHER_DIGEST)
        with pytest.raises(InputError, match="are not of the same faces"):
            load_labelled(Task.VA, "train", options)

    def test_needs_one_kind_of_labels(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="either --data"):
            DataOptions(tmp_path)
        with pytest.raises(InputError, match="either --data"):
            DataOptions(tmp_path, tmp_path, tmp_path)

    def test_names_the_frame_of_features_that_are_not_finite(self, tmp_path: Path) -> None:
        annotate(tmp_path, Task.VA, "Train_Set", "a", np.array([[0.5, 0.5]] * 9))
        info = make_info("a", 9)
        logits = np.zeros((3, 8), np.float32)
        logits[1, 4] = np.nan
        features = FaceFeatures(np.zeros((3, 1), np.float32), logits)
        store = FeatureStore(tmp_path / "store", create=True)
        write_features(store, info, (np.array([1, 5, 7]), np.zeros(3), features, None, None, None))
        data = load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", tmp_path))
        with pytest.raises(InputError, match="a, frame 5: the features by net-ab hold NaN"):
            check_finite(data, (FeaturePart.LOGITS,))


class TestOwnLabels:
    def load(self, tmp_path: Path, text: str, task: Task = Task.VA, split: str = "train"):
        (tmp_path / "labels.csv").write_text(text)
        return load_labelled(task, split, DataOptions(tmp_path / "store", labels=tmp_path / "labels.csv"))

    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> None:
        # Frames 4 to 6 show nobody; from frame 10 on there are two faces, and the second is the larger one.
        frames = [0, 1, 2, 3, 7, 8, 9, 10, 10, 11, 11]
        tracks = np.array([1] * 7 + [1, 2, 1, 2])
        sizes = [20] * 7 + [20, 30, 20, 30]
        put(tmp_path / "store", "clip", frames, frame_count=12, tracks=tracks, sizes=sizes, crop_kind=CropKind.DETECTED)

    def test_times_find_the_nearest_frame(self, tmp_path: Path) -> None:
        data = self.load(
            tmp_path, "video,time_s,valence,arousal\nclip.mp4,0.085,0.5,-0.5\nclip,0.0,1,0\nclip,0.2,0,0\n"
        )
        (one,) = data.sequences
        assert one.labelled_frame.tolist() == [0, 2, 5]
        assert one.target.tolist() == [[1, 0], [0.5, -0.5], [0, 0]]
        # Frame 5 lies in a gap: it has a label but no face.
        assert one.has_face.tolist() == [True, True, False]

    def test_without_a_track_the_largest_face_is_meant(self, tmp_path: Path) -> None:
        data = self.load(tmp_path, "video,frame,valence,arousal\nclip,9,0,0\nclip,10,0,0\n")
        assert data.sequences[0].labelled_rows.tolist() == [6, 8]

    def test_tracks_are_sequences_of_their_own(self, tmp_path: Path) -> None:
        text = "video,frame,track,au12,au01\nclip,10,1,1,0\nclip,10,2,0,1\nclip,11,2,1,\n"
        data = self.load(tmp_path, text, Task.AU)
        assert data.labels == ("AU1", "AU12")
        assert [one.labelled_rows.tolist() for one in data.sequences] == [[7], [8]]
        assert [one.target.tolist() for one in data.sequences] == [[[0, 1]], [[1, 0]]]

    def test_expressions_are_the_words_that_occur(self, tmp_path: Path) -> None:
        data = self.load(
            tmp_path, "video,frame,expression\nclip,0,happiness\nclip,1,Contempt\nclip,2,Neutral\nclip,3,\n", Task.EXPR
        )
        assert data.labels == ("Neutral", "Happiness", "Contempt")
        assert data.sequences[0].target.tolist() == [1, 2, 0]

    def test_expressions_of_a_head_count_by_its_labels(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("video,frame,expression\nclip,0,sadness\nclip,1,neutral\n")
        options, known = (
            DataOptions(tmp_path / "store", labels=tmp_path / "labels.csv"),
            ("Neutral", "Anger", "Sadness"),
        )
        data = load_labelled(Task.EXPR, "train", options, known)
        assert data.labels == known
        assert data.sequences[0].target.tolist() == [2, 0]
        with pytest.raises(InputError, match="line 2: expression must be one of Neutral, Anger, got 'sadness'"):
            load_labelled(Task.EXPR, "train", options, known[:2])

    def test_times_of_an_assumed_rate_find_no_frame(self, tmp_path: Path) -> None:
        for source, video in ((TimeSource.ASSUMED, "assumed"), (TimeSource.NOMINAL, "nominal")):
            info = replace(make_info(video, 20), time_source=source)
            features = FaceFeatures(np.zeros((20, 1), np.float32), np.zeros((20, 8), np.float32))
            store = FeatureStore(tmp_path / "crops", create=True)
            write_features(store, info, (np.arange(20), np.arange(20) / 30, features, None, None, None))
        store.refresh()
        text = "video,time_s,valence,arousal\n{},0.5,0,0\n"
        for video in ("assumed", "nominal"):
            (tmp_path / f"{video}.csv").write_text(text.format(video))
        options = DataOptions(tmp_path / "crops", labels=tmp_path / "assumed.csv")
        with pytest.raises(InputError, match=r"line 2: 0.5 s .* 30 frames a second were assumed; .* or --crop-fps"):
            load_labelled(Task.VA, "train", options)
        data = load_labelled(Task.VA, "train", replace(options, labels=tmp_path / "nominal.csv"))
        assert data.sequences[0].labelled_frame.tolist() == [15]

    def test_one_of_valence_and_arousal_is_enough(self, tmp_path: Path) -> None:
        data = self.load(tmp_path, "video,frame,arousal\nclip,0,0.5\n")
        assert data.labels == ("arousal",)
        assert data.sequences[0].target.tolist() == [[0.5]]

    def test_splits(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "two", [0], crop_kind=CropKind.DETECTED, tracks=np.array([1]), sizes=[9])
        text = "video,frame,valence,arousal,split\nclip,0,0,0,train\ntwo,0,1,1,val\n"
        assert [one.video for one in self.load(tmp_path, text, split="val").sequences] == ["two"]
        with pytest.raises(InputError, match="'clip' is in both splits"):
            self.load(tmp_path, text.replace("two", "clip"))

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("video,valence,arousal\nclip,0,0\n", "either time_s or frame"),
            ("video,frame,time_s,valence\nclip,0,0,0\n", "either time_s or frame"),
            ("video,frame,valence,mood\nclip,0,0,0\n", "not known: mood"),
            ("video,frame,expression\nclip,0,Happiness\n", "no column for VA"),
            ("video,frame,valence,arousal\nclip,0,,\n", "no row with VA labels"),
            (
                "video,frame,valence,arousal\nclip,0,0,0\nclap,0,0,0\n",
                "line 3: the store has no features of the video 'clap'; it has clip",
            ),
            ("video,frame,valence,arousal\nclip,12,0,0\n", "line 2: frame 12 lies outside clip"),
            ("video,time_s,valence,arousal\nclip,0.6,0,0\n", "line 2: 0.6 s lies outside clip"),
            ("video,time_s,valence,arousal\nclip,-0.1,0,0\n", "line 2: time_s must be at least 0, got '-0.1'"),
            ("video,frame,valence,arousal\nclip,0,0,1.5\n", "line 2: arousal must be from -1 to 1, got '1.5'"),
            ("video,frame,valence,arousal\nclip,0,x,0\n", "line 2: valence must be a number, got 'x'"),
            ("video,frame,valence,arousal\nclip,0.5,0,0\n", "line 2: frame must be a whole number"),
            (
                "video,frame,track,valence,arousal\nclip,0,7,0,0\n",
                "line 2: clip has no face with track 7; it has the tracks 1, 2",
            ),
            (
                "video,frame,valence,arousal\nclip,0,0,0\nclip,0,1,1\n",
                "line 3: the same face and frame has a label in line 2",
            ),
            ("video,frame,valence,valence\nclip,0,0,0\n", "line 1: several columns are called valence"),
            ("video,frame,valence,arousal,split\nclip,0,0,0,test\n", "line 2: split must be train or val, got 'test'"),
        ],
    )
    def test_names_the_line_of_what_is_wrong(self, tmp_path: Path, text: str, match: str) -> None:
        with pytest.raises(InputError, match=match):
            self.load(tmp_path, text)

    def test_names_wrong_words_and_units(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"line 2: expression must be one of Anger.*, got 'joy'"):
            self.load(tmp_path, "video,frame,expression\nclip,0,joy\n", Task.EXPR)
        with pytest.raises(InputError, match=r"line 2: au12 must be 0 or 1 .*, got '0.5'"):
            self.load(tmp_path, "video,frame,au12\nclip,0,0.5\n", Task.AU)

    def test_a_line_of_another_length(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="line 2: expected 3 cells, as the header has, got 2"):
            self.load(tmp_path, "video,frame,valence\nclip,0\n")

    @pytest.mark.parametrize("name", ["CLIP", "clip.MP4", "some/where/Clip.mov"])
    def test_names_are_found_in_any_case(self, name: str, tmp_path: Path) -> None:
        data = self.load(tmp_path, f"video,frame,valence\n{name},0,0.5\n")
        assert [one.video for one in data.sequences] == ["clip"]

    def test_names_are_found_however_accents_are_written(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "M\u00fcller", [0], crop_kind=CropKind.DETECTED, tracks=np.array([1]), sizes=[9])
        data = self.load(tmp_path, "video,frame,valence\nMu\u0308ller.mp4,0,0.5\n")
        assert [one.video for one in data.sequences] == ["M\u00fcller"]

    def test_spellings_of_one_name_are_one_video(self, tmp_path: Path) -> None:
        text = "video,frame,valence,split\nclip.mp4,0,0,train\nCLIP.mp4,1,0,val\n"
        with pytest.raises(InputError, match=r"labels\.csv, line 3: the video 'CLIP.mp4' is in both splits, val here"):
            self.load(tmp_path, text)
        with pytest.raises(InputError, match="line 3: the same face and frame has a label in line 2 too"):
            self.load(tmp_path, "video,frame,valence\nclip,0,0\nClip,0,1\n")

    def test_a_face_is_labelled_once_with_or_without_its_track(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="line 3: the same face and frame has a label in line 2 too"):
            self.load(tmp_path, "video,frame,track,valence\nclip,10,,0\nclip,10,2,1\n")
        data = self.load(tmp_path, "video,frame,track,valence\nclip,10,,0\nclip,10,1,1\n")
        assert [one.labelled_rows.tolist() for one in data.sequences] == [[8], [7]]
        with pytest.raises(InputError, match="line 3: the same face and frame has a label in line 2 too"):
            self.load(tmp_path, "video,frame,track,valence\nclip,5,1,0\nclip,5,1,1\n")

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_blank_lines_and_line_ends_leave_the_line_numbers_right(self, end: str, tmp_path: Path) -> None:
        lines = ["\ufeff Video , FRAME,valence", "", "clip,0,0", "", '"clip\n",1,0', "clip,3,x", ""]
        (tmp_path / "labels.csv").write_bytes(end.join(lines).encode())
        with pytest.raises(InputError, match="line 7: valence must be a number, got 'x'"):
            load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", labels=tmp_path / "labels.csv"))

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (b"", "is empty"),
            (b"video;frame;valence\nclip;0;0\n", "columns must be separated by commas"),
            (b"video\tframe\tvalence\nclip\t0\t0\n", "columns must be separated by commas"),
            ("video,frame,valence\nM\u00fcller,0,0\n".encode("latin-1"), "line 2: the byte 0xFC is no UTF-8; save it"),
            ("video,frame,valence\n".encode("utf-16"), "UTF-8"),
            (b'video,frame,valence\n"clip,0,0\n', "line 2: .*check the quotes"),
            (b"video,frame,valence\nclip,1_0,0\n", "line 2: frame must be a number, got '1_0'"),
            (b"video,frame,valence\nclip,1e30,0\n", "line 2: frame must be from 0 to 2147483647, got '1e30'"),
            (b"video,frame,track,valence\nclip,0,2147483648,0\n", "line 2: track must be from 0 to 2147483647, got"),
            (b"video,frame,valence\nclip,nan,0\n", "line 2: frame must be a finite number, got 'nan'"),
            (b"video,time_s,valence\nclip,inf,0\n", "line 2: time_s must be a finite number, got 'inf'"),
        ],
    )
    def test_says_what_is_wrong_with_the_file(self, content: bytes, match: str, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_bytes(content)
        with pytest.raises((InputError, InputFileError), match=match):
            load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", labels=tmp_path / "labels.csv"))

    @pytest.mark.parametrize(
        ("task", "column", "match"),
        [
            (Task.VA, "au12", "no column for VA, none of valence, arousal;"),
            (Task.EXPR, "au12", "no column for EXPR, none of expression;"),
            (Task.AU, "valence", "no column for AU, none of au01, au02"),
        ],
    )
    def test_a_file_without_labels_of_the_task_is_named(
        self, task: Task, column: str, match: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=rf"labels\.csv, line 1: the labels have {match}"):
            self.load(tmp_path, f"video,frame,{column}\nclip,0,1\n", task)

    def test_a_video_in_both_splits_is_named_with_a_line_of_each(self, tmp_path: Path) -> None:
        text = "video,frame,valence,split\nclip.mp4,0,0,val\n\nclip.mp4,1,0,val\nCLIP,2,0,train\n"
        match = r"labels\.csv, line 5: the video 'CLIP' is in both splits, train here and val in line 2 \('clip\.mp4'\)"
        with pytest.raises(InputError, match=match):
            self.load(tmp_path, text)

    def test_two_stored_spellings_of_one_name_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "Clip", [0], crop_kind=CropKind.DETECTED, tracks=np.array([1]), sizes=[9])
        with pytest.raises(InputError, match=r"line 2: 'clip\.mp4' may mean 'Clip' or 'clip' of the store"):
            self.load(tmp_path, "video,frame,valence\nclip.mp4,0,0\n")

    def test_rows_know_the_line_where_they_start(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.csv"
        path.write_bytes(b'\r\nvideo,frame,track,valence\r\n\r\n"a\r\nb",0,,0\r\nc,1,2147483647,1\r\n,,,\r\nd,2,,0')
        own = read_own_labels(path, Task.VA)
        assert own.line.tolist() == [4, 6, 8]
        assert own.typed.tolist() == ["a\r\nb", "c", "d"]
        assert own.track.tolist() == [-1, 2**31 - 1, -1]

    def test_a_video_without_any_face_is_named(self, tmp_path: Path) -> None:
        put(tmp_path / "store", "dark", [], crop_kind=CropKind.DETECTED)
        with pytest.raises(InputError, match="line 2: no face was found in dark"):
            self.load(tmp_path, "video,frame,valence\ndark,0,0\n")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"labels\.csv"):
            load_labelled(Task.VA, "train", DataOptions(tmp_path / "store", labels=tmp_path / "labels.csv"))
