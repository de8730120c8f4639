"""Rows of stretches become rows of the input: numbers, places, order, and where a job can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from affectline.errors import InputError, ResumeError
from affectline.faces.appearance import LOOK_LENGTH
from affectline.faces.landmarks import Landmarks
from affectline.raw_blocks import RawBlock, RowLinker, Trail
from raw_tables import RAW, Row, blank, face, raw_table

INTERVAL_S = 0.04
NO_MARKS = Landmarks(np.zeros((478, 3), np.float32), 0.9, np.zeros(52, np.float32))


def look(person: int) -> tuple[float, ...]:
    return tuple(np.round(np.random.default_rng(person).normal(size=LOOK_LENGTH), 3).tolist())


def thumbnail(scene: int = 0) -> tuple[tuple[float, ...], ...]:
    rows = np.random.default_rng(scene).uniform(20, 200, (9, 16)).astype(np.float32)
    return tuple(map(tuple, rows.tolist()))


def at(frame: int, track: int, place: int, size: float = 40.0) -> Row:
    """A face in one of some places, 100 pixels apart."""
    x = 60.0 + 100 * place
    box = {"box_x1": x - size / 2, "box_x2": x + size / 2, "box_y1": 100 - size / 2, "box_y2": 100 + size / 2}
    return face(frame, track, INTERVAL_S, **box)


def block(
    rows: Sequence[Row], people: dict[int, int], *, begins: bool = False, marks: bool = False, **trail: object
) -> RawBlock:
    """A block in which each track is a person."""
    table = raw_table(rows).combine_chunks()
    looks = {str(track): (look(person), look(person)) for track, person in people.items()}
    entries = [(row["frame"], row["track_id"], NO_MARKS) for row in rows if row.get("track_id")] if marks else ()
    plain = Trail(begins, (640, 360), (), (), thumbnail(), thumbnail(), looks)
    return RawBlock(table.to_batches()[0], replace(plain, **trail), entries)


def keys(rows: object) -> list[tuple[int, int | None]]:
    return list(zip(rows["frame"].to_pylist(), rows["track_id"].to_pylist(), strict=True))


def test_tracks_of_a_stretch_get_the_numbers_of_the_input_and_rows_their_order() -> None:
    linker = RowLinker()
    first = block([at(0, 1, 0, 50), at(0, 2, 3), at(1, 1, 0, 50), at(1, 2, 3)], {1: 7, 2: 8}, begins=True)
    assert keys(linker.link(first).rows) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    # In the next stretch the other one is numbered first, and a third has come.
    rows = [at(2, 1, 3, 60), at(2, 2, 5), at(2, 3, 0), blank(3)]
    linked = linker.link(block(rows, {1: 8, 2: 9, 3: 7}, begins=True, marks=True))
    assert keys(linked.rows) == [(2, 1), (2, 2), (2, 3), (3, None)]
    assert linked.rows["box_x1"].to_pylist()[:3] == [40.0, 330.0, 540.0]
    assert [(frame, track) for frame, track, _ in linked.landmarks] == [(2, 2), (2, 3), (2, 1)]
    assert linked.rows.schema == RAW


def test_rows_of_faces_without_a_place_are_left_out() -> None:
    linker = RowLinker(max_faces=1)
    linker.link(block([at(frame, 1, 0) for frame in range(5)], {1: 7}, begins=True))
    rows = [at(5, 1, 3, 42), at(5, 2, 0), blank(6, status="error"), at(7, 1, 3, 42)]
    linked = linker.link(block(rows, {1: 8, 2: 7}, begins=True, marks=True, unseen=(6,)))
    # The one who had the place keeps it; where only the other one is, there is a row without a face.
    assert keys(linked.rows) == [(5, 1), (6, None), (7, None)]
    assert linked.rows["status"].to_pylist() == ["observed", "error", "no_face"]
    assert linked.rows["time_s"].to_pylist() == pytest.approx([0.2, 0.24, 0.28])
    last = {name: linked.rows[name][2].as_py() for name in RAW.names if name not in {"frame", "time_s", "status"}}
    assert set(last.values()) == {None}
    assert [(frame, track) for frame, track, _ in linked.landmarks] == [(5, 1)]


def test_a_cut_between_two_stretches_is_seen_on_their_thumbnails() -> None:
    for scene, expected in ((0, 1), (1, 2)):
        linker = RowLinker()
        linker.link(block([at(0, 1, 0)], {1: 7}, begins=True))
        other = tuple(0.9 * a + 0.1 * b for a, b in zip(look(7), look(9), strict=True))
        after = block([at(1, 1, 0)], {}, begins=True, first_thumbnail=thumbnail(scene), looks={"1": (look(9), look(9))})
        alike = block([at(1, 1, 0)], {}, begins=True, first_thumbnail=thumbnail(scene), looks={"1": (other, other)})
        # At the same place from one frame to the next the look hardly counts; behind a cut it does.
        assert keys(linker.link(after if scene else alike).rows) == [(1, expected)]


def test_states_stand_where_a_stretch_ends_and_lead_to_the_same_rows() -> None:
    blocks = [
        block([at(0, 1, 0), at(1, 1, 0)], {1: 7}, begins=True),
        block([at(2, 1, 0), at(2, 2, 4, 30)], {1: 7, 2: 8}),
        block([at(3, 1, 4, 30), at(3, 2, 0)], {1: 8, 2: 7}, begins=True),
        block([blank(4)], {}, begins=True),
    ]
    whole = list(RowLinker().link_all(blocks))
    assert [bool(one.state) for one in whole] == [False, True, True, False]
    assert keys(whole[2].rows) == [(3, 1), (3, 2)]
    for done in (2, 3):
        resumed = list(RowLinker(state=whole[done - 1].state).link_all(blocks[done:]))
        assert [one.rows.equals(there.rows) for one, there in zip(resumed, whole[done:], strict=True)] == [True] * (
            4 - done
        )
        assert [one.state for one in resumed] == [one.state for one in whole[done:]]


def test_images_and_crops_are_left_as_they_are() -> None:
    rows = [face(0, None), face(1, None)]
    images = block(rows, {}, begins=True, first_thumbnail=None, last_thumbnail=None)
    assert RowLinker().link(images).rows.equals(images.rows)


def test_a_trail_survives_json_and_frames_are_renumbered() -> None:
    one = block([at(5, 1, 0), at(6, 1, 0)], {1: 7}, begins=True, marks=True, scenes=(6,), unseen=(5,))
    assert Trail.from_json(one.trail.to_json()) == one.trail
    moved = one.renumbered(-3)
    assert keys(moved.rows) == [(2, 1), (3, 1)]
    assert moved.rows.schema == RAW
    assert (moved.trail.scenes, moved.trail.unseen) == ((3,), (2,))
    assert [(frame, track) for frame, track, _ in moved.landmarks] == [(2, 1), (3, 1)]
    assert one.renumbered(0) is one
    with pytest.raises(InputError, match="the trail of a block lacks begins_stretch"):
        Trail.from_json("{}")


@pytest.mark.parametrize("state", ["{", "[]", '{"tracks": 3}', '{"tracks": [{"look": [0.1]}]}', '{"next_number": "1"}'])
def test_what_is_no_state_is_not_gone_on_from(state: str) -> None:
    with pytest.raises(ResumeError, match=r"not the state of an analysis .*; leave out --resume to start anew"):
        RowLinker(state=state)
