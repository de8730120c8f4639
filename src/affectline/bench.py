"""How fast affectline is on this machine: one video, measured as it is analysed, and nothing compared."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from affectline import __version__
from affectline.analysis import finish_timeline, observe_source
from affectline.errors import InputError
from affectline.inputs import expand_inputs, open_input
from affectline.labels import Status
from affectline.models import Models
from affectline.observe import Observer, raw_rows_schema
from affectline.options import AnalyzeOptions
from affectline.process_memory import MemorySampler
from affectline.progress import ProgressHook, ignore_progress
from affectline.runtime import usable_cores
from affectline.timeline import Timeline
from affectline.video import FrameSource

WARM_UP_FRAMES: Final = 48
"""Analysed before anything is measured: the first batches make room and choose how they compute."""

LATENCY_FRAMES: Final = 200
"""Analysed one by one, from the start of the video."""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured. The fields are the keys of `affectline bench --json`.

    Attributes:
        affectline: version.
        video: file name.
        width, height: pixels of a frame.
        backbone: its name; several with commas between.
        device, precision: what ran the backbones, and what they computed with.
        action_units: the landmark and blendshape networks ran, too.
        cores: that the analysis may use (`--threads`, or all that this process may).
        start_up_s: imports and loading of the networks, seconds; None where nobody measured it.
        frames: that were analysed, all passes over the video together.
        faces: in them.
        seconds: from the first decoded frame to the last row of the timeline, without writing files.
        frames_per_s, faces_per_s: the ratios.
        latency_p50_ms, latency_p95_ms: of the time from a decoded frame to its scores where each frame waits for the
            one before, as with a camera; median and 95th percentile over the first `LATENCY_FRAMES`.
        cpu_s: processor time of all threads in `seconds`.
        peak_anonymous_mb: the largest RssAnon in `seconds`: memory that the process owns, without what is mapped from
            files; None where the system is no Linux.
    """

    affectline: str
    video: str
    width: int
    height: int
    backbone: str
    device: str
    precision: str
    action_units: bool
    cores: int
    start_up_s: float | None
    frames: int
    faces: int
    seconds: float
    frames_per_s: float
    faces_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    cpu_s: float
    peak_anonymous_mb: float | None


def measure(
    path: Path,
    models: Models,
    options: AnalyzeOptions,
    times: int = 1,
    start_up_s: float | None = None,
    on_progress: ProgressHook = ignore_progress,
) -> BenchResult:
    """Analyse a video as `analyze` does, after a warm-up on its first frames, and return how long that took.

    Args:
        path: of the video.
        models: from `load_models` with the same options.
        options: what to look for.
        times: so many passes over the video.
        start_up_s: what loading took, to be reported along.
        on_progress: told how many passes are done.

    Raises:
        InputFileError: the video cannot be opened.
        InputError: it is no video, or has no frames.
    """
    _latencies_ms(_open(path), models, options, WARM_UP_FRAMES)
    passes = []
    with MemorySampler() as memory:
        for done in range(1, times + 1):
            passes.append(_pass(path, models, options))
            on_progress(done, times)
    latencies_ms = _latencies_ms(_open(path), models, options, LATENCY_FRAMES)
    info = _open(path).info
    provenance = passes[0].timeline.provenance
    frames, faces = sum(one.timeline.provenance.decoded_frames for one in passes), sum(one.faces for one in passes)
    seconds = sum(one.seconds for one in passes)
    return BenchResult(
        affectline=__version__,
        video=path.name,
        width=info.width,
        height=info.height,
        backbone=provenance.backbone,
        device=provenance.device,
        precision=provenance.precision,
        action_units=models.landmarks is not None,
        cores=min(options.runtime.cores, usable_cores()),
        start_up_s=start_up_s,
        frames=frames,
        faces=faces,
        seconds=seconds,
        frames_per_s=frames / seconds,
        faces_per_s=faces / seconds,
        latency_p50_ms=float(np.percentile(latencies_ms, 50)),
        latency_p95_ms=float(np.percentile(latencies_ms, 95)),
        cpu_s=sum(one.cpu_s for one in passes),
        peak_anonymous_mb=memory.peak_mb,
    )


@dataclass(frozen=True, slots=True)
class _Pass:
    timeline: Timeline
    seconds: float
    cpu_s: float

    @property
    def faces(self) -> int:
        """How many faces the networks saw; filled gaps are none."""
        seen = {Status.OBSERVED.value, Status.LOW_QUALITY.value}
        return sum(status in seen for status in self.timeline.column("status").tolist())


def _open(path: Path) -> FrameSource:
    inputs = expand_inputs([path], None)
    if len(inputs) != 1 or inputs[0].kind != "video":
        raise InputError(f"{path} is not one video; bench measures on a video")
    return open_input(inputs[0], None)


def _pass(path: Path, models: Models, options: AnalyzeOptions) -> _Pass:
    source = _open(path)
    began, began_cpu = time.perf_counter(), time.process_time()
    blocks = observe_source(source, models, options)
    raw = pa.Table.from_batches([block.rows for block in blocks], raw_rows_schema(models, source.names))
    if not len(raw):
        raise InputError(f"{path} has no frame that can be measured")
    timeline = finish_timeline(raw, source, models, options)
    return _Pass(timeline, time.perf_counter() - began, time.process_time() - began_cpu)


def _latencies_ms(source: FrameSource, models: Models, options: AnalyzeOptions, limit: int) -> list[float]:
    """Return what each of the first frames takes when nothing overlaps, milliseconds."""
    observer = Observer.of(models, options)
    found = []
    for frame in islice(source.frames(options.sampling), limit):
        began = time.perf_counter()
        observer.observe_one(frame)
        found.append(1000 * (time.perf_counter() - began))
    return found
