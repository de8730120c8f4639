"""Takes uploads in, hands them to child processes, and keeps what comes of them: the heart of the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Final

from affectline.json_records import read_record, to_json_object
from affectline.parent_pipe import ChildLimits
from affectline.service.child import Child
from affectline.service.disk_space import needs_space
from affectline.service.job_folder import JobFolder
from affectline.service.job_store import Job, JobState, JobStore
from affectline.service.probe import Probed, ProbeRequest
from affectline.service.problems import ProblemError, broken_off
from affectline.service.progress import Progress
from affectline.service.settings import ServiceSettings
from affectline.service.worker import JobRequest, Outcome

logger = logging.getLogger(__name__)

MOST_ATTEMPTS: Final = 3
"""A job that takes the service down with it is not tried for ever."""

PROBE_WALL_S: Final = 120.0
PROBE_CPU_S: Final = 30
ID_BYTES: Final = 16
LIVE_PREFIX: Final = "live-"
"""How the folders of cameras begin; each is gone with its camera, unless the service was killed."""

USUAL_RETRY_S: Final = 10
PAUSE_S: Final = 5.0
"""After a fault of the machine, such as no processes or no disk space left; twice as long after the next one."""

LONGEST_PAUSE_S: Final = 60.0


@dataclass(eq=False)
class _Running:
    """A job that a worker has, and its child once there is one."""

    progress: Progress
    child: Child | None = None
    is_cancelled: bool = False
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)


class _Pauses:
    """Gives the machine time, more after each fault in a row."""

    def __init__(self) -> None:
        self._next_s = PAUSE_S

    async def take(self) -> None:
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)


class JobQueue:
    """The jobs of the service. Everything but `run` is quick; call it from one event loop only.

    Args:
        settings: those of the service.
        store: the list of jobs.
    """

    def __init__(self, settings: ServiceSettings, store: JobStore) -> None:
        self.store = store
        self._settings = settings
        self._folder = settings.folder / "jobs"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._uploading: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._news = asyncio.Event()
        self._probes = asyncio.Semaphore(settings.workers)

    def folder(self, job_id: str) -> JobFolder:
        """Return where the files of a job of this service lie."""
        return JobFolder(self._folder / job_id)

    def progress(self, job: Job) -> Progress | None:
        """Return how far a running job is; None for one that is not running."""
        running = self._running.get(job.id)
        return None if running is None else running.progress

    def recover(self) -> None:
        """Bring order into what an earlier service left: go on with what was running, remove what nobody knows."""
        for job in self.store.all(JobState.RUNNING):
            self.store.update(replace(job, state=JobState.QUEUED))
        for job in self.store.all(JobState.CANCELLED):
            self.remove(job.id)
        known = {job.id for job in self.store.all()}
        lost = [path for path in self._folder.iterdir() if path.name not in known]
        for path in (*lost, *self._settings.folder.glob(f"{LIVE_PREFIX}*")):
            JobFolder(path).remove()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[JobFolder]:
        """Give a folder for an upload and a place in the queue; both are gone again unless `submit` takes them over.

        Raises:
            ProblemError: the queue is full, or the disk.
        """
        if len(self._uploading) + self.store.count(JobState.QUEUED) >= self._settings.queue:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "queue_full",
                f"{self._settings.queue} uploads are waiting already, which is the most that may wait here; try again "
                "later.",
                {"Retry-After": str(self._retry_after_s())},
            )
        job_id = secrets.token_urlsafe(ID_BYTES)
        folder = self.folder(job_id)
        self._uploading.add(job_id)
        try:
            with needs_space():
                folder.make()
            yield folder
        finally:
            self._uploading.discard(job_id)
            if self.store.get(job_id) is None:
                folder.remove()

    def _retry_after_s(self) -> int:
        rests = [running.progress.rest_s(running.progress.step.total) for running in self._running.values()]
        known = [rest_s for rest_s in rests if rest_s is not None]
        return max(1, min(int(min(known)), 300)) if known else USUAL_RETRY_S

    async def submit(self, folder: JobFolder, name: str, is_gone: Callable[[], Awaitable[bool]]) -> Job:
        """Look at the upload in a folder that `place` gave, and add a job for it.

        Args:
            folder: where the upload lies.
            name: what the client calls it.
            is_gone: whether the client has hung up; it would not learn of the job.

        Raises:
            ProblemError: it is no video or image, or larger or longer than is allowed, or the client is gone.
        """
        await is_gone()  # behind a large body the server reads on, and sees who hangs up, only when it is asked
        async with self._probes:
            probed = await self._probe(folder)
        if await is_gone():
            raise broken_off()
        job = Job(
            id=folder.path.name,
            name=name,
            size_bytes=folder.upload.stat().st_size,
            probed=probed,
            choice=self._settings.analysis,
            state=JobState.QUEUED,
            created_s=time.time(),
        )
        with needs_space():
            self.store.add(job)
        self._news.set()
        return job

    async def _probe(self, folder: JobFolder) -> Probed:
        limits = self._settings.limits
        request = ProbeRequest(
            str(folder.upload),
            limits.max_pixels,
            limits.max_seconds,
            limits.max_frames,
            ChildLimits(limits.memory_mb, PROBE_CPU_S),
        )
        child = await Child.start("affectline.service.probe", to_json_object(request), folder.path, folder.log)
        try:
            message = await asyncio.wait_for(child.receive(), PROBE_WALL_S)
        except asyncio.TimeoutError:
            message = None
        finally:
            code = await child.stop()
        if message is not None and "probed" in message:
            return read_record(Probed, message["probed"], "the answer of a probe")
        if message is not None:
            status = HTTPStatus(int(str(message["status"])))
            is_type = status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            raise ProblemError(status, "not_a_video" if is_type else "not_usable", str(message["detail"]))
        logger.warning("an upload of %d bytes ended its probe with code %d", folder.upload.stat().st_size, code)
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "not_usable",
            "The file could not be opened within the memory and time allowed for it; it is damaged, or made to do "
            "harm.",
        )

    async def cancel(self, job: Job) -> None:
        """End a job if it has not ended, and remove all that belongs to it.

        Raises:
            ProblemError: its files are gone, but the disk is so full that it cannot be taken off the list.
        """
        with contextlib.suppress(sqlite3.Error):  # on a full disk nothing can be written before files are gone
            self.store.update(replace(job, state=JobState.CANCELLED))
        running = self._running.get(job.id)
        if running is not None:
            running.is_cancelled = True
            if running.child is not None:
                await running.child.stop()
            await running.has_ended.wait()
        with needs_space():
            self.remove(job.id)

    def remove(self, job_id: str) -> None:
        """Remove a job that is not running, with its files."""
        self.folder(job_id).remove()
        self.store.remove(job_id)

    def remove_old(self) -> int:
        """Remove the jobs that ended longer ago than results are kept, and return how many they were."""
        if not self._settings.keep_hours:
            return 0
        before_s = time.time() - 3600 * self._settings.keep_hours
        old = [job for job in self.store.all(JobState.DONE, JobState.FAILED) if (job.finished_s or 0) < before_s]
        for job in old:
            self.remove(job.id)
        return len(old)

    async def run(self) -> None:
        """Work for ever: one of the workers. Jobs that run when it is cancelled go on when the service starts again."""
        pauses = _Pauses()
        while True:
            try:
                job = self.store.claim(time.time())
            except sqlite3.Error:
                logger.exception("the list of analyses cannot be read; a worker tries again")
                await pauses.take()
                continue
            if job is None:
                self._news.clear()
                await self._news.wait()
            elif await self._attempt(job):
                pauses = _Pauses()
            else:
                await pauses.take()

    async def _attempt(self, job: Job) -> bool:
        """Work on a job, and return whether the machine let it; in any case the worker is there for the next one."""
        # Neither the end of the service nor a fault of the machine is one of the file.
        untried = replace(job, state=JobState.QUEUED, attempts=job.attempts - 1)
        try:
            await self._work(job)
        except asyncio.CancelledError:
            with contextlib.suppress(sqlite3.Error):
                self._let_go(untried)
            raise
        except Exception:
            logger.exception("analysis %s could not be worked on; it waits for another attempt", job.id)
            await _until_written(partial(self._let_go, untried))
            return False
        return True

    def _let_go(self, job: Job) -> None:
        """Write where a job goes that was running; nothing happens if it was deleted meanwhile."""
        present = self.store.get(job.id)
        if present is not None and present.state is JobState.RUNNING:
            self.store.update(job)

    async def _work(self, job: Job) -> None:
        folder = self.folder(job.id)
        running = _Running(Progress())
        self._running[job.id] = running
        logger.info("analysis %s begins, attempt %d", job.id, job.attempts)
        try:
            if job.attempts > MOST_ATTEMPTS:
                outcome = Outcome(problem=f"the service was stopped {MOST_ATTEMPTS} times while it worked on this file")
            else:
                outcome = await self._outcome(job, folder, running)
        finally:
            del self._running[job.id]
            running.has_ended.set()
        if running.is_cancelled:
            await _until_written(partial(self.remove, job.id))
        else:
            await _until_written(partial(self._end, job, outcome))

    def _end(self, job: Job, outcome: Outcome) -> None:
        state = JobState.DONE if outcome.problem is None else JobState.FAILED
        self._let_go(replace(job, state=state, finished_s=time.time(), outcome=outcome))
        self.folder(job.id).upload.unlink(missing_ok=True)
        logger.info("analysis %s is %s", job.id, state.value)

    async def _outcome(self, job: Job, folder: JobFolder, running: _Running) -> Outcome:
        if not folder.upload.is_file():
            return Outcome(problem="the upload is gone from the folder of the service")
        limits = self._settings.limits
        wall_s = 60 * limits.job_minutes
        request = JobRequest(
            str(folder.path),
            job.name,
            limits.max_frames,
            job.choice,
            ChildLimits(job.choice.memory_mb(limits), round(wall_s * (os.cpu_count() or 1))),
        )
        child = await Child.start("affectline.service.worker", to_json_object(request), folder.path, folder.log)
        running.child = child
        is_late = False
        try:
            if running.is_cancelled:
                await child.stop()
            outcome = await asyncio.wait_for(follow(child, running.progress), wall_s)
        except asyncio.TimeoutError:
            outcome, is_late = None, True
        finally:
            code = await child.stop()
        if outcome is not None:
            return outcome
        if is_late:
            return Outcome(problem=f"the analysis took longer than {limits.job_minutes:g} minutes and was stopped")
        logger.warning("analysis %s ended with code %d; %s tells more", job.id, code, folder.log)
        return Outcome(
            problem="the analysis ended unexpectedly: the file may be damaged, or need more memory than is allowed here"
        )


async def _until_written(change: Callable[[], None]) -> None:
    """Change the list, on a full disk as soon as there is room; a job would be `running` for ever else."""
    pauses = _Pauses()
    while True:
        try:
            change()
        except sqlite3.Error:
            logger.exception("the list of analyses cannot be written; a worker tries again")
            await pauses.take()
        else:
            return


async def follow(child: Child, progress: Progress) -> Outcome | None:
    """Follow a worker to its outcome; None if it ends without one, or says what cannot be understood."""
    try:
        while (message := await child.receive()) is not None:
            if "outcome" in message:
                return read_record(Outcome, message["outcome"], "the answer of a worker")
            with contextlib.suppress(KeyError, TypeError):
                progress.tell(message["progress"])
    except (ValueError, TypeError):
        # The fault of its file, and not of the machine: that would be tried for ever.
        logger.exception("a worker says what cannot be understood")
    return None
