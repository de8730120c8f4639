"""`affectline submission`: the files that the ABAW challenges ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from affectline.cli.arguments import CROPS, STORE, TASK, TRUST_PICKLE, parse_crops, parse_task
from affectline.cli.exit_codes import EXIT_FAILED
from affectline.cli.text_table import counted

app = typer.Typer(help="Write and check submissions to the ABAW challenges.", no_args_is_help=True)


@app.command()
def write(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: TASK,
    head: Annotated[Path, typer.Option(metavar="HEAD", help="A head file.")],
    store: STORE,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The submission.")],
    sample: Annotated[Path | None, typer.Option(metavar="FILE", help="The sample file of the challenge.")] = None,
    names: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Names of videos, one a line, instead of a sample.")
    ] = None,
    crops: CROPS = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Give videos without any face the neutral constant.")
    ] = False,
    trust_pickle: TRUST_PICKLE = None,
) -> None:
    """Write a decision for every row of a sample, in its order."""
    from affectline.cli.head_files import open_heads
    from affectline.datasets.affwild2 import read_list
    from affectline.datasets.submission import read_sample, sample_of, write_submission
    from affectline.errors import InputError
    from affectline.evaluation.needed_features import videos_for
    from affectline.evaluation.submit import submission_values
    from affectline.features.store import FeatureStore

    wanted = parse_task(task)
    (opened,) = open_heads([head], wanted, trust_pickle)
    videos = videos_for(FeatureStore(store), opened, str(head), parse_crops(crops))
    if sample is not None and names is None:
        rows = read_sample(sample, wanted)
    elif names is not None and sample is None:
        rows = sample_of(wanted, videos.frame_counts(read_list(names)))
    else:
        raise InputError("give either --sample, the sample file of the challenge, or --list, names of videos")
    found = submission_values(opened, rows, videos, allow_missing=allow_missing)
    write_submission(output, wanted, rows, found.values)
    typer.echo(f"{counted(len(rows), 'row')} of {counted(len(rows.videos), 'video')} -> {output}")
    if found.without_face:
        typer.echo(
            f"no face is known of {', '.join(found.without_face)}: their rows hold the neutral constant", err=True
        )
    if found.beyond:
        typer.echo(_beyond_note(found.beyond), err=True)


def _beyond_note(beyond: Mapping[str, int]) -> str:
    """Return one line on rows for which the features know of no frame, however many videos have such rows."""
    from affectline.datasets.stored_videos import listed

    n = sum(beyond.values())
    lie, repeat = ("lies", "repeats") if n == 1 else ("lie", "repeat")
    its = "its" if len(beyond) == 1 else "their"
    videos = listed(list(beyond))
    return f"{counted(n, 'row')} of {videos} {lie} behind the last frame that {its} features know of and {repeat} it"


@app.command()
def check(
    task: TASK,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The submission.")],
    sample: Annotated[Path, typer.Option(metavar="FILE", help="The sample file of the challenge.")],
) -> None:
    """Check a submission: header, every row once and in order, values. Exit code 1 if anything is wrong."""
    from affectline.datasets.submission_check import check_submission

    found = check_submission(parse_task(task), file, sample)
    for problem in found.problems:
        typer.echo(problem, err=True)
    if found.n_problems:
        more = found.n_problems - len(found.problems)
        rest = f", {more} of them not shown" if more else ""
        problems, lines = counted(found.n_problems, "problem"), counted(found.rows, "row")
        typer.echo(f"{file}: {problems} in {lines}{rest}", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo(f"{file}: {counted(found.rows, 'row')}, all as the sample asks")
