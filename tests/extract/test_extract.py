from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from affectline.backbones import DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.backbones.openvino_network import can_bf16
from affectline.errors import InputError, InputFileError
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.extract.crops import FrameTimes, crop_files
from affectline.extract.sources import ExtractSource, video_of
from affectline.features import CropKind, FeatureTable, TimeSource
from affectline.features.store import FeatureStore
from affectline.images import read_image
from affectline.runtime import Precision


def crop(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), picture)
    return path


def crops(folder: Path, frames: list[int]) -> Path:
    for frame in frames:
        crop(folder / f"{frame:05d}.jpg", frame)
    return folder


def video(path: Path, n: int, fps: float = 25) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    for number in range(n):
        writer.write(np.full((48, 64, 3), number, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(DEFAULT_BACKBONE)


def run(inputs: list[Path], store: Path, **options):
    sources = find_sources(inputs)
    extractor = load_extractor(ExtractOptions(**options), sources)
    return list(extract_all(sources, FeatureStore(store, create=True), extractor))


def table_of(store: Path, name: str) -> FeatureTable:
    (entry,) = [entry for entry in FeatureStore(store).entries if entry.video == name]
    return FeatureTable.open(store / entry.path)


class TestCrops:
    def test_rows_are_the_crops_and_numbers_the_networks(self, tmp_path: Path, backbone: Backbone) -> None:
        folder = crops(tmp_path / "cropped" / "v_left", [1, 2, 5, 70, 71])
        (result,) = run([tmp_path / "cropped"], tmp_path / "store")
        assert (result.status, result.rows, result.frame_count) == ("done", 5, 71)
        table = table_of(tmp_path / "store", "v_left")
        assert table.frame.tolist() == [0, 1, 4, 69, 70]
        expected = backbone.features([read_image(path) for _, path in crop_files(folder)[0]])
        np.testing.assert_allclose(table.features().logits, expected.logits, atol=1e-5)
        np.testing.assert_allclose(table.features().embedding, expected.embedding, rtol=1e-3, atol=1e-4)

    def test_times_are_nominal_and_say_so(self, tmp_path: Path) -> None:
        crops(tmp_path / "cropped" / "v", [1, 51])
        run([tmp_path / "cropped"], tmp_path / "store", crop_fps=25)
        table = table_of(tmp_path / "store", "v")
        assert table.time_s.tolist() == [0.0, 2.0]
        assert (table.info.time_source, table.info.rate_fps) == (TimeSource.NOMINAL, 25)
        run([tmp_path / "cropped"], tmp_path / "again")
        table = table_of(tmp_path / "again", table.info.video)
        assert (table.info.time_source, table.info.rate_fps) == (TimeSource.ASSUMED, 30)
        assert (table.info.crop_kind, table.info.crop, table.info.detector) == (CropKind.CROPPED, None, None)

    def test_times_of_the_video_where_it_is_given(self, tmp_path: Path) -> None:
        (tmp_path / "videos").mkdir()
        video(tmp_path / "videos" / "v.avi", 6, fps=10)
        for side in ("left", "right"):
            # The annotations of Aff-Wild2 often count one frame more than the video has.
            crops(tmp_path / "cropped" / f"v_{side}", [1, 4, 7])
        results = run([tmp_path / "cropped"], tmp_path / "store", videos=tmp_path / "videos")
        assert [result.frame_count for result in results] == [7, 7]
        table = table_of(tmp_path / "store", "v_right")
        np.testing.assert_allclose(table.time_s, [0.0, 0.3, 0.6], atol=1e-6)
        assert (table.info.time_source, table.info.rate_fps) == (TimeSource.PTS, None)

    def test_a_crop_without_its_video_fails_alone(self, tmp_path: Path) -> None:
        (tmp_path / "videos").mkdir()
        video(tmp_path / "videos" / "a.avi", 3)
        crops(tmp_path / "cropped" / "a", [1])
        crops(tmp_path / "cropped" / "b", [1])
        done, failed = run([tmp_path / "cropped"], tmp_path / "store", videos=tmp_path / "videos")
        assert (done.status, failed.status) == ("done", "failed")
        assert "has no video b" in failed.message

    def test_damaged_crops_are_left_out_and_named(self, tmp_path: Path) -> None:
        folder = crops(tmp_path / "cropped" / "v", [1, 2, 3, 4])
        (folder / "00002.jpg").write_bytes(b"")
        (folder / "00003.jpg").write_bytes(b"\xff\xd8\xff no picture")
        (result,) = run([folder], tmp_path / "store")
        assert result.status == "incomplete"
        assert "2 crops cannot be read and are left out: 00002.jpg, 00003.jpg" in result.message
        assert table_of(tmp_path / "store", "v").frame.tolist() == [0, 3]

    def test_a_folder_of_damaged_crops_fails(self, tmp_path: Path) -> None:
        (tmp_path / "v").mkdir()
        (tmp_path / "v" / "00001.jpg").write_bytes(b"x")
        (result,) = run([tmp_path / "v"], tmp_path / "store")
        assert (result.status, "not one of its 1 crops" in result.message) == ("failed", True)
        assert FeatureStore(tmp_path / "store").entries == ()

    def test_what_is_there_is_skipped_until_the_question_changes(self, tmp_path: Path) -> None:
        folder = crops(tmp_path / "v", [1])
        assert [one.status for one in run([folder], tmp_path / "store")] == ["done"]
        assert [one.status for one in run([folder], tmp_path / "store")] == ["skipped"]
        assert [one.status for one in run([folder], tmp_path / "store", crop_fps=25)] == ["done"]
        assert [one.status for one in run([folder], tmp_path / "store", crop_fps=25, again=True)] == ["done"]

    def test_what_is_lost_is_said_each_time(self, tmp_path: Path) -> None:
        folder = crops(tmp_path / "v", [1, 2])
        (folder / "00002.jpg").write_bytes(b"no picture")
        first, second = (run([folder], tmp_path / "store")[0] for _ in range(2))
        assert (first.status, second.status) == ("incomplete", "incomplete")
        assert "1 crops cannot be read and are left out: 00002.jpg" in first.message
        assert second.message == first.message

    def test_links_keep_their_names(self, tmp_path: Path) -> None:
        crops(tmp_path / "disk" / "aff_cropped" / "other", [1])
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "cropped_aligned").symlink_to(tmp_path / "disk" / "aff_cropped")
        (tmp_path / "data" / "cropped_aligned" / "linked").symlink_to(tmp_path / "disk" / "aff_cropped" / "other")
        found = {(one.name, one.kind.value) for one in find_sources([tmp_path / "data"])}
        assert found == {("other", "cropped_aligned"), ("linked", "cropped_aligned")}

    def test_a_pattern_may_stand_for_folders_of_crops(self, tmp_path: Path) -> None:
        crops(tmp_path / "cropped" / "a", [1])
        crops(tmp_path / "cropped" / "b", [1])
        assert [one.name for one in find_sources([str(tmp_path / "cropped" / "*")])] == ["a", "b"]

    def test_a_name_that_is_no_text_costs_only_itself(self, tmp_path: Path) -> None:
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/v/caf\xe9"))
        crops(tmp_path / "v" / "fine", [1])
        crops(tmp_path / "v" / "odd", [1]).rename(odd)  # OpenCV crashes when it is to write there
        results = run([tmp_path / "v"], tmp_path / "store")
        assert sorted(one.status for one in results) == ["done", "failed"]
        assert any("the name is not UTF-8" in one.message for one in results)

    def test_another_source_of_one_name_is_refused_until_again(self, tmp_path: Path) -> None:
        crops(tmp_path / "x" / "v", [1])
        crops(tmp_path / "y" / "v", [1, 2])
        run([tmp_path / "x"], tmp_path / "store")
        (result,) = run([tmp_path / "y"], tmp_path / "store")
        assert (result.status, "has features of another v" in result.message) == ("failed", True)
        assert len(table_of(tmp_path / "store", "v")) == 1
        assert [one.rows for one in run([tmp_path / "y"], tmp_path / "store", again=True)] == [2]

    def test_crops_with_the_times_of_another_video_are_another_source(self, tmp_path: Path) -> None:
        folder = crops(tmp_path / "v", [1])
        for name, fps in (("first", 10), ("second", 20)):
            (tmp_path / name).mkdir()
            video(tmp_path / name / "v.avi", 3, fps)
        statuses = [run([folder], tmp_path / "store", videos=tmp_path / name)[0].status for name in ("first", "second")]
        assert statuses == ["done", "failed"]

    def test_what_is_no_crop_is_ignored_and_named(self, tmp_path: Path) -> None:
        folder = crops(tmp_path / "v", [1])
        (folder / "notes.txt").touch()
        (folder / "00002.jpg").mkdir()
        (folder / ".hidden").touch()
        (result,) = run([folder], tmp_path / "store")
        assert (result.status, result.rows) == ("done", 1)
        assert "2 entries are no crops such as 00001.jpg and are ignored: 00002.jpg, notes.txt" in result.message

    def test_crops_that_count_from_0_are_refused(self, tmp_path: Path) -> None:
        (result,) = run([crops(tmp_path / "v", [0, 1])], tmp_path / "store")
        assert (result.status, "crops count from 00001" in result.message) == ("failed", True)

    def test_frames_behind_the_video_go_on_at_its_rate(self) -> None:
        times = FrameTimes(np.array([0.0, 0.1, 0.2, 0.4]))
        np.testing.assert_allclose(times.at(np.array([1, 3, 5])), [0.1, 0.4, 0.6])
        assert FrameTimes(np.array([0.5])).at(np.array([2])).tolist() == [0.5]


class TestSources:
    def test_crop_folders_are_found_at_any_depth(self, tmp_path: Path) -> None:
        crops(tmp_path / "batch1" / "cropped" / "a", [1])
        crops(tmp_path / "batch2" / "cropped_aligned_new_50_vids" / "b", [1])
        crop(tmp_path / "batch2" / "cropped" / "c" / "123456.PNG")
        found = {(source.name, source.kind.value) for source in find_sources([tmp_path])}
        assert found == {("a", "cropped"), ("b", "cropped_aligned"), ("c", "cropped")}

    def test_the_user_may_say_what_the_crops_are(self, tmp_path: Path) -> None:
        crops(tmp_path / "mine" / "a", [1])
        assert find_sources([tmp_path], CropKind.CROPPED_ALIGNED)[0].kind is CropKind.CROPPED_ALIGNED
        assert find_sources([tmp_path / "mine" / "a"])[0] == ExtractSource(
            tmp_path / "mine" / "a", "a", CropKind.CROPPED
        )

    def test_videos_and_folders_of_videos(self, tmp_path: Path) -> None:
        for name in ("a.avi", "b.avi"):
            video(tmp_path / name, 2)
        assert [source.name for source in find_sources([tmp_path])] == ["a", "b"]
        assert find_sources([tmp_path / "a.avi"])[0].kind is CropKind.DETECTED

    def test_two_sources_of_one_name_are_refused(self, tmp_path: Path) -> None:
        crops(tmp_path / "x" / "a", [1])
        crops(tmp_path / "y" / "a", [1])
        with pytest.raises(InputError, match="the name a stands for"):
            find_sources([tmp_path])

    def test_what_holds_nothing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"holds neither videos nor, .* from 00001\.jpg on"):
            find_sources([tmp_path])
        with pytest.raises(InputError, match="cropped or cropped_aligned"):
            find_sources([tmp_path], CropKind.DETECTED)
        crop(tmp_path / "holiday.jpg")
        with pytest.raises(InputFileError, match="these images have other names"):
            find_sources([tmp_path / "holiday.jpg"])
        crops(tmp_path / "both" / "a", [1])
        video(tmp_path / "both" / "b.avi", 2)
        with pytest.raises(InputFileError, match="both videos and folders of crops"):
            find_sources([tmp_path / "both"])

    def test_two_crops_of_one_frame_are_refused(self, tmp_path: Path) -> None:
        crop(crops(tmp_path / "a", [1]) / "00001.png")
        with pytest.raises(InputFileError, match=r"two crops of one frame: 00001\.jpg and 00001\.png"):
            crop_files(tmp_path / "a")

    def test_two_videos_of_one_name_are_refused(self, tmp_path: Path) -> None:
        video(tmp_path / "a.avi", 2)
        (tmp_path / "a.mp4").touch()
        with pytest.raises(InputFileError, match="several videos a"):
            video_of(ExtractSource(tmp_path, "a", CropKind.CROPPED), tmp_path)


def test_the_demo_clip_has_a_row_for_every_frame(tmp_path: Path, demo_clip: Path) -> None:
    (result,) = run([demo_clip], tmp_path / "store")
    table = table_of(tmp_path / "store", demo_clip.stem)
    assert (result.rows, result.frame_count) == (472, 472)
    assert table.frame.tolist() == list(range(472))
    np.testing.assert_allclose(np.diff(table.time_s), 1001 / 24000, atol=2e-6)
    assert set(table.track_id) == {1}
    assert (table.info.detector, table.info.time_source) == ("blazeface", TimeSource.PTS)
    assert np.isfinite(table.box_xyxy).all()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_killed_run_loses_no_finished_video_and_leaves_no_half_one(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        crops(tmp_path / "cropped" / name, list(range(1, 400)))
    command = [sys.executable, "-m", "affectline", "extract", str(tmp_path / "cropped"), "-o", str(tmp_path / "store")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "1 of 4 a: done, 399 faces" in running.stdout.readline()
    time.sleep(0.15)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    whole = [entry.video for entry in FeatureStore(tmp_path / "store").entries]
    assert whole[0] == "a"
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [("skipped" in line) for line in again] == [name in whole for name in ("a", "b", "c", "d")]
    assert [entry.rows for entry in FeatureStore(tmp_path / "store").entries] == [399] * 4
    assert list((tmp_path / "store").rglob("*.part")) == []


@pytest.mark.skipif(not can_bf16(), reason="no bfloat16 arithmetic in this processor")
def test_features_of_another_precision_are_made_anew(tmp_path: Path) -> None:
    folder, store = crops(tmp_path / "subject", [1, 2, 3]), tmp_path / "store"
    (exact,) = run([folder], store)
    assert table_of(store, "subject").info.precision is Precision.FP32
    rough = {"device": "openvino", "precision": "bf16"}
    assert [run([folder], store, **rough)[0].status for _ in range(2)] == ["done", "skipped"]
    assert table_of(store, "subject").info.precision is Precision.BF16
    assert exact.status == "done"
