"""What a timeline looks like in a notebook: its card, and its interactive figure."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from affectline.errors import MissingExtraError, UnknownNameError
from affectline.report.cards import Card, card_of
from affectline.report.colours import AROUSAL_RGB, VALENCE_RGB, expression_rgb
from affectline.report.columns import columns_of
from affectline.report.figures import Chart, charts_of, resolved
from affectline.report.series import (
    Floats,
    Track,
    action_units_in,
    expressions_in,
    make_grid,
    runs,
    split_tracks,
)
from affectline.report.themes import LIGHT, to_hex

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import pyarrow as pa

    from affectline.provenance import Provenance

MAX_CELLS = 3000
SHOWN_TRACKS = 8
SPARK_CELLS, SPARK_WIDTH, SPARK_HEIGHT = 120, 240, 44

_SVG = '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>'
_CELL = "padding:4px 10px;text-align:left;vertical-align:middle"


def heads_in_words(provenance: Provenance) -> str:
    """Return what the scores of each task rest on, in a line such as `VA zero-shot; EXPR pretrained`."""
    return "; ".join(f"{head.task.value} {head.head.value}" for head in provenance.heads)


def caption_of(provenance: Provenance) -> str:
    """Return what stands under a picture of a timeline: version, backbone, heads."""
    looks = "" if provenance.stride_s is None else f", networks run once in {provenance.stride_s:g} s"
    return f"affectline {provenance.affectline}, {provenance.backbone}{looks}, {heads_in_words(provenance)}"


def interactive_figure(table: pa.Table, title: str, caption: str, track_id: int | None = None) -> go.Figure:
    """Return the charts of one track as a Plotly figure: over time at the left, the plane at the right.

    Args:
        table: the columns of the result table.
        title: what stands above.
        caption: what stands below.
        track_id: which track, for independent images the face's rank; None for the one with most rows.

    Raises:
        MissingExtraError: plotly is not installed.
        UnknownNameError: there is no such track.
    """
    try:
        subplots = importlib.import_module("plotly.subplots")
    except ImportError as error:
        raise MissingExtraError(
            "iplot() needs plotly, which is not installed: run `pip install 'affectline[report]'`, or use plot()"
        ) from error
    grid = make_grid(table, MAX_CELLS)
    tracks, _ = split_tracks(table, grid, len(table))
    track = _chosen(tracks, track_id)
    expressions, units = expressions_in(table), action_units_in(table)
    charts = charts_of(track, expressions, units) if track else ()
    over_time = charts[:-1]
    rows = max(1, len(over_time))
    figure: go.Figure = subplots.make_subplots(
        rows=rows,
        cols=2,
        shared_xaxes=True,
        vertical_spacing=0.05,
        horizontal_spacing=0.07,
        column_widths=[0.7, 0.3],
        row_heights=[2, 2, 3][:rows],
        specs=[[{}, {"rowspan": rows} if row == 0 else None] for row in range(rows)],
    )
    columns = columns_of(track, expressions, units) if track else {}
    for number, chart in enumerate(over_time, 1):
        _add(figure, chart, columns, number, 1)
    if charts:
        _add(figure, charts[-1], columns, 1, 2)
    name = f"{title}, {track.name}" if track else f"{title}: no face found"
    figure.update_layout(
        title={"text": escape(name, quote=False)},
        height=190 * rows + 120,
        template="plotly_white",
        hovermode="x unified",
        barmode="stack",
        showlegend=False,
        margin={"l": 60, "r": 20, "t": 60, "b": 70},
    )
    note = {"text": escape(caption, quote=False), "xref": "paper", "yref": "paper", "x": 0, "y": 0, "yshift": -50}
    figure.add_annotation(note | {"xanchor": "left", "showarrow": False, "font": {"size": 11, "color": LIGHT.muted}})
    return figure


def _chosen(tracks: Sequence[Track], track_id: int | None) -> Track | None:
    if track_id is None:
        return max(tracks, key=lambda track: len(track.rows), default=None)
    known = {track.track_id: track for track in tracks}
    if track_id not in known:
        raise UnknownNameError(f"no track {track_id}; tracks: {', '.join(map(str, known)) or 'none'}")
    return known[track_id]


def _add(figure: go.Figure, chart: Chart, columns: dict[str, Any], row: int, column: int) -> None:
    """Put a chart into its place: its traces, its axes, and what is drawn and written on it."""
    for trace in chart.traces:
        figure.add_trace(resolved(trace, columns, LIGHT), row=row, col=column)
    layout = resolved(chart.layout, columns, LIGHT)
    axes = {name: {key: value for key, value in layout[name].items() if key != "fixedrange"} for name in _AXES}
    if "scaleanchor" in axes["yaxis"]:
        axes["yaxis"] |= {"scaleanchor": figure.get_subplot(row, column).yaxis.anchor, "constrain": "domain"}
        axes["xaxis"]["constrain"] = "domain"
    figure.update_xaxes(axes["xaxis"], row=row, col=column)
    figure.update_yaxes(axes["yaxis"], row=row, col=column)
    for shape in layout.get("shapes", ()):
        figure.add_shape(shape, row=row, col=column)
    for note in layout.get("annotations", ()):
        figure.add_annotation(note, row=row, col=column)


_AXES = ("xaxis", "yaxis")


def html_card(table: pa.Table, provenance: Provenance) -> str:
    """Return a small table for notebooks: a line with means and a curve for each track. All words are escaped."""
    grid = make_grid(table, SPARK_CELLS)
    tracks, left_out = split_tracks(table, grid, SHOWN_TRACKS)
    units = action_units_in(table)
    lines = [_line(track, card_of(track, units)) for track in tracks]
    names = ("", "observed", "expression", "valence", "arousal", "most active units", "valence and arousal")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>" if lines else ""
    more = f"<br>{left_out} more with fewer rows" if left_out else ""
    faces = "no face found" if not tracks else f"{len(table):,} rows"
    return (
        f"<div><p><b>{escape(provenance.input)}</b> &nbsp; {faces}, {len(grid.frames):,} frames</p>{body}"
        f"<p><small>{escape(caption_of(provenance))}{more}</small></p></div>"
    )


def _line(track: Track, card: Card) -> str:
    dominant = "" if card.dominant is None else f"{_dot(card.dominant[0])} {card.dominant[0]} {card.dominant[1]:.0%}"
    means = ["" if value is None else f"{value:+.2f}" for value in (card.valence, card.arousal)]
    units = ", ".join(f"{unit.value} {mean:.2f}" for unit, mean in card.units)
    cells = [f"<b>{track.name}</b>", f"{card.observed:.0%}", dominant, *means, units, sparkline(track)]
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _dot(word: str) -> str:
    circle = f'<circle cx="5" cy="5" r="4.5" fill="{to_hex(expression_rgb(word))}" stroke="#888" stroke-width="0.5"/>'
    return f'<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">{circle}</svg>'


def sparkline(track: Track) -> str:
    """Return valence and arousal of a track over time as a small SVG; where it has no value the curve has a gap."""
    edges = track.grid.edges
    x = (edges[:-1] + edges[1:]) / 2
    x = (x - edges[0]) / (edges[-1] - edges[0]) * SPARK_WIDTH
    middle = SPARK_HEIGHT / 2
    # On paper of its own: the curves' colours are made for a light ground, and notebooks may be dark.
    parts = [f'<rect width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" rx="3" fill="{LIGHT.panel}"/>']
    parts.append(f'<line x1="0" x2="{SPARK_WIDTH}" y1="{middle}" y2="{middle}" stroke="#999" stroke-width="0.5"/>')
    for column, rgb in (("arousal", AROUSAL_RGB), ("valence", VALENCE_RGB)):
        y = middle - track.summary(column).mean * (middle - 2)
        parts += [_curve(x[a:b], y[a:b], to_hex(rgb)) for a, b in runs(np.isfinite(y))]
    return _SVG.format(w=SPARK_WIDTH, h=SPARK_HEIGHT, label="valence and arousal", body="".join(parts))


def _curve(x: Floats, y: Floats, colour: str) -> str:
    if len(x) == 1:
        return f'<circle cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="1.5" fill="{colour}"/>'
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
