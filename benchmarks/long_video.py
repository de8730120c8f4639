"""Memory and speed over a long video: is memory flat, and is the last quarter as fast as the first?

    python benchmarks/long_video.py [--minutes 120] [--workers 1] [--threads N] [--no-au]

The demo clip is scaled to 1280x720 and played again and again. The analysis keeps its rows on disk as the command line
does. Printed are, for each quarter of the video, frames a second, milliseconds a frame, and the anonymous memory
(RssAnon) of this process and its workers together, sampled once a second; then the last quarter's time per frame in
parts of the first's, and how long the end of the work took, in which the table is finished.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from affectline.assets import fetch
from affectline.inputs import expand_inputs
from affectline.job_index import JobResult
from affectline.jobs import OutputOptions, run_jobs
from affectline.options import AnalyzeOptions
from media import DEMO_CLIP_S, repeat, scaled
from memory import family_anonymous_mb

SIZE_WH = (1280, 720)


class Sampler:
    """Notes when how many frames are done, and each second the memory."""

    def __init__(self) -> None:
        self.done: list[tuple[float, int]] = []
        self.memory: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self.memory.append((time.perf_counter(), family_anonymous_mb()))

    def begin(self, name: str) -> None:
        """Start with the first frame."""
        self.done.append((time.perf_counter(), 0))
        self._thread.start()

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Note where the analysis is."""
        if stage == "frames" and done > self.done[-1][1]:
            self.done.append((time.perf_counter(), done))

    def finish(self, result: JobResult) -> None:
        """Say what came of it."""
        self._stop.set()
        self._thread.join()
        self.ended = time.perf_counter()
        print(f"{result.status}: {result.frames} frames, {result.rows} rows, {result.tracks} tracks {result.message}")

    def at(self, frames: float) -> float:
        """Return when so many frames were done, between two notes in proportion."""
        for (before_s, before), (after_s, after) in pairwise(self.done):
            if after >= frames:
                return before_s + (after_s - before_s) * (frames - before) / (after - before)
        return self.done[-1][0]


def make_clip(clip: Path, minutes: float) -> None:
    """Write the long video."""
    short = scaled(fetch("demo_clip"), SIZE_WH, DEMO_CLIP_S, clip.with_name("short.mp4"))
    repeat(short, round(minutes * 60 / DEMO_CLIP_S), clip)


def print_table(sampler: Sampler) -> None:
    """Print the quarters and how they compare."""
    last = sampler.done[-1][1]
    print("| quarter | frames/s | ms a frame | RssAnon of all processes: median, MB | largest, MB |")
    print("|---|---|---|---|---|")
    times = []
    for quarter in range(4):
        begun, ended = (sampler.at((quarter + end) * last / 4) for end in (0, 1))
        times.append(ended - begun)
        memory = [size for when, size in sampler.memory if begun <= when <= ended] or [float("nan")]
        fps = last / 4 / (ended - begun)
        row = f"| {quarter + 1} | {fps:.1f} | {1000 / fps:.2f} | {statistics.median(memory):.0f} | {max(memory):.0f} |"
        print(row)
    print(f"\nlast quarter: {times[-1] / times[0]:.3f} of the first quarter's time per frame")
    end = [size for when, size in sampler.memory if when > sampler.done[-1][0]]
    if end:
        print(f"end of the work: {sampler.ended - sampler.done[-1][0]:.1f} s, RssAnon at most {max(end):.0f} MB")


def main() -> None:
    """Make the video, analyse it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-au", action="store_true")
    arguments = parser.parse_args()
    sampler = Sampler()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "long.mp4"
        # In a process of its own: what making the clip leaves behind is not the analysis's memory.
        maker = multiprocessing.get_context("spawn").Process(target=make_clip, args=(clip, arguments.minutes))
        maker.start()
        maker.join()
        options = AnalyzeOptions(action_units=not arguments.no_au, workers=arguments.workers, threads=arguments.threads)
        run_jobs(expand_inputs([clip], None), options, OutputOptions(folder / "out", annotate=False), sampler)
    print_table(sampler)


if __name__ == "__main__":
    main()
