"""`affectline reproduce`: the paper's tables and figures, and more rows of their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from affectline.cli import reproduce_options as given
from affectline.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affectline.cli.progress import Progress
    from affectline.experiments.data import ExperimentData
    from affectline.experiments.recipes import Row
    from affectline.experiments.results import RowResult
    from affectline.experiments.run import ExperimentOptions


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    data: given.DATA = None,
    store: given.STORE = None,
    output: given.OUTPUT = None,
    only: given.ONLY = None,
    show_list: given.LIST = False,
    automl: given.AUTOML = True,
    time_limit: given.TIME_LIMIT = 600.0,
    seeds: given.SEEDS = 1,
    paper_exact: given.PAPER_EXACT = False,
    emotieffnet: given.EMOTIEFFNET = None,
    mt_emotieffnet: given.MT_EMOTIEFFNET = None,
    finetune_init: given.FINETUNE_INIT = None,
    finetune_crops: given.FINETUNE_CROPS = 5000,
    settings: given.SETTINGS = None,
) -> None:
    """Run the experiments of the paper on data in the Aff-Wild2 layout; finished rows are kept and not run again."""
    from affectline.backbones import DEFAULT_BACKBONE
    from affectline.errors import InputError
    from affectline.experiments.data import ExperimentData
    from affectline.experiments.recipes import chosen_rows
    from affectline.experiments.run import ExperimentOptions
    from affectline.experiments.settings import ExperimentSettings, NetworkSettings, parse_settings

    rows = chosen_rows(only or (), with_automl=automl)
    if show_list:
        typer.echo(_listed())
        return
    if data is None or store is None or output is None:
        raise InputError("give --data, --store and --output; --list shows the rows")
    network = NetworkSettings(finetune_init or DEFAULT_BACKBONE, crops=finetune_crops)
    options = ExperimentOptions(
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


def _run(rows: tuple[Row, ...], data: ExperimentData, options: ExperimentOptions) -> Mapping[str, RowResult]:
    from functools import partial

    from affectline.cli.progress import Progress
    from affectline.experiments.curves import write_curves
    from affectline.experiments.run import Experiments
    from affectline.experiments.tables import Heading, write_tables

    data.check()
    heading = Heading(data.is_synthetic, _source(data))
    with Progress() as progress:
        experiments = Experiments(data, options, progress.begin, partial(progress.advance, "steps"))
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
        for note in result.notes:
            progress.say(f"{row.name}: note: {note}")


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
