"""Joining two tracks that tracking could not know to be one face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from affectline.errors import InputError, UnknownNameError
from affectline.labels import Status
from affectline.postprocess.finish import FinishSettings, fill_gaps, median_interval_s
from affectline.postprocess.rows import NO_TRACK, FaceRows, Frames, Measures, build_table, split_table, status_code
from affectline.schema import expressions_in

_SHOWN_FRAMES = 5


def merge_tracks(table: pa.Table, keep: int, other: int, settings: FinishSettings) -> pa.Table:
    """Return a video's result table in which one track has become part of another; its other rows stay as they are.

    Where both have a row in a frame, the observed one stands. Gaps between a row of the one and a row of the other are
    filled as gaps inside a track are, and what the filled rows say is decided. Scores are not smoothed again over the
    seam.

    Args:
        table: in `schema.timeline_schema`.
        keep: the track that stays.
        other: the track whose rows get the number `keep`.
        settings: how the table was made.

    Raises:
        UnknownNameError: there is no such track.
        InputError: the numbers are the same, or both tracks were observed in one frame.
    """
    if keep == other:
        raise InputError(f"track {keep} cannot be merged with itself; name two tracks")
    frames, rows = split_table(table)
    first, second = _track(rows, keep), _track(rows, other)
    joined = _joined(first, second, other)
    measures = Measures(expressions_in(table.schema))
    seam = _seam(frames, joined, keep, measures, settings)
    filled = build_table(
        frames.take(np.isin(frames.index, seam.frame)), seam, measures.expressions, settings.thresholds
    )
    frame, track_id = np.asarray(table["frame"]), np.asarray(table["track_id"].fill_null(NO_TRACK))
    is_blank = (track_id == NO_TRACK) & np.isin(frame, seam.frame)
    is_beaten = np.zeros(len(table), np.bool_)
    for part in (first, second):
        stands = joined.frame[joined.track_id == part.track_id[0]]
        is_beaten |= (track_id == part.track_id[0]) & ~np.isin(frame, stands)
    numbers = pa.array(np.where(track_id == other, keep, track_id).astype(np.int32), mask=track_id == NO_TRACK)
    renamed = table.set_column(table.schema.get_field_index("track_id"), table.schema.field("track_id"), numbers)
    merged = pa.concat_tables([renamed.filter(pa.array(~is_blank & ~is_beaten)), filled])
    return merged.sort_by([("frame", "ascending"), ("track_id", "ascending")]).combine_chunks()


def _seam(frames: Frames, joined: FaceRows, keep: int, measures: Measures, settings: FinishSettings) -> FaceRows:
    """Return the rows that fill the gaps between rows of different tracks."""
    nothing = joined.take(np.zeros(len(joined), np.bool_))
    if not settings.smoothing.looks_ahead:
        return nothing
    one = replace(joined, track_id=np.full_like(joined.track_id, keep))
    every = fill_gaps(frames, one, measures, settings.max_gap_s(median_interval_s(frames.time_s)))
    filled = every.take(~np.isin(every.frame, joined.frame))
    behind = np.searchsorted(joined.frame, filled.frame)
    return filled.take(joined.track_id[behind - 1] != joined.track_id[behind]) if len(filled) else nothing


def _track(rows: FaceRows, track_id: int) -> FaceRows:
    is_in_track = rows.track_id == track_id
    if not is_in_track.any():
        known = ", ".join(str(number) for number in np.unique(rows.track_id)) or "none"
        raise UnknownNameError(f"no track {track_id}; tracks in this result: {known}")
    return rows.take(is_in_track)


def _joined(first: FaceRows, second: FaceRows, other: int) -> FaceRows:
    """Return one row for each frame of either track, in the order of frames, with its own track's number."""
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
