"""The main job: a video becomes a timeline of affect. It reads like the diagram in the documentation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from affectline.describe import finish_settings, provenance_of
from affectline.errors import InputError
from affectline.faces.stretches import STRETCH_S
from affectline.inputs import expand_inputs, open_input
from affectline.models import Models, load_models
from affectline.observe import Observer, raw_rows_schema
from affectline.options import AnalyzeOptions
from affectline.postprocess.finish import finish
from affectline.postprocess.streaming import StreamingFinisher
from affectline.progress import ProgressHook, ignore_progress
from affectline.raw_blocks import LinkedBlock, RawBlock, RowLinker
from affectline.records import Frame
from affectline.schema import raw_schema
from affectline.timeline import Timeline
from affectline.track_scores import LiveTracks, score_tracks
from affectline.video import FrameSource, Plan, VideoFile
from affectline.workers import PARTS_PER_WORKER, SharedVideo, Sharing

_log = logging.getLogger(__name__)


def analyze(
    path: str | Path,
    options: AnalyzeOptions = AnalyzeOptions(),  # noqa: B008 - frozen
    *,
    models: Models | None = None,
    on_progress: ProgressHook = ignore_progress,
) -> Timeline:
    """Return the affect timeline of a video, image or folder of images: one row per frame and tracked face.

    Args:
        path: the input.
        options: what to look for.
        models: networks that `load_models` gave for the same options; loaded if not given.
        on_progress: told how many frames are done, after every `observe.BLOCK_FRAMES` of the sampled ones.

    Raises:
        InputFileError: the input cannot be opened or has no picture (a `VideoError` where it is a video).
        InputError: the path stands for several inputs, or the sampling needs times that images do not have.
        AffectlineError: any that `load_models` raises, or a worker was lost.
    """
    models = models or load_models(options)
    source = _open_one(path, options.sequence_fps)
    with TemporaryDirectory(prefix="affectline-") as folder:
        sharing = Sharing(Path(folder), {}) if options.workers > 1 else None
        blocks = observe_source(source, models, options, on_progress=on_progress, sharing=sharing)
        raw = pa.Table.from_batches([block.rows for block in blocks], raw_rows_schema(models, source.names))
    return finish_timeline(raw, source, models, options)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far an earlier run has come with an input.

    Attributes:
        frame: index of the last frame that it handled.
        time_s: its time.
        state: `LinkedBlock.state` behind it.
    """

    frame: int
    time_s: float
    state: str


def _open_one(path: str | Path, sequence_fps: float | None) -> FrameSource:
    inputs = expand_inputs([path], sequence_fps)
    if len(inputs) != 1:
        raise InputError(
            f"{path} holds {len(inputs)} inputs, analyze takes one: call it for each, or use the command line"
        )
    return open_input(inputs[0], sequence_fps)


def observe_source(
    source: FrameSource,
    models: Models,
    options: AnalyzeOptions,
    reached: Reached | None = None,
    on_progress: ProgressHook = ignore_progress,
    sharing: Sharing | None = None,
) -> Iterator[LinkedBlock]:
    """Give the raw rows of an input, block by block; with workers, if it is a video that can be split.

    Args:
        source: where the frames come from.
        models: from `load_models` for the same options.
        options: what to look for.
        reached: how far an earlier run has come; None for a fresh start.
        on_progress: told how many frames are done.
        sharing: how workers share the work; None for none.

    Raises:
        AffectlineError: a worker was lost, or came upon any error of an analysis.
    """
    after, state = (None, None) if reached is None else ((reached.frame, reached.time_s), reached.state)
    plan = None if sharing is None else _plan(source, options, after)
    if sharing is None or plan is None or not isinstance(source, VideoFile):
        raw = _observe_alone(source, models, options, after, on_progress)
    else:
        raw = _observe_shared(source, plan, models, options, after, sharing, on_progress)
    yield from RowLinker(options.max_faces, state).link_all(raw)


def _observe_alone(
    source: FrameSource,
    models: Models,
    options: AnalyzeOptions,
    after: tuple[int, float] | None,
    on_progress: ProgressHook,
) -> Iterator[RawBlock]:
    info = source.info
    observer = Observer(models, options.max_faces, options.detect_every, source.names)
    for block in observer.observe(source.frames(options.sampling, after), 3 * info.width * info.height):
        yield block
        on_progress(block.rows["frame"][-1].as_py() + 1, info.frame_count)


def _plan(source: FrameSource, options: AnalyzeOptions, after: tuple[int, float] | None) -> Plan | None:
    """Return how a video is split; None, said in a line, where it cannot be."""
    problem = "only videos can be split"
    if isinstance(source, VideoFile):
        plan = source.segments(options.sampling, PARTS_PER_WORKER * options.workers, STRETCH_S, after)
        if not plan.problem:
            return plan
        problem = plan.problem
    _log.warning("%s: one worker instead of %d: %s", source.info.path, options.workers, problem)
    return None


def _observe_shared(
    source: VideoFile,
    plan: Plan,
    models: Models,
    options: AnalyzeOptions,
    after: tuple[int, float] | None,
    sharing: Sharing,
    on_progress: ProgressHook,
) -> Iterator[RawBlock]:
    with closing(SharedVideo(source, plan, options, sharing, on_progress)) as shared:
        for block in shared:
            yield block
            last = block.rows.slice(len(block.rows) - 1)
            after = last["frame"][0].as_py(), last["time_s"][0].as_py()
    if shared.problem:
        done_s = 0.0 if after is None else after[1]
        _log.warning("%s: one worker from %.1f s on: %s", source.info.path, done_s, shared.problem)
        yield from _observe_alone(source, models, options, after, on_progress)


def finish_timeline(raw: pa.Table, source: FrameSource, models: Models, options: AnalyzeOptions) -> Timeline:
    """Return the timeline of an input whose frames have all been observed: scored, gaps filled, smoothed, decided."""
    table = finish(score_tracks(raw, models), finish_settings(options, models))
    return Timeline(table, provenance_of(source.info, source.report, models, options))


class Analyzer:
    """Analyses frames as they come, from a camera or a loop of your own.

        analyzer = Analyzer(options)
        for frame in frames:
            rows = analyzer.push(frame)   # often empty: rows come once no later frame can change them
        rows = analyzer.flush()

    With centred smoothing (the default) rows come late, by the longest radius and the longest gap that is filled, and
    are those that `analyze` gives. With `Smoothing(mode="causal")` they come at once: scores are averaged over the
    past only, and gaps stay open. Heads that look at a face over time must be causal.

    Args:
        options: what to look for. `sampling` is left to the caller: every frame that is pushed becomes rows.
        models: networks that `load_models` gave for the same options; loaded if not given.
        frame_interval_s: the usual time between two frames; estimated from the frames if not given.

    Raises:
        InputError: a head looks ahead.
    """

    def __init__(
        self,
        options: AnalyzeOptions = AnalyzeOptions(),  # noqa: B008 - frozen
        models: Models | None = None,
        frame_interval_s: float | None = None,
    ) -> None:
        models = models or load_models(options)
        self._observer = Observer(models, options.max_faces, options.detect_every)
        self._linker = RowLinker(options.max_faces)
        settings = finish_settings(options, models)
        self._scorer = LiveTracks(models)
        self._finisher = StreamingFinisher(raw_schema(models.expressions), settings, frame_interval_s)

    def push(self, frame: Frame) -> pa.Table:
        """Take the next frame and return the rows that are now final, in the schema of `Timeline.table`.

        A frame without a time is an independent image: its rows come at once, untracked and unsmoothed.

        Raises:
            InputError: the frame's time lies before the last frame's.
            ShapeError: its index does not follow the last frame's.
        """
        block = self._linker.link(self._observer.observe_one(frame))
        return self._finisher.push(self._scorer.push(pa.Table.from_batches([block.rows])))

    def flush(self) -> pa.Table:
        """Return the rows that are left when no more frames come."""
        return self._finisher.flush()
