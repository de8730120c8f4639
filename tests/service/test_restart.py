"""What is left after the service was stopped, killed, or started twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_process import PATIENCE_S, ServiceProcess, upload_head

from affectline import Timeline
from affectline.block_rows import BLOCK_FRAMES
from affectline.records import UInt8Array
from faces_on_video import write_video


@pytest.fixture(scope="module")
def long_clip(face_pictures: list[UInt8Array], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be killed in the middle: six blocks."""
    pictures = (face_pictures[number % len(face_pictures)] for number in range(6 * BLOCK_FRAMES))
    return write_video(tmp_path_factory.mktemp("media") / "long.mp4", pictures)


def wait_for_frames(service: ServiceProcess, job_id: str, frames: int) -> None:
    for _ in range(PATIENCE_S * 10):
        progress = service.state(job_id)["progress"]
        if progress is not None and progress["stage"] == "frames" and progress["done"] >= frames:
            return
        time.sleep(0.1)
    raise AssertionError(service.state(job_id))


def children_of(folder: Path) -> list[str]:
    """The lines of `ps` that name workers of a folder: on Linux, whose /proc says where a process runs."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").resolve().is_relative_to(folder):
                    found.append(process.name)
            except OSError:
                continue
    return found


def test_kill_9_in_mid_job_and_restart(long_clip: Path, empty_clip: Path, tmp_path: Path, task_file: Path) -> None:
    folder = tmp_path / "service"
    first = ServiceProcess(folder, "--no-au")
    finished = first.wait(first.upload(empty_clip, "finished.mp4").json()["id"])
    running = first.upload(long_clip, "running.mp4").json()["id"]
    queued = first.upload(empty_clip, "queued.mp4").json()["id"]
    wait_for_frames(first, running, BLOCK_FRAMES)
    assert first.state(queued)["state"] == "queued"
    assert first.kill() == -signal.SIGKILL
    part = folder / "jobs" / running / "results" / "upload" / "timeline.part.arrow"
    assert part.stat().st_size > 0
    if sys.platform == "linux":
        for _ in range(PATIENCE_S * 10):
            if not children_of(folder):
                break
            time.sleep(0.1)
        assert children_of(folder) == []

    second = ServiceProcess(folder, "--no-au")
    assert second.state(finished["id"]) == finished
    ended = second.wait(running)
    assert (ended["state"], ended["name"]) == ("done", "running.mp4")
    assert second.wait(queued)["state"] == "done"
    timeline = Timeline.from_parquet(folder / "jobs" / running / "results" / "upload" / "timeline.parquet")
    assert timeline.column("frame").tolist() == list(range(6 * BLOCK_FRAMES))
    assert timeline.provenance.input == "running.mp4"
    assert timeline.provenance.is_complete
    assert f"analysis {running} begins, attempt 2" in second.log.read_text()
    assert second.client.get(f"/v1/analyses/{running}/report").status_code == 200
    assert second.stop() == 0


def test_sigterm_stops_at_once_and_the_job_goes_on_later(long_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    first = ServiceProcess(folder, "--no-au")
    job = first.upload(long_clip).json()["id"]
    wait_for_frames(first, job, 1)
    assert first.stop() == 0
    assert "stopped by SIGTERM" in first.log.read_text()
    second = ServiceProcess(folder, "--no-au")
    assert second.wait(job)["state"] == "done"
    assert second.stop() == 0


def test_an_upload_that_is_coming_does_not_keep_the_service_from_stopping(tmp_path: Path) -> None:
    running = ServiceProcess(tmp_path / "service", "--no-au")
    with running.connection() as client:
        client.sendall(upload_head(running, 9999) + bytes(500))
        for _ in range(PATIENCE_S * 10):
            if list((running.folder / "jobs").glob("*/upload")):
                break
            time.sleep(0.1)
        assert running.stop() == 0
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 ")
    assert "application/problem+json" in head
    assert "content-security-policy: default-src 'none'" in head
    assert '"code":"stopping"' in body
    assert list((running.folder / "jobs").iterdir()) == []
    log = running.log.read_text()
    assert "POST /v1/analyses 503" in log
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_whoever_comes_as_soon_as_the_address_is_told_is_served(tmp_path: Path) -> None:
    running = ServiceProcess(tmp_path / "service")
    assert running.client.get("/healthz").status_code == 200
    assert running.stop() == 0


def test_sigterm_counts_from_the_moment_at_which_the_address_is_told(tmp_path: Path) -> None:
    assert ServiceProcess(tmp_path / "service").stop() == 0


def test_two_services_do_not_share_a_folder(service: ServiceProcess) -> None:
    command = [sys.executable, "-m", "affectline", "serve", "--port", "0", "--folder", str(service.folder)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert "is in use by another affectline serve" in second.stderr


def test_files_that_nobody_knows_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    broken_off = folder / "jobs" / "an-upload-that-was-broken-off"
    broken_off.mkdir(parents=True)
    (broken_off / "upload").write_bytes(bytes(10))
    running = ServiceProcess(folder)
    assert running.client.get("/healthz").status_code == 200  # it has begun
    assert not broken_off.exists()
    assert running.stop() == 0
