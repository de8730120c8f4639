"""The columns of the result table: name, meaning, unit, range, source and type, each stated once.

The Arrow schemas, `affectline schema` and `docs/schema.md` are made from these records.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import pyarrow as pa

from affectline.faces.quality import QUALITY_MEANING
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.labels import ABAW_ACTION_UNITS, FERPLUS_8, UNCERTAIN, VALENCE_AROUSAL, Expression, Status, Task
from affectline.postprocess.decide import UNCERTAIN_MARGIN
from affectline.records import MAX_GAP_S


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result table.

    Attributes:
        name: as it stands in the files.
        meaning: what the number or word says, and when the cell is empty.
        unit: the unit of the numbers; empty for words, counts and shares.
        range: the values that can occur.
        source: which part of affectline the value comes from.
        type: the Arrow type, by its name: `float32`, `string`.
    """

    name: str
    meaning: str
    unit: str
    range: str
    source: str
    type: str

    @property
    def field(self) -> pa.Field:
        """The column as an Arrow field; every cell may be empty (null)."""
        return pa.field(self.name, pa.type_for_alias(self.type))


_SOURCE = Column(
    "source",
    "File name of the image. The column exists only for folders of independent images.",
    "",
    "text",
    "input",
    "string",
)

_KEYS = (
    Column(
        "frame",
        "Number of the frame among all decoded frames of the input, sampled or not; of the image in a folder of "
        "independent images.",
        "",
        "0, 1, 2, ...",
        "video reader",
        "int64",
    ),
    Column(
        "time_s",
        "Presentation time, counted from where a player starts. Empty for independent images.",
        "s",
        ">= 0",
        "video reader: presentation timestamps",
        "float64",
    ),
    Column(
        "track_id",
        "Which face: one track is one face followed over frames, not an identity (a person may have several tracks). "
        "Empty for independent images and where the frame has no face.",
        "",
        "1, 2, 3, ...",
        "tracking",
        "int32",
    ),
    Column(
        "status",
        "What the row rests on. observed: the networks saw the face. low_quality: they saw it, but its quality is too "
        "low to rely on. interpolated: no face was seen here; box and scores lie on the straight line between the "
        f"observations before and after, which are at most {MAX_GAP_S:g} s (or one --stride) apart. "
        "no_face: the frame has no face. error: the frame could not be decoded whole, and no face can be given for it.",
        "",
        ", ".join(status.value for status in Status),
        "tracking, gap filling",
        "string",
    ),
    Column(
        "face_score",
        "Confidence of the face detector; where a box was followed instead of detected, that of the last detection. "
        "Empty in interpolated rows.",
        "",
        "0 to 1",
        "face detector",
        "float32",
    ),
    Column(
        "quality",
        f"{QUALITY_MEANING} Empty in interpolated rows.",
        "",
        "0 (useless) to 1 (good)",
        "face quality",
        "float32",
    ),
)

_BOX = tuple(
    Column(
        f"box_{side}",
        f"{edge} edge of the reference box of the face in the upright frame; may lie outside the frame.",
        "px",
        f"0 at the {zero} edge of the frame",
        "face detector, tracking",
        "float32",
    )
    for side, edge, zero in (
        ("x1", "Left", "left"),
        ("y1", "Upper", "upper"),
        ("x2", "Right", "left"),
        ("y2", "Lower", "upper"),
    )
)

BOX_COLUMNS = tuple(column.name for column in _BOX)
"""The columns of a box, in the order of `box_xyxy`."""

_VALENCE_AROUSAL = (
    Column(
        "valence",
        "How negative or positive the face looks, smoothed over time.",
        "",
        "-1 (negative) to 1 (positive)",
        "valence/arousal head; see summary.json",
        "float32",
    ),
    Column(
        "arousal",
        "How calm or activated the face looks, smoothed over time.",
        "",
        "-1 (calm) to 1 (activated)",
        "valence/arousal head; see summary.json",
        "float32",
    ),
)

_ACTIVATIONS = tuple(
    Column(
        unit.column,
        f"{unit.value}, {unit.meaning}: activation, smoothed over time. Not a FACS intensity (A to E).",
        "",
        "0 (absent) to 1 (full)",
        "action unit head; see summary.json",
        "float32",
    )
    for unit in ABAW_ACTION_UNITS
)

_OCCURRENCES = tuple(
    Column(
        unit.on_column,
        f"{unit.value}, {unit.meaning}: on, that is {unit.column} >= {AU_THRESHOLDS[unit]:g}; a trained head brings "
        "its own threshold, given in summary.json.",
        "",
        "true, false",
        f"decided from {unit.column}",
        "bool",
    )
    for unit in ABAW_ACTION_UNITS
)


def _expression(expressions: tuple[Expression, ...]) -> Column:
    return Column(
        "expression",
        f"The likeliest expression, or `{UNCERTAIN}` where the two likeliest probabilities differ by less than "
        f"{UNCERTAIN_MARGIN:.2f}.",
        "",
        ", ".join([*(label.value for label in expressions), UNCERTAIN]),
        "decided from the p_ columns",
        "string",
    )


def _probability(label: Expression) -> Column:
    return Column(
        label.column,
        f"Probability of {label.value}, smoothed over time; the p_ columns of a row sum to 1.",
        "",
        "0 to 1",
        "expression head; see summary.json",
        "float32",
    )


def timeline_columns(expressions: tuple[Expression, ...], with_source: bool = False) -> tuple[Column, ...]:
    """Return the columns of the result table, in order.

    Args:
        expressions: the classes of the expression head, in its order.
        with_source: the input is a folder of independent images, whose file names stand in a first column.
    """
    return (
        *((_SOURCE,) if with_source else ()),
        *_KEYS,
        *_BOX,
        *_VALENCE_AROUSAL,
        _expression(expressions),
        *(_probability(label) for label in expressions),
        *_ACTIVATIONS,
        *_OCCURRENCES,
    )


def timeline_schema(expressions: tuple[Expression, ...], with_source: bool = False) -> pa.Schema:
    """Return the Arrow schema of the result table; arguments as in `timeline_columns`."""
    return pa.schema([column.field for column in timeline_columns(expressions, with_source)])


def raw_schema(
    expressions: tuple[Expression, ...],
    with_source: bool = False,
    encodings: Mapping[Task, int] = MappingProxyType({}),
    *,
    with_asked: bool = False,
    with_missed: bool = False,
) -> pa.Schema:
    """Return the schema of raw rows, what the networks said before smoothing.

    That is the result table without `expression` and `au*_on`, which are decided from smoothed scores. There is one
    row per observed face and frame, and one without a `track_id` (`no_face` or `error`) for a frame without a face.

    Args:
        expressions: the classes of the expression head, in its order.
        with_source: the input is a folder of independent images, whose file names stand in a first column.
        encodings: tasks that are scored once a track is known, and how many numbers an encoding of each has: their rows
            have a column of encodings (`encoding_column`), and their scores are empty until then.
        with_asked: there is a column `ASKED_COLUMN`.
        with_missed: there is a column `MISSED_COLUMN`.
    """
    decided = {"expression", *(column.name for column in _OCCURRENCES)}
    columns = timeline_columns(expressions, with_source)
    plain = [column.field for column in columns if column.name not in decided]
    encoded = [pa.field(encoding_column(task), pa.list_(pa.float32(), size)) for task, size in encodings.items()]
    asked = [pa.field(ASKED_COLUMN, pa.bool_())] if with_asked else []
    missed = [pa.field(MISSED_COLUMN, pa.int32())] if with_missed else []
    return pa.schema([*plain, *encoded, *asked, *missed])


ASKED_COLUMN = "is_asked"
"""The raw column that says whether the larger network of a cascade gave the expressions; empty without a face."""


MISSED_COLUMN = "missed"
"""The raw column with `Frame.missed`, the same in all rows of a frame: damage must not be forgotten over a break."""


def encoding_column(task: Task) -> str:
    """Return the name of the raw column with what a head that looks at a face over time keeps of each frame."""
    return f"encoded_{task.value.lower()}"


def score_columns(task: Task, expressions: tuple[Expression, ...]) -> tuple[str, ...]:
    """Return the names of a task's score columns in raw and result tables, in order.

    Args:
        task: which.
        expressions: the classes of the expression head, in its order.
    """
    if task is Task.VA:
        return VALENCE_AROUSAL
    if task is Task.EXPR:
        return tuple(label.column for label in expressions)
    return tuple(unit.column for unit in ABAW_ACTION_UNITS)


def expressions_in(schema: pa.Schema) -> tuple[Expression, ...]:
    """Return the expressions that have a probability column in a raw or a result schema, in its order."""
    by_column = {label.column: label for label in Expression}
    return tuple(by_column[name] for name in schema.names if name in by_column)


def schema_as_json(expressions: tuple[Expression, ...] = FERPLUS_8, with_source: bool = False) -> list[dict[str, str]]:
    """Return the columns as objects for JSON, with the fields of `Column`."""
    return [asdict(column) for column in timeline_columns(expressions, with_source)]


def schema_as_text(expressions: tuple[Expression, ...] = FERPLUS_8, with_source: bool = False) -> str:
    """Return the columns as text for a terminal of 100 characters' width."""
    return "\n".join(_text_entry(column) for column in timeline_columns(expressions, with_source))


def _text_entry(column: Column) -> str:
    facts = ", ".join(fact for fact in (column.type, column.unit, column.range) if fact)
    meaning = textwrap.fill(column.meaning, width=100, initial_indent="    ", subsequent_indent="    ")
    return f"{column.name}: {facts}\n{meaning}\n    Source: {column.source}.\n"


def schema_as_markdown(expressions: tuple[Expression, ...] = FERPLUS_8, with_source: bool = False) -> str:
    """Return the columns as a Markdown table, with a line break at its end."""
    rows = (
        (f"`{column.name}`", column.meaning, column.unit, column.range, column.source, column.type)
        for column in timeline_columns(expressions, with_source)
    )
    header = ("column", "meaning", "unit", "range", "source", "type")
    return "".join(_markdown_line(cells) for cells in (header, ("---",) * len(header), *rows))


def _markdown_line(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"
