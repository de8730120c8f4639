"""Worker processes that share the work on one video, and the blocks that they make, in order.

A worker gets segments of the video one after the other (`video.segments`), so that one that is slower gets fewer. What
it finds goes to disk; here it is taken up in the order of the video.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from affectline.errors import AffectlineError, WorkerError, error_named
from affectline.json_records import JsonValue, read_record, to_json_object
from affectline.options import AnalyzeOptions
from affectline.parent_pipe import child_environment, framed, parse_line
from affectline.progress import ProgressHook
from affectline.raw_blocks import RawBlock
from affectline.runtime import usable_cores
from affectline.segment_spool import SegmentSpool
from affectline.segment_worker import request
from affectline.video import Plan, Segment, SegmentReport, VideoFile

PARTS_PER_WORKER: Final = 4
"""Into how many segments for each worker a video is split: with more, all end at about the same time."""

_TELL_EVERY_S: Final = 0.5

_START: Final = "import sys; sys.path[:] = sys.argv[1:]; from affectline.segment_worker import main; main()"
"""Not `-m`, which would look for modules in the folder that the user happens to be in; until the path is set, only
`sys` is imported, which is built in."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the work on a video is shared.

    Attributes:
        folder: for what the workers find.
        settings: everything that it depends on, as text by name.
        keeps_landmarks: landmarks are wanted.
    """

    folder: Path
    settings: Mapping[str, str]
    keeps_landmarks: bool = False


class SharedVideo:
    """The raw blocks of a video that several workers analyse. Iterate once, and close.

    Args:
        video: what is analysed; it gets the report of the reading.
        plan: its segments.
        options: what to look for, and how many workers.
        sharing: how.
        on_progress: told how many frames are done.

    Attributes:
        problem: why the last segments were left to the caller; empty if none were.
    """

    def __init__(
        self, video: VideoFile, plan: Plan, options: AnalyzeOptions, sharing: Sharing, on_progress: ProgressHook
    ) -> None:
        self.problem = ""
        self._video = video
        self._spools = [
            SegmentSpool(sharing.folder, segment, sharing.settings, sharing.keeps_landmarks)
            for segment in plan.segments
        ]
        self._every = options.sampling.every
        self._on_progress = on_progress
        sharing.folder.mkdir(parents=True, exist_ok=True)
        done = {number: report for number, spool in enumerate(self._spools) if (report := spool.finished())}
        waiting = [(number, spool.segment) for number, spool in enumerate(self._spools) if number not in done]
        count = min(options.workers, len(waiting))
        threads = max(1, (options.threads or usable_cores()) // options.workers)
        first = request(self._spools[0], video.info.path, replace(options, threads=threads))
        self._crew = _Crew(waiting, done, json.dumps(first).encode(), count)
        begin = plan.segments[0]
        self._handled = begin.start.index if begin.after_frame is None else begin.after_frame + 1

    def __iter__(self) -> Iterator[RawBlock]:
        """Give the blocks of the segments, in order.

        Raises:
            WorkerError: a worker was killed.
            AffectlineError: what a worker came upon.
        """
        reports: list[SegmentReport] = []
        shift = 0
        for number, spool in enumerate(self._spools):
            report = self._wait_for(number)
            if reports and report is not None and report.first_index is not None:
                shift = reports[-1].next_index - report.first_index
            if report is None or shift % self._every:
                self.problem = self.problem or "frames are lost, and so the numbers of those behind them are not known"
                return
            yield from (block.renumbered(shift) for block in spool.blocks())
            reports.append(replace(report, next_index=report.next_index + shift))
            spool.remove()
        self._video.take_reports(reports)

    def _wait_for(self, number: int) -> SegmentReport | None:
        """Return what reading a segment gave, None where its frames must be read behind those before it."""
        total = self._video.info.frame_count
        while True:
            self._on_progress(self._handled + self._crew.frames, total)
            outcome = self._crew.outcome(number, _TELL_EVERY_S)
            if isinstance(outcome, str):
                self.problem = outcome
                return None
            if outcome is not None:
                return outcome

    def close(self) -> None:
        """End the workers."""
        self._crew.close()


class _Crew:
    """Worker processes, and for each a thread that hands it segments and hears what comes of them.

    Args:
        waiting: segments to analyse, with their places in the video, the first ones first.
        done: what an earlier run has analysed, by place.
        first_message: the first one to each worker.
        count: how many workers.
    """

    def __init__(
        self,
        waiting: Sequence[tuple[int, Segment]],
        done: Mapping[int, SegmentReport],
        first_message: bytes,
        count: int,
    ) -> None:
        self._waiting = deque(waiting)
        self._outcomes: dict[int, SegmentReport | str] = dict(done)
        self._failure: AffectlineError | None = None
        self._frames = {n: one.next_index - (one.first_index or one.next_index) for n, one in done.items()}
        self._is_closed = False
        self._news = threading.Condition()
        self._processes = [_start(first_message) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._lead, args=(process,), name="affectline-worker", daemon=True)
            for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    @property
    def frames(self) -> int:
        """How many frames are analysed."""
        with self._news:
            return sum(self._frames.values())

    def outcome(self, number: int, patience_s: float) -> SegmentReport | str | None:
        """Return what came of a segment, None if it is not known before long.

        Returns:
            What reading it gave; or why its workers could not read it.

        Raises:
            AffectlineError: of a worker that failed.
        """
        with self._news:
            if number not in self._outcomes and self._failure is None:
                self._news.wait(patience_s)
            if number in self._outcomes:
                return self._outcomes[number]
            if self._failure is not None:
                raise self._failure
            return None

    def _lead(self, process: subprocess.Popen[bytes]) -> None:
        """Hand segments to a worker until there are no more; runs in a thread of its own."""
        try:
            self._hand_out(process)
        except Exception as error:  # noqa: BLE001 - or everybody would wait for ever
            with self._news:
                self._failure = self._failure or WorkerError(
                    f"a worker said what cannot be understood ({type(error).__name__}: {error}); report this"
                )
                self._news.notify_all()

    def _hand_out(self, process: subprocess.Popen[bytes]) -> None:
        while (task := self._next()) is not None:
            number, segment = task
            _send(process, json.dumps(to_json_object(segment)).encode())
            while True:
                message = _receive(process)
                with self._news:
                    if message is None:
                        self._failure = self._failure or _lost(process.wait())
                    elif "frames" in message:
                        self._frames[number] = int(str(message["frames"]))
                        continue
                    elif "error" in message:
                        self._failure = self._failure or _failure(message)
                    elif "unusable" in message:
                        self._outcomes[number] = str(message["unusable"])
                    else:
                        self._outcomes[number] = read_record(SegmentReport, message["report"], "a worker's report")
                    self._news.notify_all()
                    if message is None or "report" not in message:
                        return
                break

    def _next(self) -> tuple[int, Segment] | None:
        with self._news:
            return None if self._is_closed or not self._waiting else self._waiting.popleft()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        with self._news:
            self._is_closed = True
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _start(first_message: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - this interpreter and a constant
        [sys.executable, "-c", _START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,  # Ctrl-C is for the process that started it, which ends it
    )
    _send(process, first_message)
    return process


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    """Send a message; if the worker is gone, `_receive` tells."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.write(framed(message))
            process.stdin.flush()


def _receive(process: subprocess.Popen[bytes]) -> dict[str, JsonValue] | None:
    """Return the next message of a worker; None when it has ended."""
    while process.stdout is not None:
        line = process.stdout.readline()
        try:
            return parse_line(line)
        except ValueError:  # printed by something that Python runs when it starts
            continue
    return None


def _lost(exit_code: int) -> WorkerError:
    is_signal = exit_code < 0
    how = f"was ended by {signal.Signals(-exit_code).name}" if is_signal else f"ended with exit code {exit_code}"
    return WorkerError(
        f"a worker {how}; if there was no memory left, give fewer --workers; --resume goes on where it stopped"
    )


def _failure(message: Mapping[str, JsonValue]) -> AffectlineError:
    """Return the error that a worker came upon."""
    text = str(message["error"])
    return error_named(str(message["kind"]), text) or WorkerError(text)
