"""Analysing many inputs into a folder: files, progress, failures, and going on after an interruption."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from affectline import __version__
from affectline.analysis import Reached, finish_timeline, observe_source
from affectline.describe import finish_settings, provenance_of
from affectline.earlier_result import earlier_timeline, shows_these_pictures
from affectline.errors import AffectlineError, InputError, OutputError
from affectline.file_names import as_utf8
from affectline.heads.head_file import OpaqueOpener
from affectline.inputs import Input, local_copy, open_input
from affectline.job_index import JobIndex, JobResult
from affectline.landmark_file import LandmarkWriter
from affectline.models import Models, load_models
from affectline.observe import raw_rows_schema
from affectline.options import AnalyzeOptions
from affectline.part import PartWriter, part_batches, resume_part
from affectline.remote import remote_status
from affectline.report.annotate import annotate_video
from affectline.report.notebook import caption_of
from affectline.report.page import PREVIEW_NAME, REPORT_NAME, require_extra, write_report
from affectline.report.plot import plot_timeline
from affectline.result_folders import claimed_folder, make_folder, own_folder
from affectline.timeline import DEFAULT_FORMATS, FORMATS, Timeline
from affectline.video import FrameSource, ReadReport, SourceInfo
from affectline.workers import Sharing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What to write, and where.

    Attributes:
        folder: results of each input go to a folder of its own inside.
        formats: of `timeline.FORMATS`.
        annotate: write annotated.mp4 of a video.
        save_landmarks: write landmarks.arrow.
        resume: skip finished inputs, and go on where an interrupted one stopped.
        report: write report.html.
    """

    folder: Path
    formats: tuple[str, ...] = DEFAULT_FORMATS
    annotate: bool = True
    save_landmarks: bool = False
    resume: bool = False
    report: bool = False


class Reporter(Protocol):
    """Is told how the work goes on."""

    def begin(self, name: str) -> None:
        """The input of this name comes next."""

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """So many frames are done in a stage."""

    def finish(self, result: JobResult) -> None:
        """This came of the present input."""


PART_NAME, VIDEO_NAME, LANDMARKS_NAME = "timeline.part.arrow", "annotated.mp4", "landmarks.arrow"
SEGMENTS_NAME = "segments.part"


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the table formats in a text such as `csv,parquet`.

    Raises:
        InputError: one of them is unknown.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise InputError(f"--format knows {', '.join(FORMATS)}, got {unknown[0]!r}")
    return names


def run_jobs(
    inputs: Sequence[Input],
    options: AnalyzeOptions,
    output: OutputOptions,
    reporter: Reporter,
    open_opaque: OpaqueOpener | None = None,
) -> list[JobResult]:
    """Analyse the inputs one after the other; one that fails does not stop the others.

    Raises:
        OutputError: the folder cannot be written to at all.
        MissingExtraError: a report is wanted, and what it needs is not installed.
        AssetError: a model that all need could not be fetched.
        ModelFileError: a model file cannot be used.
    """
    if output.report:
        require_extra()
    make_folder(output.folder)
    if open_opaque is not None and options.workers > 1:
        _log.warning("one worker instead of %d: heads with a pickle are opened in one process only", options.workers)
        options = replace(options, workers=1)
    models = load_models(options, open_opaque=open_opaque, keep_landmarks=output.save_landmarks)
    finish_settings(options, models)  # refuses heads that do not go together before any work is done
    index, results = JobIndex(output.folder), []
    try:
        for item in inputs:
            reporter.begin(item.path.name)
            folder = output.folder / index.folder_name(item.place, item.stem)
            result = recorded(index, analyze_into(item, folder, models, options, output, reporter))
            reporter.finish(result)
            results.append(result)
    finally:
        problem = index.close()
    return with_problem(results, problem)


def with_problem(results: list[JobResult], problem: str) -> list[JobResult]:
    """Return results with what is wrong with the index at the last one, which has no message of its own."""
    if not problem or not results:
        return results
    return [*results[:-1], replace(results[-1], message=results[-1].message or problem)]


def analyze_into(
    item: Input, folder: Path, models: Models, options: AnalyzeOptions, output: OutputOptions, reporter: Reporter
) -> JobResult:
    """Analyse one input into its folder and return what came of it; a failure is a result, too.

    Args:
        item: the input; a copy is made of a URL, and removed when it is done.
        folder: for its results alone.
        models: from `load_models` for the same options.
        options: what to look for.
        output: what to write.
        reporter: told how many frames are done.
    """
    try:
        folder = own_folder(folder, item.place)
        if item.url is not None and output.resume:
            status = remote_status(item.url)
            info = replace(_UNREAD, path=item.path, kind=item.kind)
            timeline = _finished(folder, models, options, output, info, status.size_bytes)
            if timeline is not None:
                return _result_of(item, folder, timeline, "skipped")
        with local_copy(item.path, item.url) as path:
            source = open_input(replace(item, path=path), options.sequence_fps)
            return _Job(item, source, folder, models, options, output, reporter).run()
    except (AffectlineError, OSError) as error:
        return JobResult(item.place, None, "failed", message=str(error))
    except Exception as error:  # noqa: BLE001 - a fault of ours or of a library must not cost the other inputs
        _log.exception("%s failed", as_utf8(item.place))
        return JobResult(item.place, None, "failed", message=f"{type(error).__name__}: {error}")


def recorded(index: JobIndex, result: JobResult) -> JobResult:
    """Note a result in index.csv; return it, with what kept it from being noted."""
    try:
        index.record(result)
    except OutputError as error:
        return replace(result, message=result.message or str(error))
    return result


@dataclass(frozen=True, slots=True)
class _Job:
    """One input on its way into its folder."""

    item: Input
    source: FrameSource
    folder: Path
    models: Models
    options: AnalyzeOptions
    output: OutputOptions
    reporter: Reporter

    def run(self) -> JobResult:
        if self.output.resume:
            info = self.source.info
            size_bytes = info.path.stat().st_size if info.path.is_file() else None
            finished = _finished(self.folder, self.models, self.options, self.output, info, size_bytes)
            if finished is not None and shows_these_pictures(self.folder, finished, self.source):
                return _result_of(self.item, self.folder, finished, "skipped")
        return replace(self, folder=self._prepared_folder()).make()

    def make(self) -> JobResult:
        """Analyse the input into the folder, which is its own, and return what came of it."""
        raw = self._observe()
        if not len(raw):
            (self.folder / PART_NAME).unlink(missing_ok=True)
            duration_s = self.source.info.duration_s
            length = "" if duration_s is None else f" (it lasts {duration_s:.2f} s)"
            raise InputError(f"{self.source.info.path}{length} has no frame from --start on and before --end")
        timeline = finish_timeline(raw, self.source, self.models, self.options)
        self._remove_stale()
        # A table in another format that an earlier run left would tell something else, too.
        timeline.write(self.folder, [*self.output.formats, *table_formats(self.folder)])
        draw_picture(timeline, self.folder)
        if self._is_annotated:
            draw_video(timeline, self.folder, self.source.info.path, self.reporter)
        if self.output.report:
            draw_report(self.folder, self.source.info.path, self.reporter)
        (self.folder / PART_NAME).unlink(missing_ok=True)
        status = "done" if timeline.provenance.is_complete else "incomplete"
        return _result_of(self.item, self.folder, timeline, status)

    def _prepared_folder(self) -> Path:
        """Make the folder, away from what is analysed, and remove what a killed run was writing; return its path."""
        source = self.source.info.path.resolve()
        if source in (self.folder.resolve(), (self.folder / VIDEO_NAME).resolve()):
            raise InputError(f"{source}: the results would be written into the input; choose another --output")
        folder = claimed_folder(self.folder, self.item.place)
        for file in folder.glob(".*.tmp"):
            file.unlink(missing_ok=True)
        return folder

    def _remove_stale(self) -> None:
        """Remove what an earlier run left that would tell something else than the new table."""
        made = {VIDEO_NAME: self._is_annotated, REPORT_NAME: self.output.report}
        made |= {PREVIEW_NAME: self.output.report, LANDMARKS_NAME: self.output.save_landmarks}
        for name, is_made in made.items():
            if not is_made:
                (self.folder / name).unlink(missing_ok=True)

    @property
    def _is_annotated(self) -> bool:
        return self.output.annotate and self.source.info.kind == "video"

    def _observe(self) -> pa.Table:
        """Return the raw rows of the input, keeping them on disk while they grow."""
        schema = raw_rows_schema(self.models, self.source.names)
        part, reached = self._open_part(schema)
        with ExitStack() as stack:
            stack.enter_context(part)
            marks = None
            if self.output.save_landmarks:
                kept = None if reached is None else reached.frame
                marks = stack.enter_context(LandmarkWriter(self.folder / LANDMARKS_NAME, kept))
            advance = partial(self.reporter.advance, "frames")
            sharing = self._sharing()
            blocks = observe_source(self.source, self.models, self.options, reached, advance, sharing)
            for block in stack.enter_context(closing(blocks)):
                if marks is not None:
                    marks.write(block.landmarks)
                part.write(block.rows, block.state)
            if marks is not None:
                marks.finish()
        shutil.rmtree(self.folder / SEGMENTS_NAME, ignore_errors=True)
        return pa.Table.from_batches([rows for rows, _ in part_batches(self.folder / PART_NAME)], schema)

    def _sharing(self) -> Sharing | None:
        folder = self.folder / SEGMENTS_NAME
        if not self.output.resume:
            shutil.rmtree(folder, ignore_errors=True)
        if self.options.workers == 1:
            return None
        return Sharing(folder, self._settings(), self.output.save_landmarks)

    def _open_part(self, schema: pa.Schema) -> tuple[PartWriter, Reached | None]:
        path, settings = self.folder / PART_NAME, self._settings()
        if not self.output.resume:
            return PartWriter(path, schema, settings), None
        writer, contents = resume_part(path, schema, settings)
        if contents is None or not contents.state:
            return writer, None
        return writer, Reached.behind(contents.rows, contents.state)

    def _settings(self) -> dict[str, str]:
        """Return all that raw rows depend on, as text by name."""
        path, options, detector = self.source.info.path, self.options, self.models.detector
        cascade, heads = self.models.cascade, self.models.heads
        status = path.stat()
        return {
            "affectline": __version__,
            "input": f"{path.name}, {status.st_size} bytes, changed at {status.st_mtime_ns}",
            "backbone": ", ".join(f"{one.spec.name} {one.digest}" for one in self.models.backbones),
            "heads": ", ".join(f"{task.value} {named.digest}" for task, named in heads.items()),
            "adjustments": str(
                {task.value: named.head.card.decision.logit_adjustment for task, named in heads.items()}
            ),
            "detector": "none" if detector is None else detector.name,
            "action units": str(options.action_units),
            "landmarks": str(self.output.save_landmarks),
            "max faces": str(options.max_faces),
            "detect every": str(options.detect_every),
            "stride": str(options.stride_s),
            "cascade": "none" if cascade is None else f"{cascade.backbone.digest} below {cascade.sure_from}",
            "sequence": str(options.sequence_fps),
            "device": options.device,
            "precision": ", ".join(one.runtime.precision.value for one in self.models.backbones),
            **{f"sampling {name}": str(value) for name, value in asdict(options.sampling).items()},
        }


_NOTHING_READ = ReadReport(0, None, 0, is_complete=True, problem=None)
_UNREAD = SourceInfo(Path(), "video", 0, 0, None, None, None, None, None, 0, has_audio=False)


def _finished(
    folder: Path,
    models: Models,
    options: AnalyzeOptions,
    output: OutputOptions,
    info: SourceInfo,
    size_bytes: int | None,
) -> Timeline | None:
    """Return the timeline of an earlier run with the same settings, if all its files are there.

    Of an input that is not on this machine, `info` tells no more than its name and kind.
    """
    if (folder / PART_NAME).exists():
        return None
    names = [*(f"timeline.{name}" for name in output.formats), "timeline.png"]
    names += [VIDEO_NAME] if output.annotate and info.kind == "video" else []
    names += [LANDMARKS_NAME] if output.save_landmarks else []
    names += [REPORT_NAME] if output.report else []
    wanted = provenance_of(info, _NOTHING_READ, models, options)
    return earlier_timeline(folder, names, replace(wanted, size_bytes=size_bytes))


def _result_of(item: Input, folder: Path, timeline: Timeline, status: str) -> JobResult:
    return JobResult(
        input=item.place,
        folder=folder,
        status=status,
        frames=len(set(timeline.column("frame").tolist())),
        rows=len(timeline),
        tracks=len(timeline.track_ids),
        message=timeline.provenance.problem or "",
    )


def draw_picture(timeline: Timeline, folder: Path) -> None:
    """Write timeline.png into a result folder."""
    provenance = timeline.provenance
    plot_timeline(timeline.drawn_table, folder / "timeline.png", provenance.input, caption_of(provenance))


def draw_video(timeline: Timeline, folder: Path, video: Path, reporter: Reporter) -> None:
    """Write annotated.mp4 into a result folder; `video` is what was analysed."""
    advance = partial(reporter.advance, "annotated video")
    annotate_video(video, timeline.drawn_table, folder / VIDEO_NAME, advance)


def draw_report(folder: Path, source: Path, reporter: Reporter) -> None:
    """Write report.html into a result folder, of the table there; `source` is what was analysed."""
    write_report(folder, video=source, on_progress=partial(reporter.advance, "report"))


def table_formats(folder: Path) -> list[str]:
    """Return the formats in which the table lies in a result folder."""
    return [name for name in FORMATS if (folder / f"timeline.{name}").is_file()]
