"""The picture of `speed.py`: frames a second of every program, one field for each video."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affectline.report.colours import VALENCE_RGB, lighten, to_unit
from speed_inputs import VIDEOS
from speed_programs import PROGRAMS, Kind
from speed_results import Results

OURS, PEERS, INK, QUIET = to_unit(VALENCE_RGB), "#b9bec4", "#22262a", "#6b7278"
BAR, ROW_IN, FIELD_IN, NAMES_IN = 0.66, 0.30, 3.2, 2.9


def draw(results: Results, path: Path) -> None:
    """Write the picture; nothing where no program was measured."""
    videos = [name for name in VIDEOS if any("frames_per_s" in results.median(program, name) for program in PROGRAMS)]
    if not videos:
        return
    measured = [name for name in PROGRAMS if any(results.median(name, video) for video in videos)]
    programs = sorted(
        (name for name in measured if PROGRAMS[name].kind is not Kind.BOUND),
        key=lambda name: results.median(name, videos[0]).get("frames_per_s", 0.0),
    )
    size = (NAMES_IN + FIELD_IN * len(videos), 1.15 + ROW_IN * len(programs))
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 9.5, "text.color": INK}):
        figure = Figure(size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        fields = figure.subplots(1, len(videos), sharey=True, squeeze=False)[0]
        for field, video in zip(fields, videos, strict=True):
            _draw_field(field, [results.median(name, video).get("frames_per_s", 0.0) for name in programs], programs)
            field.set_title(VIDEOS[video].title, loc="left", fontsize=10, color=INK)
        fields[0].set_yticks(range(len(programs)), [PROGRAMS[name].title for name in programs])
        for label, name in zip(fields[0].get_yticklabels(), programs, strict=True):
            is_ours = PROGRAMS[name].kind is Kind.OURS
            label.set(color=OURS if is_ours else QUIET, fontweight="bold" if is_ours else "normal")
        figure.suptitle("Frames a second, whole analysis", x=0.008, ha="left", fontsize=12.5, fontweight="bold")
        figure.savefig(path, dpi=160)


def _draw_field(field: Axes, rates: list[float], programs: list[str]) -> None:
    colours = [OURS if PROGRAMS[name].kind is Kind.OURS else PEERS for name in programs]
    field.barh(range(len(rates)), rates, height=BAR, color=colours)
    for place, rate in enumerate(rates):
        words = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        if rate:
            field.annotate(words, (rate, place), (4, 0), textcoords="offset points", va="center", color=INK)
    field.set_xlim(0, 1.16 * max(rates))
    field.xaxis.set_visible(False)
    field.tick_params(axis="y", length=0)
    for side in ("top", "right", "bottom"):
        field.spines[side].set_visible(False)
    field.spines["left"].set_color(to_unit(lighten((107, 114, 120), 0.6)))
