"""Live mode over the WebSocket, with pictures of a real face."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from service_process import PATIENCE_S, ServiceProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from affectline import AnalyzeOptions
from affectline.features import FeaturePart
from affectline.heads.head import BackboneRef
from affectline.heads.head_file import save_head
from affectline.labels import ABAW_ACTION_UNITS, FERPLUS_8
from affectline.models import load_models
from affectline.records import UInt8Array
from affectline.service.live import LARGEST_FRAME_BYTES, LONGEST_REASON_BYTES, close_reason
from affectline.service.live_worker import BadFrameError, decode_jpeg
from temporal_heads import temporal_head


def jpeg(rgb: UInt8Array) -> bytes:
    return bytes(cv2.imencode(".jpg", rgb[:, :, ::-1])[1])


def hear(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=PATIENCE_S)))


def open_live(service: ServiceProcess, query: str = "") -> ClientConnection:
    return connect(f"ws://{service.address}/v1/live{query}", open_timeout=PATIENCE_S, ping_timeout=None)


def test_each_frame_is_answered_with_its_faces(service: ServiceProcess, face_pictures: list[UInt8Array]) -> None:
    with open_live(service) as socket:
        assert hear(socket) == {"type": "ready", "action_units": False}
        answers = []
        for rgb in face_pictures[:6]:
            socket.send(jpeg(rgb))
            answers.append(hear(socket))
    assert [answer["type"] for answer in answers] == ["faces"] * 6
    assert [answer["frame"] for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert [answer["dropped"] for answer in answers] == [0] * 6
    times = [answer["time_s"] for answer in answers]
    assert times[0] == 0.0
    assert times == sorted(times)
    assert {(answer["width"], answer["height"]) for answer in answers} == {(640, 360)}
    (face,) = answers[-1]["faces"]
    assert face["track_id"] == 1
    assert (face["status"], face["action_units"]) == ("observed", None)
    x1, y1, x2, y2 = face["box"]
    assert 280 < x1 < 380 < x2 < 560
    assert 60 < y1 < 160 < y2 < 400
    assert list(face["probabilities"]) == [label.value for label in FERPLUS_8]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert face["valence"] < 0


def test_action_units_are_asked_for(service: ServiceProcess, face_pictures: list[UInt8Array]) -> None:
    with open_live(service, "?action_units=true") as socket:
        assert hear(socket)["action_units"]
        socket.send(jpeg(face_pictures[0]))
        (face,) = hear(socket)["faces"]
    assert list(face["action_units"]) == [unit.value for unit in ABAW_ACTION_UNITS]


def test_frames_are_dropped_and_never_queued(service: ServiceProcess, face_pictures: list[UInt8Array]) -> None:
    picture = jpeg(face_pictures[0])
    with open_live(service) as socket:
        hear(socket)
        for _ in range(40):
            socket.send(picture)
        answers = [hear(socket)]
        while answers[-1]["frame"] < 40:
            answers.append(hear(socket))
    assert answers[-1]["dropped"] == 40 - len(answers)
    assert answers[-1]["dropped"] > 0


def test_what_is_no_picture_is_answered_and_the_camera_goes_on(
    service: ServiceProcess, face_pictures: list[UInt8Array]
) -> None:
    with open_live(service) as socket:
        hear(socket)
        for data, detail in (
            (b"nothing", "no JPEG"),
            (jpeg(np.zeros((1600, 1600, 3), np.uint8)), "1600 x 1600 pixels"),
        ):
            socket.send(data)
            answer = hear(socket)
            assert answer["type"] == "problem"
            assert detail in answer["detail"]
        socket.send(jpeg(face_pictures[0]))
        assert len(hear(socket)["faces"]) == 1
        socket.send("text")
        assert "binary message that is a JPEG" in hear(socket)["detail"]
        with pytest.raises(ConnectionClosed) as closed:
            hear(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_a_frame_that_is_too_large_ends_the_conversation(service: ServiceProcess) -> None:
    with open_live(service) as socket:
        hear(socket)
        socket.send(bytes(LARGEST_FRAME_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            hear(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def wait_until_none_is_live(service: ServiceProcess) -> None:
    """Those of other tests may still be leaving."""
    for _ in range(PATIENCE_S * 10):
        if "affectline_live_sessions 0.0" in service.client.get("/metrics").text:
            return
        time.sleep(0.1)


def test_so_many_cameras_and_no_more(service: ServiceProcess) -> None:
    wait_until_none_is_live(service)
    with open_live(service) as one, open_live(service) as two:
        assert hear(one)["type"] == hear(two)["type"] == "ready"
        with open_live(service) as third:
            assert hear(third)["type"] == "problem"
            with pytest.raises(ConnectionClosed) as closed:
                hear(third)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    assert "2 cameras are analysed already" in closed.value.rcvd.reason


def test_a_reason_that_is_too_long_for_the_close_frame_is_told_before(tmp_path: Path) -> None:
    """The frame holds 123 bytes, and the name of the head has letters of two."""
    backbone = load_models(AnalyzeOptions(action_units=False)).backbones[0]
    ref = BackboneRef(backbone.spec.name, backbone.digest)
    name = "gefühle-größe-für-später.safetensors"
    save_head(temporal_head("gru", False, ref=ref, parts=(FeaturePart.LOGITS,), width=8), tmp_path / name)
    running = ServiceProcess(tmp_path / "service", "--no-au", "--head", str(tmp_path / name))
    with open_live(running) as socket:
        problem = hear(socket)
        with pytest.raises(ConnectionClosed) as closed:
            hear(socket)
    assert problem["type"] == "problem"
    assert problem["detail"].startswith(f"{name} looks ahead")
    assert problem["detail"].endswith("or analyse the whole video")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert closed.value.rcvd.reason == close_reason(problem["detail"])
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize("text", ["short", "word " * 60, "größer " * 60, "ü" * 300, "x" * LONGEST_REASON_BYTES])
def test_reasons_are_cut_by_bytes_at_a_word(text: str) -> None:
    reason = close_reason(text)
    assert len(reason.encode()) <= LONGEST_REASON_BYTES
    if reason != text:
        start = reason.removesuffix("\u2026")
        assert text.startswith(start)
        assert " " not in text or text[len(start)] == " "
        assert len(reason.encode()) > LONGEST_REASON_BYTES - 10


def test_a_camera_that_leaves_while_networks_are_loaded_makes_room(service: ServiceProcess) -> None:
    wait_until_none_is_live(service)
    for _ in range(5):
        with open_live(service):
            pass
        time.sleep(0.1)
    with open_live(service) as socket:
        assert hear(socket)["type"] == "ready"


def test_nothing_of_a_camera_is_kept(service: ServiceProcess, face_pictures: list[UInt8Array]) -> None:
    wait_until_none_is_live(service)
    before = set(service.folder.iterdir())
    with open_live(service) as socket:
        hear(socket)
        socket.send(jpeg(face_pictures[0]))
        hear(socket)
        (own,) = set(service.folder.iterdir()) - before
        assert [path.name for path in own.iterdir()] == ["log.txt"]
    for _ in range(PATIENCE_S * 10):
        if not own.exists():
            break
        time.sleep(0.1)
    assert not own.exists()


def test_the_size_of_a_jpeg_is_read_before_its_pixels() -> None:
    data = bytearray(jpeg(np.zeros((16, 16, 3), np.uint8)))
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(BadFrameError, match="far too large; send at most 2"):
        decode_jpeg(bytes(data), 2_100_000)
    with pytest.raises(BadFrameError, match="no JPEG"):
        decode_jpeg(b"\x89PNG\r\n\x1a\n" + bytes(50), 2_100_000)
    assert decode_jpeg(jpeg(np.full((4, 6, 3), (200, 30, 30), np.uint8)), 100)[2, 3, 0] > 150
