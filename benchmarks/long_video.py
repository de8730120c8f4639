"""Memory and speed over a long video: is memory flat, and is the last quarter as fast as the first?

    python benchmarks/long_video.py [--minutes 30] [--no-au]

The demo clip is scaled to 1280x720 and played again and again. The analysis keeps its rows on disk as the command line
does. Printed are the anonymous memory (RssAnon) and the frames a second in each quarter of the video.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from affectline.assets import fetch
from affectline.inputs import expand_inputs
from affectline.job_index import JobResult
from affectline.jobs import OutputOptions, run_jobs
from affectline.options import AnalyzeOptions
from media import repeat, scaled
from memory import anonymous_mb

CLIP_S = 472 * 1001 / 24000


class Sampler:
    """Notes time and memory whenever a block of frames is done."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, float, float]] = []

    def begin(self, name: str) -> None:
        """Start with the first frame."""
        self.samples.append((0, time.perf_counter(), anonymous_mb()))

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Note where the analysis is."""
        if stage == "frames":
            self.samples.append((done, time.perf_counter(), anonymous_mb()))

    def finish(self, result: JobResult) -> None:
        """Say what came of it."""
        print(f"{result.status}: {result.frames} frames, {result.rows} rows, {result.tracks} tracks {result.message}")


def make_clip(clip: Path, minutes: float) -> None:
    """Write the long video."""
    short = scaled(fetch("demo_clip"), (1280, 720), CLIP_S, clip.with_name("short.mp4"))
    repeat(short, round(minutes * 60 / CLIP_S), clip)


def main() -> None:
    """Make the video, analyse it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
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
        options = AnalyzeOptions(action_units=not arguments.no_au)
        run_jobs(expand_inputs([clip], None), options, OutputOptions(folder / "out", annotate=False), sampler)
    last = sampler.samples[-1][0]
    print("| quarter | frames/s | RssAnon median, MB | RssAnon max, MB |")
    print("|---|---|---|---|")
    for quarter in range(4):
        part = [s for s in sampler.samples if quarter * last / 4 <= s[0] <= (quarter + 1) * last / 4]
        fps = (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1])
        memory = [sample[2] for sample in part]
        print(f"| {quarter + 1} | {fps:.1f} | {statistics.median(memory):.0f} | {max(memory):.0f} |")


if __name__ == "__main__":
    main()
