"""`affectline evaluate`: how good heads are on labelled videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectline.cli.arguments import (
    CROPS,
    LABELS,
    SEED,
    TRAIN_LIST,
    TRUST_PICKLE,
    VAL_LIST,
    check_split,
    data_options,
    parse_task,
)
from affectline.cli.text_table import counted

if TYPE_CHECKING:
    from affectline.datasets.labelled import LabelledTables
    from affectline.evaluation.scoring import Evaluation
    from affectline.heads.head import Head


def command(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    task: Annotated[str, typer.Argument(metavar="TASK", help="va, expr, au, or ferplus.")],
    head_files: Annotated[
        list[Path], typer.Argument(metavar="HEAD...", help="Head files; for ferplus backbones, by name or file.")
    ],
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Feature store that `affectline extract` made.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Annotations in the Aff-Wild2 layout; for ferplus its NPZ file."),
    ] = None,
    labels: LABELS = None,
    split: Annotated[str, typer.Option("--on", help="val, train or train+val; for ferplus test too.")] = "val",
    crops: CROPS = None,
    train_list: TRAIN_LIST = None,
    val_list: VAL_LIST = None,
    smooth: Annotated[
        str | None, typer.Option(metavar="SECONDS|off", help="A radius instead of the heads' own.")
    ] = None,
    paper_exact: Annotated[bool, typer.Option("--paper-exact", help="Fill, smooth and score as the notebook.")] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap by video.")] = 1000,
    seed: SEED = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    trust_pickle: TRUST_PICKLE = None,
) -> None:
    """Score heads: the official metric with an interval, on frames with a face, unsmoothed, and for each label."""
    from affectline.cli.evaluate_ferplus import run as run_ferplus
    from affectline.cli.head_files import load_for_heads, names_of, open_heads
    from affectline.errors import InputError
    from affectline.evaluation.scoring import Rules, evaluate, evaluate_constant

    if task.lower() == "ferplus":
        return run_ferplus([str(path) for path in head_files], data, split, json_file)
    wanted = parse_task(task)
    check_split(split)
    if store is None:
        raise InputError("heads are scored on stored features; give --store, the folder that `affectline extract` made")
    heads = open_heads(head_files, wanted, trust_pickle)
    heads = heads if smooth is None else [_with_radius(head, smooth) for head in heads]
    options = data_options(store, data, labels, None, crops, train_list, val_list)
    labelled = load_for_heads(heads, head_files, wanted, split, options)
    rules = Rules(paper_exact)
    found = [evaluate(head, labelled, rules, resamples=resamples, seed=seed) for head in heads]
    constant = evaluate_constant(labelled, rules, resamples=resamples, seed=seed)
    names = names_of(head_files)
    typer.echo(_text(labelled, names, found, constant))
    if json_file is not None:
        _write_json(json_file, labelled, names, found, constant)
    return None


def _with_radius(head: Head, text: str) -> Head:
    from affectline.errors import InputError
    from affectline.heads.head import MAX_RADIUS_S

    try:
        radius_s = 0.0 if text == "off" else float(text)
    except ValueError as error:
        raise InputError(f"--smooth {text!r} is not understood; write seconds such as 0.83, or off") from error
    if not 0 <= radius_s <= MAX_RADIUS_S:
        raise InputError(f"--smooth must be a number of seconds from 0 to {MAX_RADIUS_S:g}, or off, got {text!r}")
    return head.with_card(head.card.with_radius(radius_s))


def _text(data: LabelledTables, names: Sequence[str], found: Sequence[Evaluation], constant: Evaluation) -> str:
    from affectline.cli.text_table import aligned

    rows = [["head", "P all frames", "95 % interval", "P with face", "unsmoothed", "radius"]]
    rows += [_row(name, one) for name, one in zip(names, found, strict=True)]
    rows.append([*_row(_constant_name(data), constant)[:-1], "-"])
    with_face = constant.with_face.frames if constant.with_face else 0
    parts = [
        f"{data.source}: {counted(constant.videos, 'video')}, {counted(data.frame_count, 'labelled frame')}, "
        f"{with_face} of them with a face",
        aligned(rows),
        *(f"{name}\n{_label_table(one)}" for name, one in zip(names, found, strict=True)),
        "\n".join(_notes(data, names, found)),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(name: str, one: Evaluation) -> list[str]:
    interval = "-" if one.interval is None else " to ".join(map(_figure, one.interval))
    reports = (one.all_frames, one.with_face, one.frame_wise)
    on_all, with_face, frame_wise = (_figure(report.p) if report else "-" for report in reports)
    return [name, on_all, interval, with_face, frame_wise, f"{one.decision.radius_s:.3g} s"]


def _figure(value: float) -> str:
    """Return four decimals, without the sign of a zero."""
    return f"{round(value, 4) + 0.0:.4f}"


def _constant_name(data: LabelledTables) -> str:
    return {"VA": "constant: 0", "EXPR": "constant: commonest class", "AU": "constant: all on"}[data.task.value]


def _label_table(one: Evaluation) -> str:
    from affectline.cli.text_table import aligned
    from affectline.postprocess.thresholds import FIXED_THRESHOLD

    columns = list(one.main.per_label[0].values)
    rows = [["label", *columns]]
    for score in one.main.per_label:
        figures = (
            f"{score.values[name]:.0f}" if name == "support" else _figure(score.values[name]) for name in columns
        )
        rows.append([score.label, *figures])
    if one.main.task.value == "AU":
        thresholds = one.decision.thresholds or [FIXED_THRESHOLD] * len(one.main.per_label)
        rows = [
            [*row, text]
            for row, text in zip(rows, ["threshold", *(f"{value:.4g}" for value in thresholds)], strict=True)
        ]
    if one.main.accuracy is not None:
        rows.append(["accuracy", f"{one.main.accuracy:.4f}", *("" for _ in columns[1:])])
    return aligned(rows)


def _notes(data: LabelledTables, names: Sequence[str], found: Sequence[Evaluation]) -> list[str]:
    """Return what a reader of the figures must know."""
    from affectline.metrics.bootstrap import MIN_GROUPS

    tuned = [name for name, one in zip(names, found, strict=True) if one.is_tuned_here]
    notes = []
    if tuned:
        notes.append(
            f"radius, thresholds or logit adjustment of {', '.join(tuned)} were chosen on these very data: the figures "
            "are somewhat too good"
        )
    for name, one in zip(names, found, strict=True):
        if one.trained_on_here:
            are = "is" if one.videos == 1 else "are"
            notes.append(
                f"trained on {one.trained_on_here} of the {counted(one.videos, 'video')} that {are} scored here: the "
                f"figures of {name} say nothing about new videos"
            )
    first = found[0]
    if first.interval is None:
        notes.append(f"too few videos for an interval ({first.videos}; at least {MIN_GROUPS})")
    elif first.all_frames is None:
        notes.append("the interval is that of P with face")
    if data.missing:
        notes.append(f"left out, the store has no features: {', '.join(data.missing)}")
    if first.videos_without_face:
        notes.append(f"no face in any frame, scored as neutral: {', '.join(first.videos_without_face)}")
    return notes


def _write_json(
    path: Path, data: LabelledTables, names: Sequence[str], found: Sequence[Evaluation], constant: Evaluation
) -> None:
    from affectline.atomic_file import complete_file
    from affectline.json_records import to_json_object

    record = {
        "task": data.task.value,
        "data": data.source,
        "frames": data.frame_count,
        "missing": list(data.missing),
        "heads": [{"name": name, **to_json_object(one)} for name, one in zip(names, found, strict=True)],
        "constant": to_json_object(constant),
    }
    with complete_file(path) as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())
