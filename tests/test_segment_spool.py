"""Blocks of a segment on disk: what comes back, and when it counts as whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from affectline.errors import OutputError
from affectline.faces.landmarks import Landmarks
from affectline.raw_blocks import RawBlock, Trail
from affectline.segment_spool import SegmentSpool
from affectline.video import Segment, SegmentReport
from affectline.video.decoding import Tally
from affectline.video.seeking import Start
from raw_tables import RAW, blank, face, raw_table

SEGMENT = Segment(Start(40, 41, 900), 20.0, 40.0)
REPORT = SegmentReport(50, 90, Tally(concealed=1), 1800, reached_end=False, is_from_start=False)


def marks(seed: int) -> Landmarks:
    rng = np.random.default_rng(seed)
    return Landmarks(rng.random((478, 3), np.float32), 0.5, rng.random(52, np.float32))


def blocks() -> list[RawBlock]:
    look = (0.5, 0.25)
    first = raw_table([face(50), face(50, 2)]).combine_chunks().to_batches()[0]
    second = raw_table([blank(51), face(52)]).combine_chunks().to_batches()[0]
    return [
        RawBlock(first, Trail(True, (640, 360), looks={"1": (look, look), "2": (look, look)}), [(50, 2, marks(1))]),
        RawBlock(second, Trail(False, (640, 360), (51,), (52,), ((1.0,),), ((2.0,),), {"1": (look, look)}), []),
    ]


@pytest.mark.parametrize("keeps_landmarks", [True, False])
def test_blocks_come_back_as_they_were_and_only_the_end_makes_them_whole(
    tmp_path: Path, *, keeps_landmarks: bool
) -> None:
    spool = SegmentSpool(tmp_path, SEGMENT, {"input": "a"}, keeps_landmarks)
    assert spool.finished() is None
    given = blocks()
    assert list(spool.write(given, RAW)) == given
    assert spool.finished() is None
    spool.finish(REPORT)
    assert spool.finished() == REPORT
    for found, wanted in zip(spool.blocks(), given, strict=True):
        assert found.rows.equals(wanted.rows)
        assert found.rows.schema.metadata is None
        assert found.trail == wanted.trail
        expected = wanted.landmarks if keeps_landmarks else ()
        assert [entry[:2] for entry in found.landmarks] == [entry[:2] for entry in expected]
        for (_, _, there), (_, _, one) in zip(found.landmarks, expected, strict=True):
            assert np.array_equal(there.points, one.points)
            assert (there.presence, there.blendshapes.tolist()) == (one.presence, one.blendshapes.tolist())
    spool.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_with_other_settings_or_of_another_part_does_not_count(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, SEGMENT, {"input": "a"}, keeps_landmarks=False)
    list(spool.write(blocks(), RAW))
    spool.finish(REPORT)
    assert replace(spool, settings={"input": "b"}).finished() is None
    assert replace(spool, keeps_landmarks=True).finished() is None
    assert replace(spool, segment=replace(SEGMENT, to_s=50.0)).finished() is None
    assert replace(spool, segment=replace(SEGMENT, start=Start(39, 40, 880))).finished() is None
    (json_file,) = tmp_path.glob("*.json")
    json_file.write_text("{")
    assert spool.finished() is None


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, SEGMENT, {}, keeps_landmarks=True)
    list(spool.write(blocks(), RAW))
    (tmp_path / "20.000-40.000.landmarks.arrow").unlink()
    with pytest.raises(OutputError, match=r"cannot read .*20\.000-40\.000\.landmarks\.arrow again"):
        list(spool.blocks())
    assert pa.ipc.open_stream(tmp_path / "20.000-40.000.arrow").schema.names == RAW.names
