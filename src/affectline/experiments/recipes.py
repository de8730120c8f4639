"""What is run: the rows of the tables and the heads behind them, read from the CSV files of the package.

`data/paper_rows.csv` holds the rows of Tables 1 to 3 with the paper's figures; rows without heads are results of others
and are only shown. `data/more_rows.csv` holds rows that the paper does not have. `data/experiment_heads.csv` says how
each head is trained.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, Literal

from affectline.errors import UnknownNameError
from affectline.evaluation.tuning import ThresholdRule
from affectline.features import CropKind
from affectline.labels import Task
from affectline.training.trainers import AUTOML

FINETUNED: Final = "finetuned"
"""Model of a head that is a whole network, trained on crops."""

Role = Literal["b0", "mt"]
"""Which backbone: the paper's EmotiEffNet or its MT-EmotiEffNet."""

RowSmoothing = Literal["none", "mean", "median", "gaussian"]
Combination = Literal["blend", "cascade"]

_SEPARATORS: Final[Mapping[Combination, str]] = MappingProxyType({"blend": "+", "cascade": ">"})
"""Between the names of heads in the files."""

PAPER_TABLES: Final = ("1", "2", "3")
GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": "Table 1: valence and arousal",
        "2": "Table 2: expressions",
        "3": "Table 3: action units",
        "temporal": "Temporal heads",
        "decision": "Other decisions for expressions",
        "input": "Ablation: what the head sees",
        "filter": "Ablation: which filter",
        "radius": "Ablation: radius in seconds or in frames",
        "gaps": "Ablation: how gaps are filled",
        "videos": "Ablation: number of training videos",
    }
)
"""Heading of each group of rows, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """How one head is trained.

    Attributes:
        name: by which rows call it.
        task: which.
        model: one of `training.trainers.MODELS`, or `FINETUNED`.
        backbone: whose features it sees; of a fine-tuned network: whose faces it is judged on.
        crops: of which kind these features are.
        inputs: parts of the features, joined by +; empty for the model's default.
        share: so much of the training videos, above 0 and up to 1.
    """

    name: str
    task: Task
    model: str
    backbone: Role
    crops: CropKind
    inputs: str
    share: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: by which `--only` calls it.
        group: key of `GROUPS`.
        task: which.
        features, method: the paper's words, or ours in the same manner.
        metrics: names of the figures, in the order of the table: `ccc_valence`, `ccc_arousal`, `p_va`; `p_expr`,
            `accuracy`; `p_au`.
        published: the paper's figures of these names; those that it does not give are not there.
        heads: names of the heads. Empty for results of others.
        combination: of several heads: their weighted mean, or the first where it is sure, else the second.
        smoothing: which filter over time, its radius chosen.
        thresholds: AU: `fixed` at 0.5 or `best`. None for other tasks.
        is_adjusted: EXPR: with a logit adjustment.
        counts_frames: the radius is the same number of frames in every video, not of seconds.
        reverses_gaps: gaps are filled with the weights of the notebook behind the paper.
    """

    name: str
    group: str
    task: Task
    features: str
    method: str
    metrics: tuple[str, ...]
    published: Mapping[str, float]
    heads: tuple[str, ...]
    combination: Combination = "blend"
    smoothing: RowSmoothing = "none"
    thresholds: ThresholdRule | None = None
    is_adjusted: bool = False
    counts_frames: bool = False
    reverses_gaps: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it can be run."""
        return bool(self.heads)


@cache
def rows() -> Mapping[str, Row]:
    """Return every row by its name: the paper's, then ours."""
    found = [_row(line) for name in ("paper_rows.csv", "more_rows.csv") for line in _lines(name)]
    return MappingProxyType({row.name: row for row in found})


@cache
def heads() -> Mapping[str, HeadRecipe]:
    """Return every head by its name."""
    found = [_head(line) for line in _lines("experiment_heads.csv")]
    return MappingProxyType({head.name: head for head in found})


def chosen_rows(only: Sequence[str] = (), *, with_automl: bool = True) -> tuple[Row, ...]:
    """Return the rows that are to be run, in the order of the tables.

    Args:
        only: names of rows or of groups (`GROUPS`); empty for all.
        with_automl: whether rows with a head of LightAutoML are among them; those that are named always are.

    Raises:
        UnknownNameError: a name is neither.
    """
    every = rows()
    unknown = [name for name in only if name not in every and name not in GROUPS]
    if unknown:
        raise UnknownNameError(
            f"no row {', '.join(unknown)}; there are the groups {', '.join(GROUPS)} and rows such as "
            f"{', '.join(list(_ours(every.values()))[:3])} (affectline reproduce --list shows all)"
        )
    return tuple(
        row
        for row in every.values()
        if row.is_ours
        and (not only or row.name in only or row.group in only)
        and (with_automl or row.name in only or not needs_automl(row))
    )


def needs_automl(row: Row) -> bool:
    """Return whether one of the row's heads is LightAutoML's."""
    return any(heads()[name].model == AUTOML for name in row.heads)


def _ours(every: Iterable[Row]) -> Iterable[str]:
    return (row.name for row in every if row.is_ours)


def _lines(name: str) -> list[dict[str, str]]:
    text = resources.files("affectline").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _head(line: Mapping[str, str]) -> HeadRecipe:
    return HeadRecipe(
        line["head"],
        Task(line["task"]),
        line["model"],
        line["backbone"],  # type: ignore[arg-type]  # a test reads every line
        CropKind(line["crops"]),
        line["input"],
        float(line["share"]),
    )


def _row(line: Mapping[str, str]) -> Row:
    combination: Combination = "cascade" if _SEPARATORS["cascade"] in line["heads"] else "blend"
    pairs = [(line[f"{prefix}metric"], line[f"{prefix}value"]) for prefix in ("", "second_", "third_")]
    return Row(
        line["row"],
        line["table"],
        Task(line["task"]),
        line["features"],
        line["method"],
        tuple(name for name, _ in pairs if name),
        MappingProxyType({name: float(value) for name, value in pairs if value}),
        tuple(filter(None, line["heads"].split(_SEPARATORS[combination]))),
        combination,
        line["smoothing"] or "none",  # type: ignore[arg-type]  # a test reads every line
        line["thresholds"] or None,  # type: ignore[arg-type]
        line["adjust"] == "yes",
        line["time"] == "frames",
        line["gaps"] == "reversed",
    )
