from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from affectline import job_index
from affectline.errors import OutputError
from affectline.job_index import JobIndex, JobResult, record_counts


def record_result(folder: Path, result: JobResult) -> None:
    index = JobIndex(folder)
    index.record(result)
    assert index.close() == ""


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
    assert JobIndex(tmp_path).folder_name("/a/clip.mp4", "clip") == "clip"
    name = JobIndex(tmp_path).folder_name("/b/clip.mkv", stem)
    assert (name == stem) == is_free
    assert name.startswith(stem)


def test_an_input_keeps_its_folder_whatever_else_is_analysed(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/day1/clip.mp4"), tmp_path / "clip"))
    index = JobIndex(tmp_path)
    # Two inputs of the same name are called apart, but the first has results already.
    assert index.folder_name("/day1/clip.mp4", "clip-11111111") == "clip"
    assert index.folder_name("/day2/clip.mp4", "clip-22222222") == "clip-22222222"


def test_results_of_an_input_that_fails_now_stay_its_own(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/day1/clip.mp4"), tmp_path / "clip"))
    record_result(tmp_path, JobResult("/day1/clip.mp4", None, "failed", message="gone"))
    assert JobIndex(tmp_path).folder_name("/day2/clip.mp4", "clip") != "clip"
    assert [(line["folder"], line["status"]) for line in lines(tmp_path)] == [("clip", "failed")]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    place = b"/a/caf\xe9.mp4".decode(errors="surrogateescape")
    record_result(tmp_path, done(Path(place), tmp_path / "caf"))
    record_result(tmp_path, done(Path("/a/b.mp4"), tmp_path / "b"))
    assert b"/a/caf\xe9.mp4,caf,done" in (tmp_path / "index.csv").read_bytes()
    assert JobIndex(tmp_path).folder_name(place, "x") == "caf"


def test_counts_of_a_folder_can_be_corrected(tmp_path: Path) -> None:
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    record_result(tmp_path, done(Path("/a/y.mp4"), tmp_path / "y"))
    record_counts(tmp_path / "y", rows=7, tracks=1)
    assert [(line["rows"], line["tracks"]) for line in lines(tmp_path)] == [("9", "2"), ("7", "1")]


def test_a_folder_without_an_index_needs_no_correction(tmp_path: Path) -> None:
    record_counts(tmp_path / "x", rows=7, tracks=1)
    assert not list(tmp_path.iterdir())


def test_many_results_are_few_writes_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []

    def write(path: Path, table: list[dict[str, str]]) -> None:
        writes.append(len(table))
        real(path, table)

    real = job_index._write
    monkeypatch.setattr(job_index, "_write", write)
    monkeypatch.setattr(job_index.time, "monotonic", iter(range(50_000)).__next__)
    monkeypatch.setattr(job_index, "SAVE_EVERY_S", 400)
    index = JobIndex(tmp_path)
    for number in range(1000):
        index.record(done(Path(f"/a/{number}.mp4"), tmp_path / str(number)))
    assert index.close() == ""
    assert len(writes) <= 5
    assert [line["folder"] for line in lines(tmp_path)] == [str(number) for number in range(1000)]


def test_two_jobs_may_write_to_one_folder(tmp_path: Path) -> None:
    first, second = JobIndex(tmp_path), JobIndex(tmp_path)
    first.record(done(Path("/a/x.mp4"), tmp_path / "x"))
    second.record(done(Path("/b/x.mp4"), tmp_path / "y"))
    first.record(done(Path("/a/z.mp4"), tmp_path / "z"))
    assert (second.close(), first.close()) == ("", "")
    assert {line["input"] for line in lines(tmp_path)} == {"/a/x.mp4", "/b/x.mp4", "/a/z.mp4"}


def test_urls_of_older_versions_lose_their_signatures(tmp_path: Path) -> None:
    old = "https://h/a.mp4?Expires=5&Signature=hunter2"
    (tmp_path / "index.csv").write_text(f"input,folder,status,frames,rows,tracks,message\n{old},a,done,5,9,2,\n")
    assert JobIndex(tmp_path).folder_name("https://h/a.mp4", "other") == "a"
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    assert [line["input"] for line in lines(tmp_path)] == ["https://h/a.mp4", "/a/x.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_folder_may_be_shared_by_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_result(tmp_path, done(Path("/a/x.mp4"), tmp_path / "x"))
    lock, mask = tmp_path / ".index.lock", os.umask(0)
    os.umask(mask)
    assert lock.stat().st_mode & 0o777 == 0o666 & ~mask
    real = os.open

    def open_as_another(path: Path, flags: int, *mode: int) -> int:
        """Root, whom tests may run as, is never refused."""
        if path == lock and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_as_another)
    record_result(tmp_path, done(Path("/b/x.mp4"), tmp_path / "y"))
    assert len(lines(tmp_path)) == 2


WRITER = """
import sys
from pathlib import Path
from affectline.job_index import JobIndex, JobResult
folder, name = Path(sys.argv[1]), sys.argv[2]
for number in range(40):
    index = JobIndex(folder)
    index.record(JobResult(f"/{name}/{number}.mp4", folder / f"{name}-{number}", "done"))
    assert index.close() == ""
"""


def test_commands_that_write_at_once_lose_no_line(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, name]) for name in "abcd"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    assert {line["input"] for line in lines(tmp_path)} == {f"/{a}/{n}.mp4" for a in "abcd" for n in range(40)}


def test_what_keeps_the_index_from_being_written_is_said(tmp_path: Path) -> None:
    index = JobIndex(tmp_path / "gone")
    with pytest.raises(OutputError, match=r"cannot write .*index.csv"):
        index.record(done(Path("/a/x.mp4"), tmp_path / "x"))
    assert "index.csv" in index.close()
