"""The results of a Ray cluster are those of one process, whatever happens to its workers."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import pytest

from affectline import AnalyzeOptions, Timeline, cluster
from affectline.cluster import ClusterOptions, run_tasks, shared_folder
from affectline.errors import InputError, MissingExtraError, ModelFileError, OutputError
from affectline.inputs import expand_inputs
from affectline.job_index import JobResult
from affectline.jobs import OutputOptions, run_jobs
from affectline.jobs_on_ray import run_jobs_on_ray
from faces_on_video import write_video

pytestmark = pytest.mark.usefixtures("ray_cluster")

OPTIONS = AnalyzeOptions(action_units=False, threads=1)


@dataclass
class Listener:
    """Keeps what it is told."""

    results: list[JobResult] = field(default_factory=list)
    progress: list[tuple[str, int, int | None]] = field(default_factory=list)

    def begin(self, name: str) -> None:
        pass

    def advance(self, stage: str, done: int, total: int | None) -> None:
        self.progress.append((stage, done, total))

    def finish(self, result: JobResult) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
    """Three pieces of the demo clip, and a file that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    with av.open(str(demo_clip)) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    for name, piece in (("a", frames[:60]), ("b", frames[60:100]), ("long", frames[:220])):
        write_video(folder / f"{name}.mp4", piece)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def expected(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine makes of them."""
    out = tmp_path_factory.mktemp("local")
    saving = OutputOptions(out, ("csv", "parquet"), annotate=False)
    run_jobs(expand_inputs([videos], None), OPTIONS, saving, Listener())
    return out


def index_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda line: line["input"])


def assert_same(found: Path, expected: Path) -> None:
    """Same folders, tables and index, to the last digit."""
    assert index_of(found) == index_of(expected)
    assert {entry.name for entry in found.iterdir()} == {entry.name for entry in expected.iterdir()}
    for name in ("a", "b", "long"):
        assert (found / name / "timeline.csv").read_bytes() == (expected / name / "timeline.csv").read_bytes()
        here, there = (Timeline.from_parquet(folder / name / "timeline.parquet") for folder in (found, expected))
        assert here.table.equals(there.table)
        assert replace(here.provenance, created="") == replace(there.provenance, created="")


def test_results_equal_those_of_one_process(videos: Path, expected: Path, tmp_path: Path) -> None:
    listener = Listener()
    saving = OutputOptions(tmp_path / "out", ("csv", "parquet"), annotate=False)
    inputs = expand_inputs([videos], None)
    results = run_jobs_on_ray(inputs, OPTIONS, saving, listener, ClusterOptions())
    assert [result.status for result in results] == ["done", "done", "failed", "done"]
    assert "broken.mp4" in results[2].message
    assert_same(tmp_path / "out", expected)
    assert {result.input for result in listener.results} == {item.place for item in inputs}
    assert listener.progress == [("inputs", number, 4) for number in (1, 2, 3, 4)]


def worker_that_writes(path: Path) -> int | None:
    """Return the other process that has a file open."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink() == path and int(entry.parts[2]) != os.getpid():
                return int(entry.parts[2])
        except OSError:
            continue  # it ended meanwhile
    return None


def kill_in_mid_video(part: Path, killed: list[int]) -> None:
    """Kill the worker that analyses a video, once some of its rows are on disk."""
    begun_with = None
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        size = part.stat().st_size if part.exists() else 0
        begun_with = begun_with or size or None
        if begun_with is not None and size > 2 * begun_with:
            pid = worker_that_writes(part)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds the worker by /proc")
def test_a_worker_that_is_killed_in_mid_video_is_replaced(
    videos: Path, expected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saving = OutputOptions(tmp_path / "out", ("csv", "parquet"), annotate=False)
    killed: list[int] = []
    part = tmp_path / "out" / "long" / "timeline.part.arrow"
    killer = threading.Thread(target=kill_in_mid_video, args=(part, killed))
    killer.start()
    results = run_jobs_on_ray(expand_inputs([videos], None), OPTIONS, saving, Listener(), ClusterOptions())
    killer.join()
    assert len(killed) == 1
    assert "a worker was lost" in caplog.text
    assert [result.status for result in results] == ["done", "done", "failed", "done"]
    assert_same(tmp_path / "out", expected)


def test_finished_videos_are_not_done_again(videos: Path, expected: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    saving = OutputOptions(out, ("csv", "parquet"), annotate=False)
    run_jobs_on_ray(expand_inputs([videos / "a.mp4"], None), OPTIONS, saving, Listener(), ClusterOptions())
    before = (out / "a" / "timeline.csv").stat().st_mtime_ns
    resuming = replace(saving, resume=True)
    results = run_jobs_on_ray(expand_inputs([videos], None), OPTIONS, resuming, Listener(), ClusterOptions())
    assert [result.status for result in results] == ["skipped", "done", "failed", "done"]
    assert (out / "a" / "timeline.csv").stat().st_mtime_ns == before
    assert_same(out, expected)


def test_a_model_that_cannot_be_loaded_ends_it_all(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    options = replace(OPTIONS, backbone=str(tmp_path / "bad.onnx"))
    saving = OutputOptions(tmp_path / "out", annotate=False)
    with pytest.raises(ModelFileError, match=r"^/.*bad.onnx is damaged or no ONNX network") as raised:
        run_jobs_on_ray(expand_inputs([videos], None), options, saving, Listener(), ClusterOptions())
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "out").iterdir()) == []


def make_lose() -> Callable[[int, bool], int]:
    """Return a function that Ray can send: workers do not find the modules of the tests."""

    def lose(number: int, is_retry: bool) -> int:
        """Kill the worker at 2 always, at 1 the first time; else return the square."""
        if number == 2 or (number == 1 and not is_retry):
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    return lose


def test_losses_are_counted_and_end() -> None:
    found = sorted(run_tasks(make_lose(), [0, 1, 2, 3], ClusterOptions(retries=1)), key=lambda done: done.number)
    assert [(done.result, done.losses) for done in found] == [(0, 0), (1, 1), (None, 2), (9, 0)]


def make_fail(is_stubborn: bool) -> Callable[[int, bool], int]:
    def fail(number: int, is_retry: bool) -> int:
        """Raise at 0; else last for half a minute, and past an interruption if stubborn."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                time.sleep(0.01)
                if number == 0 and time.monotonic() > deadline - 29:
                    raise InputError("no")
            except KeyboardInterrupt:
                if not is_stubborn:
                    raise
        return number

    return fail


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_only_what_does_not_end_by_itself_is_killed(is_stubborn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    forced = []

    def cancel(reference: object, *, force: bool) -> None:
        # To kill the worker of a task that has just ended makes Ray end this very process.
        forced.append(reference) if force else None
        real(reference, force=force)

    real = ray.cancel
    monkeypatch.setattr(ray, "cancel", cancel)
    monkeypatch.setattr(cluster, "STOP_WITHIN_S", 1.0 if is_stubborn else 20.0)
    with pytest.raises(InputError, match=r"^no$"):
        list(run_tasks(make_fail(is_stubborn), [0, 1, 2, 3], ClusterOptions()))
    assert bool(forced) == is_stubborn


def test_a_folder_that_is_not_shared_is_noticed(tmp_path: Path) -> None:
    with shared_folder(tmp_path) as check:
        check()
        for mark in tmp_path.iterdir():
            mark.unlink()
        with pytest.raises(OutputError, match=r"--output must be one that all machines see under the same path"):
            check()
    assert list(tmp_path.iterdir()) == []


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with pytest.raises(InputError, match=r"has affectline .*, the machine that began the work 0.0.1; install the same"):
        list(run_tasks(make_lose(), [3], ClusterOptions()))


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"at least 1 core .*, got 0, 0 and 3"):
        ClusterOptions(cpus=0)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'affectline\[ray\]'"):
        list(run_tasks(make_lose(), [3], ClusterOptions()))
