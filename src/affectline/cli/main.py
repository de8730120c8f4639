"""The command line. Each command parses, calls one function of the library and shows what came of it."""

from __future__ import annotations

import sys

import typer

from affectline import __version__
from affectline.cli import (
    analyze,
    audit,
    blend,
    doctor,
    evaluate,
    extract,
    finetune,
    models,
    report,
    reproduce,
    schema,
    serve,
    submission,
    synth,
    tracks,
    train,
)
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_USE
from affectline.errors import AffectlineError, AssetError, OutputError

app = typer.Typer(
    name="affectline",
    help="Turn a video into a timeline of affect: valence, arousal, expression and action units, per frame and face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("analyze")(analyze.command)
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.command)
app.command("schema")(schema.command)
app.command("report")(report.command)
app.add_typer(tracks.app, name="tracks")
app.command("audit")(audit.command)
app.command("extract")(extract.command)
app.command("synth")(synth.command)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("blend")(blend.command)
app.add_typer(submission.app, name="submission")
app.command("finetune")(finetune.command)
app.command("reproduce")(reproduce.command)
app.command("serve")(serve.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"affectline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Options that belong to no command."""


def run() -> None:
    """Run the command line; every error that affectline raises on purpose becomes one line and an exit code."""
    try:
        app()
    except AffectlineError as error:
        typer.echo(f"affectline: {error}", err=True)
        # What the machine or the network denies is no mistake of whoever typed the command.
        sys.exit(EXIT_FAILED if isinstance(error, AssetError | OutputError) else EXIT_WRONG_USE)
    except OSError as error:
        place = error.filename or "a file or the output"
        typer.echo(f"affectline: {place}: {error.strerror or error}; check permissions and space", err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        typer.echo("affectline: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
