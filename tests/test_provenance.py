from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.errors import InputError
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.labels import AFFECTNET_7, ActionUnit, Status
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import finish
from affectline.postprocess.smoothing import Smoothing
from affectline.provenance import Provenance, Summary, summarise
from raw_tables import THRESHOLDS, UNSMOOTHED, blank, face, provenance, raw_table


def test_round_trip():
    record = provenance(thresholds=Thresholds(AU_THRESHOLDS))
    assert Provenance.from_json(record.to_json()) == record


@given(
    name=st.text(),
    duration_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    size=st.none() | st.integers(),
    radius_s=st.floats(0, 1e6),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
)
def test_round_trip_is_exact(name, duration_s, size, radius_s, threshold):
    limits = Thresholds({**THRESHOLDS.action_units, ActionUnit.AU6: threshold})
    record = provenance(
        input=name,
        duration_s=duration_s,
        size_bytes=size,
        container_frames=None,
        problem=name,
        detector=None,
        expressions=AFFECTNET_7,
        smoothing=Smoothing(va_s=radius_s, mode="causal"),
        thresholds=limits,
        models=(),
    )
    assert Provenance.from_json(record.to_json()) == record


def test_keys_are_flat_and_words_are_those_of_the_contract():
    fields = json.loads(provenance().to_json())
    assert fields["input"] == "clip ä.mp4"
    assert fields["heads"] == [{"task": "VA", "head": "zero-shot", "source": "norms of emotion words"}]
    assert fields["expressions"][:2] == ["Neutral", "Happiness"]
    assert fields["action_units"][-1] == "AU26"
    assert fields["thresholds"]["action_units"]["AU12"] == 0.5
    assert fields["thresholds"]["uncertain_margin"] == 0.1
    assert fields["smoothing"] == {"va_s": 25 / 30, "expr_s": 50 / 30, "au_s": 0.2, "mode": "centred"}
    assert fields["sampling"] == {"every": 1, "fps": 12.5, "start_s": 1.0, "end_s": None}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("decoded_frames", "96", "the provenance, decoded_frames: expected a whole number"),
        ("expressions", ["Joy"], "the provenance, expressions: expected one of Anger, Contempt"),
        ("heads", [{"task": "VA", "head": "magic", "source": ""}], "expected one of pretrained, zero-shot, trained"),
        ("thresholds", {"action_units": {"AU1": 0.5}, "uncertain_margin": 0.1}, "none was given for AU2, AU4"),
    ],
)
def test_wrong_values_are_named(key, value, expected):
    fields = {**json.loads(provenance().to_json()), key: value}
    with pytest.raises(InputError, match=expected):
        Provenance.from_json(json.dumps(fields))


def test_summary_counts_rows_and_averages_tracks():
    rows = [face(0, valence=0.2, au12=0.6), face(1, valence=0.6, p_neutral=0.0, p_fear=1.0, au12=0.3), blank(2)]
    rows += [face(3, valence=1.0, au12=0.9), face(5, track=4, arousal=-0.5), face(6, track=4, au04=None, arousal=None)]
    rows += [face(7, track=4, p_neutral=0.5, p_anger=0.5, arousal=-1.0), blank(9, status="error")]
    summary = summarise(finish(raw_table(rows), UNSMOOTHED), provenance())
    assert summary.rows == {
        Status.OBSERVED: 6,
        Status.LOW_QUALITY: 0,
        Status.INTERPOLATED: 1,
        Status.NO_FACE: 0,
        Status.ERROR: 1,
    }
    first, second = summary.tracks
    assert (first.track_id, first.rows, first.first_time_s, first.last_time_s) == (1, 4, 0.0, 0.12)
    assert first.valence == pytest.approx((0.2 + 0.6 + 0.8 + 1.0) / 4, abs=1e-6)
    assert first.action_units[ActionUnit.AU12] == pytest.approx((0.6 + 0.3 + 0.6 + 0.9) / 4, abs=1e-6)
    assert first.expressions == {"Fear": 0.25, "Neutral": 0.5, "uncertain": 0.25}
    assert (second.track_id, second.arousal) == (4, -0.75)
    assert second.expressions == {
        "Neutral": pytest.approx(2 / 3, abs=1e-6),
        "uncertain": pytest.approx(1 / 3, abs=1e-6),
    }


def test_summary_of_no_faces_and_of_missing_scores():
    assert summarise(finish(raw_table([blank(0)]), UNSMOOTHED), provenance()).tracks == ()
    without_units = {unit.column: None for unit in ActionUnit}
    table = finish(raw_table([face(i, valence=None, **without_units) for i in range(3)]), UNSMOOTHED)
    (track,) = summarise(table, provenance()).tracks
    assert track.valence is None
    assert set(track.action_units.values()) == {None}


def test_summary_round_trip_and_its_provenance():
    record = provenance(problem="cut short", is_complete=False)
    summary = summarise(finish(raw_table([face(i) for i in range(4)]), UNSMOOTHED), record)
    assert Summary.from_json(summary.to_json()) == summary
    assert Provenance.from_json(summary.to_json()) == record
    assert list(summary.to_fields())[-2:] == ["rows", "tracks"]
    with pytest.raises(InputError, match="the summary, rows: expected an object"):
        Summary.from_json(json.dumps({**summary.to_fields(), "rows": 3}))
    assert replace(summary, rows={}) != summary
