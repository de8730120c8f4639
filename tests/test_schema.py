from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from affectline.faces.quality import QUALITY_MEANING
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.labels import ABAW_ACTION_UNITS, AFFECTNET_7, AFFECTNET_8, FERPLUS_8, ActionUnit, Expression
from affectline.schema import (
    expressions_in,
    raw_schema,
    schema_as_json,
    schema_as_markdown,
    schema_as_text,
    timeline_columns,
    timeline_schema,
)

UNITS = ["01", "02", "04", "06", "07", "10", "12", "15", "23", "24", "25", "26"]


def test_columns_are_those_of_the_contract_in_their_order():
    names = [
        "frame",
        "time_s",
        "track_id",
        "status",
        "face_score",
        "quality",
        "box_x1",
        "box_y1",
        "box_x2",
        "box_y2",
        "valence",
        "arousal",
        "expression",
    ]
    names += ["p_neutral", "p_happiness", "p_surprise", "p_sadness", "p_anger", "p_disgust", "p_fear", "p_contempt"]
    names += [f"au{number}" for number in UNITS] + [f"au{number}_on" for number in UNITS]
    assert timeline_schema(FERPLUS_8).names == names
    assert timeline_schema(FERPLUS_8, with_source=True).names == ["source", *names]


def test_probabilities_follow_the_head():
    assert expressions_in(timeline_schema(AFFECTNET_7)) == AFFECTNET_7
    assert expressions_in(raw_schema(AFFECTNET_8)) == AFFECTNET_8
    (column,) = [column for column in timeline_columns(AFFECTNET_7) if column.name == "expression"]
    assert Expression.CONTEMPT.value not in column.range


def test_types():
    schema = timeline_schema(FERPLUS_8, with_source=True)
    special = {"frame": pa.int64(), "time_s": pa.float64(), "track_id": pa.int32()}
    special |= dict.fromkeys(("source", "status", "expression"), pa.string())
    special |= {unit.on_column: pa.bool_() for unit in ABAW_ACTION_UNITS}
    assert {name: schema.field(name).type for name in schema.names} == {
        name: special.get(name, pa.float32()) for name in schema.names
    }


@pytest.mark.parametrize("with_source", [False, True])
def test_raw_rows_lack_what_is_decided(with_source):
    raw, result = raw_schema(FERPLUS_8, with_source), timeline_schema(FERPLUS_8, with_source)
    decided = {"expression", *(unit.on_column for unit in ABAW_ACTION_UNITS)}
    assert list(raw) == [field for field in result if field.name not in decided]


def test_every_column_is_described_and_numbers_have_a_range():
    for column in timeline_columns(FERPLUS_8, with_source=True):
        assert column.meaning.endswith(".")
        assert column.range
        assert column.source
    units = {column.name: column.unit for column in timeline_columns(FERPLUS_8) if column.unit}
    assert units == {"time_s": "s", "box_x1": "px", "box_y1": "px", "box_x2": "px", "box_y2": "px"}


def test_what_readers_get_wrong_is_said():
    meaning = {column.name: column.meaning for column in timeline_columns(FERPLUS_8)}
    assert "AU12, lip corner puller" in meaning["au12"]
    assert "Not a FACS intensity" in meaning["au12"]
    assert f"on, that is au12 >= {AU_THRESHOLDS[ActionUnit.AU12]:g};" in meaning["au12_on"]
    assert meaning["quality"].startswith(QUALITY_MEANING)
    assert "less than 0.10" in meaning["expression"]
    assert "at most 1 s" in meaning["status"]
    assert "not an identity" in meaning["track_id"]


def test_json_and_text_show_every_column():
    objects = json.loads(json.dumps(schema_as_json(AFFECTNET_7, with_source=True)))
    assert [entry["name"] for entry in objects] == timeline_schema(AFFECTNET_7, with_source=True).names
    assert set(objects[0]) == {"name", "meaning", "unit", "range", "source", "type"}
    text = schema_as_text()
    assert "\nvalence: float32, -1 (negative) to 1 (positive)\n    How negative or positive" in text
    assert max(map(len, text.splitlines())) <= 100 + len("expression: string, ")
    assert text.count("Source: ") == len(timeline_columns(FERPLUS_8))


def test_the_table_of_the_docs_is_the_schema():
    docs = Path(__file__).parents[1] / "docs" / "schema.md"
    assert docs.read_text(encoding="utf-8").endswith("\n\n" + schema_as_markdown())


def test_markdown_has_a_cell_for_each_field():
    lines = schema_as_markdown().splitlines()
    assert lines[0] == "| column | meaning | unit | range | source | type |"
    assert {line.count("|") for line in lines} == {7}
