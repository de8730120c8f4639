"""The interactive charts of one track, written once for the page and for `Timeline.iplot`.

A chart is what Plotly takes, traces and a layout, with three kinds of words in it that stand for something else:
`$name` for a column of `columns_of`, `=name` for one with each value twice, which goes with the places of `$steps`, and
`@name` for a tone of a `Theme`. `resolved` puts them in; the page does so itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from affectline.labels import ActionUnit, Expression
from affectline.report.colours import EXPRESSION_RGB
from affectline.report.series import Grid, Track, runs
from affectline.report.themes import Theme, to_hex

Spec = dict[str, Any]
"""A part of a figure in Plotly's own words, which are of every type that JSON has."""

MILLISECONDS = 1000
ORIGIN_MS = 946_684_800_000
"""Times are dates from the beginning of 2000 on, so that axes have minutes and seconds. From 1970 on they would be
small numbers, and Plotly takes a number of two or four digits for a year."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_MARKED_CELLS = 60
_AFFECT_RANGE = (-1.05, 1.05)
_CLOCK = ({"dtickrange": [None, 999], "value": "%-M:%S.%L"}, {"dtickrange": [999, None], "value": "%-M:%S"})
_CLOCK_WITH_HOURS = (
    {"dtickrange": [None, 999], "value": "%-H:%M:%S.%L"},
    {"dtickrange": [999, None], "value": "%-H:%M:%S"},
)
_HOUR_S = 3600


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: `affect`, `expressions`, `units` or `plane`.
        traces: for Plotly, in the order in which they are drawn.
        layout: for Plotly.
    """

    name: str
    traces: tuple[Spec, ...]
    layout: Spec = field(default_factory=dict)


def charts_of(track: Track, expressions: Sequence[Expression], units: Sequence[ActionUnit]) -> tuple[Chart, ...]:
    """Return the charts of a track: those over time from top to bottom, then the valence-arousal plane."""
    charts = [_affect(track)]
    if expressions:
        charts.append(_expressions(track, expressions))
    if units:
        charts.append(_units(track, units))
    return (*charts, _plane(track.grid))


def resolved(value: Any, columns: Mapping[str, Any], theme: Theme) -> Any:  # noqa: ANN401 - any part of a figure
    """Return a part of a figure with its columns and tones in place.

    Raises:
        KeyError, AttributeError: there is no such column or tone.
    """
    if isinstance(value, str) and value.startswith(("$", "=")):
        return columns[value[1:]] if value.startswith("$") else np.repeat(columns[value[1:]], 2)
    if isinstance(value, str) and value.startswith("@"):
        return getattr(theme, value[1:])
    if isinstance(value, Mapping):
        return {key: resolved(part, columns, theme) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(part, columns, theme) for part in value]
    return value


def _affect(track: Track) -> Chart:
    traces: list[Spec] = []
    grid = track.grid
    x, sign = ("$x", "$") if grid.is_even else ("$steps", "=")
    is_marked = grid.is_even and len(grid) <= _MARKED_CELLS
    mode = "markers" if not grid.has_time else "lines+markers" if is_marked else "lines"
    for column, width in (("arousal", 1.6), ("valence", 2.2)):
        tone = f"@{column}"
        if grid.is_binned:
            traces += _envelope(x, sign + column, tone)
        curve: Spec = {"type": "scatter", "mode": mode, "x": x, "y": sign + column, "name": column}
        curve |= {"line": {"color": tone, "width": width}, "marker": {"color": tone, "size": 6}}
        traces.append(curve | {"connectgaps": False, "hovertemplate": "%{y:+.2f}"})
    traces += _shading(track, _AFFECT_RANGE)
    y_axis = {"range": list(_AFFECT_RANGE), "tickvals": [-1, -0.5, 0, 0.5, 1], "zeroline": True}
    y_axis["ticktext"] = ["\N{MINUS SIGN}1", "\N{MINUS SIGN}0.5", "0", "0.5", "1"]
    return Chart("affect", tuple(traces), _layout(grid, y_axis))


def _envelope(x: str, column: str, tone: str) -> list[Spec]:
    """Return the band between the smallest and the largest value of each cell; `x` and `column` are words."""
    edge = {"type": "scatter", "mode": "lines", "x": x, "hoverinfo": "skip", "line": {"width": 0, "color": tone}}
    low = edge | {"y": f"{column}_low"}
    return [low, edge | {"y": f"{column}_high", "fill": "tonexty", "fillcolor": f"{tone}_band"}]


def _expressions(track: Track, expressions: Sequence[Expression]) -> Chart:
    grid = track.grid
    traces = []
    for label in expressions:
        colour = to_hex(EXPRESSION_RGB[label])
        shown: Spec = {"name": label.value, "hovertemplate": "%{y:.0%}"}
        if grid.has_time:
            # Not `hv` over the edges: the pointer finds the nearest place, which would be in the next cell.
            shown |= {"x": "$steps", "y": f"={label.column}", "line": {"width": 0.5, "color": colour}}
            traces.append({"type": "scatter", "mode": "lines", "stackgroup": "p", "fillcolor": colour} | shown)
        else:
            shown |= {"x": "$x", "y": f"${label.column}", "marker": {"color": colour, "line": {"width": 0}}}
            traces.append({"type": "bar", "width": "$widths"} | shown)
    traces += _shading(track, (0.0, 1.0))
    y_axis: Spec = {"range": [0, 1], "tickvals": [0, 0.5, 1], "ticktext": ["0", "0.5", "1"]}
    y_axis["ticklabeloverflow"] = "allow"  # the 1 stands at the very top
    return Chart("expressions", tuple(traces), _layout(grid, y_axis) | {"barmode": "stack"})


def _units(track: Track, units: Sequence[ActionUnit]) -> Chart:
    """Return the heat map: a trace for each unit, which so has a name of its own under the pointer."""
    shared = {"type": "heatmap", "x": "$edges", "zmin": 0, "zmax": 1, "ygap": 1, "colorscale": "@activation"}
    shared |= {"showscale": False, "hoverongaps": False}
    rows = [
        {"y": [row - 0.5, row + 0.5], "z": [f"${unit.column}"], "hovertemplate": _unit_hover(unit)}
        for row, unit in enumerate(units)
    ]
    y_axis = {"range": [len(units) - 0.5, -0.5], "showgrid": False}
    y_axis |= {"tickvals": list(range(len(units))), "ticktext": [unit.value for unit in units]}
    layout = _layout(track.grid, y_axis) | {"hovermode": "closest"}
    shading = _shading(track, (-0.5, len(units) - 0.5))
    return Chart("units", (*(shared | row for row in rows), *shading), layout)


def _unit_hover(unit: ActionUnit) -> str:
    return f"{unit.value} {unit.meaning}: %{{z:.2f}}<extra></extra>"


def _plane(grid: Grid) -> Chart:
    marker = {"size": 5, "color": "$x", "colorscale": "@path", "line": {"width": 0}}
    path: Spec = {"type": "scatter", "mode": "lines+markers" if grid.has_time else "markers", "x": "$valence"}
    path |= {"y": "$arousal", "line": {"color": "@grid", "width": 1}, "marker": marker, "connectgaps": False}
    path |= {"hovertemplate": "valence %{x:+.2f}<br>arousal %{y:+.2f}<extra></extra>"}
    circle = {"type": "circle", "x0": -1, "x1": 1, "y0": -1, "y1": 1, "layer": "below"}
    axis = {"range": list(_AFFECT_RANGE), "tickvals": [-1, 0, 1], "zeroline": True, "zerolinecolor": "@line"}
    axis |= {"fixedrange": True, "gridcolor": "@grid", "ticktext": ["\N{MINUS SIGN}1", "0", "1"], "showgrid": False}
    words = [("valence", 1.0, 0.02, "right", "bottom", 0), ("arousal", -0.02, 1.0, "right", "top", -90)]
    layout = _base() | {
        "hovermode": "closest",
        "margin": {"l": 26, "r": 8, "t": 8, "b": 22, "autoexpand": False},
        "xaxis": dict(axis),
        "yaxis": axis | {"scaleanchor": "x"},
        "shapes": [circle | {"line": {"color": "@line", "width": 1}}],
        "annotations": [
            {"text": word, "x": x, "y": y, "xanchor": left, "yanchor": low, "textangle": angle, "showarrow": False}
            for word, x, y, left, low, angle in words
        ],
    }
    return Chart("plane", (path,), layout)


def _shading(track: Track, y_range: tuple[float, float]) -> list[Spec]:
    """Return what veils the stretches without an observed face and greys those of low quality."""
    hatched = {"fillpattern": {"shape": "/", "size": 7, "solidity": 0.22, "fgcolor": "@hatch", "bgcolor": "@veil"}}
    gaps = _boxes(track.grid, runs(track.is_gap()), y_range) | hatched | {"name": "no observed face"}
    poor = _boxes(track.grid, runs(track.is_low_quality()), y_range) | {"fillcolor": "@shade", "name": "low quality"}
    return [trace for trace in (gaps, poor) if trace["x"]]


def _boxes(grid: Grid, spans: list[tuple[int, int]], y_range: tuple[float, float]) -> Spec:
    low, high = y_range
    xs: list[float | None] = []
    ys: list[float | None] = []
    for first, last in spans:
        left, right = axis_value(grid, float(grid.edges[first])), axis_value(grid, float(grid.edges[last]))
        xs += [left, right, right, left, None]
        ys += [low, low, high, high, None]
    box = {"type": "scatter", "mode": "lines", "fill": "toself", "x": xs, "y": ys, "line": {"width": 0}}
    return box | {"hoverinfo": "skip", "showlegend": False}


def axis_value(grid: Grid, x: float) -> float:
    """Return a place on the grid as charts have it: a date in milliseconds, or the index for independent images."""
    return ORIGIN_MS + x * MILLISECONDS if grid.has_time else x


def _layout(grid: Grid, y_axis: Spec) -> Spec:
    x_axis: Spec = {"range": [axis_value(grid, float(edge)) for edge in grid.edges[[0, -1]]], "fixedrange": True}
    x_axis |= {"gridcolor": "@grid", "zeroline": False, "ticks": "outside", "ticklen": 4, "tickcolor": "@line"}
    if grid.has_time:
        stops = _CLOCK_WITH_HOURS if grid.edges[-1] >= _HOUR_S else _CLOCK
        hover = "%-H:%M:%S.%L" if grid.edges[-1] >= _HOUR_S else "%-M:%S.%L"
        x_axis |= {"type": "date", "tickformatstops": list(stops), "hoverformat": hover, "nticks": 9}
    else:
        x_axis |= {"tickformat": "d", "nticks": min(10, len(grid) + 1), "hoverformat": "d"}
    return _base() | {
        "hovermode": "x unified",
        "margin": {"l": 44, "r": 10, "t": 6, "b": 26, "autoexpand": False},
        "xaxis": x_axis,
        "yaxis": {"fixedrange": True, "gridcolor": "@grid", "zerolinecolor": "@line", "zeroline": False} | y_axis,
    }


def _base() -> Spec:
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": "@muted"},
        "hoverlabel": {"bgcolor": "@panel", "bordercolor": "@line", "font": {"color": "@ink", "size": 12}},
        "showlegend": False,
        "dragmode": False,
        "bargap": 0.06,
    }
