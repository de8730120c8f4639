"""The queue: how long it may get, how it recovers, and what is removed when."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from service_process import ServiceProcess

from affectline.service.child import Child
from affectline.service.disk_space import needs_space
from affectline.service.job_queue import MOST_ATTEMPTS, JobQueue, follow
from affectline.service.job_store import Job, JobState, JobStore
from affectline.service.probe import Probed
from affectline.service.problems import ProblemError
from affectline.service.progress import Progress
from affectline.service.settings import AnalysisChoice, ServiceSettings
from affectline.service.stopping import Stopping
from affectline.service.worker import Outcome

UPLOADS, PLACES = 12, 3


def job(job_id: str, state: JobState = JobState.QUEUED, **more: object) -> Job:
    made = Job(job_id, "clip.mp4", 5, Probed("video", 4, 2, 1.5, 30), AnalysisChoice(), state, time.time())
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


@pytest.fixture
def queue(store: JobStore, tmp_path: Path) -> JobQueue:
    return JobQueue(ServiceSettings(tmp_path, queue=2, keep_hours=1.0), store)


def work_until(queue: JobQueue, is_reached: Callable[[], bool]) -> None:
    """Let one worker work."""

    async def work() -> None:
        worker = asyncio.create_task(queue.run())
        while not is_reached():
            assert not worker.done()
            await asyncio.sleep(0.01)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_job_reads_back_as_it_was(store: JobStore) -> None:
    written = job(
        "a", JobState.DONE, started_s=2.5, finished_s=3.5, attempts=1, outcome=Outcome(frames=3, valence=-0.5)
    )
    store.add(written)
    assert store.get("a") == written
    assert store.get("b") is None


def test_jobs_are_claimed_in_the_order_in_which_they_came(store: JobStore) -> None:
    for name in ("b", "a", "c"):
        store.add(job(name))
    first = store.claim(7.0)
    assert first is not None
    assert (first.id, first.state, first.started_s, first.attempts) == ("b", JobState.RUNNING, 7.0, 1)
    assert [one.id for one in store.all(JobState.QUEUED)] == ["a", "c"]
    assert [one.id for one in store.newest(2, 0)] == ["c", "a"]
    assert store.count(JobState.RUNNING) == 1


def test_recovery_queues_what_was_running_and_forgets_what_was_cancelled(store: JobStore, queue: JobQueue) -> None:
    store.add(job("running", JobState.RUNNING, attempts=1))
    store.add(job("queued"))
    store.add(job("cancelled", JobState.CANCELLED))
    for name in ("running", "cancelled", "unknown"):
        queue.folder(name).make()
    queue.recover()
    assert [one.id for one in store.all(JobState.QUEUED)] == ["running", "queued"]
    assert store.get("cancelled") is None
    assert queue.folder("running").path.is_dir()
    assert not queue.folder("cancelled").path.exists()
    assert not queue.folder("unknown").path.exists()


def test_a_file_that_takes_the_service_down_is_given_up(store: JobStore, queue: JobQueue) -> None:
    store.add(job("bad", attempts=MOST_ATTEMPTS))
    queue.folder("bad").make()
    work_until(queue, lambda: not store.count(JobState.QUEUED) + store.count(JobState.RUNNING))
    ended = store.get("bad")
    assert ended is not None
    assert ended.state is JobState.FAILED
    assert ended.outcome is not None
    assert ended.outcome.problem == "the service was stopped 3 times while it worked on this file"


def test_a_job_without_its_upload_fails_with_the_reason(store: JobStore, queue: JobQueue) -> None:
    store.add(job("lost"))
    queue.folder("lost").make()
    work_until(queue, lambda: store.count(JobState.FAILED) == 1)
    ended = store.get("lost")
    assert ended is not None
    assert ended.outcome == Outcome(problem="the upload is gone from the folder of the service")


@pytest.mark.parametrize("said", ["nothing", "5", '{"outcome": 5}', '{"outcome": {"frames": "many"}}', ""])
def test_a_worker_that_says_what_cannot_be_understood_has_no_outcome(said: str) -> None:
    async def listen() -> Outcome | None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"print({said!r})", stdout=PIPE)
        child = Child(process)
        heard = await follow(child, Progress())
        await child.stop()
        return heard

    assert asyncio.run(listen()) is None


@pytest.mark.parametrize("fault", [OSError("no processes left"), sqlite3.OperationalError("the disk is full")])
def test_faults_of_the_machine_cost_no_worker_and_no_job(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr("affectline.service.job_queue.PAUSE_S", 0.05)
    monkeypatch.setattr("affectline.service.job_queue.LONGEST_PAUSE_S", 0.1)  # 204 s would they be without an end
    faults = [fault] * 12
    begun_s = time.monotonic()

    async def outcome(*_: object) -> Outcome:
        if faults:
            raise faults.pop()
        return Outcome(frames=3)

    monkeypatch.setattr(queue, "_outcome", outcome)
    for name in ("a", "b"):
        store.add(job(name))
        queue.folder(name).make()
    work_until(queue, lambda: store.count(JobState.DONE) == 2)
    assert time.monotonic() - begun_s >= 0.05 + 11 * 0.1
    for name in ("a", "b"):
        ended = store.get(name)
        assert ended is not None
        assert (ended.attempts, ended.outcome) == (1, Outcome(frames=3))


@pytest.mark.parametrize("fault", [None, OSError("no space left")])
def test_what_cannot_be_written_now_is_written_later(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    monkeypatch.setattr("affectline.service.job_queue.PAUSE_S", 0.01)
    faults = [fault]

    async def outcome(*_: object) -> Outcome:
        if faults:
            refuse_writes(store, True)
            if (now := faults.pop()) is not None:
                raise now
        return Outcome(frames=3)

    monkeypatch.setattr(queue, "_outcome", outcome)
    store.add(job("a"))
    queue.folder("a").make()

    async def work() -> None:
        worker = asyncio.create_task(queue.run())
        await asyncio.sleep(0.2)
        assert not worker.done()
        assert store.count(JobState.RUNNING) == 1
        refuse_writes(store, False)
        while not store.count(JobState.DONE):
            await asyncio.sleep(0.01)
        worker.cancel()

    asyncio.run(asyncio.wait_for(work(), 20))
    ended = store.get("a")
    assert ended is not None
    assert (ended.attempts, ended.outcome) == (1, Outcome(frames=3))


def refuse_writes(store: JobStore, is_refused: bool) -> None:
    """What a full disk does to SQLite: what is there can be read."""
    store._db.execute(f"PRAGMA query_only = {int(is_refused)}")


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.DONE, JobState.FAILED])
def test_a_job_can_be_deleted_where_nothing_can_be_written_before(
    store: JobStore, queue: JobQueue, state: JobState
) -> None:
    refuse_updates(store)
    store.add(job("a", state))
    queue.folder("a").make()
    asyncio.run(queue.cancel(job("a", state)))
    assert store.get("a") is None
    assert not queue.folder("a").path.exists()


def refuse_updates(store: JobStore) -> None:
    """What a full disk does to SQLite, until a folder is removed."""
    store._db.execute(
        "CREATE TRIGGER no_update BEFORE UPDATE ON jobs WHEN NEW.state = 'cancelled' "
        "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )


@pytest.mark.parametrize("has_child", [True, False])
def test_a_running_job_is_stopped_even_if_that_cannot_be_written(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch, has_child: bool
) -> None:
    async def outcome(_: Job, __: object, running: object) -> Outcome:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
        children.append(process)
        if has_child:
            running.child = Child(process)  # type: ignore[attr-defined]
        else:  # it is being started when the job is cancelled
            while not running.is_cancelled:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
            await Child(process).stop()
        await process.wait()
        return Outcome(problem="killed")

    children: list[asyncio.subprocess.Process] = []
    monkeypatch.setattr(queue, "_outcome", outcome)
    refuse_updates(store)
    store.add(job("a"))
    queue.folder("a").make()

    async def work() -> None:
        worker = asyncio.create_task(queue.run())
        while not children:
            await asyncio.sleep(0.01)
        await queue.cancel(job("a", JobState.RUNNING))
        assert children[0].returncode not in {None, 0}
        assert store.get("a") is None
        assert not queue.folder("a").path.exists()
        await asyncio.sleep(0.05)
        assert not queue.folder("a").path.exists()
        worker.cancel()

    asyncio.run(asyncio.wait_for(work(), 20))


@pytest.mark.parametrize(
    ("fault", "is_full"),
    [
        (OSError(errno.ENOSPC, "no space left"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (OSError(errno.EMFILE, "too many open files"), False),
        (sqlite3.OperationalError("database is locked"), False),
    ],
)
def test_a_full_disk_is_a_problem_and_no_other_fault_is(fault: Exception, is_full: bool) -> None:
    with pytest.raises((ProblemError, type(fault))) as raised, needs_space():
        raise fault
    assert isinstance(raised.value, ProblemError) == is_full


def test_what_takes_long_is_cut_when_the_service_stops() -> None:
    stopping = Stopping()
    ends: list[str] = []

    async def work(name: str, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            ends.append(name)
        return name

    async def stop() -> None:
        assert await stopping.cuts(work("short", 0.0)) == "short"
        long = asyncio.create_task(stopping.cuts(work("long", 60.0)))
        await asyncio.sleep(0.01)
        stopping.begin()
        for late in (long, stopping.cuts(work("later", 60.0))):
            await is_refused(late)

    async def is_refused(waiting: asyncio.Task[str] | Coroutine[object, object, str]) -> None:
        with pytest.raises(ProblemError, match="The service stops") as refused:
            await waiting
        assert refused.value.status is HTTPStatus.SERVICE_UNAVAILABLE

    asyncio.run(asyncio.wait_for(stop(), 20))
    assert ends == ["short", "long", "later"]


def test_stopping_the_service_is_no_fault_of_the_file(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcome(*_: object) -> Outcome:
        await asyncio.sleep(60)
        return Outcome()

    monkeypatch.setattr(queue, "_outcome", outcome)
    store.add(job("long"))
    queue.folder("long").make()
    for _ in range(MOST_ATTEMPTS + 2):
        work_until(queue, lambda: store.count(JobState.RUNNING) == 1)
        waiting = store.get("long")
        assert waiting is not None
        assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 0)


def test_old_results_are_removed(store: JobStore, queue: JobQueue) -> None:
    now_s = time.time()
    store.add(job("old", JobState.DONE, finished_s=now_s - 3700))
    store.add(job("old failure", JobState.FAILED, finished_s=now_s - 3700))
    store.add(job("young", JobState.DONE, finished_s=now_s - 3500))
    store.add(job("waiting", created_s=now_s - 9999))
    queue.folder("old").make()
    assert queue.remove_old() == 2
    assert [one.id for one in store.all()] == ["young", "waiting"]
    assert not queue.folder("old").path.exists()


def test_places_are_counted_while_uploads_come(store: JobStore, queue: JobQueue) -> None:
    async def fill() -> None:
        store.add(job("waiting"))
        async with queue.place() as folder:
            assert folder.path.is_dir()
            with pytest.raises(ProblemError, match="2 uploads are waiting already") as full:
                async with queue.place():
                    pass
            assert full.value.status is HTTPStatus.TOO_MANY_REQUESTS
            assert int(full.value.headers["Retry-After"]) >= 1
        assert not folder.path.exists()
        async with queue.place():
            pass

    asyncio.run(fill())


def test_many_uploads_at_once(empty_clip: Path, tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path / "service", "--workers", "2", "--queue", str(PLACES), "--no-au")
    with ThreadPoolExecutor(UPLOADS) as pool:
        answers = list(pool.map(lambda _: service.upload(empty_clip), range(UPLOADS)))
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(accepted) >= PLACES
    assert refused
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    assert [service.wait(job_id)["state"] for job_id in accepted] == ["done"] * len(accepted)
    assert service.upload(empty_clip).status_code == 201
    assert service.stop() == 0
