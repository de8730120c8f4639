"""The queue: how long it may get, how it recovers, and what is removed when."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from service_process import ServiceProcess

from affectline.service.job_queue import MOST_ATTEMPTS, JobQueue
from affectline.service.job_store import Job, JobState, JobStore
from affectline.service.probe import Probed
from affectline.service.problems import ProblemError
from affectline.service.settings import AnalysisChoice, ServiceSettings
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

    async def work() -> None:
        worker = asyncio.create_task(queue.run())
        while store.count(JobState.QUEUED) + store.count(JobState.RUNNING):
            await asyncio.sleep(0.01)
        worker.cancel()

    asyncio.run(work())
    ended = store.get("bad")
    assert ended is not None
    assert ended.state is JobState.FAILED
    assert ended.outcome is not None
    assert ended.outcome.problem == "the service was stopped 3 times while it worked on this file"


@pytest.mark.parametrize("fault", [OSError("no processes left"), sqlite3.OperationalError("the disk is full")])
def test_a_fault_of_the_machine_costs_no_worker(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr("affectline.service.job_queue.PAUSE_S", 0.01)
    faults = [fault]

    async def outcome(*_: object) -> Outcome:
        if faults:
            raise faults.pop()
        return Outcome(frames=3)

    monkeypatch.setattr(queue, "_outcome", outcome)
    for name in ("a", "b"):
        store.add(job(name))
        queue.folder(name).make()

    async def work() -> None:
        worker = asyncio.create_task(queue.run())
        while store.count(JobState.DONE) < 2:
            assert not worker.done()
            await asyncio.sleep(0.01)
        worker.cancel()

    asyncio.run(asyncio.wait_for(work(), 20))
    first = store.get("a")
    assert first is not None
    assert first.attempts == 2


def test_stopping_the_service_is_no_fault_of_the_file(
    store: JobStore, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcome(*_: object) -> Outcome:
        await asyncio.sleep(60)
        return Outcome()

    monkeypatch.setattr(queue, "_outcome", outcome)
    store.add(job("long"))
    queue.folder("long").make()

    async def begin_and_stop() -> None:
        worker = asyncio.create_task(queue.run())
        while not store.count(JobState.RUNNING):
            await asyncio.sleep(0.01)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    for _ in range(MOST_ATTEMPTS + 2):
        asyncio.run(begin_and_stop())
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
