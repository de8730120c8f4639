"""Reading a finished result: the table, and what it rests on, from whichever of its files are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from affectline.errors import InputFileError
from affectline.provenance import Provenance
from affectline.schema import timeline_schema
from affectline.table_files import csv_column_names, jsonl_column_names, read_csv, read_jsonl, read_parquet

Result = tuple[pa.Table, Provenance]


def read_result(folder: Path) -> Result:
    """Read the table of an analysed input's folder, from Parquet, CSV or JSONL, whichever is there first.

    Raises:
        InputFileError: the folder has no table, or a file is not what its name says.
        InputError: the summary lacks a key or has a value of the wrong type.
    """
    readers = {"parquet": read_result_parquet, "csv": read_result_csv, "jsonl": read_result_jsonl}
    for name, read in readers.items():
        if (folder / f"timeline.{name}").is_file():
            return read(folder / f"timeline.{name}")
    raise InputFileError(f"{folder} has no timeline.parquet, .csv or .jsonl; name the folder of one analysed input")


def read_result_csv(path: Path) -> Result:
    """Read a CSV table and the summary beside it; errors as in `read_result`."""
    return _read_text(path, csv_column_names, read_csv)


def read_result_jsonl(path: Path) -> Result:
    """Read a JSONL table and the summary beside it; errors as in `read_result`."""
    return _read_text(path, jsonl_column_names, read_jsonl)


def read_result_parquet(path: Path) -> Result:
    """Read a Parquet table, whose metadata hold the summary; errors as in `read_result`."""
    table, metadata = read_parquet(path)
    pairs = ", ".join(f"{json.dumps(key)}: {text}" for key, text in metadata.items() if key != "ARROW:schema")
    return table, Provenance.from_json(f"{{{pairs}}}", where=f"the metadata of {path}")


def summary_path(table_path: Path) -> Path:
    """Return where the summary of a text table lies: `summary.json` of `timeline.*`, else `NAME.summary.json`."""
    stem = table_path.stem
    return table_path.with_name("summary.json" if stem == "timeline" else f"{stem}.summary.json")


def _read_text(
    path: Path, column_names: Callable[[Path], list[str]], read: Callable[[Path, pa.Schema], pa.Table]
) -> Result:
    """Read a table in a text format, whose types the summary beside it tells, and that summary's provenance."""
    names = column_names(path)
    provenance = _read_summary(path)
    return read(path, timeline_schema(provenance.expressions, with_source="source" in names)), provenance


def _read_summary(table_path: Path) -> Provenance:
    """Read the provenance from beside a table; a table that was renamed finds `summary.json` too."""
    candidates = (summary_path(table_path), table_path.with_name("summary.json"))
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise InputFileError(
            f"{table_path} has no {candidates[0].name} beside it, which says what its numbers rest on; keep the two "
            "files together"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot read {path}: {error}") from error
    return Provenance.from_json(text, where=str(path))
