"""What a person sees while long work runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import rich.progress
from rich.console import Console

from affectline.file_names import as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from affectline.job_index import JobResult
    from affectline.progress import ProgressHook

PLAIN_EVERY_S = 10.0
"""How often a plain line is written."""


class Progress:
    """Shows the progress of one job after another on stderr, and the outcome of each on stdout."""

    def __init__(self) -> None:
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None
        self._name = ""
        self._last_line_s = 0.0

    def __enter__(self) -> Progress:
        self._last_line_s = time.monotonic()
        if sys.stderr.isatty():
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str) -> None:
        """Say which input comes next."""
        self._name = as_utf8(name)
        self._last_line_s = time.monotonic()

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Say how many frames of the present input are done in a stage."""
        text = f"{self._name}: {stage}" if self._name else stage
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(text)
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif time.monotonic() - self._last_line_s >= PLAIN_EVERY_S:
            self._last_line_s = time.monotonic()
            print(f"{text} {done}" + (f" of {total}" if total else ""), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Write a line to stderr, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def finish(self, result: JobResult) -> None:
        """Say what came of the present input."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        if result.folder is not None:
            print(
                f"{self._name}: {result.status}, {result.frames} frames, {result.rows} rows, "
                f"{result.tracks} tracks -> {result.folder}",
                flush=True,
            )


@contextmanager
def shown(stage: str) -> Iterator[ProgressHook]:
    """Give a hook that shows how far one piece of work has come.

    Args:
        stage: what is counted, such as `videos`.
    """
    with Progress() as progress:
        progress.begin("")
        yield partial(progress.advance, stage)
