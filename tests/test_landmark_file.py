from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affectline.errors import InputFileError, OutputError
from affectline.faces.landmarks import Landmarks
from affectline.landmark_file import LandmarkEntry, LandmarkWriter, read_landmarks, rename_track


def entry(frame: int, track: int | None = 1) -> LandmarkEntry:
    points = np.full((478, 3), frame, np.float32)
    return frame, track, Landmarks(points, 0.5, np.full(52, frame / 100, np.float32))


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.arrow"
    with LandmarkWriter(path) as writer:
        writer.write([entry(0), entry(1, None)])
        writer.write([])
        writer.write([entry(2)])
        writer.finish()
    table = read_landmarks(path)
    assert table["frame"].to_pylist() == [0, 1, 2]
    assert table["track_id"].to_pylist() == [1, None, 1]
    assert table["points"][2].as_py() == [2.0] * 1434
    assert table["blendshapes"][1].as_py() == pytest.approx([0.01] * 52)
    assert [file.name for file in tmp_path.iterdir()] == ["landmarks.arrow"]


@pytest.mark.parametrize("cut", [0, 5])
def test_a_killed_run_goes_on_behind_the_frame_that_is_kept(cut: int, tmp_path: Path) -> None:
    path, part = tmp_path / "landmarks.arrow", tmp_path / "landmarks.part.arrow"
    first = LandmarkWriter(path)
    for frame in range(4):
        first.write([entry(frame)])
    with first:  # closes the file, but nobody finishes it
        pass
    part.write_bytes(part.read_bytes()[: part.stat().st_size - cut])
    with LandmarkWriter(path, keep_to_frame=1) as second:
        second.write([entry(7)])
        second.finish()
    assert read_landmarks(path)["frame"].to_pylist() == [0, 1, 7]
    assert [file.name for file in tmp_path.iterdir()] == ["landmarks.arrow"]


def test_a_run_that_was_killed_behind_its_last_frame_keeps_the_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.arrow"
    with LandmarkWriter(path) as first:
        for frame in range(4):
            first.write([entry(frame)])
        first.finish()
    with LandmarkWriter(path, keep_to_frame=2) as second:
        second.write([entry(3)])
        second.finish()
    assert read_landmarks(path)["frame"].to_pylist() == [0, 1, 2, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["landmarks.arrow"]


def test_a_run_that_was_killed_while_it_copied_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.arrow"
    with LandmarkWriter(path) as first:
        first.write([entry(0)])
        first.write([entry(1)])
    whole = (tmp_path / "landmarks.part.arrow").read_bytes()
    with LandmarkWriter(path) as second:  # leaves a part that holds nothing yet
        second.write([])
    (tmp_path / "landmarks.earlier.arrow").write_bytes(whole)
    with LandmarkWriter(path, keep_to_frame=1) as third:
        third.write([entry(2)])
        third.finish()
    assert read_landmarks(path)["frame"].to_pylist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["landmarks.arrow"]


def test_starting_anew_forgets_all_that_killed_runs_left(tmp_path: Path) -> None:
    path, earlier = tmp_path / "landmarks.arrow", tmp_path / "landmarks.earlier.arrow"
    with LandmarkWriter(path) as first:
        first.write([entry(0)])
        first.finish()
    earlier.write_bytes(path.read_bytes())
    with LandmarkWriter(path) as second:
        second.write([entry(5)])
        second.finish()
    assert read_landmarks(path)["frame"].to_pylist() == [5]
    assert not earlier.exists()


def test_starting_anew_forgets_the_part(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.arrow"
    with LandmarkWriter(path) as first:
        first.write([entry(0)])
    with LandmarkWriter(path) as second:
        second.write([entry(5)])
        second.finish()
    assert read_landmarks(path)["frame"].to_pylist() == [5]


def test_a_track_can_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.arrow"
    with LandmarkWriter(path) as writer:
        writer.write([entry(0, 3), entry(0, 1), entry(1, None)])
        writer.write([entry(2, 3), entry(3, 2)])
        writer.finish()
    before = read_landmarks(path)
    rename_track(path, 3, 1)
    after = read_landmarks(path)
    assert after["track_id"].to_pylist() == [1, 1, None, 1, 2]
    assert after.drop_columns("track_id").equals(before.drop_columns("track_id"))
    assert after.schema.metadata == before.schema.metadata


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*landmarks.part.arrow"):
        LandmarkWriter(tmp_path / "no such folder" / "landmarks.arrow")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "landmarks.arrow").write_text("not Arrow")
    with pytest.raises(InputFileError, match="as landmarks"):
        read_landmarks(tmp_path / "landmarks.arrow")
