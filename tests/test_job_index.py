from __future__ import annotations

import csv
from pathlib import Path

import pytest

from affectline.job_index import JobResult, folder_name, record_counts, record_result


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def done(path: Path, folder: Path) -> JobResult:
    return JobResult(str(path), folder, "done", frames=5, rows=9, tracks=2)


def test_a_new_result_replaces_the_line_of_its_input_only(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    record_result(tmp_path, JobResult("/a/ü, y.mp4", None, "failed", message="two\nlines"))
    record_result(tmp_path, JobResult("/a/x.mp4", tmp_path / "x", "incomplete", 3, 3, 1, "cut"))
    assert [list(line.values()) for line in lines(tmp_path)] == [
        ["/a/x.mp4", "x", "incomplete", "3", "3", "1", "cut"],
        ["/a/ü, y.mp4", "", "failed", "0", "0", "0", "two\nlines"],
    ]


def test_a_skipped_input_keeps_its_line_and_gets_one_if_it_has_none(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    record_result(tmp_path, JobResult("/a/x.mp4", tmp_path / "x", "skipped"))
    record_result(tmp_path, JobResult("/a/y.mp4", tmp_path / "y", "skipped", 4, 4, 1))
    assert [(line["folder"], line["status"], line["rows"]) for line in lines(tmp_path)] == [
        ("x", "done", "9"),
        ("y", "skipped", "4"),
    ]


@pytest.mark.parametrize(("stem", "is_free"), [("clip", False), ("Clip", False), ("other", True)])
def test_a_folder_stays_with_the_input_that_it_was_made_for(stem: str, is_free: bool, tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/a/clip.mp4"), tmp_path / "clip"))
    assert folder_name(tmp_path, Path("/a/clip.mp4"), "clip") == "clip"
    name = folder_name(tmp_path, Path("/b/clip.mkv"), stem)
    assert (name == stem) == is_free
    assert name.startswith(stem)


def test_counts_of_a_folder_can_be_corrected(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    record_result(tmp_path, done(Path("/a/y.mp4"), tmp_path / "y"))
    record_counts(tmp_path / "y", rows=7, tracks=1)
    assert [(line["rows"], line["tracks"]) for line in lines(tmp_path)] == [("9", "2"), ("7", "1")]


def test_a_folder_without_an_index_needs_no_correction(tmp_path: Path) -> None:
    record_counts(tmp_path / "x", rows=7, tracks=1)
    assert not list(tmp_path.iterdir())
