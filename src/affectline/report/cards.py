"""What a track comes down to: the few numbers that stand above its charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.labels import UNCERTAIN, ActionUnit, Expression, Status
from affectline.postprocess.rows import floats
from affectline.report.series import Track

MOST_ACTIVE = 3


@dataclass(frozen=True, slots=True)
class Card:
    """A track in short. Means are over all its rows, interpolated ones too, as in summary.json.

    Attributes:
        shares: the words of the expression column with their share of the rows that have one, the largest first.
        valence: mean, in [-1, 1]; None where there is no value.
        arousal: likewise.
        units: the most active units with their mean activation, in [0, 1], the largest first.
        statuses: how many of the result's frames have a row of each status; `no_face` where the track has none.
        frames: of the result, with this face or without.
    """

    shares: tuple[tuple[str, float], ...]
    valence: float | None
    arousal: float | None
    units: tuple[tuple[ActionUnit, float], ...]
    statuses: dict[Status, int]
    frames: int

    @property
    def dominant(self) -> tuple[str, float] | None:
        """The most frequent expression and its share; `uncertain` only where nothing else occurs."""
        decided = [pair for pair in self.shares if pair[0] != UNCERTAIN]
        return next(iter(decided or self.shares), None)

    @property
    def observed(self) -> float:
        """What share of the frames shows this face well enough, in [0, 1]."""
        return self.statuses[Status.OBSERVED] / self.frames


def card_of(track: Track, units: Sequence[ActionUnit]) -> Card:
    """Return the card of a track."""
    rows = track.rows
    words = Counter(word for word in rows["expression"].to_pylist() if word is not None)
    known = [word for word in [*(label.value for label in Expression), UNCERTAIN] if words[word]]
    shares = sorted(((word, words[word] / words.total()) for word in known), key=lambda pair: -pair[1])
    means = [(unit, mean) for unit in units if (mean := mean_of(rows, unit.column)) is not None]
    counts = Counter(pc.cast(rows["status"], pa.string()).to_pylist())
    frames = len(track.grid.frames)
    statuses = {status: counts[status.value] for status in (Status.OBSERVED, Status.LOW_QUALITY, Status.INTERPOLATED)}
    statuses[Status.NO_FACE] = frames - sum(statuses.values())
    return Card(
        shares=tuple(shares),
        valence=mean_of(rows, "valence"),
        arousal=mean_of(rows, "arousal"),
        units=tuple(sorted(means, key=lambda pair: -pair[1])[:MOST_ACTIVE]),
        statuses=statuses,
        frames=frames,
    )


def mean_of(rows: pa.Table, column: str) -> float | None:
    """Return the mean of a column over all rows that have a value; None where none has."""
    values = floats(rows, column)
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
