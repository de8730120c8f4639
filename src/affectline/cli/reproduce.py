"""`affectline reproduce`: the paper's tables and figures, and more rows of their kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affectline.cli.progress import Progress
    from affectline.experiments.data import ExperimentData
    from affectline.experiments.recipes import Row
    from affectline.experiments.results import RowResult
    from affectline.experiments.run import RunOptions


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Annotations (and crops) in the Aff-Wild2 layout.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Feature store that `affectline extract` made.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Tables, figures, and what is kept of each row."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ROW|GROUP", help="Run these alone; may be given repeatedly.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show the names of all rows and groups, and end.")] = False,
    automl: Annotated[bool, typer.Option("--automl/--no-automl", help="Rows with LightAutoML, too.")] = True,
    time_limit: Annotated[float, typer.Option(metavar="S", help="Seconds for each search of LightAutoML.")] = 600.0,
    seeds: Annotated[int, typer.Option(min=1, help="Train heads with so many seeds, and show the spread.")] = 1,
    paper_exact: Annotated[
        bool, typer.Option("--paper-exact", help="Also the notebook's own post-processing, beside the right one.")
    ] = False,
    emotieffnet: Annotated[
        str | None, typer.Option("--emotieffnet", metavar="NAME|DIGEST", help="Features that stand for EmotiEffNet.")
    ] = None,
    mt_emotieffnet: Annotated[
        str | None, typer.Option("--mt-emotieffnet", metavar="NAME|DIGEST", help="Likewise for MT-EmotiEffNet.")
    ] = None,
    finetune_init: Annotated[
        str, typer.Option("--finetune-init", metavar="NAME|FILE", help="With what the fine-tuned network begins.")
    ] = "lite0_ferplus",
    finetune_crops: Annotated[int, typer.Option("--finetune-crops", min=1, help="Crops that it learns from.")] = 5000,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="HEAD.NAME=VALUE", help="Train one head otherwise, such as au_b0_mlp.epochs=5."),
    ] = None,
) -> None:
    """Run the experiments of the paper on data in the Aff-Wild2 layout; finished rows are kept and not run again."""
    from affectline.errors import InputError
    from affectline.experiments.data import ExperimentData
    from affectline.experiments.recipes import chosen_rows
    from affectline.experiments.run import RunOptions
    from affectline.experiments.settings import ExperimentSettings, NetworkSettings, parse_settings

    rows = chosen_rows(only or (), with_automl=automl)
    if show_list:
        typer.echo(_listed())
        return
    if data is None or store is None or output is None:
        raise InputError("give --data, --store and --output; --list shows the rows")
    network = NetworkSettings(init=finetune_init, crops=finetune_crops)
    options = RunOptions(
        output,
        seeds,
        paper_exact,
        settings=ExperimentSettings(network, time_limit, parse_settings(settings or ())),
    )
    roles = {"b0": emotieffnet, "mt": mt_emotieffnet}
    backbones = {role: name for role, name in roles.items() if name is not None}
    place = ExperimentData(data, store, backbones)  # type: ignore[arg-type]  # the keys are roles
    try:
        results = _run(rows, place, options)
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command again to go on behind the last checkpoint", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    failed = [name for name, result in results.items() if result.error]
    typer.echo(
        f"{output}: results.csv, results.md, results.html; {len(results) - len(failed)} rows, {len(failed)} failed"
    )
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _run(rows: tuple[Row, ...], data: ExperimentData, options: RunOptions) -> Mapping[str, RowResult]:
    from functools import partial

    from affectline.cli.progress import Progress
    from affectline.experiments.curves import write_curves
    from affectline.experiments.run import Experiments
    from affectline.experiments.tables import Heading, write_tables

    heading = Heading(data.is_synthetic, _source(data))
    with Progress() as progress:
        experiments = Experiments(data, options, progress.begin, partial(progress.advance, ""))
        results = experiments.run(rows, partial(_show, progress))
        progress.begin("figures")
        drawn = write_curves(experiments, results, options.out, heading.source)
    write_tables(options.out, results, heading, drawn)
    return results


def _source(data: ExperimentData) -> str:
    from affectline.errors import AffectlineError

    names = []
    for role in ("b0", "mt"):
        try:
            names.append(data.backbone(role))
        except AffectlineError:
            continue
    kind = "synthetic data set" if data.is_synthetic else "data in the Aff-Wild2 layout"
    return f"{kind} {data.folder.resolve().name}, validation split; features of {' and '.join(names) or 'no backbone'}"


def _show(progress: Progress, row: Row, result: RowResult, was_kept: bool) -> None:
    from affectline.experiments.results import P_NAMES

    if result.error:
        progress.say(f"{row.name}: failed: {result.error}")
    elif result.chosen is not None:
        name = P_NAMES[row.task]
        held_out = (
            "" if result.cross_validated is None else f", cross-validated {result.cross_validated.values[name]:.4f}"
        )
        kept = ", kept" if was_kept else ""
        progress.say(f"{row.name}: {result.chosen.values[name]:.4f}{held_out}, {result.seconds:.0f} s{kept}")


def _listed() -> str:
    from affectline.cli.text_table import aligned
    from affectline.experiments.recipes import GROUPS
    from affectline.experiments.recipes import rows as every_row

    lines = [["row", "group", "what"]]
    lines += [
        [row.name, row.group, f"{row.task.value}, {row.features}: {row.method}"]
        for group in GROUPS
        for row in every_row().values()
        if row.group == group and row.is_ours
    ]
    return aligned(lines)
