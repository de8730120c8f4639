"""Puts the service together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from affectline import __version__
from affectline.file_lock import locked
from affectline.service.access import Gate, Keys
from affectline.service.job_queue import JobQueue
from affectline.service.job_store import JobStore
from affectline.service.live import LiveSessions
from affectline.service.metrics import Metrics, Watch
from affectline.service.pages import pages
from affectline.service.parts import Parts
from affectline.service.problems import add_handlers
from affectline.service.routes import EXTRA_SCHEMAS, router
from affectline.service.settings import ServiceSettings
from affectline.service.stopping import Stopping

logger = logging.getLogger(__name__)

JANITOR_EVERY_S: Final = 600.0
LOCK_NAME: Final = "lock"
LOCK_OWNER: Final = "another affectline serve"

_DESCRIPTION: Final = """Turns a video into a timeline of affect: valence, arousal, expression and action units, per
frame and face. Upload with `POST /v1/analyses`, ask `GET /v1/analyses/{id}` until its state is `done`, then fetch the
timeline or the report. `WS /v1/live` answers binary JPEG messages with JSON. What a face shows is not what a person
feels."""


def create_app(settings: ServiceSettings) -> FastAPI:
    """Return the service as an ASGI application; when it starts it takes over the folder and goes on with its jobs.

    Args:
        settings: all that it needs to know.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(settings.folder / LOCK_NAME, 5.0, LOCK_OWNER):
            app.state.parts = parts = _make_parts(settings, keys)
            parts.queue.recover()
            tasks = [asyncio.create_task(parts.queue.run()) for _ in range(settings.workers)]
            tasks.append(asyncio.create_task(_clean(parts.queue)))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                parts.store.close()

    keys = Keys(settings.token)
    app = FastAPI(
        title="affectline",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(router)
    app.include_router(pages)
    add_handlers(app)
    app.add_middleware(Gate, settings=settings, keys=keys)
    app.add_middleware(Watch)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's own way to extend its OpenAPI
    return app


def _make_parts(settings: ServiceSettings, keys: Keys) -> Parts:
    store = JobStore(settings.folder / "jobs.sqlite")
    metrics = Metrics(store)
    queue, live = JobQueue(settings, store), LiveSessions(settings, metrics)
    return Parts(settings, store, queue, metrics, live, keys, Stopping())


async def _clean(queue: JobQueue) -> None:
    """Remove results that have been kept long enough, now and then."""
    while True:
        try:
            removed = queue.remove_old()
            if removed:
                logger.info("%d old analyses were removed", removed)
        except Exception:
            logger.exception("old analyses could not be removed; it is tried again")
        await asyncio.sleep(JANITOR_EVERY_S)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the records that no route returns as a whole."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
        )
        schemas = document["components"]["schemas"]
        for name, model in EXTRA_SCHEMAS.items():
            schemas[name] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # every error is a Problem
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


_TAGS: Final = [
    {"name": "analyses", "description": "Uploads and what came of them."},
    {"name": "about", "description": "The service, its models and its columns."},
]
