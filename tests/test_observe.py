"""The stages side by side give the rows of the plain path, which takes one frame after the other in one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from affectline import block_rows, pipeline
from affectline.describe import finish_settings
from affectline.models import Models, load_models
from affectline.observe import Observer
from affectline.options import AnalyzeOptions
from affectline.postprocess.finish import finish
from affectline.records import Frame
from affectline.video import read_frames

FRAMES = 110
"""Two blocks of 48 and a part of one."""

EXACT = {"frame", "time_s", "track_id", "status"}


@pytest.fixture(scope="module")
def one_face(demo_clip: Path) -> list[Frame]:
    return list(islice(read_frames(demo_clip), FRAMES))


@pytest.fixture(scope="module")
def three_faces(one_face: list[Frame]) -> list[Frame]:
    """The demo clip three times in one picture, one of them mirrored and one gone for a while."""
    return [replace(frame, rgb=three_times(frame)) for frame in one_face]


def three_times(frame: Frame) -> np.ndarray:
    half = cv2.resize(frame.rgb, (320, 180), interpolation=cv2.INTER_AREA)
    third = np.full_like(half, 90) if 30 <= frame.index < 45 else half
    return np.concatenate(
        [np.concatenate([half, half[:, ::-1]], axis=1), np.concatenate([third, third // 2 * 0], axis=1)]
    )


@pytest.fixture(scope="module", params=[1, 2, 5], ids="{} threads".format)
def models(request: pytest.FixtureRequest) -> Models:
    return load_models(AnalyzeOptions(threads=request.param))


@pytest.fixture(scope="module")
def plain_models() -> Models:
    return load_models(AnalyzeOptions(threads=1))


def plain(models: Models, frames: Sequence[Frame]) -> tuple[pa.Table, list[object]]:
    observer = Observer(models)
    blocks = [observer.observe_one(frame) for frame in frames]
    return (
        pa.Table.from_batches([block.rows for block in blocks]),
        [entry for block in blocks for entry in block.landmarks],
    )


@pytest.fixture(scope="module")
def plain_rows(
    plain_models: Models, one_face: list[Frame], three_faces: list[Frame]
) -> dict[str, tuple[pa.Table, list[object]]]:
    return {"one face": plain(plain_models, one_face), "three faces": plain(plain_models, three_faces)}


@pytest.mark.parametrize("batch", [16, 7])
@pytest.mark.parametrize("clip", ["one face", "three faces"])
def test_threads_and_batches_change_no_row(  # noqa: PLR0913, PLR0917 - fixtures
    clip: str,
    batch: int,
    models: Models,
    plain_rows: dict[str, tuple[pa.Table, list[object]]],
    one_face: list[Frame],
    three_faces: list[Frame],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(block_rows, "BATCH_FACES", batch)
    # More cores than two threads: the stages take turns.
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 3)
    frames = {"one face": one_face, "three faces": three_faces}[clip]
    blocks = list(Observer(models).observe(iter(frames), frames[0].rgb.nbytes))
    rows, (wanted, marks) = pa.Table.from_batches([block.rows for block in blocks]), plain_rows[clip]
    assert [len(set(block.rows["frame"].to_pylist())) for block in blocks] == [48, 48, 14]
    assert len(rows) == len(wanted) > {"one face": 100, "three faces": 300}[clip]
    for name in wanted.schema.names:
        if name in EXACT or not pa.types.is_floating(wanted.schema.field(name).type):
            assert rows[name].to_pylist() == wanted[name].to_pylist(), name
        else:
            np.testing.assert_allclose(np.asarray(rows[name]), np.asarray(wanted[name]), atol=1e-4, err_msg=name)
    settings = finish_settings(AnalyzeOptions(), models)
    labels, wanted_labels = (finish(table, settings)["expression"].to_pylist() for table in (rows, wanted))
    assert labels == wanted_labels
    found = [entry for block in blocks for entry in block.landmarks]
    assert [entry[:2] for entry in found] == [entry[:2] for entry in marks]
    for (_, _, one), (_, _, other) in zip(found, marks, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.blendshapes, other.blendshapes)


def test_a_corrupt_frame_changes_nothing_in_those_behind_it(plain_models: Models, one_face: list[Frame]) -> None:
    # One that is followed, not searched: there the landmarks go by the frames before.
    damaged = replace(one_face[10], rgb=one_face[10].rgb[::-1].copy(), is_corrupt=True)
    rows, marks = plain(plain_models, [*one_face[:10], damaged, *one_face[11:20]])
    wanted, wanted_marks = plain(plain_models, [*one_face[:10], *one_face[11:20]])
    assert rows.filter(pa.compute.not_equal(rows["frame"], 10)).equals(wanted)
    assert [entry[0] for entry in marks] == [entry[0] for entry in wanted_marks]
    for (_, _, one), (_, _, other) in zip(marks, wanted_marks, strict=True):
        np.testing.assert_array_equal(one.points, other.points)


def test_one_thread_is_one_thread(plain_models: Models, one_face: list[Frame]) -> None:
    def watched() -> Iterator[Frame]:
        for frame in one_face[:50]:
            seen.add((threading.current_thread(), threading.active_count()))
            yield frame

    seen: set[tuple[threading.Thread, int]] = set()
    before = threading.active_count()
    list(Observer(plain_models).observe(watched(), 1))
    assert seen == {(threading.current_thread(), before)}


def test_opencv_has_its_threads_again_afterwards(one_face: list[Frame]) -> None:
    cv2.setNumThreads(3)
    try:
        blocks = Observer(load_models(AnalyzeOptions(action_units=False))).observe(iter(one_face), 1)
        next(blocks)
        assert cv2.getNumThreads() == 1
        blocks.close()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(-1)


def test_an_error_of_a_network_reaches_the_caller(one_face: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("the network is broken")

    before = threading.active_count()
    networks = load_models(AnalyzeOptions(action_units=False, threads=2))
    monkeypatch.setattr(block_rows, "score_faces", broken)
    with pytest.raises(ValueError, match="the network is broken"):
        list(Observer(networks).observe(iter(one_face), 1))
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("affectline-lane")]
    assert threading.active_count() - len(lanes) <= before
