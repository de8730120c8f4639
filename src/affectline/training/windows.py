"""Labelled sequences cut into windows on a regular grid in time: what temporal networks learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.evaluation.sequence_scores import USUAL_INTERVAL_S
from affectline.features import FeatureTable
from affectline.heads.temporal_spec import TemporalSpec
from affectline.heads.time_grid import PlacedRows, distinct, links, pieces, places
from affectline.pipeline import in_background
from affectline.records import FloatArray

_READ_AHEAD: Final = 4


Beside = Callable[[FeatureTable, NDArray[np.intp]], FloatArray]
"""Gives numbers (n, D), float32, for n rows of a table."""


class WindowBatch(NamedTuple):
    """Windows and the labelled frames in them.

    Attributes:
        inputs: shape (B, W, D), float32, 0 where masked.
        mask: shape (B, W), float32, 1 where there is a face.
        window: shape (n,), the window of each labelled frame.
        before, after: shape (n,), the steps between which it lies; the same one where the head must not look ahead.
        share: shape (n,), float32, how far it is from `before` to `after`.
        target: shape (n, ...), its label.
    """

    inputs: FloatArray
    mask: FloatArray
    window: NDArray[np.intp]
    before: NDArray[np.intp]
    after: NDArray[np.intp]
    share: FloatArray
    target: NDArray[np.generic]


OF_LABELS: Final = ("window", "before", "after", "share", "target")
"""The fields of a batch with a row for each labelled frame."""


class Windows:
    """The labelled faces of a split as windows of a temporal head.

    Args:
        data: of one backbone.
        encoded: of each sequence: the encodings of its rows, shape (r, d), float32.
        spec: of the head.
        beside: gives more numbers for rows of a table, which are read as they are needed and follow the encodings.
    """

    def __init__(
        self, data: LabelledTables, encoded: Sequence[FloatArray], spec: TemporalSpec, beside: Beside | None = None
    ) -> None:
        self._spec = spec
        self._beside = beside
        pairs = zip(data.sequences, encoded, strict=True)
        self._runs = [run for one, values in pairs for run in _runs_of(one, values, spec)]

    def batches(self, frames: int, seed: int) -> Iterator[WindowBatch]:
        """Give windows that cover every run of frames, from a random start on, in random order.

        Args:
            frames: of a batch, at most; at least one window.
            seed: of the starts and of the order.
        """
        rng = np.random.default_rng(seed)
        window = self._spec.window
        every = [(run, start) for run in self._runs for start in _starts(run.n_steps, window, rng)]
        order = rng.permutation(len(every))
        size = max(1, frames // window)
        chosen = ([every[number] for number in order[at : at + size]] for at in range(0, len(order), size))
        with in_background((self._batch(one) for one in chosen), _READ_AHEAD) as batches:
            yield from batches

    def _batch(self, chosen: Sequence[tuple[_Run, int]]) -> WindowBatch:
        found = [run.window(start, self._spec, self._beside) for run, start in chosen]
        numbers = np.repeat(np.arange(len(found)), [len(one.target) for one in found])
        return WindowBatch(
            np.stack([one.inputs for one in found]),
            np.stack([one.mask for one in found]),
            numbers,
            *(np.concatenate([getattr(one, name) for one in found]) for name in OF_LABELS[1:]),
        )


def usual_interval_s(data: LabelledTables) -> float:
    """Return the median over the sequences of their median time from row to row, seconds; 1/30 where none tells."""
    found = []
    for one in data.sequences:
        table = next(iter(one.tables.values()))
        steps = np.diff(table.time_s[one.rows])
        if (steps > 0).any():
            found.append(float(np.median(steps[steps > 0])))
    return float(np.median(found)) if found else USUAL_INTERVAL_S


def _starts(n_steps: int, window: int, rng: np.random.Generator) -> list[int]:
    """Return where windows begin that cover all steps, from a random start on; none reaches beyond the last step."""
    if n_steps <= window:
        return [0]
    first = int(rng.integers(window)) - window
    return sorted({min(max(start, 0), n_steps - window) for start in range(first + 1, n_steps, window)})


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A run of rows of one face, with their places on the grid.

    Attributes:
        table: the features.
        rows: shape (m,), row numbers.
        values: shape (m, d), float32, the encodings of the rows.
        place, is_linked: shape (m,), of `time_grid.PlacedRows`.
        label_place: shape (n,), increasing: where the labelled rows lie.
        target: shape (n, ...), their labels.
    """

    table: FeatureTable
    rows: NDArray[np.intp]
    values: FloatArray
    place: NDArray[np.float64]
    is_linked: NDArray[np.bool_]
    label_place: NDArray[np.float64]
    target: NDArray[np.generic]

    @property
    def n_steps(self) -> int:
        return int(self.place[-1]) + 1

    def window(self, start: int, spec: TemporalSpec, beside: Beside | None) -> WindowBatch:
        """Return one window that begins at a step, as a batch without the first axis of inputs and mask."""
        stop = start + spec.window
        first = max(0, int(np.searchsorted(self.place, start, side="right")) - 1)
        last = int(np.searchsorted(self.place, stop)) + 1
        near = slice(first, max(last, first + 1))
        values = self.values[near]
        if beside is not None:
            values = np.concatenate([values, beside(self.table, self.rows[near])], axis=1)
        inputs, mask = PlacedRows(self.place[near], self.is_linked[near], values).on_grid(start, stop)
        here = slice(*np.searchsorted(self.label_place, (start, stop)))
        place = self.label_place[here] - start
        before = place.astype(np.intp)
        after = np.minimum(before + (0 if spec.is_causal else 1), spec.window - 1)
        after = np.where(mask[after], after, before)
        share = np.where(after > before, place - before, 0.0).astype(np.float32)
        return WindowBatch(
            inputs, mask.astype(np.float32), np.zeros(len(before), np.intp), before, after, share, self.target[here]
        )


def _runs_of(one: LabelledSequence, values: FloatArray, spec: TemporalSpec) -> Iterator[_Run]:
    """Give the runs of a sequence that have labels, as a temporal head splits them: by track, and at long gaps."""
    label = np.full(len(one.rows), -1)
    label[one.labelled_positions] = np.flatnonzero(one.has_face)
    table = next(iter(one.tables.values()))
    track_id = table.track_id[one.rows]
    for track in np.unique(track_id):
        numbers = np.flatnonzero(track_id == track)
        times_s = table.time_s[one.rows[numbers]]
        for piece in pieces(times_s, spec.window_s):
            inside = numbers[piece]
            place = places(times_s[piece], float(times_s[piece][0]), spec.interval_s)
            is_new = distinct(place)
            is_labelled = label[inside] >= 0
            if is_labelled.any():
                yield _Run(
                    table,
                    one.rows[inside[is_new]],
                    values[inside[is_new]],
                    place[is_new],
                    links(place[is_new]),
                    place[is_labelled],
                    one.target[label[inside[is_labelled]]],
                )
