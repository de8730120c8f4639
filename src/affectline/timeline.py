"""The result of an analysis: one row for each frame and face, with what it rests on."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.atomic_file import complete_file
from affectline.errors import InputError, MissingExtraError, OutputError, ShapeError, UnknownNameError
from affectline.postprocess.finish import FinishSettings
from affectline.postprocess.merge import merge_tracks
from affectline.provenance import Provenance, Summary, summarise
from affectline.result_files import read_result_csv, read_result_jsonl, read_result_parquet, summary_path
from affectline.schema import timeline_schema
from affectline.table_files import write_csv, write_jsonl, write_parquet

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

FORMATS = ("csv", "parquet", "jsonl")
"""The table's file formats; a file is called `timeline` and its format."""

DEFAULT_FORMATS = ("csv", "parquet")


class Timeline:
    """The dense result of one input, one row for each frame and track, in the order of frame and track.

    Args:
        table: in `schema.timeline_schema` of the provenance's expressions, with `source` or without. Empty cells are
            null, never NaN.
        provenance: what the table rests on.

    Raises:
        ShapeError: the table has other columns, NaN, or two rows for one frame and track.
    """

    def __init__(self, table: pa.Table, provenance: Provenance) -> None:
        _check_columns(table, provenance)
        ordered = table.sort_by([("frame", "ascending"), ("track_id", "ascending")])
        _check_rows(ordered)
        self._table = ordered.replace_schema_metadata(None).combine_chunks()
        self._provenance = provenance

    @property
    def table(self) -> pa.Table:
        """The rows, as an Arrow table; the columns are described by `schema.timeline_columns`."""
        return self._table

    @property
    def drawn_table(self) -> pa.Table:
        """The rows as pictures show them: those that a stride passed over as planned count as seen."""
        from affectline.report.strides import with_strides_seen  # noqa: PLC0415 - as other parts of the report

        return with_strides_seen(self._table, self._provenance.stride_s)

    @property
    def provenance(self) -> Provenance:
        """What the rows rest on: input, models, settings."""
        return self._provenance

    @property
    def summary(self) -> Summary:
        """The content of summary.json: provenance, rows by status, means of each track."""
        return summarise(self._table, self._provenance)

    @property
    def track_ids(self) -> tuple[int, ...]:
        """The numbers of the tracks, in order; empty for independent images."""
        return tuple(sorted(pc.unique(self._table["track_id"].drop_null()).to_pylist()))

    def __len__(self) -> int:
        return len(self._table)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeline):
            return NotImplemented
        return self._provenance == other._provenance and bool(self._table.equals(other._table))

    __hash__ = None  # type: ignore[assignment]  # equality by content of a whole table

    def __repr__(self) -> str:
        return f"Timeline({self._provenance.input!r}, {len(self)} rows, {len(self.track_ids)} tracks)"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line with means and a curve for each track."""
        from affectline.report.notebook import html_card  # noqa: PLC0415 - drawing loads matplotlib

        return html_card(self._table, self._provenance)

    def plot(self) -> Figure:
        """Return the timeline as a matplotlib figure, as in `timeline.png`.

        Its size and resolution are those of print; `figure.savefig(path)` writes it.
        """
        from affectline.report.notebook import caption_of  # noqa: PLC0415 - drawing loads matplotlib
        from affectline.report.plot import draw_timeline  # noqa: PLC0415

        return draw_timeline(self.drawn_table, self._provenance.input, caption_of(self._provenance))

    def iplot(self, track_id: int | None = None) -> go.Figure:
        """Return one track as an interactive Plotly figure; a notebook shows it.

        Args:
            track_id: which track, for independent images the face's rank; None for the one with most rows.

        Raises:
            MissingExtraError: plotly is not installed.
            UnknownNameError: there is no such track.
        """
        from affectline.report.notebook import caption_of, interactive_figure  # noqa: PLC0415 - likewise

        return interactive_figure(self.drawn_table, self._provenance.input, caption_of(self._provenance), track_id)

    def column(self, name: str) -> NDArray[np.generic]:
        """Return a column as an array of length n.

        Empty cells are NaN in numbers, None in words, 0 in `track_id` (tracks count from 1) and False in `au*_on`.

        Raises:
            UnknownNameError: there is no such column.
        """
        if name not in self._table.schema.names:
            raise UnknownNameError(f"no column {name!r}; columns: {', '.join(self._table.schema.names)}")
        column = self._table[name]
        if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
            column = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
        array: NDArray[np.generic] = column.to_numpy()
        return array

    def merge_tracks(self, keep: int, other: int) -> Timeline:
        """Return a timeline in which the rows of track `other` belong to track `keep`.

        See `postprocess.merge.merge_tracks` for what happens where both have a row, and between them.

        Raises:
            UnknownNameError: there is no such track.
            InputError: the numbers are the same, or both tracks were observed in one frame.
        """
        if not self.track_ids:
            raise UnknownNameError(f"{self._provenance.input} has no tracks that could be merged")
        made = self._provenance
        settings = FinishSettings(made.thresholds, made.smoothing, made.stride_s)
        merged = merge_tracks(self._table, keep, other, settings)
        return Timeline(merged, self._provenance)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table. Empty cells are NaN or, in `track_id`, words and `au*_on`, pandas' missing value.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MissingExtraError(
                "to_frame() needs pandas, which is not installed: run `pip install pandas`, or use .table"
            ) from error
        nullable = {pa.int32(): pandas.Int32Dtype(), pa.bool_(): pandas.BooleanDtype()}
        frame: pd.DataFrame = self._table.to_pandas(types_mapper=nullable.get)
        return frame

    def write(self, folder: Path | str, formats: Iterable[str] = DEFAULT_FORMATS) -> tuple[Path, ...]:
        """Write `timeline.<format>` for each format, then `summary.json`, and return their paths.

        Args:
            folder: made if it is not there; files of these names in it are replaced.
            formats: of `FORMATS`.

        Raises:
            InputError: a format is unknown.
            OutputError: the folder or a file cannot be written.
        """
        writers = {"csv": self._write_csv, "parquet": self.to_parquet, "jsonl": self.to_jsonl}
        wanted = tuple(dict.fromkeys(formats))
        unknown = [name for name in wanted if name not in writers]
        if unknown:
            raise InputError(f"no table format {unknown[0]!r}; known formats: {', '.join(FORMATS)}")
        folder = Path(folder)
        _make_folder(folder)
        paths = [folder / f"timeline.{name}" for name in wanted]
        for name, path in zip(wanted, paths, strict=True):
            writers[name](path)
        summary = folder / "summary.json"
        self._write_summary(summary)
        return (*paths, summary)

    def to_csv(self, path: Path | str) -> None:
        """Write the table as CSV and, beside it, the summary that `from_csv` reads.

        The summary of `timeline.csv` is called `summary.json`, that of `NAME.csv` `NAME.summary.json`.

        Raises:
            OutputError: a file cannot be written.
        """
        self._write_csv(Path(path))
        self._write_summary(summary_path(Path(path)))

    def _write_csv(self, path: Path) -> None:
        write_csv(self._table, path)

    def _write_summary(self, path: Path) -> None:
        text = self.summary.to_json()
        with complete_file(path) as file:
            file.write(text.encode())

    def to_jsonl(self, path: Path | str) -> None:
        """Write the table as one JSON object a line.

        Raises:
            OutputError: the file cannot be written.
        """
        write_jsonl(self._table, Path(path))

    def to_parquet(self, path: Path | str) -> None:
        """Write the table as Parquet, with each key of summary.json in its metadata, as JSON text.

        Raises:
            OutputError: the file cannot be written.
        """
        fields = self.summary.to_fields()
        metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}
        write_parquet(self._table, Path(path), metadata)

    @classmethod
    def from_csv(cls, path: Path | str) -> Timeline:
        """Read what `to_csv` or `write` wrote; equal to the timeline that was written.

        Raises:
            InputFileError: the table or the summary beside it is missing or not what its name says.
            InputError: the summary lacks a key or has a value of the wrong type.
            ShapeError: the table is no result table of the summary's expressions.
        """
        return cls(*read_result_csv(Path(path)))

    @classmethod
    def from_jsonl(cls, path: Path | str) -> Timeline:
        """Read what `write` wrote as JSONL; errors as in `from_csv`."""
        return cls(*read_result_jsonl(Path(path)))

    @classmethod
    def from_parquet(cls, path: Path | str) -> Timeline:
        """Read what `to_parquet` wrote; equal to the timeline that was written.

        Raises:
            InputFileError: the file is missing or no Parquet file.
            InputError: its metadata lack a key or have a value of the wrong type.
            ShapeError: the table is no result table of the expressions in its metadata.
        """
        return cls(*read_result_parquet(Path(path)))


def _check_columns(table: pa.Table, provenance: Provenance) -> None:
    expected = timeline_schema(provenance.expressions, with_source="source" in table.schema.names)
    if table.schema.names != expected.names:
        missing = [name for name in expected.names if name not in table.schema.names]
        extra = [name for name in table.schema.names if name not in expected.names]
        raise ShapeError(
            f"not a result table: missing columns {missing}, unknown columns {extra}"
            if missing or extra
            else f"the columns are not in the order of a result table: {', '.join(expected.names)}"
        )
    for field in expected:
        found = table.schema.field(field.name).type
        if found != field.type:
            raise ShapeError(f"column {field.name} must be {field.type}, got {found}")


def _check_rows(table: pa.Table) -> None:
    """Check a table that is in the order of frame and track."""
    for name in table.schema.names:
        if pa.types.is_floating(table[name].type) and pc.any(pc.is_nan(table[name])).as_py():
            raise ShapeError(f"column {name} holds NaN; empty cells must be null")
    with_track = table.filter(pc.is_valid(table["track_id"]))
    frame, track = with_track["frame"].to_numpy(), with_track["track_id"].to_numpy()
    is_double = (np.diff(frame) == 0) & (np.diff(track) == 0)
    if is_double.any():
        row = int(np.argmax(is_double))
        raise ShapeError(f"track {track[row]} has two rows in frame {frame[row]}; a frame and track make one row")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another one") from error
