"""Joining two tracks that tracking could not know to be one face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from affectline.errors import InputError, UnknownNameError
from affectline.labels import Status
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import fill_gaps
from affectline.postprocess.rows import FaceRows, Measures, build_table, split_table, status_code
from affectline.schema import expressions_in

_SHOWN_FRAMES = 5


def merge_tracks(table: pa.Table, keep: int, other: int, thresholds: Thresholds) -> pa.Table:
    """Return a video's result table in which one track has become part of another.

    Where both have a row in a frame, the observed one stands. A gap of up to `records.MAX_GAP_S` between the two is
    filled, and what the filled rows say is decided. Scores are not smoothed again over the seam.

    Args:
        table: in `schema.timeline_schema`.
        keep: the track that stays.
        other: the track whose rows get the number `keep`.
        thresholds: where scores become decisions.

    Raises:
        UnknownNameError: there is no such track.
        InputError: the numbers are the same, or both tracks were observed in one frame.
    """
    if keep == other:
        raise InputError(f"track {keep} cannot be merged with itself; name two tracks")
    frames, rows = split_table(table)
    first, second = _track(rows, keep), _track(rows, other)
    joined = _joined(first, replace(second, track_id=np.full_like(second.track_id, keep)), other)
    measures = Measures(expressions_in(table.schema))
    rest = rows.take((rows.track_id != keep) & (rows.track_id != other))
    merged = FaceRows.join([rest, fill_gaps(frames, joined, measures)])
    return build_table(frames, merged, measures.expressions, thresholds)


def _track(rows: FaceRows, track_id: int) -> FaceRows:
    is_in_track = rows.track_id == track_id
    if not is_in_track.any():
        known = ", ".join(str(number) for number in np.unique(rows.track_id)) or "none"
        raise UnknownNameError(f"no track {track_id}; tracks in this result: {known}")
    return rows.take(is_in_track)


def _joined(first: FaceRows, second: FaceRows, other: int) -> FaceRows:
    """Return one row for each frame of either track, in the order of frames."""
    interpolated = status_code(Status.INTERPOLATED)
    seen = [part.frame[part.status != interpolated] for part in (first, second)]
    clash = np.intersect1d(*seen)
    if len(clash):
        shown = ", ".join(str(frame) for frame in clash[:_SHOWN_FRAMES])
        more = f" and {len(clash) - _SHOWN_FRAMES} more" if len(clash) > _SHOWN_FRAMES else ""
        raise InputError(
            f"tracks {first.track_id[0]} and {other} are two faces: both were observed in frames {shown}{more}"
        )
    both = FaceRows.join([first, second])
    ordered = both.take(np.lexsort((both.status == interpolated, both.frame)))
    return ordered.take(np.unique(ordered.frame, return_index=True)[1])
