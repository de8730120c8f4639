"""`affectline audit`: is the data set what it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from affectline.datasets.audit import Audit, SplitCounts


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with annotations and crops of Aff-Wild2.")],
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="Raw videos, to compare frame counts.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the counts as JSON too.")] = None,
) -> None:
    """Count videos, lines, labels and crops of Aff-Wild2, beside the paper's counts, and name everything odd.

    Exit code 1 if an annotation file cannot be read.
    """
    from affectline.atomic_file import complete_file
    from affectline.datasets.audit import audit

    found = audit(data, videos)
    header = ("task", "split", "videos", "(paper)", "lines", "valid", "with crop", "(paper)", "no crop", "(paper)")
    rows = [header, *(_row(split) for split in found.splits)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        typer.echo("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    for split in found.splits:
        typer.echo(f"\n{split.task.value} {split.split}: {_labels(split)}")
    for kind, (folders, pictures) in found.crops.items():
        typer.echo(f"\n{kind}: {folders} folders, {pictures:,} pictures")
    for note in found.notes:
        typer.echo(f"note: {note}")
    for problem in found.unreadable:
        typer.echo(f"affectline: {problem}", err=True)
    if json is not None:
        with complete_file(json) as file:
            file.write(_as_json(found).encode())
    if found.unreadable:
        raise typer.Exit(EXIT_FAILED)


def _row(split: SplitCounts) -> tuple[str, ...]:
    paper = split.paper
    numbers = (split.videos, paper.videos, split.lines, split.valid, split.with_crop, paper.frames, split.missing)
    shown = ["-" if number is None else f"{number:,}" for number in (*numbers, paper.missing)]
    return (split.task.value, split.split, *shown)


def _labels(split: SplitCounts) -> str:
    from affectline.labels import Task

    if split.task is Task.VA:
        return ", ".join(f"mean {label} {value:.3f}" for label, value in split.labels.items())
    paper = [f" (paper {count:,})" for count in split.paper.classes] or [""] * len(split.labels)
    return ", ".join(
        f"{label} {int(value):,}{known}" for (label, value), known in zip(split.labels.items(), paper, strict=False)
    )


def _as_json(found: Audit) -> str:
    import json as json_text

    from affectline.json_records import to_json_object

    return json_text.dumps(to_json_object(found), indent=2) + "\n"
