"""`affectline train`: a head of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from affectline.cli.arguments import BACKBONES, CROPS, DATA, LABELS, SEED, STORE, TASK, TRAIN_LIST, VAL_LIST
from affectline.cli.exit_codes import EXIT_INTERRUPTED
from affectline.cli.train_options import (
    ALLOW_EMPTY_CLASSES,
    BATCH_SIZE,
    CAUSAL,
    DECISION_FROM,
    DROPOUT,
    EPOCHS,
    FILTER,
    HIDDEN,
    INPUT,
    L2,
    LEARNING_RATE,
    MODEL,
    ON,
    ONNX,
    OUTPUT,
    PAPER_EXACT,
    PATIENCE,
    RESUME,
    THRESHOLDS,
    TIME_LIMIT,
    WEIGHT_DECAY,
    WINDOW,
    Network,
    network_params,
)
from affectline.labels import Task

if TYPE_CHECKING:
    from affectline.cli.progress import Progress
    from affectline.heads.head import HeadCard
    from affectline.training.recipe import Recipe, Trained


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: TASK,
    store: STORE,
    output: OUTPUT,
    data: DATA = None,
    labels: LABELS = None,
    model: MODEL = "mlp",
    inputs: INPUT = None,
    backbone: BACKBONES = None,
    crops: CROPS = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    on: ON = "train",
    epochs: EPOCHS = None,
    hidden: HIDDEN = None,
    l2: L2 = None,
    weight_decay: WEIGHT_DECAY = None,
    dropout: DROPOUT = None,
    window: WINDOW = None,
    causal: CAUSAL = False,
    learning_rate: LEARNING_RATE = None,
    batch_size: BATCH_SIZE = None,
    patience: PATIENCE = None,
    seed: SEED = 0,
    allow_empty_classes: ALLOW_EMPTY_CLASSES = False,
    time_limit: TIME_LIMIT = 600.0,
    filter_mode: FILTER = None,
    thresholds: THRESHOLDS = "best",
    paper_exact: PAPER_EXACT = False,
    decision_from: DECISION_FROM = None,
    onnx: ONNX = None,
    resume: RESUME = False,
) -> None:
    """Train a head on stored features; choose its radius and thresholds on the validation videos."""
    from affectline.cli.arguments import data_options, parse_filter, parse_task
    from affectline.evaluation.tuning import TuneOptions
    from affectline.training.automl import AutomlParams
    from affectline.training.recipe import Recipe

    chosen = {"epochs": epochs, "hidden": hidden, "learning_rate": learning_rate, "batch_size": batch_size}
    chosen |= {"patience": patience, "seed": seed, "allow_empty_classes": allow_empty_classes or None}
    network = Network(model, inputs, chosen, l2, weight_decay, dropout, window, causal, onnx)
    mode, which = parse_filter(filter_mode or ("causal" if causal else "box")), parse_task(task)
    recipe = Recipe(
        which,
        data_options(store, data, labels, backbone, crops, train_list, val_list),
        model,
        *network_params(which, network),
        AutomlParams(parts=network.parts, timeout_s=time_limit, seed=seed),
        on,
        TuneOptions(mode=mode, thresholds=thresholds, paper_exact=paper_exact, seed=seed),  # type: ignore[arg-type]  # it checks the word
        decision_from,
        onnx,
    )
    try:
        trained = _trained(recipe, output, resume)
    except KeyboardInterrupt:
        typer.echo("interrupted; finished epochs are kept: run the same command with --resume to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _show(trained, output, onnx)


def _trained(recipe: Recipe, output: Path, resume: bool) -> Trained:
    from functools import partial

    from affectline.cli.progress import Progress
    from affectline.training.recipe import train_head

    is_search = recipe.model == "automl"
    with Progress() as progress:
        progress.begin(recipe.task.value)
        if is_search:
            progress.say(f"LightAutoML searches for about {recipe.automl.timeout_s:g} s")
        return train_head(
            recipe,
            output,
            resume=resume,
            on_epoch=partial(_show_epoch, progress),
            on_progress=partial(progress.advance, "models" if is_search else "frames"),
        )


def _show(trained: Trained, output: Path, onnx: Path | None) -> None:
    for note in trained.notes:
        typer.echo(f"note: {note}", err=True)
    card = trained.head.card
    if card.validation:
        typer.echo(_figures(card))
    digest = getattr(trained.head, "pickle_digest", None)
    if digest is not None:
        typer.echo(f"opens with --trust-pickle {digest}")
    typer.echo(f"{card.task.value} head for {card.backbones[0].name} -> {output}")
    if onnx is not None:
        typer.echo(f"the network as ONNX -> {onnx}")


def _show_epoch(progress: Progress, done: int, total: int, loss: float, score: float | None) -> None:
    scored = "" if score is None else f", validation {score:.4f}"
    progress.say(f"epoch {done} of {total}: loss {loss:.4f}{scored}")


CHOSEN = {Task.VA: "the radius was", Task.EXPR: "radius and adjustment were", Task.AU: "radius and thresholds were"}
"""What the validation data decide for each task."""


def _figures(card: HeadCard) -> str:
    """Return the metrics of a card as a table; a line above says what they rest on."""
    from affectline.cli.text_table import aligned
    from affectline.evaluation.scoring import TUNED_ON
    from affectline.evaluation.tuning import FRAME_WISE

    names = {"p": f"P, radius {card.decision.radius_s:.3g} s", FRAME_WISE: "P, unsmoothed", "p_held_out": "P, cv"}
    rows = [
        [names.get(name, name.replace("_", " ").replace("ccc", "CCC").replace("f1", "F1")), f"{value:.4f}"]
        for name, value in card.validation.items()
        if name != "frames"
    ]
    frames = int(card.validation["frames"])
    head = f"{card.training[TUNED_ON]}, {frames:,} labelled frames; {CHOSEN[card.task]} chosen on them:"
    return f"{head}\n{aligned(rows)}"
