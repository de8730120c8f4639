"""`affectline serve`: the API, the page and live mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from affectline.cli import serve_options as given
from affectline.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from affectline.service.settings import ServiceSettings

_NEW = "new"
_LOG_LEVELS = ("debug", "info", "warning", "error")


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    host: given.HOST = "127.0.0.1",
    port: given.PORT = 8000,
    folder: given.FOLDER = None,
    workers: given.WORKERS = 1,
    queue: given.QUEUE = 16,
    token: given.TOKEN = None,
    token_file: given.TOKEN_FILE = None,
    allow_host: given.ALLOW_HOST = None,
    max_mb: given.MAX_MB = 500.0,
    max_minutes: given.MAX_MINUTES = 30.0,
    max_megapixels: given.MAX_MEGAPIXELS = 16.8,
    memory_mb: given.MEMORY_MB = 4096,
    job_minutes: given.JOB_MINUTES = 120.0,
    keep_hours: given.KEEP_HOURS = 168.0,
    live: given.LIVE = 2,
    backbone: given.BACKBONE = None,
    head: given.HEAD = None,
    detector: given.DETECTOR = None,
    max_faces: given.MAX_FACES = None,
    au: given.AU = True,
    device: given.DEVICE = "cpu",
    offline: given.OFFLINE = False,
    log_level: given.LOG_LEVEL = "info",
) -> None:
    """Serve a page to drop videos on, an API and live mode; on this machine only, unless you say otherwise."""
    from affectline.faces.registry import DEFAULT_DETECTOR
    from affectline.service.settings import AnalysisChoice, Limits, ServiceSettings

    if log_level not in _LOG_LEVELS:
        raise InputError(f"no log level {log_level!r}; choose {', '.join(_LOG_LEVELS)}")
    shown = _token(token, token_file)
    settings = ServiceSettings(
        folder=(folder or _default_folder()).absolute(),
        host=host,
        port=port,
        allowed_hosts=tuple(name.lower() for name in allow_host or ()),
        token=shown,
        workers=workers,
        queue=queue,
        limits=Limits(max_mb, max_minutes, max_megapixels, memory_mb, job_minutes),
        keep_hours=keep_hours,
        live_sessions=live,
        analysis=AnalysisChoice(
            backbones=tuple(backbone or ()),
            heads=tuple(str(path.absolute()) for path in head or ()),
            detector=detector or DEFAULT_DETECTOR,
            max_faces=max_faces,
            action_units=au,
            device=device,
            offline=offline,
        ),
    )
    _check_heads(settings.analysis.heads)
    _run(settings, log_level, shown if token == _NEW else None)


def _token(token: str | None, file: Path | None) -> str | None:
    from affectline.service.settings import new_token, read_token

    if file is not None:
        return read_token(file)
    return new_token() if token == _NEW else token


def _default_folder() -> Path:
    import platformdirs

    return platformdirs.user_data_path("affectline") / "serve"


def _check_heads(heads: tuple[str, ...]) -> None:
    missing = [head for head in heads if not Path(head).is_file()]
    if missing:
        raise InputError(f"--head {missing[0]}: no such file; check the spelling of the path")


def _run(settings: ServiceSettings, log_level: str, made: str | None) -> None:
    try:
        from affectline.service.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"affectline serve needs {error.name}, which is not installed; run: pip install 'affectline[serve]'"
        ) from error

    def on_ready(url: str) -> None:
        typer.echo(f"affectline serves {url}  (analyses are kept in {settings.folder}; Ctrl-C stops)")
        if made is not None:
            typer.echo(f"token: {made}")

    serve(settings, on_ready, log_level)
