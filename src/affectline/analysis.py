"""The main job: a video becomes a timeline of affect. It reads like the diagram in the documentation."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.describe import finish_settings, provenance_of
from affectline.errors import InputError
from affectline.faces.stretches import STRETCH_S
from affectline.inputs import expand_inputs, open_input
from affectline.labels import Status
from affectline.models import Models, load_models
from affectline.observe import Observer, raw_rows_schema
from affectline.options import AnalyzeOptions
from affectline.postprocess.finish import finish
from affectline.postprocess.streaming import StreamingFinisher
from affectline.progress import ProgressHook, ignore_progress
from affectline.raw_blocks import LinkedBlock, RawBlock, RowLinker
from affectline.records import Frame
from affectline.schema import ASKED_COLUMN, MISSED_COLUMN, raw_schema
from affectline.timeline import Timeline
from affectline.track_scores import LiveTracks, score_tracks
from affectline.video import FrameSource, VideoFile
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
        on_progress: told how many frames are done, after every `block_rows.BLOCK_FRAMES` of the sampled ones.

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

    @classmethod
    def behind(cls, rows: pa.RecordBatch | pa.Table, state: str = "") -> Reached:
        """Return where some raw rows end; an image has no time and counts as 0."""
        last = rows.slice(len(rows) - 1)
        return cls(last["frame"][0].as_py(), last["time_s"][0].as_py() or 0.0, state)

    @property
    def place(self) -> tuple[int, float]:
        """Index and time of the frame, as `FrameSource.frames` wants them."""
        return self.frame, self.time_s


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
) -> Generator[LinkedBlock, None, None]:
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
    after, state = (None, None) if reached is None else (reached.place, reached.state)
    observation = _Observation(source, models, options, on_progress)
    raw = observation.alone(after) if sharing is None else observation.shared(sharing, after)
    with closing(raw):
        yield from RowLinker(options.max_faces, state).link_all(raw)


RawBlocks: TypeAlias = "Generator[RawBlock, None, None]"


@dataclass(frozen=True, slots=True)
class _Observation:
    """The raw blocks of an input, from behind the frame that an earlier run handled last (its index and time)."""

    source: FrameSource
    models: Models
    options: AnalyzeOptions
    on_progress: ProgressHook

    def alone(self, after: tuple[int, float] | None) -> RawBlocks:
        """Give them, from this process."""
        info = self.source.info
        observer = Observer.of(self.models, self.options, self.source.names)
        for block in observer.observe(self.source.frames(self.options.sampling, after), 3 * info.width * info.height):
            yield block
            self.on_progress(block.rows["frame"][-1].as_py() + 1, info.frame_count)

    def shared(self, sharing: Sharing, after: tuple[int, float] | None) -> RawBlocks:
        """Give them, from workers; those that workers cannot make from this process, and say so."""
        problem = "only videos can be split"
        if isinstance(self.source, VideoFile):
            parts = PARTS_PER_WORKER * self.options.workers
            plan = self.source.segments(self.options.sampling, parts, STRETCH_S, after)
            problem = plan.problem
            if not problem:
                with closing(SharedVideo(self.source, plan, self.options, sharing, self.on_progress)) as shared:
                    for block in shared:
                        yield block
                        after = Reached.behind(block.rows).place
                problem = shared.problem
        if problem:
            from_s = 0.0 if after is None else after[1]
            said = "%s: one worker instead of %d from %.1f s on: %s"
            _log.warning(said, self.source.info.path, self.options.workers, from_s, problem)
            yield from self.alone(after)


def finish_timeline(raw: pa.Table, source: FrameSource, models: Models, options: AnalyzeOptions) -> Timeline:
    """Return the timeline of an input whose frames have all been observed: scored, gaps filled, smoothed, decided.

    Args:
        raw: the rows of all frames.
        source: of them.
        models: from `load_models` for the same options.
        options: what was looked for.
    """
    table = finish(score_tracks(raw, models), finish_settings(options, models))
    asked = None if models.cascade is None else pc.sum(raw[ASKED_COLUMN], min_count=0).as_py()
    # The source knows of the latest reading only, the rows of all that there were before a break.
    report = source.report.with_damage(_damage(raw), source.info.path)
    return Timeline(table, provenance_of(source.info, report, models, options, asked))


def _damage(raw: pa.Table) -> int:
    """Return how many damaged pictures the rows tell of: those that are frames, and those before frames."""
    frames, first = np.unique(raw["frame"].to_numpy(), return_index=True)
    is_damaged = pc.equal(raw["status"], Status.ERROR.value).to_numpy()[first]
    return int(is_damaged.sum() + raw[MISSED_COLUMN].to_numpy()[first].sum()) if len(frames) else 0


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
        options: what to look for. `sampling` is left to the caller: every frame that is pushed becomes rows. With
            `stride_s`, a face has no rows behind the last frame that was looked at.
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
        self._observer = Observer.of(models, options)
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
