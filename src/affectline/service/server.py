"""Runs the service until it is told to stop."""

from __future__ import annotations

import copy
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from affectline.errors import OutputError
from affectline.file_lock import locked
from affectline.service.app import LOCK_NAME, LOCK_OWNER, create_app
from affectline.service.live import LARGEST_FRAME_BYTES
from affectline.service.model_check import check_models
from affectline.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

GRACE_S: Final = 5
_BACKLOG: Final = 128


def serve(settings: ServiceSettings, on_ready: Callable[[str], None], log_level: str = "info") -> None:
    """Listen, and return after SIGTERM or Ctrl-C. Analyses that run then go on when the service starts again.

    Args:
        settings: all that the service needs to know.
        on_ready: told the address as soon as it is known.
        log_level: of the log on stderr, which holds no name and no query.

    Raises:
        OutputError: the address is taken, or the folder cannot be used.
        AffectlineError: a model cannot be used.
    """
    take_folder(settings)
    check_models(settings.analysis)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=_log_config(log_level),
        access_log=False,  # ours leaves out what could be private
        ws_max_size=LARGEST_FRAME_BYTES,
        ws_max_queue=2,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )
    with _listen(settings.host, settings.port) as listener:
        server = _Server(config, app)

        def stop(number: int, _: FrameType | None) -> None:
            # uvicorn stops at these signals and raises them again when it has: stopping is no failure. While it
            # starts, nobody else looks at them.
            server.should_exit = True
            logger.info(
                "stopped by %s; analyses that were running go on at the next start", signal.Signals(number).name
            )

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        on_ready(settings.url(listener.getsockname()[1]))
        server.run(sockets=[listener])
    if not server.started:
        raise OutputError(f"the service could not start in {settings.folder}; the log above tells why")


class _Server(uvicorn.Server):
    """Tells the application that it stops, which uvicorn itself does when all requests have been answered.

    Args:
        config: what to serve, and how.
        app: the application in it.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; requests that have an answer by now get some time to take it."""
        self._app.state.parts.stopping.begin()
        await super().shutdown(sockets)


def take_folder(settings: ServiceSettings) -> None:
    """Make the folder if it is not there, and make sure that no other service uses it, before anything starts.

    Raises:
        OutputError: it cannot be made, or another service uses it.
    """
    try:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(settings.folder / LOCK_NAME, 0.0, LOCK_OWNER):
            pass  # the application takes it when it starts
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot keep analyses in {settings.folder}: {error.strerror}; choose another --folder"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens: port 0 can be told, and whoever comes before the service is ready waits for it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # there it lets a new service take the port of one that has just ended, here it would share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise OutputError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port (0 takes a free one)"
        ) from error
    return listener


def _log_config(level: str) -> dict[str, object]:
    """Return uvicorn's own configuration, with our loggers in it."""
    config: dict[str, object] = copy.deepcopy(LOGGING_CONFIG)
    loggers = config["loggers"]
    config["filters"] = {"no refusals": {"()": _NoRefusals}}
    if isinstance(loggers, dict):
        # At the level of info it notes each WebSocket with the address of the client and the query.
        loggers["uvicorn.error"] = {"level": "WARNING", "filters": ["no refusals"]}
        loggers["affectline"] = {
            "handlers": ["default"],
            "level": logging.getLevelName(level.upper()),
            "propagate": False,
        }
    return config


class _NoRefusals(logging.Filter):
    """Leaves out that a WebSocket was refused, which uvicorn takes for an error; our own log has it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing handshake" not in record.msg
