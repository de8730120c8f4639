"""Uploads that are too large, malformed, or made to do harm: each gets a 4xx with a reason, and nothing breaks."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path

import av
import httpx
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from service_process import PATIENCE_S, ServiceProcess, upload_head
from starlette.requests import Request

from affectline.service.problems import ProblemError
from affectline.service.uploads import LONGEST_NAME, display_name, receive_upload

COUNT = int(os.environ.get("AFFECTLINE_HOSTILE_UPLOADS", "36"))
"""How many malformed uploads are sent; more with `AFFECTLINE_HOSTILE_UPLOADS=200 pytest tests/service`."""


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("a\x00b\r\nc\x1b[31m.mp4", "abc[31m.mp4"),
        ("\u202egpj.exe", "gpj.exe"),
        ("  two   words .mp4 ", "two words .mp4"),
        ("", "upload"),
        ("../", "upload"),
        ("Zoë 表情.mp4", "Zoë 表情.mp4"),
        ("say %22cheese%22.mp4", 'say "cheese".mp4'),
        ("x" * 500, "x" * (LONGEST_NAME - 1) + "\u2026"),
        ("x" * 500 + ".webm", "x" * (LONGEST_NAME - 6) + "\u2026.webm"),
    ],
)
def test_names_are_for_display(sent: str, shown: str) -> None:
    assert display_name(sent) == shown


def png_bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def frame_bomb(frames: int, rate: int, size: tuple[int, int] = (16, 16), container: str = "mp4") -> bytes:
    """A tiny video of very many frames."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "9999", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
        for number in range(frames):
            picture.pts, picture.time_base = number, Fraction(1, rate)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return target.getvalue()


def sound_only() -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
MADE: dict[str, Callable[[bytes], bytes]] = {
    "random bytes": lambda _: np.random.default_rng(1).bytes(50_000),
    "one byte": lambda _: b"\x00",
    "zeros": lambda _: bytes(100_000),
    "text": lambda _: b"hello " * 1000,
    "html": lambda _: b"<!doctype html><script>alert(1)</script>",
    "svg": lambda _: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "playlist": lambda _: PLAYLIST,
    "concat list": lambda _: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "dash": lambda _: b'<?xml version="1.0"?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>',
    "zip": lambda _: b"PK\x03\x04" + bytes(500),
    "pdf": lambda _: b"%PDF-1.7\n" + bytes(500),
    "sound": lambda _: sound_only(),
    "png bomb": lambda _: png_bomb(60_000, 60_000),
    "png of 4 megapixels": lambda _: png_bomb(2000, 2000),
    "cut png": lambda _: png_bomb(100, 100)[:60],
    "jpeg head": lambda _: b"\xff\xd8\xff\xe0" + bytes(200),
    "gif head": lambda _: b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(50),
    "webp head": lambda _: b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20),
    "tiff head": lambda _: b"II*\0" + bytes(200),
    "bmp head": lambda _: b"BM" + struct.pack("<IIIIii", 100, 0, 54, 40, 50_000, 50_000) + bytes(60),
    "many frames": lambda _: frame_bomb(4000, 120),
    "long": lambda _: frame_bomb(40, 1),
    "4 megapixels": lambda _: frame_bomb(2, 25, (4096, 1024)),
    "cut before its index": lambda video: video[: len(video) // 2],
    "index alone": lambda video: video[video.index(b"moov") - 4 :],
    "jpeg and zip": lambda _: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"PK\x03\x04" + bytes(1000),
}


def damaged(video: bytes, number: int) -> bytes:
    """The video with a few bytes of its index changed, cut, or doubled; the same for the same number."""
    random = np.random.default_rng(number)
    data = bytearray(video)
    start = data.index(b"moov")
    for place in random.integers(start, len(data), 40):
        data[place] = random.integers(256)
    return bytes(data[: random.integers(start + 40, len(data))] if number % 3 == 0 else data)


def test_malformed_uploads_get_a_reason_and_break_nothing(service: ServiceProcess, face_clip: Path) -> None:
    video = face_clip.read_bytes()
    bodies = {name: make(video) for name, make in MADE.items()}
    bodies |= {f"damaged {number}": damaged(video, number) for number in range(max(0, COUNT - len(MADE)))}

    def send(body: bytes) -> httpx.Response:
        return service.client.post("/v1/analyses", files={"file": ("clip.mp4", body)})

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(bodies, pool.map(send, bodies.values()), strict=True))
    for name, answer in answers.items():
        if name.startswith("damaged") and answer.status_code == 201:
            # It may still be a video: then the analysis ends one way or the other.
            ended = service.wait(answer.json()["id"])
            assert ended["state"] == "done" or ended["problem"], name
            assert str(service.folder) not in str(ended)
            continue
        assert answer.status_code in {400, 415, 422}, (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.json()["detail"]) > 20
        assert str(service.folder) not in answer.text
        assert "Traceback" not in answer.text
    reasons = {name: (answers[name].status_code, answers[name].json()["detail"]) for name in MADE}
    assert reasons["random bytes"] == (
        415,
        "Not a video that can be read, or its start is damaged; check that it plays in a video player.",
    )
    assert reasons["sound"][1].startswith("No video stream, the file holds sound only")
    assert reasons["png bomb"][0] == reasons["png of 4 megapixels"][0] == 422
    assert "2000 x 2000 pixels; at most 2.0 megapixels are allowed here" in reasons["png of 4 megapixels"][1]
    assert "more than 3600 frames" in reasons["many frames"][1]
    assert "longer than 0.5 minutes" in reasons["long"][1]
    assert "4096 x 1024 pixels" in reasons["4 megapixels"][1]
    assert "cut before it was finished" in reasons["cut before its index"][1]
    assert service.client.get("/healthz").status_code == 200


def test_a_body_that_states_too_many_bytes_is_refused_before_it_is_read(service: ServiceProcess) -> None:
    connection = HTTPConnection(service.address, timeout=PATIENCE_S)
    connection.request("POST", "/v1/analyses", headers={"Content-Type": "video/mp4", "Content-Length": str(10**12)})
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 8 MB" in json.load(answer)["detail"]
    connection.close()


def test_a_body_that_states_no_length_is_counted(service: ServiceProcess) -> None:
    before = set((service.folder / "jobs").iterdir())
    answer = service.client.post(
        "/v1/analyses", content=(bytes(2**20) for _ in range(9)), headers={"Content-Type": "video/mp4"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert set((service.folder / "jobs").iterdir()) <= before


FORM = "multipart/form-data; boundary=line"


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (b"", "multipart/form-data", "names no boundary"),
        (b"nothing of a form", FORM, "no multipart/form-data"),
        (b"--line\r\n", FORM, "ends before its last boundary"),
        (b'--line\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--line--\r\n', FORM, "no part `file`"),
        (b'--line\r\nContent-Disposition: form-data; name="file"\r\n\r\nx', FORM, "ends before its last boundary"),
        (
            b'--line\r\nContent-Disposition: form-data; name="other"\r\n\r\n' + bytes(70_000) + b"\r\n--line--\r\n",
            FORM,
            "What is beside the part `file` is too large",
        ),
        (b'--line\r\nContent-Disposition: form-data; name="file"\r\n\r\n\r\n--line--\r\n', FORM, "it has no byte"),
    ],
)
def test_malformed_forms(service: ServiceProcess, body: bytes, kind: str, detail: str) -> None:
    answer = service.client.post("/v1/analyses", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_a_path_or_an_address_is_no_upload(service: ServiceProcess, kind: str) -> None:
    answer = service.client.post(
        "/v1/analyses", content=b'{"path": "/etc/passwd", "url": "http://localhost"}', headers={"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "not_an_upload")


def test_a_photograph_of_a_phone_is_a_picture(service: ServiceProcess, tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((600, 900, 3), 90, np.uint8))
    pillow_heif.from_pillow(picture).save(tmp_path / "IMG_1.heic")
    answer = service.client.post(
        "/v1/analyses", files={"file": ("IMG_1.heic", (tmp_path / "IMG_1.heic").read_bytes(), "image/heic")}
    )
    assert answer.status_code == 201, answer.text
    upload = answer.json()["upload"]
    assert (upload["kind"], upload["width"], upload["height"]) == ("image", 900, 600)


def upload_answers(service: ServiceProcess) -> dict[str, float]:
    """How often uploads were answered with which status."""
    counted = r'affectline_http_requests_total\{method="POST",route="/v1/analyses",status="(\d+)"\} ([\d.]+)'
    return {status: float(count) for status, count in re.findall(counted, service.client.get("/metrics").text)}


@pytest.mark.parametrize("padding", [8, 4 * 2**20])
def test_who_hangs_up_while_the_upload_is_looked_at_leaves_nothing(
    padding: int, service: ServiceProcess, face_clip: Path
) -> None:
    before = upload_answers(service)
    known = {entry["id"] for entry in service.client.get("/v1/analyses").json()["analyses"]}
    video = face_clip.read_bytes() + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)
    with service.connection() as client:
        client.sendall(upload_head(service, len(video)) + video)
        time.sleep(0.02)
    for _ in range(PATIENCE_S * 5):
        after = upload_answers(service)
        if sum(after.values()) > sum(before.values()):
            break
        time.sleep(0.2)
    assert after == {**before, "400": before.get("400", 0) + 1}
    assert {entry["id"] for entry in service.client.get("/v1/analyses").json()["analyses"]} <= known


def request_of(chunk: bytes, count: int, every_s: float = 0.0) -> Request:
    """A request whose body comes in so many pieces."""
    left = count

    async def receive() -> dict[str, object]:
        nonlocal left
        left -= 1
        await asyncio.sleep(every_s)
        return {"type": "http.request", "body": chunk, "more_body": left > 0}

    headers = [(b"content-type", b"video/mp4")]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
@pytest.mark.parametrize("size", [1460, 3000, 65536])
def test_a_disk_that_gets_full_is_a_problem_whatever_the_size_of_the_pieces(tmp_path: Path, size: int) -> None:
    import resource

    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, hard))
    try:
        with pytest.raises(ProblemError, match="no space left") as refused:
            asyncio.run(receive_upload(request_of(bytes(size), 2**20 // size), tmp_path / "upload", 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (refused.value.status, refused.value.code) == (507, "disk_full")


def test_a_byte_now_and_then_does_not_keep_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectline.service.uploads.SILENCE_S", 0.3)
    monkeypatch.setattr("affectline.service.uploads.SLOWEST_BYTES_S", 100)
    with pytest.raises(ProblemError, match="Not all of it came within 1 seconds") as refused:
        asyncio.run(receive_upload(request_of(b"x", 10_000, every_s=0.02), tmp_path / "upload", 30))
    assert (refused.value.status, refused.value.code) == (408, "too_slow")
    assert 5 < (tmp_path / "upload").stat().st_size < 40
