"""Analyses segments of one video: a worker process of its own, started by `workers`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from affectline.errors import AffectlineError
from affectline.json_records import JsonValue, read_record, to_json_object
from affectline.models import Models, load_models, with_absolute_names
from affectline.observe import Observer
from affectline.options import AnalyzeOptions
from affectline.parent_pipe import ParentPipe
from affectline.postprocess.smoothing import SmoothingChoice
from affectline.segment_spool import SegmentSpool
from affectline.video import Segment, SegmentReport, UnusableStartError, VideoFile, open_video


@dataclass(frozen=True, slots=True)
class Work:
    """What all segments have in common, in plain values (`json_records`).

    Attributes:
        path: the video.
        folder: where the blocks go.
        settings: what they depend on, see `SegmentSpool`.
        keeps_landmarks: landmarks are wanted.
        backbones: `AnalyzeOptions.backbones`.
        cascade: `AnalyzeOptions.cascade`.
        heads: `AnalyzeOptions.heads`.
        smoothing: the radii that were chosen.
    """

    path: str
    folder: str
    settings: Mapping[str, str]
    keeps_landmarks: bool
    backbones: tuple[str, ...]
    cascade: str | None
    heads: tuple[str, ...]
    smoothing: SmoothingChoice


def request(spool: SegmentSpool, path: Path, options: AnalyzeOptions) -> dict[str, JsonValue]:
    """Return the first message to a worker.

    Args:
        spool: of any segment.
        path: the video.
        options: what to look for, with the threads that one worker has.
    """
    options, radii = with_absolute_names(options), options.smoothing
    work = Work(
        str(path.absolute()),
        str(spool.folder.absolute()),
        spool.settings,
        spool.keeps_landmarks,
        tuple(map(str, options.backbones)),
        None if options.cascade is None else str(options.cascade),
        tuple(map(str, options.heads)),
        SmoothingChoice(radii.va_s, radii.expr_s, radii.au_s, radii.mode),
    )
    plain = to_json_object(
        replace(options, backbone=None, cascade=None, heads=(), smoothing=SmoothingChoice(), workers=1)
    )
    del plain["smoothing"]
    return {"work": to_json_object(work), "options": plain}


def main() -> None:
    """Analyse the segments that the parent names, until it ends this process."""
    pipe = ParentPipe()
    first: dict[str, JsonValue] = json.loads(pipe.receive())
    try:
        worker = _Worker(read_record(Work, first["work"], "the work"), first["options"])
        while True:
            segment = read_record(Segment, json.loads(pipe.receive()), "a segment")
            report = worker.run(segment, lambda frames: pipe.send({"frames": frames}))
            pipe.send({"report": to_json_object(report)})
    except UnusableStartError as error:
        pipe.send({"unusable": str(error)})
    except AffectlineError as error:
        pipe.send({"error": str(error), "kind": type(error).__name__})
    except MemoryError:
        pipe.send({"error": "a worker ran out of memory: give fewer --workers", "kind": "WorkerError"})


class _Worker:
    """The networks and the video."""

    def __init__(self, work: Work, plain: JsonValue) -> None:
        options = read_record(AnalyzeOptions, plain, "the options")
        heads = tuple(map(Path, work.heads))
        self._options = replace(
            options, backbone=work.backbones or None, cascade=work.cascade, heads=heads, smoothing=work.smoothing
        )
        self._work = work
        self._models: Models = load_models(self._options, keep_landmarks=work.keeps_landmarks)
        self._video: VideoFile = open_video(Path(work.path))

    def run(self, segment: Segment, on_progress: Callable[[int], None]) -> SegmentReport:
        """Analyse one segment into its files."""
        work, options, info = self._work, self._options, self._video.info
        spool = SegmentSpool(Path(work.folder), segment, work.settings, work.keeps_landmarks)
        observer = Observer.of(self._models, options)
        reader = self._video.read_segment(segment, options.sampling)
        goes_on = segment.to_s != options.sampling.end_s
        blocks = observer.observe(reader, 3 * info.width * info.height, goes_on=goes_on)
        for _ in spool.write(blocks, observer.schema):
            on_progress(reader.frames)
        if reader.report is None:
            raise AffectlineError(f"{work.path}: a segment was not read to its end")
        spool.finish(reader.report)
        return reader.report


if __name__ == "__main__":
    main()
