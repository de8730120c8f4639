"""`affectline blend`: several heads of one task become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectline.cli.arguments import (
    CROPS,
    DATA,
    LABELS,
    SEED,
    STORE,
    TRAIN_LIST,
    TRUST_PICKLE,
    VAL_LIST,
    check_split,
    data_options,
    parse_filter,
)


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    head_files: Annotated[list[Path], typer.Argument(metavar="HEAD...", help="Head files of one task.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The blend.")],
    store: STORE,
    data: DATA = None,
    labels: LABELS = None,
    split: Annotated[str, typer.Option("--on", help="val, train or train+val.")] = "val",
    crops: CROPS = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    method: Annotated[str, typer.Option(help="grid or optimise.")] = "grid",
    folds: Annotated[int, typer.Option(min=2, help="Of videos, for the test on held-out ones.")] = 5,
    filter_mode: Annotated[str, typer.Option("--filter", help="box, gaussian or causal.")] = "box",
    thresholds: Annotated[str, typer.Option(help="AU: best, fixed (0.5) or cv (over folds of videos).")] = "best",
    seed: SEED = 0,
    trust_pickle: TRUST_PICKLE = None,
) -> None:
    """Find the best weighted mean of several heads' scores, tested on held-out videos, and save it as a head."""
    from affectline.atomic_file import check_place
    from affectline.cli.head_files import load_for_heads, names_of, open_heads
    from affectline.cli.text_table import aligned
    from affectline.evaluation.blending import BlendOptions, blend_heads, parse_method
    from affectline.evaluation.tuning import TuneOptions, parse_thresholds
    from affectline.heads.head_file import save_head

    check_split(split)
    check_place(output)
    heads = open_heads(head_files, None, trust_pickle)
    tune = TuneOptions(mode=parse_filter(filter_mode), thresholds=parse_thresholds(thresholds), folds=folds, seed=seed)
    options = BlendOptions(parse_method(method), folds, seed, tune)
    place = data_options(store, data, labels, None, crops, train_list, val_list)
    labelled = load_for_heads(heads, head_files, heads[0].card.task, split, place)
    names = names_of(head_files)
    found = blend_heads(heads, labelled, options, names)
    save_head(found.head, output)
    rows = [["head", "weight", "P held out"]]
    for name, weight, p in zip(names, found.weights, found.part_held_out_p, strict=True):
        rows.append([name, f"{weight:.3g}", f"{p:.4f}"])
    rows.append(["blend", "", f"{found.held_out_p:.4f}"])
    typer.echo(f"{labelled.source}: {len(labelled.sequences)} faces, {labelled.frame_count} labelled frames\n")
    typer.echo(aligned(rows))
    if len(heads) > 1 and max(found.weights) == 1:
        typer.echo(
            f"the best mixture has {found.mixed_held_out_p:.4f} on held-out videos, no more than the best head alone: "
            "that head has all the weight"
        )
    decision = found.tuned.decision
    typer.echo(f"P {found.tuned.validation['p']:.4f} on these data with radius {decision.radius_s:.3g} s -> {output}")
