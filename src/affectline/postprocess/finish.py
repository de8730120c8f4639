"""From raw rows to the result table: drop flickers, fill gaps, smooth, decide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.heads.head import normalise
from affectline.labels import Status
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.gaps import gap_rows, stretch_numbers
from affectline.postprocess.rows import (
    FaceRows,
    Frames,
    Measures,
    build_table,
    decided_columns,
    split_table,
    status_code,
    values_of,
)
from affectline.postprocess.smoothing import FILTERS, Smoothing, lay_apart, reach_s
from affectline.records import MAX_GAP_S
from affectline.schema import expressions_in, timeline_schema

FEWEST_OBSERVATIONS = ((0.1, 3), (0.5, 2))
"""(interval in seconds, observations): where frames are looked at at least that often, a stretch of a track with fewer
clear observations is taken for a false alarm of the detector and dropped. With longer intervals one observation of any
score is enough."""

CLEAR_SCORE = 0.7
"""Face score from which an observation is clear. Of 16 false alarms (engines, galaxies, print, cells; 8 of them seen 10
to 105 times) 9 had fewer than three clear observations; of 80 faces, some seen for three frames, 19 px high, blurred or
half outside, only a profile that was leaving the picture. To ask for a quarter of a second of any observations instead
would have caught 6, and lost the faces seen for three and four frames."""


@dataclass(frozen=True, slots=True)
class FinishSettings:
    """How raw rows become the result table.

    Attributes:
        thresholds: where scores become decisions.
        smoothing: how far scores are smoothed. In causal mode gaps stay open and every observation counts, so that
            the result is what a viewer of the live stream saw.
        stride_s: seconds between the frames that the networks saw, where the table has frames between them
            (`--stride`), which are filled even if the stride exceeds `MAX_GAP_S`; None where they saw every frame.
        normalises: expression scores carry a logit adjustment (`heads.head.adjust`): smoothed, they are divided by
            their sum.
    """

    thresholds: Thresholds
    smoothing: Smoothing = field(default_factory=Smoothing)
    stride_s: float | None = None
    normalises: bool = False

    def max_gap_s(self, interval_s: float) -> float:
        """Return the longest gap that is filled, seconds."""
        return MAX_GAP_S if self.stride_s is None else max(MAX_GAP_S, self.stride_s + interval_s)

    def fewest_observations(self, interval_s: float, n_frames: int) -> int:
        """Return how many clear observations a stretch of a track needs (`FEWEST_OBSERVATIONS`).

        Args:
            interval_s: the median frame interval.
            n_frames: how many frames were sampled; a stretch never needs more.
        """
        seen_every_s = interval_s if self.stride_s is None else max(interval_s, self.stride_s)
        needed = next((count for limit_s, count in FEWEST_OBSERVATIONS if seen_every_s <= limit_s), 1)
        return min(needed, n_frames)


def finish(raw: pa.Table, settings: FinishSettings, interval_s: float | None = None) -> pa.Table:
    """Return the result table of an input.

    A video's rows pass the steps of the module's first line. A frame that is left without a row gets one that says
    `no_face`, or `error` if it could not be decoded whole. Rows of independent images (no times) are only decided.

    Args:
        raw: rows in `schema.raw_schema`, in any order; every sampled frame has at least one.
        settings: how.
        interval_s: the frame interval in seconds; None takes the median of the frames' times.

    Returns:
        A table in `schema.timeline_schema`, in the order of frame and track.

    Raises:
        ShapeError: times are missing in part, or decrease.
    """
    if raw["time_s"].null_count == len(raw):
        return _finish_images(raw, settings)
    frames, rows = split_table(raw)
    interval_s = median_interval_s(frames.time_s) if interval_s is None else interval_s
    measures = Measures(expressions_in(raw.schema))
    if settings.smoothing.looks_ahead:
        stretches = stretch_numbers(rows.track_id, rows.time_s, settings.max_gap_s(interval_s))
        needed = settings.fewest_observations(interval_s, len(frames))
        rows = rows.take(are_seen_enough(rows, stretches, needed)[stretches])
    finished = fill_and_smooth(frames, rows, measures, settings, interval_s)
    return build_table(frames, finished, measures.expressions, settings.thresholds)


def are_seen_enough(rows: FaceRows, stretches: NDArray[np.intp], needed: int) -> NDArray[np.bool_]:
    """Return for each stretch whether it was seen often and clearly enough to be a face, shape (number of stretches,).

    Args:
        rows: n observations, in the order of track and frame.
        stretches: shape (n,), from `gaps.stretch_numbers`.
        needed: from `FinishSettings.fewest_observations`.
    """
    is_counted = (rows.values[:, Measures.face_score] >= CLEAR_SCORE) | (needed == 1)
    return np.bincount(stretches, is_counted) >= needed


def median_interval_s(times_s: NDArray[np.float64]) -> float:
    """Return the median difference of neighbouring times, seconds; 0 for fewer than two."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def fill_and_smooth(
    frames: Frames, rows: FaceRows, measures: Measures, settings: FinishSettings, interval_s: float
) -> FaceRows:
    """Return the rows with gaps filled (unless the filter is causal) and scores smoothed, by track and frame.

    Args:
        frames: the sampled frames that the rows come from.
        rows: observations, in the order of track and frame.
        measures: what `rows.values` holds.
        settings: how.
        interval_s: the median frame interval, seconds.
    """
    if settings.smoothing.looks_ahead:
        rows = fill_gaps(frames, rows, measures, settings.max_gap_s(interval_s))
    return _smooth(rows, measures, settings, interval_s)


def fill_gaps(frames: Frames, rows: FaceRows, measures: Measures, max_gap_s: float = MAX_GAP_S) -> FaceRows:
    """Return the rows and one `interpolated` row for each frame in a gap, in the order of track and frame.

    Args:
        frames: the sampled frames that the rows come from.
        rows: in the order of track and frame.
        measures: what `rows.values` holds; face score and quality of interpolated rows stay empty.
        max_gap_s: the longest gap that is filled, seconds.
    """
    stretches = stretch_numbers(rows.track_id, rows.time_s, max_gap_s)
    gaps = gap_rows(stretches, np.searchsorted(frames.index, rows.frame), frames.time_s, rows.values)
    gaps.values[:, measures.detection] = np.nan
    filled = FaceRows(
        frames.index[gaps.frame_number],
        frames.time_s[gaps.frame_number],
        rows.track_id[gaps.before],
        np.full(len(gaps.before), status_code(Status.INTERPOLATED)),
        gaps.values,
    )
    return FaceRows.join([rows, filled]).by_track()


def _smooth(rows: FaceRows, measures: Measures, settings: FinishSettings, interval_s: float) -> FaceRows:
    smoothing = settings.smoothing
    means = FILTERS[smoothing.mode]
    stretches = stretch_numbers(rows.track_id, rows.time_s, settings.max_gap_s(interval_s))
    times_s = lay_apart(rows.time_s, stretches, 2 * reach_s(smoothing.longest_s, interval_s))
    values = rows.values.copy()
    for kind, radius_s in (
        (measures.valence_arousal, smoothing.va_s),
        (measures.expression, smoothing.expr_s),
        (measures.action_unit, smoothing.au_s),
    ):
        values[:, kind] = means(times_s, values[:, kind], radius_s, interval_s)
    return replace(rows, values=_normalised(values, measures, settings))


def _normalised(values: NDArray[np.float64], measures: Measures, settings: FinishSettings) -> NDArray[np.float64]:
    if settings.normalises:
        values[:, measures.expression] = normalise(values[:, measures.expression])
    return values


def _finish_images(raw: pa.Table, settings: FinishSettings) -> pa.Table:
    expressions = expressions_in(raw.schema)
    measures = Measures(expressions)
    values = _normalised(values_of(raw, measures), measures, settings)
    decided = decided_columns(values, measures, settings.thresholds)
    schema = timeline_schema(expressions, with_source="source" in raw.schema.names)
    columns = [decided[name] if name in decided else raw[name] for name in schema.names]
    return pa.table(columns, schema=schema).sort_by("frame")
