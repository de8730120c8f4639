"""Analysing many inputs on many machines: `jobs.run_jobs`, with one Ray task for each input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from affectline.cluster import ClusterOptions, Done, run_tasks, shared_folder
from affectline.describe import finish_settings
from affectline.errors import InputError
from affectline.heads.head_file import OpaqueOpener
from affectline.inputs import Input
from affectline.job_index import JobIndex, JobResult
from affectline.jobs import PART_NAME, OutputOptions, Reporter, analyze_into, recorded, with_problem
from affectline.models import Models, load_models, with_absolute_names
from affectline.options import AnalyzeOptions
from affectline.result_folders import make_folder, own_folder


def run_jobs_on_ray(
    inputs: Sequence[Input],
    options: AnalyzeOptions,
    output: OutputOptions,
    reporter: Reporter,
    cluster: ClusterOptions,
    open_opaque: OpaqueOpener | None = None,
) -> list[JobResult]:
    """Analyse the inputs on a Ray cluster, with the results that `run_jobs` gives, in the order of the inputs.

    An input whose worker was lost is begun again where it stopped. The folder for the results must be one that all
    machines see under the same path, and so must local inputs and model files.

    Args:
        inputs: what to analyse.
        options: what to look for; where it leaves the threads open, a network gets as many as its task has cores.
        output: what to write, and where.
        reporter: told of each input when it is finished, and how many are.
        cluster: what a task gets.
        open_opaque: opens heads that hold a pickle.

    Raises:
        InputError: more than one worker is asked for.
        OutputError: the folder cannot be written to, or is another one on a worker's machine.
        AffectlineError: a model cannot be loaded there; see `run_jobs`.
    """
    if options.workers > 1:
        raise InputError(f"--workers {options.workers} shares a video on one machine; with --engine ray leave it out")
    make_folder(output.folder)
    output = replace(output, folder=output.folder.absolute())
    options = replace(with_absolute_names(options), threads=options.threads or cluster.cpus)
    index, results = JobIndex(output.folder), dict[int, JobResult]()
    wanted = [output.folder / index.folder_name(item.place, item.stem) for item in inputs]
    tasks = [_Task(item, own_folder(folder, item.place)) for item, folder in zip(inputs, wanted, strict=True)]
    if not output.resume:
        for task in tasks:
            (task.folder / PART_NAME).unlink(missing_ok=True)  # else a retry would go on from an older run
    try:
        with shared_folder(output.folder) as check:
            work = _Work(check, options, output, open_opaque)
            with closing(run_tasks(work, tasks, cluster)) as finished:
                for done in finished:
                    item = inputs[done.number]
                    reporter.begin(item.path.name)
                    result = recorded(index, _result(done, item))
                    reporter.finish(result)
                    results[done.number] = result
                    reporter.advance("inputs", len(results), len(inputs))
    finally:
        problem = index.close()
    return with_problem([results[number] for number in sorted(results)], problem)


def _result(done: Done[JobResult], item: Input) -> JobResult:
    if done.result is not None:
        return done.result
    said = f"{item.place}: its worker was lost {done.losses} times; out of memory? --resume goes on where it stopped"
    return JobResult(item.place, None, "failed", message=said)


@dataclass(frozen=True, slots=True)
class _Task:
    item: Input
    folder: Path


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker does with each task."""

    check: Callable[[], None]
    options: AnalyzeOptions
    output: OutputOptions
    open_opaque: OpaqueOpener | None

    def __call__(self, task: _Task, is_retry: bool) -> JobResult:
        self.check()
        output = replace(self.output, resume=self.output.resume or is_retry)
        models = _models(_Wanted(self.options, output.save_landmarks, self.open_opaque))
        result = analyze_into(task.item, task.folder, models, self.options, output, _Silent())
        if is_retry and not self.output.resume and result.status == "skipped":
            # The worker that was lost had finished it.
            return replace(result, status="incomplete" if result.message else "done")
        return result


@dataclass(frozen=True, slots=True)
class _Wanted:
    options: AnalyzeOptions
    keep_landmarks: bool
    open_opaque: OpaqueOpener | None = field(compare=False)  # another object in each task


@lru_cache(maxsize=1)
def _models(wanted: _Wanted) -> Models:
    """Return the networks, which a worker keeps from task to task."""
    models = load_models(wanted.options, open_opaque=wanted.open_opaque, keep_landmarks=wanted.keep_landmarks)
    finish_settings(wanted.options, models)  # refuses heads that do not go together before any work is done
    return models


class _Silent:
    """A reporter that nobody listens to."""

    def begin(self, name: str) -> None:
        """Do nothing."""

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Do nothing."""

    def finish(self, result: JobResult) -> None:
        """Do nothing."""
