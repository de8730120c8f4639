from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from affectline.errors import InputError, UnknownNameError
from affectline.postprocess.finish import finish
from affectline.postprocess.merge import merge_tracks
from raw_tables import UNSMOOTHED, blank, face, raw_table


def result(rows) -> pa.Table:
    return finish(raw_table(rows), UNSMOOTHED)


def keys(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(table[name].to_pylist() for name in ("frame", "track_id", "status")), strict=True))


def test_the_seam_is_filled_and_decided_and_its_blank_rows_go():
    rows = [face(i) for i in range(3)] + [blank(3), blank(4, status="error"), blank(5)]
    rows += [face(i, track=7, p_neutral=0.0, p_anger=1.0, au12=0.8) for i in range(6, 9)]
    merged = merge_tracks(result(rows), 1, 7, UNSMOOTHED)
    status = ["observed"] * 3 + ["interpolated"] * 3 + ["observed"] * 3
    assert keys(merged) == [(i, 1, status[i]) for i in range(9)]
    assert merged["au12"].to_pylist()[2:7] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert merged["au12_on"].to_pylist()[2:7] == [False, False, False, True, True]
    assert merged["expression"].to_pylist()[2:7] == ["Neutral", "Neutral", "uncertain", "Anger", "Anger"]
    assert merged["face_score"].to_pylist()[3:6] == [None] * 3


def test_a_longer_seam_stays_open_and_other_rows_stay_as_they_are():
    rows = [face(i, track=7) for i in range(3)] + [blank(i) for i in range(3, 35)]
    rows += [face(i, track=2) for i in range(35, 40)] + [face(i, track=3, valence=0.3) for i in range(35, 40)]
    table = result(rows)
    merged = merge_tracks(table, 2, 7, UNSMOOTHED)
    assert merged["track_id"].to_pylist() == [2] * 3 + [None] * 32 + [2, 3] * 5
    assert merged.drop_columns("track_id").equals(table.drop_columns("track_id"))


def test_the_observed_row_stands_against_an_interpolated_one():
    rows = [face(i, valence=0.1) for i in (0, 1, 2, 6, 7, 8)] + [blank(5)]
    rows += [face(i, track=2, valence=0.9) for i in (3, 4)] + [face(i, track=2, valence=0.9) for i in (9, 10)]
    table = result(rows)
    assert table["track_id"].to_pylist().count(2) == 8
    merged = merge_tracks(table, 1, 2, UNSMOOTHED)
    seen = {0, 1, 2, 3, 4, 6, 7, 8, 9, 10}
    assert keys(merged) == [(i, 1, "observed" if i in seen else "interpolated") for i in range(11)]
    assert merged["valence"].to_pylist()[2:5] == pytest.approx([0.1, 0.9, 0.9])
    assert merged["valence"].to_pylist()[5] == pytest.approx(0.1)


def test_two_faces_in_one_frame_are_no_one_track():
    rows = [face(i) for i in range(10)] + [face(i, track=2) for i in range(3, 10)]
    with pytest.raises(InputError, match=r"tracks 1 and 2 are two faces: .* frames 3, 4, 5, 6, 7 and 2 more"):
        merge_tracks(result(rows), 1, 2, UNSMOOTHED)
    rows = [face(i) for i in range(4)] + [face(i, track=2, status="low_quality") for i in range(3, 6)]
    with pytest.raises(InputError, match=r"observed in frames 3$"):
        merge_tracks(result(rows), 1, 2, UNSMOOTHED)


def test_the_tracks_must_exist_and_differ():
    table = result([face(i) for i in range(3)] + [face(i, track=4) for i in range(3)])
    with pytest.raises(UnknownNameError, match="no track 9; tracks in this result: 1, 4"):
        merge_tracks(table, 1, 9, UNSMOOTHED)
    with pytest.raises(InputError, match="track 4 cannot be merged with itself; name two tracks"):
        merge_tracks(table, 4, 4, UNSMOOTHED)


def test_other_tracks_and_other_gaps_stay_as_they_are():
    # Track 1 is rounded to its threshold, track 2 has a gap that the causal filter left open, the seam stays open too.
    causal = replace(UNSMOOTHED, smoothing=replace(UNSMOOTHED.smoothing, mode="causal"))
    rows = [face(i) for i in range(12)] + [face(i, track=2) for i in (0, 1, 4)] + [face(i, track=3) for i in (7, 8)]
    table = finish(raw_table(rows), causal)
    flags = pa.array([True] * len(table))
    odd = table.set_column(table.schema.get_field_index("au12_on"), table.schema.field("au12_on"), flags)
    merged = merge_tracks(odd, 2, 3, causal)
    assert set(merged["au12_on"].to_pylist()) == {True}
    own = merged.filter(pc.equal(merged["track_id"], 2))
    assert own["frame"].to_pylist() == [0, 1, 4, 7, 8]
    filled = merge_tracks(odd, 2, 3, UNSMOOTHED)
    assert filled.filter(pc.equal(filled["track_id"], 2))["frame"].to_pylist() == [0, 1, 4, 5, 6, 7, 8]


def test_a_seam_within_a_stride_is_filled():
    strided = replace(UNSMOOTHED, stride_s=2.0)
    rows = [face(0), *(blank(i) for i in range(1, 40)), face(40, track=2)]
    table = finish(raw_table(rows), replace(strided, smoothing=UNSMOOTHED.smoothing))
    merged = merge_tracks(table, 1, 2, strided)
    assert merged["status"].to_pylist().count("interpolated") == 39
