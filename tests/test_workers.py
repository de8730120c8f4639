"""One video, several processes: the table is the one of a single process, whatever happens."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pytest

from affectline import AnalyzeOptions, Sampling, Smoothing, Timeline, analyze, read_frames
from affectline.errors import WorkerError
from affectline.faces.stretches import STRETCH_S
from affectline.inputs import expand_inputs
from affectline.job_index import JobResult
from affectline.jobs import SEGMENTS_NAME, OutputOptions, run_jobs
from affectline.landmark_file import read_landmarks
from affectline.models import Models, load_models
from affectline.part import PartWriter
from affectline.records import UInt8Array
from faces_on_video import scenery

PLAIN = AnalyzeOptions(action_units=False, threads=2)
SIZE_WH = (320, 180)
RATE = Fraction(6)


def encode(path: Path, pictures: Iterator[tuple[float, UInt8Array]], rate: Fraction = RATE, **options: str) -> Path:
    """Write pictures at their times, with x264's options."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "18", **options})
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time_s, rgb in pictures:
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def shown(demo_clip: Path) -> list[UInt8Array]:
    """A face every sixth of a second, forwards and backwards."""
    small = [
        cv2.resize(frame.rgb, SIZE_WH, interpolation=cv2.INTER_AREA) for frame in read_frames(demo_clip, Sampling(4))
    ]
    return small + small[::-1]


def one_face(shown: list[UInt8Array], frames: int = 150) -> Iterator[tuple[float, UInt8Array]]:
    return ((float(k / RATE), shown[k % len(shown)]) for k in range(frames))


def two_faces(shown: list[UInt8Array]) -> Iterator[tuple[float, UInt8Array]]:
    """Two side by side; the left one is away around the first border, the right one goes at the second for good."""
    hidden = scenery((SIZE_WH[0] // 2, SIZE_WH[1]))
    for k in range(150):
        time_s = float(k / RATE)
        left = hidden.copy()
        left[20:160] = cv2.resize(shown[k % len(shown)][:, 110:315], (160, 140))
        is_away = STRETCH_S - 0.4 <= time_s < STRETCH_S + 0.3
        right = left if time_s < 2 * STRETCH_S else hidden
        yield time_s, np.ascontiguousarray(np.hstack([hidden if is_away else left, right]))


def of_variable_rate(shown: list[UInt8Array]) -> Iterator[tuple[float, UInt8Array]]:
    time_s = 0.0
    for k in range(150):
        yield time_s, shown[k % len(shown)]
        time_s += (0.05, 0.3, 0.17, 0.1)[k % 4]


BORDERED = ("closed", "two faces", "variable rate", "damaged")
CLIPS: dict[str, Callable[[Path, list[UInt8Array]], Path]] = {
    "closed": lambda p, shown: encode(p / "closed.mp4", one_face(shown), g="20", bf="3", b_strategy="0"),
    "two faces": lambda p, shown: encode(p / "two.mp4", two_faces(shown), g="13"),
    "variable rate": lambda p, shown: encode(p / "variable.mkv", of_variable_rate(shown), g="24", bf="2"),
    "long": lambda p, shown: encode(p / "long.mp4", one_face(shown, 240), g="20"),
    "damaged": lambda p, shown: damaged(encode(p / "damaged.mkv", one_face(shown), g="15")),
}


def damaged(path: Path) -> Path:
    """Overwrite a stretch of bytes in the middle, so that frames come out damaged or not at all."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * 0.55)
    data[start : start + 3000] = bytes(3000)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, shown: list[UInt8Array]) -> Callable[[str], Path]:
    folder, made = tmp_path_factory.mktemp("media"), dict[str, Path]()

    def get(name: str) -> Path:
        if name not in made:
            made[name] = CLIPS[name](folder, shown)
        return made[name]

    return get


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(PLAIN)


def assert_equal(found: Timeline, wanted: Timeline) -> None:
    """Cell by cell: keys, statuses and labels exactly, numbers within 1e-4."""
    assert found.table.schema == wanted.table.schema
    for name in wanted.table.schema.names:
        column, expected = found.table[name], wanted.table[name]
        if pa.types.is_floating(expected.type):
            np.testing.assert_allclose(column.to_numpy(), expected.to_numpy(), atol=1e-4, rtol=0, err_msg=name)
        else:
            assert column.to_pylist() == expected.to_pylist(), name
    there, expected_provenance = (replace(one.provenance, created="") for one in (found, wanted))
    assert there == expected_provenance


@dataclass
class Watcher:
    """Keeps what it is told, and does something when frames are done."""

    on_frames: Callable[[int], None] = lambda done: None
    done: list[int] = field(default_factory=list)

    def begin(self, name: str) -> None:
        pass

    def advance(self, stage: str, done: int, total: int | None) -> None:
        if stage == "frames":
            self.done.append(done)
            self.on_frames(done)

    def finish(self, result: JobResult) -> None:
        pass


def run(
    path: Path,
    out: Path,
    options: AnalyzeOptions,
    watcher: Watcher | None = None,
    *,
    resume: bool = False,
    marks: bool = False,
) -> JobResult:
    saving = OutputOptions(out, ("parquet",), annotate=False, save_landmarks=marks, resume=resume)
    (result,) = run_jobs(expand_inputs([path], None), options, saving, watcher or Watcher())
    return result


def table_in(out: Path, path: Path) -> Timeline:
    return Timeline.from_parquet(out / path.stem / "timeline.parquet")


class TestEqualsOneWorker:
    @pytest.mark.parametrize("name", BORDERED)
    @pytest.mark.parametrize("workers", [2, 3])
    def test_on_every_kind_of_clip(
        self, name: str, workers: int, clip: Callable[[str], Path], models: Models, caplog: pytest.LogCaptureFixture
    ) -> None:
        alone = analyze(clip(name), PLAIN, models=models)
        assert_equal(analyze(clip(name), replace(PLAIN, workers=workers), models=models), alone)
        assert caplog.records == []
        if name == "two faces":
            assert alone.track_ids == (1, 2)
            gap = alone.table.filter(pa.compute.equal(alone.table["status"], "interpolated"))
            assert sum(STRETCH_S - 0.4 < t < STRETCH_S + 0.3 for t in gap["time_s"].to_pylist()) == 4
        if name == "damaged":
            assert alone.provenance.problem is not None

    @pytest.mark.parametrize(
        "sampling",
        [
            Sampling(fps=2.3),
            Sampling(every=5),
            Sampling(start_s=3.3, end_s=21.7),
            Sampling(fps=4, start_s=9.9),
            Sampling(end_s=3600.0),
        ],
        ids=str,
    )
    def test_with_every_sampling(self, sampling: Sampling, clip: Callable[[str], Path], models: Models) -> None:
        options = replace(PLAIN, sampling=sampling)
        alone = analyze(clip("closed"), options, models=models)
        assert len(alone) > 20
        assert_equal(analyze(clip("closed"), replace(options, workers=2), models=models), alone)

    def test_with_a_stride_and_an_end_behind_the_end(self, clip: Callable[[str], Path], models: Models) -> None:
        options = replace(PLAIN, stride_s=0.7, sampling=Sampling(end_s=100.0))
        alone = analyze(clip("closed"), options, models=models)
        assert_equal(analyze(clip("closed"), replace(options, workers=2), models=models), alone)

    @pytest.mark.parametrize(
        "sampling", [Sampling(every=7), Sampling(fps=0.32), Sampling(every=7, end_s=20.3)], ids=str
    )
    def test_with_a_stride_where_nothing_is_sampled_behind_the_last_border(
        self, sampling: Sampling, shown: list[UInt8Array], models: Models, tmp_path: Path
    ) -> None:
        path = encode(tmp_path / "a.mp4", one_face(shown, int(2 * STRETCH_S * RATE) + 3), g="5")
        options = replace(PLAIN, stride_s=3.0, sampling=sampling)
        alone = analyze(path, options, models=models)
        assert_equal(analyze(path, replace(options, workers=2), models=models), alone)

    @pytest.mark.parametrize("max_faces", [1, 2])
    def test_with_places(self, max_faces: int, clip: Callable[[str], Path], models: Models) -> None:
        options = replace(PLAIN, max_faces=max_faces, detect_every=1)
        alone = analyze(clip("two faces"), options, models=models)
        assert_equal(analyze(clip("two faces"), replace(options, workers=2), models=models), alone)
        frames = alone.column("frame").tolist()
        assert max(frames.count(frame) for frame in set(frames)) == max_faces

    def test_with_action_units_and_landmarks(self, clip: Callable[[str], Path], tmp_path: Path) -> None:
        options = AnalyzeOptions(threads=2, smoothing=Smoothing.off())
        for workers in (1, 2):
            result = run(clip("two faces"), tmp_path / str(workers), replace(options, workers=workers), marks=True)
            assert result.status == "done", result.message
        alone, shared = (table_in(tmp_path / name, clip("two faces")) for name in "12")
        assert_equal(shared, alone)
        marks = [read_landmarks(tmp_path / name / "two" / "landmarks.arrow") for name in "12"]
        for name in ("frame", "track_id"):
            assert marks[1][name].to_pylist() == marks[0][name].to_pylist()
        points = [one["points"].combine_chunks().flatten().to_numpy() for one in marks]
        np.testing.assert_allclose(points[1], points[0], atol=1e-4)
        assert not (tmp_path / "2" / "two" / SEGMENTS_NAME).exists()

    def test_where_lost_frames_make_the_numbers_unknown(
        self, clip: Callable[[str], Path], models: Models, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = replace(PLAIN, sampling=Sampling(every=2))
        alone = analyze(clip("damaged"), options, models=models)
        shared = analyze(clip("damaged"), replace(options, workers=2), models=models)
        assert shared.table.equals(alone.table)
        assert (alone.provenance.is_complete, shared.provenance.is_complete) == (False, False)
        if alone.provenance.decoded_frames % 2:
            assert "numbers of those behind them are not known" in caplog.text


@pytest.mark.parametrize("kind", ["images", "open GOP", "short"])
def test_what_cannot_be_split_has_one_worker_and_a_line_that_says_so(
    kind: str, shown: list[UInt8Array], models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "images":
        path = tmp_path / "pictures"
        path.mkdir()
        for number, rgb in enumerate(shown[:2]):
            cv2.imwrite(str(path / f"{number}.png"), rgb)
    else:
        frames = 70 if kind == "open GOP" else 20
        path = encode(
            tmp_path / "a.mp4", one_face(shown, frames), g="8", bf="3", b_strategy="0", **{"x264-params": "open-gop=1"}
        )
    said = {"images": "only videos", "open GOP": "no closed-GOP key frame", "short": "too short|no closed-GOP"}
    options = replace(PLAIN, workers=2)
    assert analyze(path, options, models=models).table.equals(analyze(path, PLAIN, models=models).table)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path}: one worker instead of 2 from 0.0 s on: ")
    assert any(part in record.getMessage() for part in said[kind].split("|"))


def workers_of(parent: int) -> list[int]:
    """Return the workers that a process has started, and no other children of its, like a Ray cluster: on Linux."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
            is_worker = "affectline.segment_worker" in status.with_name("cmdline").read_text()
        except OSError:
            continue
        if is_worker and int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


class TestInterrupted:
    @pytest.mark.parametrize("sampling", [Sampling(), Sampling(every=4)], ids=str)
    @pytest.mark.parametrize("workers", [1, 2])
    def test_damage_before_the_break_is_told(
        self,
        sampling: Sampling,
        workers: int,
        clip: Callable[[str], Path],
        models: Models,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path, options = clip("damaged"), replace(PLAIN, sampling=sampling, workers=workers)
        write = PartWriter.write

        def stop(self: PartWriter, rows: pa.RecordBatch, state: str) -> None:
            if rows["time_s"][0].as_py() >= 2 * STRETCH_S:
                raise KeyboardInterrupt
            write(self, rows, state)

        with monkeypatch.context() as patch:
            patch.setattr(PartWriter, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                run(path, tmp_path, options)
        result = run(path, tmp_path, options, resume=True)
        found, wanted = table_in(tmp_path, path), analyze(path, replace(options, workers=1), models=models)
        assert (result.status, wanted.provenance.is_complete) == ("incomplete", False)
        assert "damaged" in str(wanted.provenance.problem)
        assert found.provenance.problem == wanted.provenance.problem
        assert found.table.equals(wanted.table)

    @linux
    def test_a_killed_worker_is_a_failure_that_can_be_gone_on_from(
        self, clip: Callable[[str], Path], tmp_path: Path
    ) -> None:
        path = clip("closed")

        def kill(done: int) -> None:
            for worker in workers_of(os.getpid()) if done else ():
                os.kill(worker, signal.SIGKILL)

        options = replace(PLAIN, workers=2)
        result = run(path, tmp_path, options, Watcher(kill))
        assert result.status == "failed"
        assert "a worker was ended by SIGKILL" in result.message
        assert workers_of(os.getpid()) == []
        resumed = run(path, tmp_path, options, resume=True)
        assert resumed.status == "done", resumed.message
        assert_equal(table_in(tmp_path, path), analyze(path, PLAIN))

    @linux
    def test_the_api_raises(self, clip: Callable[[str], Path], models: Models) -> None:
        def kill_all() -> None:
            while not (found := workers_of(os.getpid())):
                time.sleep(0.05)
            for worker in found:
                os.kill(worker, signal.SIGKILL)

        killer = threading.Thread(target=kill_all)
        killer.start()
        with pytest.raises(WorkerError, match="was ended by SIGKILL; if there was no memory left, give fewer"):
            analyze(clip("closed"), replace(PLAIN, workers=2), models=models)
        killer.join()

    def test_ctrl_c_ends_the_workers_and_what_is_done_is_kept(
        self, clip: Callable[[str], Path], tmp_path: Path
    ) -> None:
        path = clip("closed")

        def stop(done: int) -> None:
            if done > 60:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path, replace(PLAIN, workers=2), Watcher(stop))
        assert sys.platform != "linux" or workers_of(os.getpid()) == []
        # With another number of workers, and with none.
        for workers in (3, 1):
            watcher = Watcher()
            result = run(path, tmp_path, replace(PLAIN, workers=workers), watcher, resume=True)
            assert result.status in {"done", "skipped"}, result.message
        assert_equal(table_in(tmp_path, path), analyze(path, PLAIN))

    @linux
    def test_kill_9_and_resume(self, clip: Callable[[str], Path], tmp_path: Path) -> None:
        path = clip("long")
        command = [sys.executable, "-m", "affectline", "analyze", str(path), "-o", str(tmp_path), "--workers", "2"]
        command += ["--no-au", "--no-video", "--format", "parquet", "--threads", "2"]
        first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        segments = tmp_path / "long" / SEGMENTS_NAME
        while not list(segments.glob("*.json")):
            assert first.poll() is None
            time.sleep(0.02)
        children = workers_of(first.pid)
        assert len(children) == 2
        first.kill()
        first.wait()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "the workers go on"
            time.sleep(0.05)
        subprocess.run([*command, "--resume"], check=True, stderr=subprocess.DEVNULL)
        assert_equal(table_in(tmp_path, path), analyze(path, PLAIN))
        assert not segments.exists()


def test_what_is_printed_before_a_worker_begins_is_passed_over(
    clip: Callable[[str], Path], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(1, b'hello\\n')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shared = analyze(clip("closed"), replace(PLAIN, workers=2), models=models)
    assert_equal(shared, analyze(clip("closed"), PLAIN, models=models))


def test_a_worker_that_cannot_be_understood_is_told(
    clip: Callable[[str], Path], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(1, b'[1]\\n')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="a worker said what cannot be understood"):
        analyze(clip("closed"), replace(PLAIN, workers=2), models=models)


def test_workers_do_not_run_what_lies_in_the_folder_of_the_user(
    clip: Callable[[str], Path], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip("closed")
    for name in ("json", "re", "enum"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert len(analyze(path, replace(PLAIN, workers=2), models=models)) == 150


def test_segments_of_a_killed_run_go_whoever_ends_it(clip: Callable[[str], Path], tmp_path: Path) -> None:
    path = clip("closed")
    run(path, tmp_path, replace(PLAIN, workers=2))
    left = tmp_path / path.stem / "segments.part"
    left.mkdir()
    (tmp_path / path.stem / "summary.json").unlink()
    assert run(path, tmp_path, PLAIN, resume=True).status == "done"
    assert not left.exists()


def test_what_a_worker_comes_upon_is_told(clip: Callable[[str], Path], models: Models, tmp_path: Path) -> None:
    """The workers find another backbone file than the one that was asked for."""
    gone = tmp_path / "gone.onnx"
    with pytest.raises(Exception, match=r"gone\.onnx"):
        analyze(clip("closed"), replace(PLAIN, workers=2, backbone=gone), models=models)
