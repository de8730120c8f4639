"""One picture of a timeline: valence and arousal, expressions and action units over time, a block for each track."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from affectline.atomic_file import complete_path
from affectline.labels import UNCERTAIN, ActionUnit, Expression
from affectline.report.colours import (
    AROUSAL_RGB,
    EXPRESSION_RGB,
    RGB,
    UNCERTAIN_RGB,
    VALENCE_RGB,
    text_rgb,
    to_unit,
    track_rgb,
)
from affectline.report.series import (
    NO_LABEL,
    Grid,
    Track,
    action_units_in,
    expressions_in,
    make_grid,
    runs,
    split_tracks,
)
from affectline.report.sprites import font_path

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

MAX_TRACKS = 4

_WIDTH, _DPI, _SCREEN_DPI = 8.0, 200, 110
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.72, 1.22, 0.52, 0.48
_PANEL_GAP, _BLOCK_GAP, _BLOCK_HEAD = 0.1, 0.3, 0.24
_VA_HEIGHT, _EXPRESSION_HEIGHT, _AU_HEIGHT = 1.3, 1.5, 1.75
_SMALL, _TINY, _LARGE = 8.0, 7.0, 11.0
_CAPTION_RGB: RGB = (85, 85, 85)
_INK, _FAINT = "#222222", "#8a8a8a"
_STRIP = (1.04, 1.2)
"""Where the strip of winning labels lies, above the stacked areas that end at 1."""
_MARKED_CELLS = 60
"""Up to this many cells the lines carry markers, so that single values can be seen."""
_HOUR_S, _SHORT_VIDEO_S, _MOST_TICKS = 3600, 8, 11
_CLOCK_FROM = 120.0
"""Seconds; longer videos have mm:ss under the axis."""
_ROUND_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def plot_timeline(table: pa.Table, path: Path, title: str, caption: str) -> None:
    """Draw a timeline's table as a PNG, 1600 pixels wide.

    Args:
        table: the columns of the result table; rows in any order, of any number.
        path: the PNG to write or replace.
        title: what stands above, as a rule the input's name.
        caption: what stands below, as a rule where the numbers come from.

    Raises:
        OutputError: the picture cannot be written.
    """
    figure = draw_timeline(table, title, caption)
    with complete_path(Path(path)) as unfinished:
        figure.savefig(unfinished, format="png")


def draw_timeline(table: pa.Table, title: str, caption: str) -> Figure:
    """Return the figure that `plot_timeline` writes; arguments as there."""
    grid = make_grid(table)
    tracks, left_out = split_tracks(table, grid, MAX_TRACKS)
    expressions, units = expressions_in(table), action_units_in(table)
    heights = [_VA_HEIGHT, *[_EXPRESSION_HEIGHT] * bool(expressions), *[_AU_HEIGHT] * bool(units)]
    if left_out:
        word = ("track" if grid.has_time else "face") + ("" if left_out == 1 else "s")
        caption = f"{caption.rstrip('.')}. {left_out} more {word} with fewer rows not shown."
    lines = textwrap.wrap(_printable(caption), 140)

    canvas = _Canvas(heights, max(1, len(tracks)), len(lines))
    canvas.write_title(_printable(title))
    for number, track in enumerate(tracks):
        _draw_track(canvas.block(number, track.name, track_rgb(track.track_id)), track, expressions, units)
    if not tracks:
        _draw_no_face(canvas.block(0, "", (0, 0, 0)), grid)
    canvas.finish(grid, lines)
    return canvas.figure


class TimelineFigure(Figure):
    """A figure that notebooks show by itself, whether they use pyplot or not."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_SCREEN_DPI)
        return buffer.getvalue()


class _Canvas:
    """The page: it knows where in inches everything goes."""

    def __init__(self, heights: list[float], blocks: int, caption_lines: int) -> None:
        self._heights = heights
        self._block = _BLOCK_HEAD + sum(heights) + _PANEL_GAP * (len(heights) - 1)
        self._below = _BOTTOM + 0.17 * caption_lines
        self._height = _TOP + blocks * self._block + (blocks - 1) * _BLOCK_GAP + self._below + 0.12
        self.figure = TimelineFigure(figsize=(_WIDTH, self._height), dpi=_DPI, facecolor="white")

    def write_title(self, title: str) -> None:
        self._write(0.3, textwrap.shorten(title, 84, placeholder="…"), _LARGE, weight="bold")

    def block(self, number: int, name: str, colour: RGB) -> list[Axes]:
        """Add the panels of one track, one above the other, and return their axes."""
        top = _TOP + number * (self._block + _BLOCK_GAP)
        self._write(top + 0.13, name, _SMALL + 1, colour, "bold")
        top += _BLOCK_HEAD
        panels: list[Axes] = []
        for height in self._heights:
            panels.append(self._axes(top, height))
            top += height + _PANEL_GAP
        return panels

    def finish(self, grid: Grid, caption: list[str]) -> None:
        """Write the time axis under the lowest panel, the key of the shading, and the caption."""
        panels = [axes for axes in self.figure.axes if axes.get_label() == "panel"]
        for axes in panels:
            axes.tick_params(axis="x", labelbottom=False)
            axes.set_xlim(grid.edges[0], grid.edges[-1])
            _set_time_axis(axes, grid)
        panels[-1].tick_params(axis="x", labelbottom=True)
        panels[-1].set_xlabel(_time_label(grid), fontsize=_SMALL, color=_INK)
        key = [
            Patch(facecolor="white", edgecolor="#b4b4b4", hatch="//////", linewidth=0.4, label="no observed face"),
            Patch(facecolor="#d9d9d9", edgecolor="#9a9a9a", linewidth=0.4, label="low quality"),
        ]
        anchor = ((_WIDTH - _RIGHT + 0.05) / _WIDTH, 1 - 0.3 / self._height)
        self.figure.legend(
            handles=key, loc="center right", bbox_to_anchor=anchor, fontsize=_TINY, frameon=False, ncols=2
        )
        for number, line in enumerate(caption):
            self._write(self._height - self._below + _BOTTOM + 0.17 * number, line, _TINY, _CAPTION_RGB)

    def _axes(self, top: float, height: float) -> Axes:
        left, width = _LEFT / _WIDTH, (_WIDTH - _LEFT - _RIGHT) / _WIDTH
        axes = self.figure.add_axes((left, 1 - (top + height) / self._height, width, height / self._height))
        axes.set_label("panel")
        axes.tick_params(labelsize=_TINY, colors=_INK, length=2.5, width=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in {"left", "bottom"})
            spine.set_linewidth(0.6)
        return axes

    def _write(self, y: float, text: str, size: float, colour: RGB = (0, 0, 0), weight: str = "normal") -> None:
        """Put text at the left, at a distance from the top in inches; its dollar signs are no formula."""
        font = {"size": size, "color": to_unit(colour), "weight": weight}
        self.figure.text(_LEFT / _WIDTH, 1 - y / self._height, text, font, va="center", parse_math=False)


def _draw_track(panels: list[Axes], track: Track, expressions: list[Expression], units: list[ActionUnit]) -> None:
    rest = iter(panels)
    _draw_valence_arousal(next(rest), track)
    if expressions:
        _draw_expressions(next(rest), track, expressions)
    if units:
        _draw_action_units(next(rest), track, units)
    for axes in panels:
        _shade(axes, track)


def _draw_valence_arousal(axes: Axes, track: Track) -> None:
    grid = track.grid
    edges, each = grid.edges, 1 if grid.is_even else 2
    # A held picture keeps its values: both edges of each cell in turn, not a ramp through its middle.
    x = (edges[:-1] + edges[1:]) / 2 if grid.is_even else np.repeat(edges, 2)[1:-1]
    marker = "o" if grid.is_even and len(grid) <= _MARKED_CELLS else ""
    line = "-" if grid.has_time else "none"
    for column, rgb, width in (("arousal", AROUSAL_RGB, 1.2), ("valence", VALENCE_RGB, 1.5)):
        summary, colour = track.summary(column), to_unit(rgb)
        mean, low, high = (np.repeat(values, each) for values in (summary.mean, summary.low, summary.high))
        if grid.is_binned:
            axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
        (curve,) = axes.plot(x, mean, color=colour, linewidth=width, linestyle=line, label=column)
        curve.set(marker=marker, markersize=3)
    _set_affect_axis(axes)
    handles, names = axes.get_legend_handles_labels()
    _legend(axes, handles[::-1], names[::-1])


def _set_affect_axis(axes: Axes) -> None:
    axes.axhline(0, color=_FAINT, linewidth=0.6, zorder=1)
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.set_ylabel("valence, arousal", fontsize=_SMALL, color=_INK)


def _draw_expressions(axes: Axes, track: Track, expressions: list[Expression]) -> None:
    base = np.zeros(len(track.grid) + 1)
    for label in expressions:
        top = base + np.nan_to_num(np.append(track.summary(label.column).mean, 0))
        axes.fill_between(track.grid.edges, base, top, step="post", color=to_unit(EXPRESSION_RGB[label]), linewidth=0)
        base = top
    _draw_winners(axes, track, expressions)
    axes.set_ylim(0, _STRIP[1])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylabel("expression", fontsize=_SMALL, color=_INK)
    handles = [Patch(color=to_unit(EXPRESSION_RGB[label]), linewidth=0) for label in expressions]
    names = [label.value for label in expressions]
    if UNCERTAIN in track.rows.column("expression").to_pylist():
        handles.append(Patch(facecolor=to_unit(UNCERTAIN_RGB), edgecolor="#9a9a9a", linewidth=0.4))
        names.append(UNCERTAIN)
    # The areas are stacked upwards, so the key is read upwards too.
    _legend(axes, handles[::-1], names[::-1])


def _draw_winners(axes: Axes, track: Track, expressions: list[Expression]) -> None:
    """Draw the strip of winning labels, with the words where there is room."""
    words = [label.value for label in expressions] + [UNCERTAIN]
    colours = [EXPRESSION_RGB[label] for label in expressions] + [UNCERTAIN_RGB]
    winner, edges = track.winning_label(words), track.grid.edges
    shown = np.ma.masked_equal(winner, NO_LABEL)[None, :]
    axes.pcolormesh(
        edges,
        np.array(_STRIP),
        shown,
        cmap=ListedColormap([to_unit(rgb) for rgb in colours]),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        rasterized=True,
    )
    inches_per_unit = (_WIDTH - _LEFT - _RIGHT) / (edges[-1] - edges[0])
    for number, word in enumerate(words):
        for first, last in runs(winner == number):
            left, right = edges[first], edges[last]
            if (right - left) * inches_per_unit > 0.075 * len(word):
                ink = to_unit(text_rgb(colours[number]))
                middle = ((left + right) / 2, sum(_STRIP) / 2 - 0.005)
                axes.annotate(word, middle, ha="center", va="center", fontsize=_TINY, color=ink, zorder=6)


def _draw_action_units(axes: Axes, track: Track, units: list[ActionUnit]) -> None:
    values = np.ma.masked_invalid([track.summary(unit.column).mean for unit in units])
    rows = np.arange(len(units) + 1)
    mesh = axes.pcolormesh(track.grid.edges, rows, values, cmap="viridis", vmin=0, vmax=1, rasterized=True)
    axes.hlines(rows[1:-1], track.grid.edges[0], track.grid.edges[-1], colors="white", linewidth=0.5)
    axes.set_ylim(len(units), 0)
    axes.set_yticks(rows[:-1] + 0.5, [unit.value for unit in units])
    axes.tick_params(axis="y", length=0, labelsize=_TINY - 0.5)
    bar = axes.inset_axes((1.03, 0.1, 0.018, 0.8))
    axes.figure.colorbar(mesh, cax=bar, ticks=[0, 0.5, 1])
    bar.set_yticklabels(["0", "0.5", "1"])
    bar.tick_params(labelsize=_TINY, length=2, width=0.5)
    bar.set_ylabel("activation", fontsize=_TINY, color=_INK)
    for spine in bar.spines.values():
        spine.set_visible(False)


def _shade(axes: Axes, track: Track) -> None:
    """Hatch what was not observed and grey what is of low quality, over whatever the panel shows."""
    edges = track.grid.edges
    for first, last in runs(track.is_gap()):
        axes.axvspan(edges[first], edges[last], facecolor="white", alpha=0.45, linewidth=0, zorder=4)
        _hatch(axes, edges[first], edges[last])
    for first, last in runs(track.is_low_quality()):
        axes.axvspan(edges[first], edges[last], facecolor="#a0a0a0", alpha=0.38, linewidth=0, zorder=4)


def _hatch(axes: Axes, left: float, right: float) -> None:
    axes.axvspan(left, right, facecolor="none", edgecolor="#b4b4b4", hatch="//////", linewidth=0, zorder=5)


def _draw_no_face(panels: list[Axes], grid: Grid) -> None:
    for axes in panels:
        _hatch(axes, grid.edges[0], grid.edges[-1])
        _set_affect_axis(axes)
    middle = (float(grid.edges[0] + grid.edges[-1]) / 2, 0.0)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 6}
    panels[0].annotate("no face found", middle, ha="center", va="center", fontsize=_LARGE, bbox=box, zorder=6)


def _legend(axes: Axes, handles: Sequence[Artist], names: Sequence[str]) -> None:
    axes.legend(
        handles,
        names,
        loc="center left",
        bbox_to_anchor=(1.015, 0.5),
        fontsize=_TINY,
        frameon=False,
        handlelength=1.1,
        handleheight=0.9,
        labelspacing=0.35,
        handletextpad=0.5,
        borderaxespad=0,
    )


def _set_time_axis(axes: Axes, grid: Grid) -> None:
    if not grid.has_time:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        return
    span = float(grid.edges[-1] - grid.edges[0])
    if span < _SHORT_VIDEO_S:
        axes.xaxis.set_major_locator(MaxNLocator(10))
        return
    step = next((seconds for seconds in _ROUND_SECONDS if span / seconds <= _MOST_TICKS), _ROUND_SECONDS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    if span > _CLOCK_FROM:
        with_hours = bool(grid.edges[-1] >= _HOUR_S)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds, with_hours)))


def _time_label(grid: Grid) -> str:
    if not grid.has_time:
        return "image"
    span = grid.edges[-1] - grid.edges[0]
    if span <= _CLOCK_FROM:
        return "time (s)"
    return "time (h:mm:ss)" if grid.edges[-1] >= _HOUR_S else "time (mm:ss)"


def _clock(seconds: float, with_hours: bool) -> str:
    """Return a time such as 02:05, or 0:02:05 with hours."""
    minutes, rest = divmod(round(seconds), 60)
    if not with_hours:
        return f"{minutes:02d}:{rest:02d}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _printable(text: str) -> str:
    """Return a text with boxes for the letters that the picture's font lacks (matplotlib would warn of each)."""
    font = get_font(str(font_path()))
    known = font.get_charmap()
    return "".join(letter if ord(letter) in known else "□" for letter in text)
