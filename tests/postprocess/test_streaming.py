from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import ShapeError
from affectline.labels import FERPLUS_8
from affectline.postprocess.finish import FinishSettings, finish
from affectline.postprocess.smoothing import Smoothing
from affectline.postprocess.streaming import StreamingFinisher
from affectline.schema import raw_schema
from raw_tables import RAW, THRESHOLDS, blank, face, random_raw_table, raw_table

DEFAULT = FinishSettings(THRESHOLDS)
CAUSAL = FinishSettings(THRESHOLDS, Smoothing(mode="causal"))


def frames_of(raw: pa.Table) -> list[pa.Table]:
    """Cut a table that is in the order of frames into one table for each frame."""
    starts = [0, *(np.flatnonzero(np.diff(raw["frame"].to_numpy())) + 1).tolist(), len(raw)]
    return [raw.slice(start, end - start) for start, end in pairwise(starts) if end > start]


def streamed(raw: pa.Table, how: FinishSettings, frame_interval_s: float | None = None) -> pa.Table:
    finisher = StreamingFinisher(raw.schema, how, frame_interval_s)
    tables = [finisher.push(frame) for frame in frames_of(raw)]
    return pa.concat_tables([*tables, finisher.flush()])


def assert_same(actual: pa.Table, expected: pa.Table) -> None:
    assert actual.schema.equals(expected.schema)
    for name in expected.schema.names:
        if pa.types.is_floating(expected[name].type):
            np.testing.assert_allclose(
                actual[name].to_numpy(), expected[name].to_numpy(), rtol=0, atol=1e-6, err_msg=name
            )
        else:
            assert actual[name].to_pylist() == expected[name].to_pylist(), name


def presence(rng: np.random.Generator, n: int, mean_runs: tuple[float, float]) -> list[bool]:
    """Return runs of presence and absence of random length."""
    runs = rng.geometric(1 / np.resize(mean_runs, n))
    return np.repeat(np.arange(n) % 2 == 0, runs)[:n].tolist()


STREAMS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 90),
    st.sampled_from([60.0, 25.0, 24000 / 1001, 12.5, 5.0, 1.5]),
    st.sampled_from([(1.2, 14.0), (4.0, 4.0), (30.0, 5.0)]),
)


def random_stream(stream):
    seed, n, fps, mean_runs = stream
    rng = np.random.default_rng(seed)
    tracks = {track: presence(rng, n, mean_runs) for track in (1, 2, 7)}
    return rng, random_raw_table(rng, (np.arange(n) / fps).tolist(), tracks)


@pytest.mark.parametrize(
    "how",
    [
        DEFAULT,
        replace(DEFAULT, smoothing=Smoothing.off()),
        replace(DEFAULT, smoothing=Smoothing(0.2, 0.0, 3.0)),
        replace(DEFAULT, stride_s=1.3),
        CAUSAL,
    ],
    ids=["default", "off", "mixed", "stride", "causal"],
)
@settings(max_examples=10, deadline=None)
@given(stream=STREAMS)
def test_the_stream_gives_what_finish_gives(how, stream):
    _, raw = random_stream(stream)
    assert_same(streamed(raw, how), finish(raw, how))


@settings(max_examples=10, deadline=None)
@given(stream=STREAMS)
def test_so_it_does_at_a_variable_rate_whose_interval_is_given(stream):
    rng, raw = random_stream(stream)
    times_s = np.cumsum(rng.exponential(0.05, 1 + int(max(raw["frame"].to_pylist(), default=0))))
    column = pa.array(times_s[raw["frame"].to_numpy()] if len(raw) else [], pa.float64())
    raw = raw.set_column(1, "time_s", column)
    for how in (DEFAULT, CAUSAL):
        assert_same(streamed(raw, how, frame_interval_s=0.05), finish(raw, how, interval_s=0.05))


@pytest.mark.parametrize("seen", [range(0, 200, 20), (0, 22, 100, 122, 144), (5, 28, 51, 190)])
def test_sparse_observations_are_judged_alike(seen):
    raw = raw_table([face(i) if i in seen else blank(i) for i in range(200)])
    for how in (DEFAULT, replace(DEFAULT, smoothing=Smoothing.off())):
        assert_same(streamed(raw, how), finish(raw, how))


def test_several_whole_frames_may_come_at_once():
    _, raw = random_stream((4, 100, 25.0, (10.0, 10.0)))
    frames = frames_of(raw)
    finisher = StreamingFinisher(raw.schema, DEFAULT)
    tables = [finisher.push(pa.concat_tables(frames[i : i + 7])) for i in range(0, len(frames), 7)]
    assert_same(pa.concat_tables([*tables, finisher.flush()]), finish(raw, DEFAULT))


def test_centred_rows_come_after_radius_and_gap_and_causal_ones_at_once():
    raw = raw_table([face(i) for i in range(200)])
    centred, causal = StreamingFinisher(RAW, DEFAULT), StreamingFinisher(RAW, CAUSAL)
    delays_s = []
    for number, frame in enumerate(frames_of(raw)):
        assert causal.push(frame)["frame"].to_pylist() == [number]
        delays_s += [(number - done) * 0.04 for done in centred.push(frame)["frame"].to_pylist()]
    assert min(delays_s) > 50 / 30 + 1.0
    assert max(delays_s) <= 50 / 30 + 1.0 + 0.04 + 0.25 + 0.04
    assert len(causal.flush()) == 0


def test_a_young_track_is_shown_at_once_in_a_causal_stream():
    finisher = StreamingFinisher(RAW, CAUSAL)
    assert finisher.push(raw_table([blank(0)]))["status"].to_pylist() == ["no_face"]
    assert finisher.push(raw_table([face(1, track=3)]))["track_id"].to_pylist() == [3]


def test_what_is_held_does_not_grow():
    finisher = StreamingFinisher(RAW, DEFAULT)
    held = []
    for frame in frames_of(raw_table([face(i) for i in range(1500)])):
        finisher.push(frame)
        held.append(len(finisher._frames) + len(finisher._rows) + len(finisher._pending))
    assert max(held[500:]) <= max(held[:500])


def test_nothing_gives_nothing_and_one_frame_its_row():
    assert_same(StreamingFinisher(RAW, DEFAULT).flush(), finish(RAW.empty_table(), DEFAULT))
    finisher = StreamingFinisher(RAW, DEFAULT)
    assert len(finisher.push(RAW.empty_table())) == 0
    assert len(finisher.push(raw_table([face(0)]))) == 0
    assert finisher.flush()["status"].to_pylist() == ["observed"]
    assert len(finisher.flush()) == 0


def test_independent_images_pass_through():
    finisher = StreamingFinisher(raw_schema(FERPLUS_8, with_source=True), DEFAULT)
    rows = raw_table([{**face(0, track=None), "time_s": None, "source": "a.jpg"}], with_source=True)
    assert finisher.push(rows)["source"].to_pylist() == ["a.jpg"]
    assert len(finisher.flush()) == 0


@pytest.mark.parametrize("late", [face(4), face(9, time_s=0.1)])
def test_frames_must_come_in_order(late):
    finisher = StreamingFinisher(RAW, DEFAULT)
    finisher.push(raw_table([face(5)]))
    with pytest.raises(ShapeError, match=r"frame [49] at .* came after frame 5 at 0\.2 s; frames must come in order"):
        finisher.push(raw_table([late]))
