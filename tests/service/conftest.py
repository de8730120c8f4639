"""Clips, a fake camera and running services; browsers come from tests/browser.py."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from service_process import ServiceProcess

from affectline import Sampling, read_frames
from affectline.records import UInt8Array
from faces_on_video import scenery, write_video

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of the tests


@pytest.fixture(scope="session")
def face_pictures(demo_clip: Path) -> list[UInt8Array]:
    """A second of the demo clip, from its sad beginning, 24 pictures."""
    return [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=1.0))]


@pytest.fixture(scope="session")
def face_clip(face_pictures: list[UInt8Array], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "sad face.mp4", face_pictures)


@pytest.fixture(scope="session")
def empty_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures without a face: the quickest job."""
    return write_video(tmp_path_factory.mktemp("media") / "scenery.mp4", [scenery((96, 96))] * 4)


@pytest.fixture(scope="session")
def camera_file(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of the demo clip as Chromium's fake camera wants it: JPEG after JPEG."""
    path = tmp_path_factory.mktemp("media") / "camera.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as output:
        stream = output.add_stream("mjpeg", rate=24, options={"q": "5"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuvj420p"
        for number, frame in enumerate(read_frames(demo_clip, Sampling(end_s=10.0))):
            picture = av.VideoFrame.from_ndarray(frame.rgb, format="rgb24").reformat(640, 360, "yuvj420p")
            picture.pts, picture.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def service(task_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service for everybody on this machine, with small limits."""
    folder = tmp_path_factory.mktemp("service") / "open"
    running = ServiceProcess(
        folder, "--workers", "2", "--max-mb", "8", "--max-minutes", "0.5", "--max-megapixels", "2", "--queue", "64"
    )
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()
    assert "ERROR" not in running.log.read_text()


@pytest.fixture(scope="session")
def locked_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that wants a token."""
    running = ServiceProcess(tmp_path_factory.mktemp("service") / "locked", "--token", TOKEN)
    yield running
    assert running.stop() == 0
