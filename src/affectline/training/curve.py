"""The log of a training run, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affectline.atomic_file import complete_file
from affectline.training.finetune import EpochRecord


def write_log(folder: Path, records: Sequence[EpochRecord], score_name: str) -> None:
    """Write `metrics.csv` and `curve.png`, each whole or not at all; what is there is replaced.

    Args:
        folder: must exist.
        records: of all epochs so far, at least one.
        score_name: what the validation score is called.

    Raises:
        OutputError: a file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(EpochRecord)])
    writer.writerows(astuple(record) for record in records)
    with complete_file(folder / "metrics.csv") as file:
        file.write(text.getvalue().encode())
    with complete_file(folder / "curve.png") as file:
        _draw(records, score_name).print_png(file)  # type: ignore[no-untyped-call]  # matplotlib has no types for it


def _draw(records: Sequence[EpochRecord], score_name: str) -> FigureCanvasAgg:
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    epochs = [record.epoch for record in records]
    left.plot(epochs, [record.loss for record in records], color="tab:grey", marker=".", label="training loss")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss (changed pictures)")
    right = left.twinx()
    right.plot(epochs, [record.score for record in records], color="tab:blue", marker=".", label=score_name)
    right.set_ylabel(f"validation: {score_name}", color="tab:blue")
    best = max(records, key=lambda record: record.score)
    right.annotate(
        f"{best.score:.4f}", (best.epoch, best.score), textcoords="offset points", xytext=(0, 6), ha="center"
    )
    right.margins(y=0.15)
    return FigureCanvasAgg(figure)
