"""What is left in the output folder by runs after runs, failed runs and killed runs."""

from __future__ import annotations

import csv
import errno
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import pytest

from affectline import AnalyzeOptions, Sampling, Timeline
from affectline.backbones.openvino_network import can_bf16
from affectline.describe import DEPENDENCIES
from affectline.errors import OutputError
from affectline.inputs import expand_inputs, open_input
from affectline.job_index import JobIndex, JobResult
from affectline.jobs import OutputOptions, run_jobs
from affectline.part import PartWriter
from affectline.postprocess.smoothing import Smoothing
from affectline.result_folders import claimed_folder, own_folder
from faces_on_video import scenery, write_video

NO_FACES = AnalyzeOptions(action_units=False)

needs_bf16 = pytest.mark.skipif(not can_bf16(), reason="no bfloat16 arithmetic in this processor")


@dataclass
class Silent:
    """Keeps what it is told."""

    results: list[JobResult] = field(default_factory=list)

    def begin(self, name: str) -> None:
        pass

    def advance(self, stage: str, done: int, total: int | None) -> None:
        pass

    def finish(self, result: JobResult) -> None:
        self.results.append(result)


def run(
    paths: Sequence[Path], out: Path, options: AnalyzeOptions = NO_FACES, *, formats: tuple[str, ...] = ("csv",)
) -> list[JobResult]:
    saving = OutputOptions(out, formats, annotate=False)
    return run_jobs(expand_inputs(paths, None), options, saving, Silent())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "clip.mp4", [scenery((96, 96))] * 3)


def test_two_runs_on_inputs_of_the_same_name_keep_both_results(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "clip.mp4", [scenery((96, 96))] * 5)
    out = tmp_path / "out"
    (first,), (second,) = run([clip], out), run([other], out)
    assert first.folder == out / "clip"
    assert second.folder is not None
    assert second.folder.name.startswith("clip-")
    assert [len(Timeline.from_csv(folder / "timeline.csv")) for folder in (first.folder, second.folder)] == [3, 5]
    (again,) = run([clip], out)
    assert again.folder == first.folder


def interrupted(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the first rows are kept, then be interrupted."""
    write = PartWriter.write

    def stop(self: PartWriter, *words: object) -> None:
        write(self, *words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            run([path], out)


@pytest.mark.parametrize("resumes", [False, True])
def test_what_an_interrupted_run_has_kept_is_its_own(
    resumes: bool, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, out = write_video(tmp_path / "clip.mp4", [scenery((96, 96))] * 5), tmp_path / "out"
    interrupted(clip, out, monkeypatch)
    kept = (out / "clip" / "timeline.part.arrow").read_bytes()
    result = resumed(other, out) if resumes else run([other], out)[0]
    assert (result.status, result.rows) == ("done", 5)
    assert result.folder.name.startswith("clip-")
    assert (out / "clip" / "timeline.part.arrow").read_bytes() == kept
    assert resumed(clip, out).folder == out / "clip"
    assert len(Timeline.from_csv(out / "clip" / "timeline.csv")) == 3


def test_of_two_that_claim_a_folder_one_gets_it(tmp_path: Path) -> None:
    places = [f"/videos/{number}/clip.mp4" for number in range(8)]
    with ThreadPoolExecutor(8) as executor:
        folders = list(executor.map(lambda place: claimed_folder(tmp_path / "clip", place), places))
    assert len(set(folders)) == len(places)
    assert [claimed_folder(tmp_path / "clip", place) for place in places] == folders
    assert [own_folder(tmp_path / "clip", place) for place in places] == folders


def test_an_input_that_is_claimed_twice_at_once_has_one_folder(tmp_path: Path) -> None:
    for number in range(20):
        with ThreadPoolExecutor(4) as executor:
            folder = tmp_path / str(number)
            assert set(executor.map(lambda _, folder=folder: claimed_folder(folder, "/clip.mp4"), range(4))) == {folder}


@pytest.mark.parametrize("has_links", [True, False])
def test_a_full_disk_leaves_no_folder_without_an_owner(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        with pytest.raises(OutputError, match="No space left on device"):
            claimed_folder(tmp_path / "clip", "/a/clip.mp4")
    assert not list((tmp_path / "clip").iterdir())
    assert claimed_folder(tmp_path / "clip", "/a/clip.mp4") == tmp_path / "clip"
    assert claimed_folder(tmp_path / "clip", "/b/clip.mp4") != tmp_path / "clip"
    assert claimed_folder(tmp_path / "clip", "/a/clip.mp4") == tmp_path / "clip"


def test_tables_of_an_earlier_run_are_brought_up_to_date(clip: Path, tmp_path: Path) -> None:
    run([clip], tmp_path, formats=("parquet",))
    run([clip], tmp_path, AnalyzeOptions(action_units=False, smoothing=Smoothing.off()), formats=("csv",))
    from_csv, from_parquet = (
        Timeline.from_csv(tmp_path / "clip" / "timeline.csv"),
        Timeline.from_parquet(tmp_path / "clip" / "timeline.parquet"),
    )
    assert from_csv == from_parquet
    assert from_csv.provenance.smoothing == Smoothing.off()


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), scenery((64, 48)))
    return folder


def resumed(path: Path, out: Path, options: AnalyzeOptions = NO_FACES, **more: bool) -> JobResult:
    saving = OutputOptions(out, ("csv",), annotate=False, resume=True, **more)
    (result,) = run_jobs(expand_inputs([path], options.sequence_fps), options, saving, Silent())
    return result


def test_a_folder_at_another_rate_or_with_more_pictures_is_analysed_again(tmp_path: Path) -> None:
    folder, out = pictures(tmp_path / "shots", 3), tmp_path / "out"
    at = {fps: AnalyzeOptions(action_units=False, sequence_fps=fps) for fps in (25.0, 5.0)}
    assert [resumed(folder, out, at[fps]).status for fps in (25.0, 25.0, 5.0)] == ["done", "skipped", "done"]
    times = Timeline.from_csv(out / "shots" / "timeline.csv").column("time_s")
    assert times.tolist() == [0.0, 0.2, 0.4]
    pictures(folder, 4)
    assert resumed(folder, out, at[5.0]).status == "done"
    assert [resumed(folder, tmp_path / "other").status for _ in range(2)] == ["done", "skipped"]
    pictures(folder, 5)
    assert resumed(folder, tmp_path / "other").status == "done"


def test_files_of_an_earlier_run_that_this_one_does_not_make_go(clip: Path, tmp_path: Path) -> None:
    options = AnalyzeOptions()
    saving = OutputOptions(tmp_path, ("csv",), annotate=True, save_landmarks=True)
    run_jobs(expand_inputs([clip], None), options, saving, Silent())
    assert {"annotated.mp4", "landmarks.arrow"} <= {path.name for path in (tmp_path / "clip").iterdir()}
    (tmp_path / "clip" / "report_video.mp4").touch()  # beside a report of a long video
    changed = AnalyzeOptions(max_faces=1)
    run([clip], tmp_path, changed)
    assert not {"annotated.mp4", "landmarks.arrow", "report_video.mp4"} & {
        path.name for path in (tmp_path / "clip").iterdir()
    }
    assert resumed(clip, tmp_path, changed).status == "skipped"
    assert resumed(clip, tmp_path, changed, save_landmarks=True).status == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_stops_nothing(clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / b"caf\xe9.mp4".decode(errors="surrogateescape")
    odd.write_bytes(clip.read_bytes())
    first, second = run([odd, clip], tmp_path / "out")
    assert (first.status, second.status) == ("done", "done")
    odd.write_bytes(clip.read_bytes()[:-20])
    (cut,) = run([odd], tmp_path / "out")
    assert cut.status == "incomplete"
    assert "caf\\xe9.mp4: the file ends early" in cut.message
    command = [sys.executable, "-m", "affectline", "analyze", str(odd), str(clip), "-o", str(tmp_path / "strict")]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    said = subprocess.run([*command, "--no-au", "--no-video"], env=environment, capture_output=True, check=False)
    assert b"Traceback" not in said.stderr
    assert b"caf\\xe9.mp4: incomplete" in said.stdout
    assert b"clip.mp4: done" in said.stdout
    assert first.folder.name == "caf\\xe9"
    folder = pictures(tmp_path / "shots", 2)
    (folder / "1.png").rename(folder / b"\xff\xe9.png".decode(errors="surrogateescape"))
    (result,) = run([folder], tmp_path / "out")
    assert result.status == "done"
    assert set(Timeline.from_csv(result.folder / "timeline.csv").column("source")) == {"0.png", "\\xff\\xe9.png"}


def test_a_file_of_dots_stays_in_its_place(clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "...mp4"
    odd.write_bytes(clip.read_bytes())
    (result,) = run([odd], tmp_path / "out" / "inner")
    assert result.folder.parent == tmp_path / "out" / "inner"


def test_other_pictures_of_the_same_number_are_analysed_again(tmp_path: Path) -> None:
    folder, out = pictures(tmp_path / "shots", 2), tmp_path / "out"
    assert [resumed(folder, out).status for _ in range(2)] == ["done", "skipped"]
    (folder / "0.png").rename(folder / "2.png")
    assert [resumed(folder, out).status for _ in range(2)] == ["done", "skipped"]
    later = (out / "shots" / "summary.json").stat().st_mtime_ns + 10**9
    os.utime(folder / "2.png", ns=(later, later))
    assert resumed(folder, out).status == "done"


def test_a_run_that_fails_leaves_what_is_there(clip: Path, tmp_path: Path) -> None:
    saving = OutputOptions(tmp_path, ("csv",), annotate=True)
    run_jobs(expand_inputs([clip], None), NO_FACES, saving, Silent())
    before = {path.name for path in (tmp_path / "clip").iterdir()}
    beyond = replace(NO_FACES, sampling=Sampling(start_s=100.0))
    (failed,) = run([clip], tmp_path, beyond)
    assert (failed.status, "has no frame from --start on" in failed.message) == ("failed", True)
    assert {path.name for path in (tmp_path / "clip").iterdir()} == before
    resuming = replace(saving, resume=True)
    (again,) = run_jobs(expand_inputs([clip], None), NO_FACES, resuming, Silent())
    assert again.status == "skipped"


def test_a_fault_of_a_library_costs_one_input(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    broken = iter([RuntimeError("429 too many requests")])

    def opened(*words: object):
        fault = next(broken, None)
        if fault is not None:
            raise fault
        return open_input(*words)

    monkeypatch.setattr("affectline.jobs.open_input", opened)
    first, second = run([clip, other], tmp_path / "out")
    assert (first.status, first.message) == ("failed", "RuntimeError: 429 too many requests")
    assert second.status == "done"


def test_what_a_killed_run_was_writing_is_removed(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / ".annotated.mp4.01234567.tmp").write_bytes(b"half")
    (tmp_path / "clip" / "notes.txt").write_text("mine")
    run([clip], tmp_path)
    names = {file.name for file in (tmp_path / "clip").iterdir()}
    assert names == {".input", "notes.txt", "timeline.csv", "timeline.png", "summary.json"}


def test_results_never_go_into_the_input(tmp_path: Path) -> None:
    pictures = tmp_path / "photos"
    pictures.mkdir()
    (pictures / "1.ppm").write_bytes(b"P6 1 1 255 abc")
    video = write_video(tmp_path / "annotated.mp4", [scenery((96, 96))] * 2)
    (tmp_path / "annotated").mkdir()
    video = video.replace(tmp_path / "annotated" / "annotated.mp4")
    before = video.read_bytes()
    results = run([pictures, video], tmp_path)
    assert [result.status for result in results] == ["failed", "failed"]
    assert all("choose another --output" in result.message for result in results)
    assert [file.name for file in pictures.iterdir()] == ["1.ppm"]
    assert video.read_bytes() == before


def test_an_index_that_cannot_be_written_stops_nothing(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(index: JobIndex) -> None:
        raise OutputError("cannot write out/index.csv: No space left on device")

    monkeypatch.setattr(JobIndex, "_save", refuse)
    gone, done = run([tmp_path / "gone.mp4", clip], tmp_path)
    assert "no such file" in gone.message
    assert (done.status, "index.csv" in done.message) == ("done", True)
    assert (tmp_path / "clip" / "timeline.csv").is_file()


def test_a_skipped_input_is_listed_even_where_the_index_was_lost(clip: Path, tmp_path: Path) -> None:
    run([clip], tmp_path)
    (tmp_path / "index.csv").unlink()
    saving = OutputOptions(tmp_path, ("csv",), annotate=False, resume=True)
    run_jobs(expand_inputs([clip], None), NO_FACES, saving, Silent())
    with (tmp_path / "index.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["status"], line["frames"]) == ("skipped", "3")


def test_a_span_without_frames_is_said(clip: Path, tmp_path: Path) -> None:
    options = AnalyzeOptions(action_units=False, sampling=Sampling(start_s=100))
    (result,) = run([clip], tmp_path, options)
    assert result.status == "failed"
    said = r".*clip.mp4 \(it lasts 0.1\d s\) has no frame from --start on and before --end"
    assert re.fullmatch(said, result.message)


@needs_bf16
def test_the_precision_is_in_the_summary_and_keeps_parts_apart(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = AnalyzeOptions(action_units=False, device="openvino", precision="bf16")
    exact = AnalyzeOptions(action_units=False, device="openvino")
    (done,) = run([clip], tmp_path / "done", rough)
    provenance = Timeline.from_csv(tmp_path / "done" / "clip" / "timeline.csv").provenance
    assert (done.status, provenance.device, provenance.precision) == ("done", "openvino", "bf16")
    assert set(provenance.dependencies) == {*DEPENDENCIES, "openvino"}
    saving = OutputOptions(tmp_path / "done", ("csv",), annotate=False, resume=True)
    assert [result.status for result in run_jobs(expand_inputs([clip], None), rough, saving, Silent())] == ["skipped"]
    assert [result.status for result in run_jobs(expand_inputs([clip], None), exact, saving, Silent())] == ["done"]

    def fail(*_: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("affectline.jobs.finish_timeline", fail)
        run([clip], tmp_path / "half", rough)
    saving = OutputOptions(tmp_path / "half", ("csv",), annotate=False, resume=True)
    (refused,) = run_jobs(expand_inputs([clip], None), exact, saving, Silent())
    assert "it was made with other settings (precision: bf16 there, fp32 now)" in refused.message
    (resumed,) = run_jobs(expand_inputs([clip], None), rough, saving, Silent())
    assert resumed.status == "done"
