"""Extracting features on many machines: `job.extract_all`, with one Ray task for each input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from affectline.backbones.files import absolute_name
from affectline.cluster import ClusterOptions, run_tasks, shared_folder
from affectline.extract.job import Extracted, ExtractOptions, Extractor, extract_one, load_extractor
from affectline.extract.sources import ExtractSource
from affectline.features.store import FeatureStore
from affectline.progress import ProgressHook, ignore_progress


def extract_all_on_ray(
    sources: Sequence[ExtractSource],
    store: FeatureStore,
    options: ExtractOptions,
    cluster: ClusterOptions,
    on_progress: ProgressHook = ignore_progress,
) -> Iterator[Extracted]:
    """Extract the features of each input on a Ray cluster and give what came of it, as it comes.

    An input whose worker was lost is begun again from its first frame. The store must be a folder that all machines see
    under the same path, and so must local inputs and model files.

    Args:
        sources: from `find_sources`.
        store: where the tables go; each appears when it is whole.
        options: how; where they leave the threads open, the network gets as many as its task has cores.
        cluster: what a task gets.
        on_progress: told how many inputs are finished.

    Raises:
        OutputError: the store cannot be written to, or is another folder on a worker's machine.
        AffectlineError: a model cannot be loaded there.
    """
    options = replace(
        options,
        backbone=absolute_name(options.backbone),  # workers may be in another folder
        videos=None if options.videos is None else options.videos.absolute(),
        threads=options.threads or cluster.cpus,
    )
    kinds = {source.kind: source for source in sources}  # one of each is enough to know which networks are needed
    tasks = [replace(source, path=source.path if source.url else source.path.absolute()) for source in sources]
    try:
        with shared_folder(store.folder) as check:
            work = _Work(check, store.folder.absolute(), _Wanted(options, tuple(kinds.values())))
            with closing(run_tasks(work, tasks, cluster)) as finished:
                for count, done in enumerate(finished, start=1):
                    source = sources[done.number]
                    said = f"{source.place}: its worker was lost {done.losses} times; out of memory?"
                    result = done.result or Extracted(source, "failed", message=said)
                    yield replace(result, source=source)
                    on_progress(count, len(sources))
    finally:
        store.refresh()


@dataclass(frozen=True, slots=True)
class _Wanted:
    options: ExtractOptions
    examples: tuple[ExtractSource, ...]


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker does with each task."""

    check: Callable[[], None]
    store: Path
    wanted: _Wanted

    def __call__(self, source: ExtractSource, is_retry: bool) -> Extracted:
        self.check()
        result = extract_one(source, FeatureStore(self.store), _extractor(self.wanted), {})
        if is_retry and result.status == "skipped":
            # The worker that was lost had finished it.
            return replace(result, status="done")
        return result


@lru_cache(maxsize=1)
def _extractor(wanted: _Wanted) -> Extractor:
    """Return the networks, which a worker keeps from task to task."""
    return load_extractor(wanted.options, wanted.examples)
