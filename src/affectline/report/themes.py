"""The tones of the page and of its charts in light and in dark; expressions keep their colours in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from matplotlib import colormaps

from affectline.report.colours import AROUSAL_RGB, RGB, VALENCE_RGB, darken

ColourScale = tuple[tuple[float, str], ...]
"""Places in [0, 1] with their colours, as Plotly wants them."""

_STEPS = 11


def to_hex(rgb: RGB) -> str:
    """Return a colour as CSS writes it, such as `#0b3c5d`."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _scale(name: str, first: float, last: float) -> ColourScale:
    """Return a part of one of matplotlib's colour maps, all of which used here suit colour-blind readers."""
    colours = colormaps[name](np.linspace(first, last, _STEPS))[:, :3]
    rounded = (to_hex(tuple(round(255 * part) for part in colour)) for colour in colours.tolist())
    return tuple((place / (_STEPS - 1), colour) for place, colour in enumerate(rounded))


def _between(*colours: str) -> ColourScale:
    """Return a scale that goes evenly from colour to colour."""
    return tuple((place / (len(colours) - 1), colour) for place, colour in enumerate(colours))


@dataclass(frozen=True, slots=True)
class Theme:
    """Tones by what they are for; `ground` is behind everything, `panel` behind a chart.

    Text in `ink` and `muted` has a contrast of at least 4.5 on `ground` and `panel`, lines of at least 3 (WCAG 2.2 AA).

    Attributes:
        ground: the page.
        panel: cards and charts.
        ink: text.
        muted: text of less weight, and axes.
        line: edges of panels.
        grid: lines of charts.
        accent: links, buttons, what is selected.
        on_accent: text on `accent`.
        valence: its curve.
        valence_band: between its lowest and its highest value.
        arousal: its curve.
        arousal_band: likewise.
        veil: over what was not observed.
        hatch: the strokes on that veil.
        shade: over what is of low quality.
        activation: action units, from 0 to 1.
        path: the path through the plane, from first to last.
    """

    ground: str
    panel: str
    ink: str
    muted: str
    line: str
    grid: str
    accent: str
    on_accent: str
    valence: str
    valence_band: str
    arousal: str
    arousal_band: str
    veil: str
    hatch: str
    shade: str
    activation: ColourScale
    path: ColourScale

    def tones(self) -> dict[str, str | ColourScale]:
        """Return the tones by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


LIGHT = Theme(
    ground="#f6f5f1",
    panel="#ffffff",
    ink="#1c2430",
    muted="#586273",
    line="#dedbd2",
    grid="#eceae4",
    accent="#1f5f8b",
    on_accent="#ffffff",
    valence=to_hex(VALENCE_RGB),
    valence_band="rgba(11, 60, 93, 0.22)",
    arousal=to_hex(darken(AROUSAL_RGB, 0.08)),
    arousal_band="rgba(224, 122, 31, 0.22)",
    veil="rgba(255, 255, 255, 0.66)",
    hatch="rgba(88, 98, 115, 0.55)",
    shade="rgba(110, 110, 110, 0.30)",
    activation=_scale("GnBu", 0.0, 1.0),
    path=_scale("viridis", 0.0, 0.86),
)

DARK = Theme(
    ground="#12161c",
    panel="#1a2029",
    ink="#e9edf2",
    muted="#a3aebd",
    line="#2d3643",
    grid="#262e39",
    accent="#86c5f4",
    on_accent="#0d1620",
    valence="#9cc9f5",
    valence_band="rgba(156, 201, 245, 0.25)",
    arousal="#f5a65b",
    arousal_band="rgba(245, 166, 91, 0.25)",
    veil="rgba(26, 32, 41, 0.70)",
    hatch="rgba(163, 174, 189, 0.55)",
    shade="rgba(190, 190, 190, 0.30)",
    activation=_between("#1d2530", "#1b5a78", "#1f9a8a", "#9fd45f", "#fdf3a7"),
    path=_scale("viridis", 0.22, 1.0),
)

THEMES: Mapping[str, Theme] = {"light": LIGHT, "dark": DARK}
