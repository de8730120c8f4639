"""The result table as CSV, JSONL and Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from affectline.atomic_file import complete_file
from affectline.errors import InputFileError

_ROWS_AT_ONCE = 20_000
"""Rows that are turned into text together, which bounds memory."""


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a table as CSV: empty for null, `true` and `false`, quotes only where a value needs them.

    Numbers are as short as they can be and still read back as the same float32 or float64.

    Raises:
        OutputError: the file cannot be written.
    """
    with complete_file(path) as file:
        for part in csv_bytes(table):
            file.write(part)


def csv_bytes(table: pa.Table) -> Iterator[bytes]:
    """Return the content of the CSV file that `write_csv` writes, in parts."""
    yield (",".join(table.schema.names) + "\n").encode()
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        cells = [_csv_quoted(column.cast(pa.string())) for column in batch.columns]
        yield _lines(pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement=""))


def _csv_quoted(text: pa.StringArray) -> pa.StringArray:
    needs_quotes = pc.match_substring_regex(text, '[,"\r\n]')
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(needs_quotes, pc.binary_join_element_wise('"', doubled, '"', ""), text)


def write_jsonl(table: pa.Table, path: Path) -> None:
    """Write a table as one JSON object a line, with every column as a key and null for empty cells.

    Raises:
        OutputError: the file cannot be written.
    """
    with complete_file(path) as file:
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            pairs = [
                pc.binary_join_element_wise(f"{json.dumps(name)}: ", _as_json(column), "")
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            ]
            objects = pc.binary_join_element_wise(*pairs, ", ")
            file.write(_lines(pc.binary_join_element_wise("{", objects, "}", "")))


def _as_json(column: pa.Array) -> pa.StringArray:
    if not pa.types.is_string(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    words = column.dictionary_encode()
    encoded = pa.array([json.dumps(word, ensure_ascii=False) for word in words.dictionary.to_pylist()], pa.string())
    return pc.fill_null(encoded.take(words.indices), "null")


def _lines(lines: pa.StringArray) -> bytes:
    return "".join(f"{line}\n" for line in lines.to_pylist()).encode()


def write_parquet(table: pa.Table, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a table as Parquet.

    Args:
        table: the rows.
        path: what is there is replaced.
        metadata: text to store beside the table, by key.

    Raises:
        OutputError: the file cannot be written.
    """
    with complete_file(path) as file:
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a CSV file that `write_csv` wrote, or another program that kept its columns.

    Args:
        path: the file.
        schema: types by column name; columns that it does not know are read as they look.

    Raises:
        InputFileError: the file is missing or a value is not of its column's type.
    """
    convert = pyarrow.csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values="source" in schema.names)
    try:
        return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"cannot read {path} as a result table: {error}") from error


def read_jsonl(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a file that `write_jsonl` wrote, with one object for each row.

    Raises:
        InputFileError: the file is missing or no such file.
    """
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        return pyarrow.json.read_json(path, parse_options=parse) if path.stat().st_size else schema.empty_table()
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"cannot read {path} as a result table: {error}") from error


def jsonl_column_names(path: Path) -> list[str]:
    """Return the keys of the first object of a JSONL file; none if it is empty.

    Raises:
        InputFileError: the file is missing or its first line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return list(dict(json.loads(file.readline() or "{}")))
    except (OSError, ValueError) as error:
        raise InputFileError(f"cannot read {path} as a result table: {error}") from error


def csv_column_names(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        InputFileError: the file is missing or not text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n").split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot read {path} as a result table: {error}") from error


def read_parquet(path: Path) -> tuple[pa.Table, dict[str, str]]:
    """Return the table of a Parquet file, and the text stored beside it by key.

    Raises:
        InputFileError: the file is missing or not Parquet.
    """
    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"cannot read {path} as a result table: {error}") from error
    metadata = table.schema.metadata or {}
    return table, {key.decode(): text.decode() for key, text in metadata.items()}
