"""The command line as a person uses it: results, exit codes, one-line errors, and going on after a kill."""

from __future__ import annotations

import csv
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import clips
from affectline import Timeline
from affectline.backbones import DEFAULT_BACKBONE
from affectline.faces.registry import DEFAULT_DETECTOR
from affectline.labels import Task
from affectline.landmark_file import read_landmarks
from faces_on_video import scenery, write_video

COMMAND = [sys.executable, "-m", "affectline"]


def affectline(*words: object, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)


@pytest.fixture(scope="module")
def empty_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip without a face: quick to analyse."""
    path = tmp_path_factory.mktemp("media") / "empty.mp4"
    return write_video(path, [scenery((160, 120))] * 6)


def index_lines(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def one_line(outcome: subprocess.CompletedProcess[str]) -> str:
    """Return the only line of the error output that affectline wrote."""
    (line,) = [line for line in outcome.stderr.splitlines() if line.startswith("affectline: ")]
    assert "Traceback" not in outcome.stderr
    return line


class TestAnalyze:
    def test_writes_all_that_the_manual_names(self, empty_clip: Path, tmp_path: Path) -> None:
        outcome = affectline("analyze", empty_clip, "-o", tmp_path, "--format", "csv,parquet,jsonl")
        assert outcome.returncode == 0, outcome.stderr
        folder = tmp_path / "empty"
        assert {file.name for file in folder.iterdir()} == {
            ".input",
            "timeline.csv",
            "timeline.parquet",
            "timeline.jsonl",
            "summary.json",
            "timeline.png",
            "annotated.mp4",
        }
        assert Timeline.from_csv(folder / "timeline.csv").column("status").tolist() == ["no_face"] * 6
        assert json.loads((folder / "summary.json").read_text())["rows"]["no_face"] == 6
        (line,) = index_lines(tmp_path)
        assert (line["folder"], line["status"], line["frames"]) == ("empty", "done", "6")

    def test_a_stride_is_written_down_and_part_of_the_settings(self, empty_clip: Path, tmp_path: Path) -> None:
        words = ["analyze", empty_clip, "-o", tmp_path, "--no-video", "--stride"]
        assert "done" in affectline(*words, 0.1).stdout
        summary = json.loads((tmp_path / "empty" / "summary.json").read_text())
        assert (summary["stride_s"], summary["rows"]["no_face"]) == (0.1, 6)
        assert "skipped" in affectline(*words, 0.1, "--resume").stdout
        assert "done" in affectline(*words, 0.2, "--resume").stdout

    def test_a_finished_input_is_skipped_whatever_its_format(self, empty_clip: Path, tmp_path: Path) -> None:
        words = ["analyze", empty_clip, "-o", tmp_path, "--no-video", "--format", "jsonl"]
        assert "done" in affectline(*words).stdout
        assert "skipped" in affectline(*words, "--resume").stdout

    def test_a_report_is_written_when_asked_for_and_anew_later(self, empty_clip: Path, tmp_path: Path) -> None:
        words = ["analyze", empty_clip, "-o", tmp_path, "--no-video", "--report"]
        outcome = affectline(*words)
        assert outcome.returncode == 0, outcome.stderr
        page = tmp_path / "empty" / "report.html"
        assert "No face was found" in page.read_text(encoding="utf-8")
        assert 'id="video-data"' in page.read_text(encoding="utf-8")
        assert "skipped" in affectline(*words, "--resume").stdout
        page.unlink()
        assert "done" in affectline(*words, "--resume").stdout
        outcome = affectline("report", tmp_path / "empty")
        assert outcome.stdout.strip() == str(page)
        assert 'id="video-data"' not in page.read_text(encoding="utf-8")

    def test_a_report_of_nothing_is_one_line(self, tmp_path: Path) -> None:
        outcome = affectline("report", tmp_path)
        assert outcome.returncode == 2
        assert "has no timeline.parquet, .csv or .jsonl" in one_line(outcome)

    def test_one_bad_input_does_not_stop_the_others(self, empty_clip: Path, tmp_path: Path) -> None:
        text = tmp_path / "notes é.mp4"
        text.write_text("not a video at all\n" * 50)
        outcome = affectline("analyze", text, empty_clip, tmp_path / "gone.mp4", "-o", tmp_path / "out", "--no-video")
        assert outcome.returncode == 1
        assert f"{text}: not a video that can be read" in outcome.stderr
        assert "gone.mp4: no such file" in outcome.stderr
        lines = {line["folder"] or line["input"]: line["status"] for line in index_lines(tmp_path / "out")}
        assert lines == {str(text): "failed", "empty": "done", str(tmp_path / "gone.mp4"): "failed"}
        assert not (tmp_path / "out" / "gone").exists()

    def test_a_truncated_video_is_analysed_as_far_as_it_goes(self, tmp_path: Path) -> None:
        clip = clips.truncated(clips.cfr(tmp_path / "whole.mkv", frames=60, coding=clips.Coding(has_noise=True)), 0.6)
        outcome = affectline("analyze", clip.path, "-o", tmp_path / "out", "--no-video")
        assert outcome.returncode == 1
        assert str(clip.path) in one_line(outcome)
        rows = Timeline.from_csv(tmp_path / "out" / clip.path.stem / "timeline.csv")
        assert 10 < len(rows) < 60
        assert not rows.provenance.is_complete

    def test_landmarks_are_saved(self, demo_clip: Path, tmp_path: Path) -> None:
        outcome = affectline("analyze", demo_clip, "-o", tmp_path, "--end", 1, "--no-video", "--save-landmarks")
        assert outcome.returncode == 0, outcome.stderr
        marks = read_landmarks(tmp_path / demo_clip.stem / "landmarks.arrow")
        assert marks["frame"].to_pylist() == list(range(24))
        points = np.array(marks["points"].to_pylist()).reshape(24, 478, 3)
        assert points[..., 0].min() > 0
        assert points[..., 0].max() < 640
        assert np.array(marks["blendshapes"].to_pylist()).shape == (24, 52)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--format", "xlsx"], "--format knows csv, parquet, jsonl, got 'xlsx'"),
            (["--every", "2", "--fps", "5"], "not both"),
            (["--start", "5", "--end", "2"], "must lie after start"),
            (["--stride", "0"], "the stride must be a number of seconds above 0, got 0.0"),
            (["--stride", "0.2", "--filter", "causal"], "the causal filter knows only those before"),
            (["--sure-from", "0.8"], "give both or neither"),
            (["--smooth", "mood=1"], "mood"),
            (["--detector", "eyes"], "no detector is named 'eyes'"),
            (["--backbone", "resnet"], "resnet"),
        ],
    )
    def test_wrong_use_is_one_line_and_code_2(
        self, words: list[str], expected: str, empty_clip: Path, tmp_path: Path
    ) -> None:
        outcome = affectline("analyze", empty_clip, "-o", tmp_path / "out", *words)
        assert outcome.returncode == 2
        assert expected in one_line(outcome)

    def test_an_unusable_output_folder_is_one_line(self, empty_clip: Path, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("a file")
        outcome = affectline("analyze", empty_clip, "-o", tmp_path / "taken")
        assert outcome.returncode == 1
        assert "cannot write to the folder" in one_line(outcome)

    def test_a_full_disk_is_one_line_and_leaves_no_half_file(self, empty_clip: Path, tmp_path: Path) -> None:
        def no_file_over_4_kb() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        outcome = affectline("analyze", empty_clip, "-o", tmp_path, limit=no_file_over_4_kb)
        assert outcome.returncode == 1
        assert "cannot write" in one_line(outcome)
        assert not list(tmp_path.rglob("*.tmp"))

    def test_offline_with_nothing_cached_says_what_to_do(
        self, empty_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path / "cache"))
        outcome = affectline("analyze", empty_clip, "-o", tmp_path / "out", "--offline")
        assert outcome.returncode == 1
        assert "affectline models pull face_landmarker" in one_line(outcome)


@pytest.fixture(scope="module")
def unbroken(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    out = tmp_path_factory.mktemp("unbroken")
    assert affectline("analyze", demo_clip, "-o", out, "--no-video").returncode == 0
    return Timeline.from_parquet(out / demo_clip.stem / "timeline.parquet")


class TestInterruption:
    def start(self, clip: Path, out: Path) -> subprocess.Popen[str]:
        """Start an analysis and wait until it has put rows on disk."""
        process = subprocess.Popen(
            [*COMMAND, "analyze", str(clip), "-o", str(out), "--no-video"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs the tests in the background has them ignore Ctrl-C; a person's shell does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
        )
        part = out / clip.stem / "timeline.part.arrow"
        for _ in range(600):
            if part.exists() and part.stat().st_size > 20_000:
                return process
            time.sleep(0.1)
        process.kill()
        raise AssertionError(process.communicate())

    @pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
    def test_resume_ends_with_the_table_of_an_unbroken_run(
        self, how: signal.Signals, code: int, demo_clip: Path, tmp_path: Path, unbroken: Timeline
    ) -> None:
        process = self.start(demo_clip, tmp_path)
        process.send_signal(how)
        _, errors = process.communicate()
        assert process.returncode == code
        assert "Traceback" not in errors
        folder = tmp_path / demo_clip.stem
        assert not (folder / "timeline.csv").exists()
        outcome = affectline("analyze", demo_clip, "-o", tmp_path, "--no-video", "--resume")
        assert outcome.returncode == 0, outcome.stderr
        assert not (folder / "timeline.part.arrow").exists()
        assert Timeline.from_csv(folder / "timeline.csv").table.equals(unbroken.table)

        before = (folder / "timeline.csv").stat().st_mtime_ns
        again = affectline("analyze", demo_clip, "-o", tmp_path, "--no-video", "--resume")
        assert "skipped" in again.stdout
        assert (folder / "timeline.csv").stat().st_mtime_ns == before


class TestOtherCommands:
    @pytest.mark.parametrize("command", ["analyze", "serve"])
    def test_help_names_the_models_that_are_taken(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "220")
        told = " ".join(affectline(command, "--help").stdout.replace("│", " ").split())
        assert f"Without: {DEFAULT_BACKBONE}." in told
        assert f"[default: ({DEFAULT_DETECTOR})]" in told

    def test_help_answers(self) -> None:
        outcome = affectline("--help")
        assert outcome.returncode == 0
        for name in ("analyze", "models", "doctor", "schema", "tracks"):
            assert name in outcome.stdout

    def test_version(self) -> None:
        assert affectline("--version").stdout == "affectline 0.1.0\n"

    def test_schema_as_json_names_every_column(self) -> None:
        columns = {entry["name"]: entry for entry in json.loads(affectline("schema", "--json").stdout)}
        assert columns["valence"]["range"]
        assert "au26_on" in columns
        assert "valence" in affectline("schema").stdout

    def test_models_list_shows_licences(self) -> None:
        text = affectline("models", "list").stdout
        assert "enet_b0_8_va_mtl" in text
        assert "Apache-2.0" in text

    def test_models_verify_finds_damage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path))
        (tmp_path / "face_landmarker.task").write_bytes(b"damaged")
        outcome = affectline("models", "verify", "face_landmarker", "yunet")
        assert outcome.returncode == 1
        assert "face_landmarker: DAMAGED" in outcome.stdout
        assert "yunet: not here" in outcome.stdout

    def test_doctor_finds_nothing_wrong_here(self) -> None:
        outcome = affectline("doctor")
        assert outcome.returncode == 0, outcome.stderr
        assert "no problem found" in outcome.stdout

    def test_tracks_merge_mends_every_file(self, demo_clip: Path, tmp_path: Path) -> None:
        # The face is away for a second and a half, so tracking has to give it a new number.
        from affectline import Sampling, read_frames

        shown = [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=4))]
        pictures = [scenery((640, 360)) if 30 <= number < 66 else rgb for number, rgb in enumerate(shown)]
        clip = write_video(tmp_path / "away.mp4", pictures)
        options = ("--report", "--save-landmarks", "--no-au")
        assert affectline("analyze", clip, "-o", tmp_path / "out", *options).returncode == 0
        folder = tmp_path / "out" / "away"
        before = Timeline.from_csv(folder / "timeline.csv")
        assert before.track_ids == (1, 2)
        assert np.isnan(before.column("au12")).all()  # though the landmarks are there to tell it
        assert Task.AU not in {head.task for head in before.provenance.heads}
        assert "Summary of Track 2" in (folder / "report.html").read_text()
        seen = (folder / "annotated.mp4").read_bytes()
        shutil.copytree(tmp_path / "out", tmp_path / "moved")
        outcome = affectline("tracks", "merge", folder, 1, 2)
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout == "track 2 is now part of track 1; tracks: 1\n"
        assert Timeline.from_csv(folder / "timeline.csv") == Timeline.from_parquet(folder / "timeline.parquet")
        assert Timeline.from_csv(folder / "timeline.csv").track_ids == (1,)
        assert set(read_landmarks(folder / "landmarks.arrow")["track_id"].to_pylist()) == {1}
        (line,) = index_lines(tmp_path / "out")
        assert line["tracks"] == "1"
        assert "Summary of Track 2" not in (folder / "report.html").read_text()
        assert 'id="video-data"' in (folder / "report.html").read_text()
        assert (folder / "annotated.mp4").read_bytes() != seen
        clip.unlink()
        outcome = affectline("tracks", "merge", tmp_path / "moved" / "away", 1, 2)
        assert outcome.stdout.splitlines()[1:] == [
            f"report.html still shows both: what was analysed is not where it was; `affectline report "
            f"{tmp_path / 'moved' / 'away'} --video FILE` makes it anew",
            "annotated.mp4 still shows both: what was analysed is not where it was",
        ]
        wrong = affectline("tracks", "merge", folder, 1, 9)
        assert wrong.returncode == 2
        assert "9" in one_line(wrong)
