"""Counters for Prometheus; none of them holds a name."""

from __future__ import annotations

import logging
import time
from functools import partial
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affectline.service.headers import SECURITY_HEADERS
from affectline.service.job_store import JobState, JobStore

access_log = logging.getLogger("affectline.access")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "WS"})
_DELAYS_S: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)


class Metrics:
    """What the service counts. Each service has its own registry.

    Args:
        store: the list of jobs, counted when somebody asks.
    """

    def __init__(self, store: JobStore) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "affectline_http_requests", "Answers by route.", ("method", "route", "status"), registry=self.registry
        )
        self.live_sessions = Gauge("affectline_live_sessions", "Cameras analysed now.", registry=self.registry)
        self.live_frames = Counter(
            "affectline_live_frames", "Frames of cameras by what became of them.", ("fate",), registry=self.registry
        )
        self.live_delay = Histogram(
            "affectline_live_delay_seconds",
            "From the arrival of a frame to its answer.",
            buckets=_DELAYS_S,
            registry=self.registry,
        )
        jobs = Gauge("affectline_analyses", "Analyses by state.", ("state",), registry=self.registry)
        for state in JobState:
            jobs.labels(state.value).set_function(partial(store.count, state))


class Watch:
    """ASGI middleware that counts and logs answers, by the pattern of their route: no name, no id, no query.

    It also gives every answer the headers that no route forgets then.

    Args:
        app: what is watched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it was answered."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        begun_s, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.accept":
                status = HTTPStatus.SWITCHING_PROTOCOLS
            elif message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope.get("method", "WS")
            method = method if method in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            metrics: Metrics = scope["app"].state.parts.metrics
            metrics.requests.labels(method, route, str(int(status))).inc()
            # Reading is what the page does all the time while it waits.
            level = logging.DEBUG if method == "GET" and status < HTTPStatus.BAD_REQUEST else logging.INFO
            access_log.log(level, "%s %s %d %.0f ms", method, route, status, 1000 * (time.perf_counter() - begun_s))
