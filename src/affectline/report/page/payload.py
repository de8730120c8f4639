"""What the page's script reads: charts, columns and words, as JSON."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.labels import UNCERTAIN, ActionUnit, Expression, Status
from affectline.provenance import Provenance
from affectline.report.cards import mean_of
from affectline.report.colours import expression_rgb, text_rgb, track_rgb
from affectline.report.columns import columns_of
from affectline.report.figures import MILLISECONDS, ORIGIN_MS, charts_of
from affectline.report.series import Grid, Track
from affectline.report.themes import THEMES, to_hex
from affectline.table_files import csv_bytes

SHOWN_STATUSES = (Status.NO_FACE, Status.OBSERVED, Status.LOW_QUALITY, Status.INTERPOLATED)
"""The page's script has a cell's status as a position in this."""

MOST_TABLE_BYTES = 2_500_000
"""A compressed table over this is not in the page; it lies beside it as a file."""

LONGEST_BOXED_CELL_S = 0.25
"""Boxes of cells that last longer would lag behind the face."""


def page_data(
    tracks: Sequence[Track], grid: Grid, expressions: Sequence[Expression], units: Sequence[ActionUnit]
) -> dict[str, Any]:
    """Return the data of the charts, as values for JSON."""
    words = [*(label.value for label in expressions), UNCERTAIN]
    labels = [
        {"word": label.value, "column": label.column, "colour": word_colour(label.value)} for label in expressions
    ]
    return {
        "hasTime": grid.has_time,
        "scale": MILLISECONDS if grid.has_time else 1,
        "origin": ORIGIN_MS if grid.has_time else 0,
        "isBinned": grid.is_binned,
        "hasBoxes": has_boxes(grid),
        "frames": packed(grid.frames[grid.starts].astype(np.float64)),
        "edges": packed(grid.edges.astype(np.float64)),
        "labels": labels,
        "units": [{"name": unit.value, "column": unit.column, "meaning": unit.meaning} for unit in units],
        "words": [_word(word) for word in words],
        "statuses": [status.value for status in SHOWN_STATUSES],
        "themes": {name: theme.tones() for name, theme in THEMES.items()},
        "tracks": [_track(track, expressions, units, words) for track in tracks],
    }


def has_boxes(grid: Grid) -> bool:
    """Return whether faces can be outlined: the charts' points follow each other fast enough."""
    return not grid.has_time or grid.usual_width <= LONGEST_BOXED_CELL_S


def covered_span(grid: Grid, provenance: Provenance) -> list[float | None]:
    """Return from when to when a video was analysed, in seconds; None for its very beginning and its very end."""
    sampling, duration_s = provenance.sampling, provenance.duration_s
    is_cut = sampling.end_s is not None and (duration_s is None or sampling.end_s < duration_s)
    start = float(grid.edges[0]) if sampling.start_s else None
    end = float(grid.edges[-1]) if is_cut or not provenance.is_complete else None
    return [start, end]


def word_colour(word: str) -> str:
    """Return the colour of a word of the expression column, as CSS writes it."""
    return to_hex(expression_rgb(word))


def all_word_colours() -> dict[str, str]:
    """Return the colour of each word that the expression column can hold."""
    return {word: word_colour(word) for word in [*(label.value for label in Expression), UNCERTAIN]}


def _word(word: str) -> dict[str, str]:
    return {"word": word, "colour": word_colour(word), "ink": to_hex(text_rgb(expression_rgb(word)))}


def _track(
    track: Track, expressions: Sequence[Expression], units: Sequence[ActionUnit], words: list[str]
) -> dict[str, Any]:
    columns = columns_of(track, expressions, units)
    state = np.select([track.is_low_quality(), ~track.is_gap(), track.share(*SHOWN_STATUSES[1:]) > 0], [2, 1, 3], 0)
    # Names that no column has: the script finds them beside the others.
    extra = {"state": state.astype(np.float32), "winner": track.winning_label(words).astype(np.float32)}
    return {
        "id": track.track_id,
        "name": track.name,
        "colour": to_hex(track_rgb(track.track_id)),
        "means": {column: mean_of(track.rows, column) for column in ("valence", "arousal")},
        "charts": [
            {"name": chart.name, "traces": chart.traces, "layout": chart.layout}
            for chart in charts_of(track, expressions, units)
        ],
        "columns": {name: packed(values) for name, values in (columns | extra).items()},
    }


def packed(values: NDArray[np.floating]) -> dict[str, str]:
    """Return an array as its type and its bytes in base64, little-endian, as Plotly writes them too."""
    little = values.astype(values.dtype.newbyteorder("<"))
    return {"dtype": f"f{values.dtype.itemsize}", "bdata": base64.b64encode(little.tobytes()).decode()}


def packed_table(table: pa.Table) -> str | None:
    """Return the whole table as CSV, compressed (gzip), in base64; None where that is too large for a page."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as file:
        for part in csv_bytes(table):
            file.write(part)
            if buffer.tell() > MOST_TABLE_BYTES:
                return None
    data = buffer.getvalue()
    return None if len(data) > MOST_TABLE_BYTES else base64.b64encode(data).decode()


def script_json(value: Mapping[str, Any]) -> str:
    """Return a value as JSON that can stand in an HTML script element: no `<`, `>` or `&`, whatever the words are."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
