"""`affectline train`: a head of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import BACKBONES, CROPS, DATA, LABELS, SEED, STORE, TASK, TRAIN_LIST, VAL_LIST
from affectline.cli.exit_codes import EXIT_INTERRUPTED
from affectline.labels import Task

if TYPE_CHECKING:
    from affectline.cli.progress import Progress
    from affectline.heads.head import HeadCard
    from affectline.training.recipe import Recipe, Trained


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: TASK,
    store: STORE,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The head, such as va.safetensors.")],
    data: DATA = None,
    labels: LABELS = None,
    model: Annotated[
        str, typer.Option(help="mlp, gated, gated_paper, gru, tcn, transformer, pretrained or automl.")
    ] = "mlp",
    inputs: Annotated[
        str | None, typer.Option("--input", help="embedding, logits, va, or several joined by +.")
    ] = None,
    backbone: BACKBONES = None,
    crops: CROPS = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    on: Annotated[str, typer.Option(metavar="SPLIT", help="train, or train+val for a final model.")] = "train",
    epochs: Annotated[int | None, typer.Option(min=1, help="At most; exactly, where nothing is held out.")] = None,
    hidden: Annotated[
        int | None, typer.Option(min=0, help="Width of the hidden layer, 0 for none; gru, tcn, transformer: of all.")
    ] = None,
    l2: Annotated[float | None, typer.Option(min=0, help="Weight of the squared weights in the loss.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="gru, tcn, transformer: of AdamW.")] = None,
    dropout: Annotated[float | None, typer.Option(min=0, help="gru, tcn, transformer: share left out.")] = None,
    window: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="gru, tcn, transformer: what they see together.")
    ] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="gru, tcn, transformer: look back only, for live use.")
    ] = False,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Of Adam.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Frames of a step, at most.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Epochs without a better score before the end.")] = None,
    seed: SEED = 0,
    allow_empty_classes: Annotated[bool, typer.Option("--allow-empty-classes", help="Train without examples.")] = False,
    time_limit: Annotated[float, typer.Option(metavar="S", help="automl: seconds for the whole search.")] = 600.0,
    filter_mode: Annotated[
        str | None, typer.Option("--filter", help="box, gaussian or causal; causal with --causal, else box.")
    ] = None,
    thresholds: Annotated[str, typer.Option(help="AU: best, fixed (0.5) or cv (over folds of videos).")] = "best",
    paper_exact: Annotated[bool, typer.Option("--paper-exact", help="Decide as the paper's notebook did.")] = False,
    decision_from: Annotated[
        Path | None, typer.Option("--decision-from", metavar="HEAD", help="Take radius and thresholds from this head.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="gru, tcn, transformer: write the head as ONNX too.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")] = False,
) -> None:
    """Train a head on stored features; choose its radius and thresholds on the validation videos."""
    from affectline.cli.arguments import data_options, parse_filter, parse_task
    from affectline.cli.train_options import Network, network_params
    from affectline.evaluation.tuning import TuneOptions
    from affectline.training.automl import AutomlParams
    from affectline.training.recipe import Recipe

    which = parse_task(task)
    chosen = {"epochs": epochs, "hidden": hidden, "learning_rate": learning_rate, "batch_size": batch_size}
    chosen |= {"patience": patience, "seed": seed, "allow_empty_classes": allow_empty_classes or None}
    network = Network(model, inputs, chosen, l2, weight_decay, dropout, window, causal, onnx)
    params, temporal = network_params(which, network)
    mode = parse_filter(filter_mode or ("causal" if causal else "box"))
    recipe = Recipe(
        which,
        data_options(store, data, labels, backbone, crops, train_list, val_list),
        model,
        params,
        temporal,
        AutomlParams(parts=None if params is None else params.parts, timeout_s=time_limit, seed=seed),
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
    _show(trained, output)
    if onnx is not None:
        typer.echo(f"the network as ONNX -> {onnx}")


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


def _show(trained: Trained, output: Path) -> None:
    for note in trained.notes:
        typer.echo(f"note: {note}", err=True)
    card = trained.head.card
    if card.validation:
        typer.echo(_figures(card))
    digest = getattr(trained.head, "pickle_digest", None)
    if digest is not None:
        typer.echo(f"opens with --trust-pickle {digest}")
    typer.echo(f"{card.task.value} head for {card.backbones[0].name} -> {output}")


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
