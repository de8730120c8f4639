from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from affectline.errors import InputError
from affectline.json_records import parse_object, read_record, to_json_object
from affectline.labels import ActionUnit


@dataclass(frozen=True)
class Inner:
    size: float


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    is_good: bool
    kind: Literal["a", "b"]
    unit: ActionUnit
    parts: tuple[Inner, ...]
    limits: Mapping[ActionUnit, float]
    note: str | None = None
    best: Inner | None = None


RECORD = Outer("x", 3, True, "b", ActionUnit.AU4, (Inner(0.5), Inner(2)), {ActionUnit.AU1: 0.25})
VALUES = {
    "name": "x",
    "count": 3,
    "is_good": True,
    "kind": "b",
    "unit": "AU4",
    "parts": [{"size": 0.5}, {"size": 2}],
    "limits": {"AU1": 0.25},
    "note": None,
    "best": None,
}


def test_a_record_becomes_plain_values_and_comes_back():
    assert to_json_object(RECORD) == VALUES
    assert read_record(Outer, VALUES, "it") == RECORD
    full = {**VALUES, "note": "n", "best": {"size": 1.5}}
    assert read_record(Outer, full, "it") == Outer(**{**vars(RECORD), "note": "n", "best": Inner(1.5)})


def test_whole_numbers_are_read_as_floats_where_the_record_says_so():
    size = read_record(Inner, {"size": 2}, "it").size
    assert (size, type(size)) == (2.0, float)


def test_unknown_keys_are_ignored():
    assert read_record(Inner, {"size": 1.0, "colour": "red"}, "it") == Inner(1.0)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", 5, r"it, name: expected text, got 5"),
        ("name", None, r"it, name: expected text, got null"),
        ("count", 2.5, r"it, count: expected a whole number, got 2\.5"),
        ("count", True, r"it, count: expected a whole number, got true"),
        ("is_good", 1, r"it, is_good: expected true or false, got 1"),
        ("kind", "c", r'it, kind: expected one of a, b, got "c"'),
        ("unit", "AU3", r'it, unit: expected one of AU1, AU2, .*, got "AU3"'),
        ("parts", {}, r"it, parts: expected a list, got \{\}"),
        ("parts", [{"size": "big"}], r'it, parts, size: expected a number, got "big"'),
        ("parts", [3], r"it, parts: expected an object, got 3"),
        ("limits", [], r"it, limits: expected an object, got \[\]"),
        ("limits", {"AU3": 0.5}, r'it, limits: expected one of AU1, .*, got "AU3"'),
        ("limits", {"AU1": None}, r"it, limits: expected a number, got null"),
        ("note", 7, r"it, note: expected text, got 7"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key, value, expected):
    with pytest.raises(InputError, match=expected):
        read_record(Outer, {**VALUES, key: value}, "it")


def test_missing_keys_are_named():
    with pytest.raises(InputError, match="it lacks count, kind"):
        read_record(Outer, {key: value for key, value in VALUES.items() if key not in {"count", "kind"}}, "it")


def test_what_has_no_json_form_is_refused():
    with pytest.raises(TypeError, match=r"\{1\} has no JSON form"):
        to_json_object(Inner({1}))


def test_text_must_hold_an_object():
    assert parse_object('{"a": [1]}', "it") == {"a": [1]}
    with pytest.raises(InputError, match="it is not valid JSON: Expecting"):
        parse_object("{", "it")
    with pytest.raises(InputError, match=r"it: expected a JSON object, got \[1\]"):
        parse_object("[1]", "it")
