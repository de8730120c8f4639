"""What to draw on each frame of a video, looked up in a result table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.labels import ActionUnit, Status
from affectline.postprocess.rows import floats
from affectline.report.series import Ints, action_units_in, expressions_in
from affectline.schema import BOX_COLUMNS

STRONGEST = 3
"""How many action units are shown with each face."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One face as it is drawn.

    Attributes:
        box_xyxy: in pixels of the upright frame.
        track_id: None for an independent image.
        status: of its row.
        expression: the table's word; None where it has none.
        probability: of that expression, in [0, 1]; None where the word is no class of the table.
        valence: in [-1, 1]; NaN where the table has none.
        arousal: likewise.
        action_units: the strongest ones with their activation, in the order of FACS.
    """

    box_xyxy: tuple[float, float, float, float]
    track_id: int | None
    status: Status
    expression: str | None
    probability: float | None
    valence: float
    arousal: float
    action_units: tuple[tuple[ActionUnit, float], ...]


class MarkTable:
    """The faces of a result table by frame."""

    def __init__(self, table: pa.Table) -> None:
        table = table.sort_by("frame")
        frames = np.asarray(table.column("frame").to_numpy(), dtype=np.intp)
        # The rows of frames without a face end what was drawn before, so they stay in the list of frames.
        self._frames, self._starts = np.unique(frames, return_index=True)
        self._ends = np.append(self._starts[1:], len(frames))
        self._hold = _longest_hold(self._frames)
        self._boxes = np.stack([floats(table, name) for name in BOX_COLUMNS], axis=1)
        self._track_ids = floats(table, "track_id")
        self._affect = np.stack([floats(table, name) for name in ("valence", "arousal")], axis=1)
        self._status = pc.cast(table.column("status"), pa.string())
        self._words = pc.cast(table.column("expression"), pa.string())
        self._probabilities = {label.value: floats(table, label.column) for label in expressions_in(table)}
        self._units = action_units_in(table)
        activations = [floats(table, unit.column) for unit in self._units]
        self._activations = np.stack(activations, axis=1) if activations else np.empty((len(table), 0))

    def at(self, frame: int) -> list[Mark]:
        """Return the faces of a frame; for frames between sampled ones, those of the last sampled frame."""
        position = int(np.searchsorted(self._frames, frame, side="right")) - 1
        if position < 0 or frame - self._frames[position] >= self._hold:
            return []
        rows = range(self._starts[position], self._ends[position])
        return [self._mark(row) for row in rows if np.isfinite(self._boxes[row]).all()]

    def _mark(self, row: int) -> Mark:
        x1, y1, x2, y2 = self._boxes[row].tolist()
        word = self._words[row].as_py()
        probability = float(self._probabilities[word][row]) if word in self._probabilities else None
        track_id = self._track_ids[row]
        return Mark(
            box_xyxy=(x1, y1, x2, y2),
            track_id=int(track_id) if np.isfinite(track_id) else None,
            status=Status(self._status[row].as_py()),
            expression=word,
            probability=probability,
            valence=float(self._affect[row, 0]),
            arousal=float(self._affect[row, 1]),
            action_units=self._strongest(row),
        )

    def _strongest(self, row: int) -> tuple[tuple[ActionUnit, float], ...]:
        values = self._activations[row]
        if not np.isfinite(values).all():
            return ()
        # In the order of FACS, so that the bars do not change places whenever two values cross.
        strongest = np.sort(np.argsort(-values, kind="stable")[:STRONGEST])
        return tuple((self._units[place], float(values[place])) for place in strongest)


def _longest_hold(frames: Ints) -> int:
    """Return for how many frames a row is shown: one sampling interval, which `--fps` lets vary by a frame."""
    if len(frames) <= 1:
        return 1
    return int(np.quantile(np.diff(frames), 0.95, method="higher"))


def expression_word(mark: Mark) -> str:
    """Return what is written on a face, such as `Happiness 83 %`."""
    word = mark.expression or "face"
    if mark.status is Status.INTERPOLATED:
        return f"{word} (interpolated)"
    return word if mark.probability is None else f"{word} {round(100 * mark.probability)} %"
