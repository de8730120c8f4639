"""Ways to ask the networks less, played on a recording: which faces are asked about, and what the rest gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.block_rows import BLOCK_FRAMES
from affectline.labels import Task
from affectline.postprocess.finish import FinishSettings, finish
from affectline.records import FloatArray
from affectline.schema import expressions_in, score_columns
from recordings import Recording

RATES = (16, 8, 4, 2, 1)
"""Of how many frames one is asked about, while the adaptive rate doubles."""

PATCHES = 8
"""A crop's change is that of its most changed part, of so many by so many."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Asked:
    """What a way of asking less comes to.

    Attributes:
        asked: which of the recording's n faces the networks are asked about, shape (n,).
        raw: the raw rows that the analysis would have.
        stride_s: the longest time between two faces of a track that are asked about; None where no row is left out.
    """

    asked: Mask
    raw: pa.Table
    stride_s: float | None = None

    def finish(self, settings: FinishSettings) -> pa.Table:
        """Return the result table."""
        return finish(self.raw, FinishSettings(settings.thresholds, settings.smoothing, self.stride_s))


def stride(recording: Recording, step: int) -> Asked:
    """One frame in `step`, counted in each block; the video's last one too. The rest is interpolated."""
    frames = np.asarray(recording.faces["frame"])
    return _interpolated(recording, (recording.place % step == 0) | (frames == frames.max()), step)


def unchanged(recording: Recording, threshold: float) -> Asked:
    """Faces whose crop has changed by less than a threshold since the last one asked about have that one's scores.

    Each block begins anew.

    Args:
        recording: the full run.
        threshold: mean difference of grey levels in the part of the crop that has changed most.
    """
    faces, asked = recording.faces, np.ones(len(recording.block), np.bool_)
    copied = np.arange(len(asked))
    for rows in _runs(recording):
        last = rows[0]
        for row in rows[1:]:
            if change(recording.grey[row], recording.grey[last]) < threshold:
                asked[row], copied[row] = False, last
            else:
                last = row
    names = [name for task in Task for name in score_columns(task, expressions_in(faces.schema))]
    for name in names:
        faces = faces.set_column(faces.schema.get_field_index(name), name, faces[name].take(pa.array(copied)))
    blank = recording.raw.filter(pc.is_null(recording.raw["track_id"]))
    return Asked(asked, pa.concat_tables([faces, blank]))


def change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the mean difference in grey levels of the part of two crops that differs most."""
    side = len(one) // PATCHES
    difference = np.abs(one.astype(np.int16) - other)[: side * PATCHES, : side * PATCHES]
    return float(difference.reshape(PATCHES, side, PATCHES, side).mean(axis=(1, 3)).max())


def adaptive(recording: Recording, sure_from: Sequence[float]) -> Asked:
    """In each block a track is asked about with doubling rate until the mean of its probabilities is sure.

    That is the sequential decision of Savchenko (ICML 2023), with the block for the video.

    Args:
        recording: the full run.
        sure_from: the probability that is enough at each of `RATES`.
    """
    asked = np.zeros(len(recording.block), np.bool_)
    for rows, means in block_means(recording):
        level = next((n for n, mean in enumerate(means) if mean.max() >= sure_from[n]), len(RATES) - 1)
        asked[rows[recording.place[rows] % RATES[level] == 0]] = True
        asked[rows[0]] = True
    asked[np.asarray(recording.faces["frame"]) == np.max(recording.raw["frame"])] = True
    return _interpolated(recording, asked, RATES[0])


def block_means(recording: Recording) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
    """Give the rows of each track in each block, and their mean probabilities at each of `RATES`, shape (5, K)."""
    faces = recording.faces
    names = score_columns(Task.EXPR, expressions_in(faces.schema))
    probabilities = np.column_stack([np.asarray(faces[name]) for name in names])
    for rows in _runs(recording):
        at_rate = [rows[(recording.place[rows] % rate == 0)] for rate in RATES]
        yield rows, np.stack([probabilities[some if len(some) else rows[:1]].mean(axis=0) for some in at_rate])


def cascade(recording: Recording, sure_from: float) -> Asked:
    """The large network is asked about faces of which the small one is not sure; the full run asks it about all."""
    faces, large = recording.faces, _large(recording)
    names = score_columns(Task.EXPR, expressions_in(faces.schema))
    asked = np.max([np.asarray(faces[name]) for name in names], axis=0) < sure_from
    both = pa.concat_tables([faces, large])
    rows = np.arange(len(faces)) + np.where(asked, len(faces), 0)
    blank = recording.raw.filter(pc.is_null(recording.raw["track_id"]))
    return Asked(asked, pa.concat_tables([both.take(pa.array(rows)), blank]))


def large_everywhere(recording: Recording) -> Recording:
    """Return the recording of an analysis with the large network."""
    blank = recording.raw.filter(pc.is_null(recording.raw["track_id"]))
    raw = pa.concat_tables([_large(recording), blank])
    return Recording(recording.name, raw, recording.block, recording.place, recording.grey, None)


def _large(recording: Recording) -> pa.Table:
    if recording.large is None:
        raise ValueError(f"{recording.name} was recorded without a large network")
    return recording.large


def _runs(recording: Recording) -> Iterator[NDArray[np.intp]]:
    """Give the rows of each track in each block, in order."""
    order = np.lexsort((recording.place, recording.tracks, recording.block))
    keys = np.stack([recording.block, recording.tracks])[:, order]
    yield from np.split(order, np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1)


def _interpolated(recording: Recording, asked: Mask, step: int) -> Asked:
    """Leave the rows out that were not asked about; `finish` fills them in."""
    kept = recording.faces.filter(pa.array(asked))
    index, first = np.unique(recording.raw["frame"], return_index=True)
    is_blank = ~np.isin(index, kept["frame"])
    blank = recording.raw.take(pa.array(first[is_blank])).select(["frame", "time_s"])
    empty = [
        blank[entry.name]
        if entry.name in blank.schema.names
        else pa.array(["no_face"] * len(blank))
        if entry.name == "status"
        else pa.nulls(len(blank), entry.type)
        for entry in kept.schema
    ]
    raw = pa.concat_tables([kept, pa.table(empty, schema=kept.schema)])
    return Asked(asked, raw, min(step, BLOCK_FRAMES) * recording.interval_s if step > 1 else None)
