"""`affectline serve`: the API, the page and live mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from affectline.service.settings import ServiceSettings

_NEW = "new"
_LOG_LEVELS = ("debug", "info", "warning", "error")

TOKEN = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="AFFECTLINE_TOKEN",
        show_envvar=True,
        help="What clients must show; `new` makes one and shows it.",
    ),
]


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where analyses are kept.", show_default="user's data"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Analyses at a time.")] = 1,
    queue: Annotated[int, typer.Option(min=1, help="Uploads that may wait; more are refused.")] = 16,
    token: TOKEN = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the token from the first line of a file.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers reach this machine; again for more."),
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Megabytes of an upload.")] = 500.0,
    max_minutes: Annotated[float, typer.Option(help="Length of a video.")] = 30.0,
    max_megapixels: Annotated[float, typer.Option(help="Size of a picture.")] = 16.8,
    memory_mb: Annotated[int, typer.Option(help="Address space of each child process (POSIX).")] = 4096,
    job_minutes: Annotated[float, typer.Option(help="Time for one analysis.")] = 120.0,
    keep_hours: Annotated[float, typer.Option(help="Remove results after so long; 0 keeps them.")] = 168.0,
    live: Annotated[int, typer.Option(min=1, help="Cameras at a time.")] = 2,
    backbone: Annotated[list[str] | None, typer.Option(help="Name or model file; again for another.")] = None,
    head: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Trained head, one for each task.")] = None,
    detector: Annotated[str | None, typer.Option(help="blazeface, libfacedetection or yunet.")] = None,
    max_faces: Annotated[int | None, typer.Option(min=1, help="Follow the N largest faces only.")] = None,
    au: Annotated[bool, typer.Option("--au/--no-au", help="Estimate action units of uploads.")] = True,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
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
