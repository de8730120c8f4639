"""The same result as `finish`, row by row while the frames still come, in bounded memory."""

from __future__ import annotations

from collections import deque

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.postprocess.finish import FinishSettings, are_seen_enough, fill_and_smooth, finish, median_interval_s
from affectline.postprocess.gaps import TIME_TOLERANCE_S, stretch_numbers
from affectline.postprocess.rows import FaceRows, Frames, Measures, build_table, split_table
from affectline.postprocess.smoothing import reach_s
from affectline.schema import expressions_in, timeline_schema

BLOCK_S = 0.25
"""Centred rows are made in blocks of that much video: a block costs about as much as a single frame."""

_FRAMES_FOR_INTERVAL = 300
"""The frame interval is the median over this many of the latest frames, ten seconds of ordinary video."""


class StreamingFinisher:
    """Turns raw rows into final ones while they come; all tables that it gives make up what `finish` gives.

    In centred mode the rows of a frame are final once no later frame can change them: after the longest radius, half a
    frame interval and the longest gap, and once every stretch of a track that they belong to has enough observations
    or has ended. In causal mode they are final at once. Rows of independent images are too.

    Args:
        schema: the schema of the raw rows, from `schema.raw_schema`.
        settings: as for `finish`.
        frame_interval_s: the median frame interval, seconds; None takes it from the latest frames, which is the same
            at a constant rate.
    """

    def __init__(self, schema: pa.Schema, settings: FinishSettings, frame_interval_s: float | None = None) -> None:
        self._settings = settings
        self._given_interval_s = frame_interval_s
        self._measures = Measures(expressions_in(schema))
        self._pending: list[pa.Table] = []
        self._frames, self._rows = split_table(schema.empty_table())
        self._latest_times_s: deque[float] = deque(maxlen=_FRAMES_FOR_INTERVAL)
        self._n_frames = 0
        self._last_frame = -1
        self._next_frame = 0
        self._block_start_s = 0.0
        self._nothing = timeline_schema(self._measures.expressions, "source" in schema.names).empty_table()

    def push(self, raw: pa.Table) -> pa.Table:
        """Take the raw rows of the next frame, or of several whole frames, and return the rows that are now final.

        Raises:
            ShapeError: a frame does not follow the ones before it.
        """
        if not len(raw):
            return self._nothing
        if raw["time_s"].null_count == len(raw):
            return finish(raw, self._settings)
        self._note_frames(np.asarray(raw["frame"]), np.asarray(raw["time_s"]))
        self._pending.append(raw)
        now_s = self._latest_times_s[-1]
        is_causal = not self._settings.smoothing.looks_ahead
        if not is_causal and now_s - self._block_start_s < BLOCK_S:
            return self._nothing
        self._block_start_s = now_s
        return self._make_block(is_last=is_causal)

    def flush(self) -> pa.Table:
        """Return all rows that are left: no more frames come."""
        return self._make_block(is_last=True)

    def _note_frames(self, frames: NDArray[np.int64], times_s: NDArray[np.float64]) -> None:
        index, first = np.unique(frames, return_index=True)
        last_time_s = self._latest_times_s[-1] if self._latest_times_s else -np.inf
        if index[0] <= self._last_frame or times_s[first[0]] < last_time_s:
            raise ShapeError(
                f"frame {index[0]} at {times_s[first[0]]} s came after frame {self._last_frame} at {last_time_s} s; "
                "frames must come in order"
            )
        self._last_frame = int(index[-1])
        self._n_frames += len(index)
        self._latest_times_s.extend(times_s[first].tolist())

    def _make_block(self, is_last: bool) -> pa.Table:
        """Return the final rows among those held, and forget what no later row needs."""
        self._take_pending()
        if not len(self._frames):
            return self._nothing
        interval_s = self._interval_s()
        end = self._frames.index[-1] + 1
        if self._settings.smoothing.looks_ahead:
            end = self._drop_short_stretches(interval_s, is_last)
        if end <= self._next_frame:
            return self._nothing
        rows = fill_and_smooth(self._frames, self._rows, self._measures, self._settings, interval_s)
        is_row_final = (rows.frame >= self._next_frame) & (rows.frame < end)
        is_frame_final = (self._frames.index >= self._next_frame) & (self._frames.index < end)
        self._next_frame = end
        final = self._frames.take(is_frame_final)
        self._forget(interval_s)
        return build_table(final, rows.take(is_row_final), self._measures.expressions, self._settings.thresholds)

    def _take_pending(self) -> None:
        if not self._pending:
            return
        frames, rows = split_table(pa.concat_tables(self._pending))
        self._frames = Frames.join([self._frames, frames])
        self._rows = FaceRows.join([self._rows, rows]).by_track()
        self._pending = []

    def _interval_s(self) -> float:
        if self._given_interval_s is not None:
            return self._given_interval_s
        return median_interval_s(np.array(self._latest_times_s))

    def _drop_short_stretches(self, interval_s: float, is_last: bool) -> int:
        """Drop stretches that ended with too few observations; return the first frame that is not final yet."""
        max_gap_s = self._settings.max_gap_s(interval_s)
        now_s = self._frames.time_s[-1]
        rows = self._rows
        stretches = stretch_numbers(rows.track_id, rows.time_s, max_gap_s)
        needed = self._settings.fewest_observations(interval_s, self._n_frames)
        # Rows of a frame that has been given out have been found to belong to a stretch that is long enough.
        is_trusted = np.bincount(stretches, rows.frame < self._next_frame) > 0
        is_long = (is_trusted | are_seen_enough(rows, stretches, needed))[stretches]
        last_row = np.searchsorted(stretches, stretches, side="right") - 1
        has_ended = (now_s - rows.time_s[last_row] > max_gap_s + TIME_TOLERANCE_S) | is_last
        undecided = rows.frame[~is_long & ~has_ended]
        self._rows = rows.take(is_long | ~has_ended)
        horizon_s = np.inf if is_last else now_s - self._reach_s(interval_s) - max_gap_s - 2 * TIME_TOLERANCE_S
        n_past = int(np.searchsorted(self._frames.time_s, horizon_s))
        end = self._frames.index[n_past] if n_past < len(self._frames) else self._frames.index[-1] + 1
        return int(min(end, undecided.min(initial=end)))

    def _forget(self, interval_s: float) -> None:
        """Drop the frames and rows that no window or gap of a later row reaches."""
        n_given = int(np.searchsorted(self._frames.index, self._next_frame))
        next_s = self._frames.time_s[min(n_given, len(self._frames) - 1)]
        reach = self._reach_s(interval_s) + self._settings.max_gap_s(interval_s) + 2 * TIME_TOLERANCE_S
        self._rows = self._rows.take(self._rows.time_s >= next_s - reach)
        self._frames = self._frames.take(self._frames.time_s >= next_s - reach)

    def _reach_s(self, interval_s: float) -> float:
        return reach_s(self._settings.smoothing.longest_s, interval_s)
