"""What a running service consists of."""

from __future__ import annotations

from dataclasses import dataclass

from affectline.service.access import Keys
from affectline.service.job_queue import JobQueue
from affectline.service.job_store import JobStore
from affectline.service.live import LiveSessions
from affectline.service.metrics import Metrics
from affectline.service.settings import ServiceSettings
from affectline.service.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service.

    Attributes:
        settings: what it was told.
        store: the list of analyses.
        queue: takes uploads in and works on them.
        metrics: what it counts.
        live: the cameras.
        keys: checks tokens and cookies.
        stopping: cuts short what waits for a client when the service stops.
    """

    settings: ServiceSettings
    store: JobStore
    queue: JobQueue
    metrics: Metrics
    live: LiveSessions
    keys: Keys
    stopping: Stopping
