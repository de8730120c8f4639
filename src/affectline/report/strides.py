"""What pictures of an analysis with a stride show as seen: with one, most rows lie between two looks as planned."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affectline.labels import Status
from affectline.postprocess.rows import floats

_TOLERANCE_S = 1e-5


def with_strides_seen(table: pa.Table, stride_s: float | None) -> pa.Table:
    """Return the table for drawing: rows that a stride passed over have the status of the rows that were looked at.

    So only longer gaps are marked. Between two rows of low quality, rows are of low quality.

    Args:
        table: the columns of the result table, in any order of the rows.
        stride_s: of the provenance; None returns the table as it is.
    """
    if stride_s is None or not len(table):
        return table
    table = table.sort_by([("track_id", "ascending"), ("frame", "ascending")])
    track, time_s = floats(table, "track_id"), floats(table, "time_s")
    status = np.array(table["status"].to_pylist(), np.str_)
    interval_s = float(np.median(np.diff(np.unique(time_s)))) if len(table) > 1 else 0.0
    is_seen = np.isin(status, [Status.OBSERVED.value, Status.LOW_QUALITY.value])
    rows = np.arange(len(table))
    before = np.maximum.accumulate(np.where(is_seen, rows, 0))
    after = np.minimum.accumulate(np.where(is_seen, rows, len(table) - 1)[::-1])[::-1]
    is_planned = (status == Status.INTERPOLATED.value) & is_seen[before] & is_seen[after]
    is_planned &= (track[before] == track) & (track[after] == track)
    is_planned &= time_s[after] - time_s[before] <= stride_s + interval_s + _TOLERANCE_S
    is_low = (status[before] == Status.LOW_QUALITY.value) & (status[after] == Status.LOW_QUALITY.value)
    shown = np.where(is_low, Status.LOW_QUALITY.value, Status.OBSERVED.value)
    column = pa.array(np.where(is_planned, shown, status).tolist(), table["status"].type)
    drawn = table.set_column(table.schema.get_field_index("status"), "status", column)
    return drawn.take(pc.sort_indices(drawn, [("frame", "ascending"), ("track_id", "ascending")]))
