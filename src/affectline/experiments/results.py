"""The figures of one row, and the decisions that they can be computed from again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from affectline.atomic_file import complete_path
from affectline.datasets.labelled import LabelledTables
from affectline.experiments.protocol import Choice, Decided
from affectline.experiments.recipes import Row
from affectline.json_records import to_json_object
from affectline.labels import Task
from affectline.metrics.bootstrap import MIN_GROUPS, bootstrap_interval
from affectline.metrics.report import Report, make_report

P_NAMES: Final[Mapping[Task, str]] = {Task.VA: "p_va", Task.EXPR: "p_expr", Task.AU: "p_au"}
"""What the paper's tables call the official score."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Scores of decisions on labelled frames.

    Attributes:
        values: by the names of the paper's tables: the official score (`P_NAMES`), `ccc_valence` and `ccc_arousal`,
            or `accuracy`.
        interval: 95 % bootstrap interval of the official score, over source videos; None with fewer than
            `metrics.bootstrap.MIN_GROUPS`.
        frames: how many were judged.
    """

    values: Mapping[str, float]
    interval: tuple[float, float] | None
    frames: int


@dataclass(frozen=True, slots=True)
class SeedScores:
    """The official scores of a row whose heads were trained with one seed."""

    seed: int
    chosen: float
    cross_validated: float | None


@dataclass(frozen=True, slots=True)
class RowResult:
    """What came of a row.

    Attributes:
        row: its name.
        error: why it could not be run; empty if it could.
        chosen: on all labelled validation frames, with everything chosen on them, as the paper does.
        cross_validated: with everything chosen on other validation videos; None where there are too few.
        with_face: `chosen` on labelled frames that have a face.
        paper_exact: with the notebook's post-processing, on frames with a face; None where it was not asked for.
        choice: what was chosen.
        seeds: the scores for each seed of the heads, the first one's figures among them.
        seconds: that the heads took when they were trained, and the row.
        notes: what readers must know of its data, in words.
    """

    row: str
    error: str = ""
    chosen: Figures | None = None
    cross_validated: Figures | None = None
    with_face: float | None = None
    paper_exact: Figures | None = None
    choice: Choice = field(default_factory=Choice)
    seeds: tuple[SeedScores, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def figures(data: LabelledTables, decisions: NDArray[np.generic], resamples: int = 1000) -> Figures:
    """Return the scores of decisions on all labelled frames of all videos, one after the other."""
    truth = np.concatenate([one.target for one in data.sequences])
    groups = np.repeat([one.group for one in data.sequences], [len(one.labelled_frame) for one in data.sequences])
    report = make_report(data.task, truth, decisions, data.labels)
    interval = None
    if len(np.unique(groups)) >= MIN_GROUPS:
        interval = bootstrap_interval(data.task, truth, decisions, groups, data.labels, resamples=resamples)
    return Figures(values_of(report), interval, report.frames)


def values_of(report: Report) -> dict[str, float]:
    """Return a report's figures by the names of the paper's tables."""
    values = {P_NAMES[report.task]: report.p}
    if report.task is Task.VA:
        values |= {f"ccc_{score.label}": score.values["ccc"] for score in report.per_label}
    if report.accuracy is not None:
        values["accuracy"] = report.accuracy
    return values


def with_face(data: LabelledTables, decisions: NDArray[np.generic]) -> float | None:
    """Return the official score on labelled frames that have a face; None if none has."""
    has_face = np.concatenate([one.has_face for one in data.sequences])
    if not has_face.any():
        return None
    truth = np.concatenate([one.target for one in data.sequences])
    return make_report(data.task, truth[has_face], decisions[has_face], data.labels).p


def write_decisions(
    path: Path, row: Row, data: LabelledTables, choice: Choice, ways: Mapping[str, Decided | None]
) -> None:
    """Write truth and decisions of every labelled frame, from which all figures can be computed again.

    Columns: `video`, `frame`, `has_face`; then for VA `true_valence`, ..., for EXPR `true_code` (position in the
    labels of the metadata), for AU `true_AU1`, ...; and the same for each way, such as `chosen_valence`.

    Args:
        path: an Arrow IPC file.
        row: whose decisions they are.
        data: the labelled videos.
        choice: what was chosen on all of them; goes into the metadata.
        ways: decisions by name; None for one that does not exist.

    Raises:
        OutputError: the file cannot be written.
    """
    counts = [len(one.labelled_frame) for one in data.sequences]
    columns: dict[str, pa.Array] = {
        "video": pa.array(np.repeat([one.video for one in data.sequences], counts)).dictionary_encode(),
        "frame": pa.array(np.concatenate([one.labelled_frame for one in data.sequences])),
        "has_face": pa.array(np.concatenate([one.has_face for one in data.sequences])),
    }
    columns |= _columns("true", data, np.concatenate([one.target for one in data.sequences]))
    for name, decided in ways.items():
        if decided is not None:
            columns |= _columns(name, data, decided.decisions)
    facts = {"row": row.name, "task": row.task.value, "labels": list(data.labels), "choice": to_json_object(choice)}
    table = pa.table(columns, metadata={"affectline": json.dumps(facts)})
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with (
        complete_path(path, pa.ArrowInvalid) as unfinished,
        pyarrow.ipc.new_file(str(unfinished), table.schema, options=options) as sink,
    ):
        sink.write_table(table)


def _columns(prefix: str, data: LabelledTables, values: NDArray[np.generic]) -> dict[str, pa.Array]:
    if data.task is Task.EXPR:
        return {f"{prefix}_code": pa.array(values.astype(np.int8))}
    kind = np.float32 if data.task is Task.VA else np.bool_
    pairs: Sequence[tuple[str, NDArray[np.generic]]] = list(zip(data.labels, values.astype(kind).T, strict=True))
    return {f"{prefix}_{label}": pa.array(np.ascontiguousarray(column)) for label, column in pairs}
