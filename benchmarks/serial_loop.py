"""What the peers have in common: OpenCV decodes, one frame follows the other. Runs in the environments of the peers.

Each peer's script gives a function that analyses one picture; this warms it up, times it and prints one line of JSON
whose keys are those of `affectline bench --json` (`affectline.bench.BenchResult`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from memory import MemorySampler

WARM_UP_FRAMES = 48
"""As many as `affectline bench` takes."""

Analyse = Callable[[np.ndarray], int]
"""Takes a picture, uint8, BGR, and returns how many of its faces got a result."""


def loop_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every peer is told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--faces", type=int, default=1, help="how many faces there are, for those who want to know")
    parser.add_argument("--limit-s", type=float, help="stop after so many seconds")
    return parser


def measure_loop(analyse: Analyse, arguments: argparse.Namespace, start_up_s: float, uses: Sequence[str]) -> None:
    """Warm up on the first frames, measure on the whole clip, print one line of JSON.

    Args:
        analyse: what the peer does with a picture.
        arguments: of `loop_arguments`.
        start_up_s: what imports and the loading of models took.
        uses: distributions whose versions are reported.
    """
    _play(arguments.clip, analyse, frames=WARM_UP_FRAMES)
    limit_s = arguments.limit_s or float("inf")
    with MemorySampler() as memory:
        began, began_cpu = time.perf_counter(), time.process_time()
        faces, latencies_s = _play(arguments.clip, analyse, until=began + limit_s)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    frames = len(latencies_s)
    is_stopped = seconds >= limit_s
    figures = {
        "start_up_s": start_up_s,
        "frames": frames,
        "faces": faces,
        "seconds": seconds,
        "frames_per_s": frames / seconds,
        "faces_per_s": faces / seconds,
        "latency_p50_ms": 1000 * float(np.percentile(latencies_s, 50)),
        "latency_p95_ms": 1000 * float(np.percentile(latencies_s, 95)),
        "cpu_s": cpu_s,
        "peak_anonymous_mb": memory.peak_mb,
        "stopped_after_s": limit_s if is_stopped else None,
        "versions": {name: version(name) for name in uses},
    }
    print(json.dumps(figures))


def _play(
    clip: Path, analyse: Analyse, *, frames: int | None = None, until: float = float("inf")
) -> tuple[int, list[float]]:
    """Return the faces that were seen, and the seconds from each decoded picture to its results."""
    video = cv2.VideoCapture(str(clip))
    faces, latencies_s = 0, []
    while len(latencies_s) != frames and time.perf_counter() < until:
        there, picture = video.read()
        if not there:
            break
        began = time.perf_counter()
        faces += analyse(picture)
        latencies_s.append(time.perf_counter() - began)
    return faces, latencies_s
