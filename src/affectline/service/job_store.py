"""The list of analyses, in a SQLite file that survives the death of the service."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from affectline.json_records import read_record, to_json_object
from affectline.service.probe import Probed
from affectline.service.settings import AnalysisChoice
from affectline.service.worker import Outcome


class JobState(str, Enum):
    """Where a job is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis.

    Attributes:
        id: made by the service; nobody can guess it.
        name: what the client calls the upload, for display only.
        size_bytes: of the upload.
        probed: what the upload is.
        choice: what is looked for.
        state: where it is.
        created_s: when the upload was complete; all times are seconds since 1970, UTC.
        started_s: when a worker last took it.
        finished_s: when it ended.
        attempts: how often a worker took it.
        outcome: what came of it.
    """

    id: str
    name: str
    size_bytes: int
    probed: Probed
    choice: AnalysisChoice
    state: JobState
    created_s: float
    started_s: float | None = None
    finished_s: float | None = None
    attempts: int = 0
    outcome: Outcome | None = None


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    probed TEXT NOT NULL,
    choice TEXT NOT NULL,
    state TEXT NOT NULL,
    created_s REAL NOT NULL,
    started_s REAL,
    finished_s REAL,
    attempts INTEGER NOT NULL,
    outcome TEXT
)
"""

_COLUMNS: Final = (
    *("id", "name", "size_bytes", "probed", "choice", "state", "created_s", "started_s", "finished_s", "attempts"),
    "outcome",
)


class JobStore:
    """The jobs of a folder. Used by one thread of one process; every change is on disk when a call returns.

    Args:
        path: the SQLite file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)  # it holds names
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, job: Job) -> None:
        """Add a job behind the others."""
        marks = ", ".join("?" * len(_COLUMNS))
        self._db.execute(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", _cells(job))  # noqa: S608 - names of ours

    def update(self, job: Job) -> None:
        """Write what has changed of a job; nothing happens if it was removed meanwhile."""
        assignments = ", ".join(f"{name} = ?" for name in _COLUMNS)
        self._db.execute(f"UPDATE jobs SET {assignments} WHERE id = ?", (*_cells(job), job.id))  # noqa: S608 - names of ours

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def get(self, job_id: str) -> Job | None:
        """Return a job; None if there is none with this id."""
        return next(iter(self._select("WHERE id = ?", job_id)), None)

    def all(self, *states: JobState) -> list[Job]:
        """Return the jobs in some states, all if none is named, in the order in which they came."""
        if not states:
            return self._select("ORDER BY number")
        marks = ", ".join("?" * len(states))
        return self._select(f"WHERE state IN ({marks}) ORDER BY number", *(state.value for state in states))

    def newest(self, limit: int, offset: int) -> list[Job]:
        """Return a page of the list, the newest first, without the cancelled ones."""
        return self._select(
            "WHERE state != ? ORDER BY number DESC LIMIT ? OFFSET ?", JobState.CANCELLED.value, limit, offset
        )

    def count(self, state: JobState) -> int:
        """Return how many jobs are in a state."""
        return int(self._db.execute("SELECT COUNT(*) FROM jobs WHERE state = ?", (state.value,)).fetchone()[0])

    def claim(self, now_s: float) -> Job | None:
        """Take the job that waits longest and return it, now running; None if none waits."""
        waiting = self._select("WHERE state = ? ORDER BY number LIMIT 1", JobState.QUEUED.value)
        if not waiting:
            return None
        job = replace(waiting[0], state=JobState.RUNNING, started_s=now_s, attempts=waiting[0].attempts + 1)
        self.update(job)
        return job

    def _select(self, clause: str, *values: str | int) -> list[Job]:
        rows = self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs {clause}", values)  # noqa: S608 - clauses of ours
        return [_job(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _cells(job: Job) -> tuple[object, ...]:
    cells = to_json_object(job)
    return tuple(json.dumps(cell) if isinstance(cell, dict) else cell for cell in cells.values())


def _job(cells: dict[str, str]) -> Job:
    nested = {
        name: None if cells[name] is None else json.loads(cells[name]) for name in ("probed", "choice", "outcome")
    }
    return read_record(Job, {**cells, **nested}, "a job in jobs.sqlite")
