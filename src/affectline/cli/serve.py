"""`affectline serve`: the API, the page and live mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from affectline.cli import serve_options as option
from affectline.cli.analyze_options import DETECTOR, HEADS, MAX_FACES, NETWORKS
from affectline.cli.arguments import DEVICE, OFFLINE, PRECISION, THREADS
from affectline.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from affectline.service.settings import ServiceSettings

_NEW = "new"
_LOG_LEVELS = ("debug", "info", "warning", "error")


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    host: option.HOST = "127.0.0.1",
    port: option.PORT = 8000,
    folder: option.FOLDER = None,
    workers: option.WORKERS = 1,
    queue: option.QUEUE = 16,
    token: option.TOKEN = None,
    token_file: option.TOKEN_FILE = None,
    allow_host: option.ALLOW_HOST = None,
    max_mb: option.MAX_MB = 500.0,
    max_minutes: option.MAX_MINUTES = 30.0,
    max_megapixels: option.MAX_MEGAPIXELS = 16.8,
    memory_mb: option.MEMORY_MB = 4096,
    job_minutes: option.JOB_MINUTES = 120.0,
    keep_hours: option.KEEP_HOURS = 168.0,
    live_sessions: option.LIVE = 2,
    backbone: NETWORKS = None,
    head: HEADS = None,
    detector: DETECTOR = None,
    max_faces: MAX_FACES = None,
    action_units: option.ACTION_UNITS = True,
    device: DEVICE = "cpu",
    precision: PRECISION = "fp32",
    threads: THREADS = None,
    offline: OFFLINE = False,
    log_level: option.LOG_LEVEL = "info",
) -> None:
    """Serve a page to drop videos on, an API and live mode; on this machine only, unless you say otherwise."""
    from affectline.backbones.files import absolute_name
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.service.settings import AnalysisChoice, Limits, ServiceSettings

    shown, names = _token(token, token_file), tuple(name.lower() for name in allow_host or ())
    limits = Limits(max_mb, max_minutes, max_megapixels, memory_mb, job_minutes)
    choice = AnalysisChoice(
        backbones=tuple(str(absolute_name(name)) for name in backbone or ()),
        heads=_heads(head or []),
        detector=detector or DEFAULT_DETECTOR,
        max_faces=max_faces,
        action_units=action_units,
        device=device,
        precision=precision,
        threads=threads,
        offline=offline,
    )
    place = (folder or _default_folder()).absolute()
    settings = ServiceSettings(
        place, host, port, names, shown, workers, queue, limits, keep_hours, live_sessions, choice
    )
    _run(settings, log_level, shown if token == _NEW else None)


def _token(token: str | None, file: Path | None) -> str | None:
    from affectline.service.settings import new_token, read_token

    if file is not None:
        return read_token(file)
    return new_token() if token == _NEW else token


def _default_folder() -> Path:
    import platformdirs

    return platformdirs.user_data_path("affectline") / "serve"


def _heads(files: list[Path]) -> tuple[str, ...]:
    for file in files:
        if not file.is_file():
            raise InputError(f"--head {file}: no such file; check the spelling of the path")
    return tuple(str(file.absolute()) for file in files)


def _run(settings: ServiceSettings, log_level: str, made: str | None) -> None:
    if log_level not in _LOG_LEVELS:
        raise InputError(f"no log level {log_level!r}; choose {', '.join(_LOG_LEVELS)}")
    try:
        from affectline.service.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"affectline serve needs {error.name}, which is not installed; run: pip install 'affectline[serve]'"
        ) from error

    def on_ready(url: str) -> None:
        others = ", and every other address of this machine," if settings.is_on_all_addresses else ""
        typer.echo(f"affectline serves {url}{others}  (analyses are kept in {settings.folder}; Ctrl-C stops)")
        if made is not None:
            typer.echo(f"token: {made}")

    serve(settings, on_ready, log_level)
