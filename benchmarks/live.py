"""Measures live mode over its WebSocket: answers a second, and the delay from sending a frame to hearing its answer.

Frames are those of the demo clip as the page sends them: JPEGs of at most 640 pixels and quality 80, the next one when
an answer has come. A camera gives a picture so often and no oftener; without one, the next frame is sent at once.

    python benchmarks/live.py
    python benchmarks/live.py --url http://127.0.0.1:8000 --seconds 60
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

from affectline import read_frames
from affectline.assets import fetch

LONG_SIDE, QUALITY = 640, 80
START_S = 300.0


@dataclass(frozen=True)
class Answer:
    """One answer: how long it took from sending its frame, by whose clock, and how many faces it names."""

    heard_s: float
    delay_ms: float
    analysis_ms: float
    faces: int


def jpeg_frames(clip: Path) -> list[bytes]:
    """Return the frames of a clip as the page sends them."""
    found = []
    for frame in read_frames(clip):
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, LONG_SIDE / max(width, height))
        small = cv2.resize(frame.rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        found.append(cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    return found


@contextmanager
def service(options: Sequence[str]) -> Iterator[str]:
    """Run `affectline serve` on a free port and give its address."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "affectline", "serve", "--port", "0", "--folder", folder, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            line = process.stdout.readline() if process.stdout else ""
            try:
                yield line.split()[2]
            finally:
                process.terminate()


def talk(socket: ClientConnection, frames: Sequence[bytes], camera_fps: float, seconds: float) -> list[Answer]:
    """Send frames for a time, each when the last was answered and the camera has a new picture; return the answers."""
    answers: list[Answer] = []
    begun_s = time.perf_counter()
    last = -1
    for number in itertools.count():
        if camera_fps:
            # The camera goes on while an answer is waited for; what it showed meanwhile is never sent.
            picture = max(last + 1, int((time.perf_counter() - begun_s) * camera_fps))
            time.sleep(max(0.0, begun_s + picture / camera_fps - time.perf_counter()))
            last = picture
        else:
            picture = number
        sent_s = time.perf_counter()
        if sent_s - begun_s >= seconds:
            return answers
        socket.send(frames[picture % len(frames)])
        answer = json.loads(socket.recv(timeout=START_S))
        heard_s = time.perf_counter()
        delay_ms = 1000 * (heard_s - sent_s)
        answers.append(Answer(heard_s, delay_ms, answer["analysis_ms"], len(answer["faces"])))
    return answers


def figures(answers: Sequence[Answer]) -> list[str]:
    """Return the cells of a row: answers a second, quantiles of the delay, the median of the analysis, faces."""
    delays = [answer.delay_ms for answer in answers]
    span_s = answers[-1].heard_s - answers[0].heard_s
    rate = (len(answers) - 1) / span_s
    p50, p95 = np.percentile(delays, [50, 95])
    analysis = np.median([answer.analysis_ms for answer in answers])
    seen = np.mean([answer.faces > 0 for answer in answers])
    return [f"{rate:.1f}", f"{p50:.0f}", f"{p95:.0f}", f"{max(delays):.0f}", f"{analysis:.0f}", f"{100 * seen:.0f} %"]


def main() -> None:
    """Print a table with a row for expression and VA, and one with action units, with a camera and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a service that runs already; else one is started")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each row")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds before each row that do not count")
    parser.add_argument("--camera", type=float, default=30.0, help="frames a second of the camera")
    parser.add_argument("options", nargs="*", help="of `affectline serve`, after --")
    arguments = parser.parse_args()
    frames = jpeg_frames(fetch("demo_clip"))
    print(f"{len(frames)} JPEGs, {np.mean([len(frame) for frame in frames]) / 1000:.0f} kB each", file=sys.stderr)
    print("| | answers a second | delay p50, ms | p95 | longest | analysis p50, ms | with a face |")
    print("|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        url = arguments.url or stack.enter_context(service(arguments.options))
        for action_units in (False, True):
            for camera_fps in (arguments.camera, 0.0):
                address = f"{url.replace('http', 'ws', 1)}/v1/live?action_units={str(action_units).lower()}"
                with connect(address, open_timeout=START_S, ping_timeout=None) as socket:
                    socket.recv(timeout=START_S)  # the networks are loaded
                    talk(socket, frames, camera_fps, arguments.warm_up)
                    answers = talk(socket, frames, camera_fps, arguments.seconds)
                what = "expression, VA, action units" if action_units else "expression, VA"
                source = f"camera of {camera_fps:g} fps" if camera_fps else "next frame at once"
                print(f"| {what}; {source} |", " | ".join(figures(answers)), "|", flush=True)


if __name__ == "__main__":
    main()
