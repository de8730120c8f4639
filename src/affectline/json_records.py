"""Frozen records as JSON and back, with the types that the records state."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from affectline.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

Record = TypeVar("Record", bound="DataclassInstance")


def to_json_object(record: DataclassInstance) -> dict[str, JsonValue]:
    """Return a record as JSON values: records and mappings as objects, tuples as lists, enum members as their value.

    Raises:
        TypeError: the record holds something that has no JSON form.
    """
    return {field.name: _to_json_value(getattr(record, field.name)) for field in fields(record)}


def _to_json_value(value: object) -> JsonValue:
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_object(value)
    if isinstance(value, Mapping):
        return {str(_to_json_value(key)): _to_json_value(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_to_json_value(entry) for entry in value]
    plain = value.value if isinstance(value, Enum) else value
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    raise TypeError(f"{plain!r} has no JSON form")


def parse_object(text: str, where: str) -> dict[str, JsonValue]:
    """Return the JSON object that a text holds.

    Args:
        text: JSON.
        where: what the text is, for the error message.

    Raises:
        InputError: the text is no JSON, or no object.
    """
    try:
        value: JsonValue = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {_shown(value)}")
    return value


def read_record(kind: type[Record], value: JsonValue, where: str) -> Record:
    """Return the record that JSON values describe; keys that the record does not have are ignored.

    Args:
        kind: a frozen dataclass whose fields are str, int, float, bool, enums, literals, records, tuples of them,
            mappings from strings or enums, or one of these or None.
        value: a JSON object with a key for each field; those that have a default may be missing, as in files of an
            older affectline.
        where: what is being read, for the error message.

    Raises:
        InputError: a key is missing, or its value is of another type than the record states.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {_shown(value)}")
    hints = get_type_hints(kind)
    absent = [field for field in fields(kind) if field.name not in value]
    missing = [field.name for field in absent if field.default is MISSING and field.default_factory is MISSING]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    entries = {
        field.name: _read(hints[field.name], value[field.name], f"{where}, {field.name}")
        for field in fields(kind)
        if field not in absent
    }
    return kind(**entries)


def _read(hint: object, value: JsonValue, where: str) -> object:
    arms = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in arms:
        return None
    (wanted,) = (arm for arm in arms if arm is not NoneType)
    if isinstance(wanted, type) and get_origin(wanted) is None:
        return read_record(wanted, value, where) if is_dataclass(wanted) else _read_scalar(wanted, value, where)
    return _read_container(wanted, value, where)


def _read_container(hint: object, value: JsonValue, where: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        expected = _one_of(arguments)
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_read(arguments[0], entry, where) for entry in value)
        expected = "a list"
    else:
        if isinstance(value, dict):
            return {_read(arguments[0], key, where): _read(arguments[1], entry, where) for key, entry in value.items()}
        expected = "an object"
    raise InputError(f"{where}: expected {expected}, got {_shown(value)}")


_SCALAR_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _read_scalar(kind: type, value: JsonValue, where: str) -> object:
    if issubclass(kind, Enum):
        members = {member.value: member for member in kind}
        if isinstance(value, str) and value in members:
            return members[value]
        raise InputError(f"{where}: expected {_one_of(members)}, got {_shown(value)}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where}: expected {_SCALAR_WORDS[kind]}, got {_shown(value)}")
    return value


def _one_of(words: Iterable[str]) -> str:
    return f"one of {', '.join(words)}"


def _shown(value: JsonValue) -> str:
    return textwrap.shorten(json.dumps(value), width=60, placeholder="...")
