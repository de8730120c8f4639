"""The main job: a video becomes a timeline of affect. It reads like the diagram in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from affectline.describe import finish_settings, provenance_of
from affectline.errors import InputError
from affectline.inputs import expand_inputs, open_input
from affectline.models import Models, load_models
from affectline.observe import Observer, RawBlock
from affectline.options import AnalyzeOptions
from affectline.postprocess.finish import finish
from affectline.postprocess.streaming import StreamingFinisher
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import Frame
from affectline.schema import ASKED_COLUMN, raw_schema
from affectline.timeline import Timeline
from affectline.track_scores import LiveTracks, score_tracks
from affectline.video import FrameSource, Sampling


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
        AffectlineError: any that `load_models` raises.
    """
    models = models or load_models(options)
    source = _open_one(path, options.sequence_fps)
    observer = Observer(models, options.max_faces, options.detect_every, source.names, stride_s=options.stride_s)
    blocks = observe_source(source, observer, options.sampling, on_progress=on_progress)
    raw = pa.Table.from_batches([block.rows for block in blocks], observer.schema)
    return finish_timeline(raw, source, models, options)


def _open_one(path: str | Path, sequence_fps: float | None) -> FrameSource:
    inputs = expand_inputs([path], sequence_fps)
    if len(inputs) != 1:
        raise InputError(
            f"{path} holds {len(inputs)} inputs, analyze takes one: call it for each, or use the command line"
        )
    return open_input(inputs[0], sequence_fps)


def observe_source(
    source: FrameSource,
    observer: Observer,
    sampling: Sampling,
    resume_after: tuple[int, float] | None = None,
    on_progress: ProgressHook = ignore_progress,
) -> Iterator[RawBlock]:
    """Give the raw rows of an input, block by block.

    Args:
        source: where the frames come from.
        observer: a fresh one, or one restored to where the last run stopped.
        sampling: which frames.
        resume_after: index and time of the last frame that an earlier run has handled.
        on_progress: told after every block.
    """
    info = source.info
    frames = source.frames(sampling, resume_after)
    for block in observer.observe(frames, 3 * info.width * info.height):
        yield block
        on_progress(block.rows["frame"][-1].as_py() + 1, info.frame_count)


def finish_timeline(raw: pa.Table, source: FrameSource, models: Models, options: AnalyzeOptions) -> Timeline:
    """Return the timeline of an input whose frames have all been observed: scored, gaps filled, smoothed, decided."""
    table = finish(score_tracks(raw, models), finish_settings(options, models))
    asked = None if models.cascade is None else pc.sum(raw[ASKED_COLUMN], min_count=0).as_py()
    return Timeline(table, provenance_of(source.info, source.report, models, options, asked))


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
        self._observer = Observer(models, options.max_faces, options.detect_every, stride_s=options.stride_s)
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
        block = self._observer.observe_one(frame)
        return self._finisher.push(self._scorer.push(pa.Table.from_batches([block.rows])))

    def flush(self) -> pa.Table:
        """Return the rows that are left when no more frames come."""
        return self._finisher.flush()
