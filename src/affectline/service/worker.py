"""Analyses one upload: a child process of its own (`python -m affectline.service.worker`)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from affectline.errors import AffectlineError, InputFileError
from affectline.file_lock import locked
from affectline.json_records import read_record, to_json_object
from affectline.parent_pipe import ChildLimits, ParentPipe, apply_limits
from affectline.service.job_folder import JobFolder
from affectline.service.probe import without_path
from affectline.service.settings import AnalysisChoice

if TYPE_CHECKING:
    from affectline.job_index import JobResult
    from affectline.timeline import Timeline

_WAIT_FOR_ANOTHER_S: Final = 60.0
"""How long the child of a service that was killed may take to notice."""

_TELL_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a worker is told.

    Attributes:
        folder: of the job.
        name: what the client calls the upload; text, never a path.
        max_frames: more than these are not analysed.
        choice: what to look for.
        limits: of this process.
    """

    folder: str
    name: str
    max_frames: int
    choice: AnalysisChoice
    limits: ChildLimits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an analysis.

    Attributes:
        problem: why there is no result; None if there is one.
        warning: what was wrong with the input although there is a result.
        frames: analysed frames.
        rows: of the timeline.
        tracks: faces that were followed; of a picture, the faces in it.
        expression: the most frequent one; None without a face.
        valence: mean over all rows with a face, in [-1, 1].
        arousal: likewise.
    """

    problem: str | None = None
    warning: str | None = None
    frames: int = 0
    rows: int = 0
    tracks: int = 0
    expression: str | None = None
    valence: float | None = None
    arousal: float | None = None


def main() -> None:
    """Analyse one upload, tell how far it is, and what came of it."""
    pipe = ParentPipe()
    request = read_record(JobRequest, json.loads(pipe.receive()), "the request")
    apply_limits(request.limits)
    folder = JobFolder(Path(request.folder))
    try:
        with locked(folder.lock, _WAIT_FOR_ANOTHER_S, "another worker"):
            outcome = _run(request, folder, _Teller(pipe, request.max_frames))
    except AffectlineError as error:
        outcome = Outcome(problem=without_path(str(error), folder.upload))
    except MemoryError:
        outcome = Outcome(problem="the analysis needs more memory than is allowed here")
    pipe.send({"outcome": to_json_object(outcome)})


class _Teller:
    """Tells the service how far the analysis is, and stops one that has more frames than it said."""

    def __init__(self, pipe: ParentPipe, max_frames: int) -> None:
        self._pipe = pipe
        self._max_frames = max_frames
        self._last_s = 0.0

    def begin(self, name: str) -> None:
        """There is one input only."""

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Pass on how many frames are done in a stage."""
        if done > self._max_frames:
            raise InputFileError(f"the video has more than {self._max_frames} frames, which is the most allowed here")
        if time.monotonic() - self._last_s >= _TELL_EVERY_S:
            self._last_s = time.monotonic()
            self._pipe.send({"progress": {"stage": stage, "done": done, "total": total}})

    def finish(self, result: JobResult) -> None:
        """The outcome is told by `main`."""

    def stage(self, stage: str) -> None:
        """Tell that a stage begins of which nobody knows how long it takes."""
        self._pipe.send({"progress": {"stage": stage, "done": 0, "total": None}})


def _run(request: JobRequest, folder: JobFolder, teller: _Teller) -> Outcome:
    from affectline.report.page import write_report
    from affectline.timeline import Timeline

    if not folder.is_named.exists():
        teller.stage("networks")
        result = _analyse(request, folder, teller)
        if result.status == "failed":
            return Outcome(problem=without_path(result.message, folder.upload))
        _give_name(folder, request.name)
    timeline = Timeline.from_parquet(folder.timeline("parquet"))
    teller.stage("report")
    write_report(folder.result, video=folder.upload, on_progress=partial(teller.advance, "report"))
    return outcome_of(timeline)


def _analyse(request: JobRequest, folder: JobFolder, teller: _Teller) -> JobResult:
    from affectline.inputs import expand_inputs
    from affectline.jobs import PART_NAME, OutputOptions, run_jobs
    from affectline.result_folders import OWNER_NAME
    from affectline.timeline import FORMATS

    # So that the name of the result folder is known, wherever the folder of the service has been moved to.
    for file in (folder.results / "index.csv", folder.result / OWNER_NAME):
        file.unlink(missing_ok=True)
    inputs, options = expand_inputs([folder.upload], None), request.choice.options()
    output = OutputOptions(folder.results, FORMATS, annotate=False, resume=True)
    part = folder.result / PART_NAME
    is_resumed = part.exists()
    (result,) = run_jobs(inputs, options, output, teller)
    if result.status == "failed" and is_resumed:
        # What an earlier run left may be of another version of affectline or of a model: begin again.
        part.unlink(missing_ok=True)
        (result,) = run_jobs(inputs, options, output, teller)
    return result


def _give_name(folder: JobFolder, name: str) -> None:
    """Write the result once more with the name that the client knows, and without the place of the upload."""
    from affectline.timeline import FORMATS, Timeline

    timeline = Timeline.from_parquet(folder.timeline("parquet"))
    there = timeline.provenance
    problem = None if there.problem is None else without_path(there.problem, folder.upload)
    Timeline(timeline.table, replace(there, input=name, problem=problem)).write(folder.result, list(FORMATS))
    folder.is_named.touch()


def outcome_of(timeline: Timeline) -> Outcome:
    """Return in short what a timeline says; what is said of expressions and means is so over all its faces."""
    table = timeline.table
    with_face = table.filter(pc.is_valid(table["valence"]))
    words = pc.value_counts(pc.drop_null(with_face["expression"])).to_pylist()
    return Outcome(
        warning=timeline.provenance.problem,
        frames=pc.count_distinct(table["frame"]).as_py(),
        rows=len(table),
        tracks=len(timeline.track_ids) or len(with_face),
        expression=max(words, key=lambda entry: entry["counts"])["values"] if words else None,
        valence=_mean(with_face["valence"]),
        arousal=_mean(with_face["arousal"]),
    )


def _mean(column: pa.ChunkedArray) -> float | None:
    mean: float | None = pc.mean(column).as_py()
    return None if mean is None else round(mean, 4)


if __name__ == "__main__":
    main()
