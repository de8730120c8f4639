"""`affectline evaluate ferplus`: how good backbones are on the photographs of FER+."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from affectline.cli.text_table import aligned
from affectline.errors import InputError

if TYPE_CHECKING:
    from affectline.evaluation.ferplus import FerPlusEvaluation

SPLITS = {"val": "valid", "valid": "valid", "test": "test", "train": "train"}
"""Splits by their word on the command line."""


def run(names: Sequence[str], data: Path | None, split: str, json_file: Path | None) -> None:
    """Score backbones, by name or file, and print a table of each protocol and class."""
    from affectline.atomic_file import complete_file
    from affectline.backbones import BACKBONES, load_backbone
    from affectline.cli.progress import shown
    from affectline.datasets.ferplus import load_ferplus
    from affectline.evaluation.ferplus import evaluate_ferplus, ferplus_logits
    from affectline.json_records import to_json_object

    if data is None or split not in SPLITS:
        raise InputError(
            f"ferplus needs --data, the NPZ file of FER+, and --on test, val or train; got {data} and {split!r}"
        )
    part = load_ferplus(data)[SPLITS[split]]
    found: list[tuple[str, FerPlusEvaluation]] = []
    for name in names:
        backbone = load_backbone(name if name in BACKBONES else Path(name))
        with shown("images") as advance:
            logits = ferplus_logits(backbone, part, advance)
        found.append((Path(name).stem, evaluate_ferplus(logits, part.votes, backbone.spec.temperature)))
    typer.echo(f"FER+ {SPLITS[split]}: {len(part):,} images\n")
    typer.echo(_summary(found))
    for name, one in found:
        typer.echo(f"\n{name}, official protocol\n{_classes(one)}")
    if json_file is not None:
        record = [{"backbone": name, **to_json_object(one)} for name, one in found]
        with complete_file(json_file) as file:
            file.write((json.dumps({"split": SPLITS[split], "backbones": record}, indent=2) + "\n").encode())


def _summary(found: Sequence[tuple[str, FerPlusEvaluation]]) -> str:
    header = [
        "backbone",
        "official",
        "images",
        "F1 of 8",
        "F1 of large",
        "plurality",
        "images",
        "ECE",
        "log likelihood",
    ]
    rows = [header]
    for name, one in found:
        official, plurality = one.official.report, one.plurality.report
        rows.append(
            [
                name,
                f"{official.accuracy:.2%}",
                str(official.frames),
                f"{official.p:.3f}",
                f"{one.official.f1_of_many:.3f}",
                f"{plurality.accuracy:.2%}",
                str(plurality.frames),
                f"{one.calibration_error:.2%}",
                f"{one.likelihood:.3f}",
            ]
        )
    return aligned(rows)


def _classes(one: FerPlusEvaluation) -> str:
    rows = [["class", "images", "recall", "95 % interval", "precision", "F1"]]
    for score, interval in zip(one.official.report.per_label, one.official.recall_intervals, strict=True):
        rows.append(
            [
                score.label,
                f"{score.values['support']:.0f}",
                f"{score.values['recall']:.3f}",
                "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
                f"{score.values['precision']:.3f}",
                f"{score.values['f1']:.3f}",
            ]
        )
    return aligned(rows)
