from __future__ import annotations

import numpy as np
import pytest
from finished_results import images, one_face, two_faces_with_gaps
from result_tables import face_row, long_table, table_of

from affectline.report.cards import card_of
from affectline.report.columns import columns_of
from affectline.report.figures import ORIGIN_MS, charts_of, resolved
from affectline.report.series import action_units_in, expressions_in, make_grid, split_tracks
from affectline.report.themes import DARK, LIGHT, Theme


def parts(table, cells=6000):
    grid = make_grid(table, cells)
    track = max(split_tracks(table, grid, 8)[0], key=lambda track: len(track.rows))
    return track, expressions_in(table), action_units_in(table)


@pytest.mark.parametrize("table", [one_face(50), one_face(1), two_faces_with_gaps(100), images(["a", "b"])])
def test_every_word_that_stands_for_something_is_resolved(table):
    track, expressions, units = parts(table)
    columns = columns_of(track, expressions, units)
    charts = charts_of(track, expressions, units)
    assert [chart.name for chart in charts] == ["affect", "expressions", "units", "plane"]
    for chart in charts:
        text = repr(resolved([chart.traces, chart.layout], columns, LIGHT))
        assert "'$" not in text
        assert "'@" not in text


def test_times_are_no_numbers_that_plotly_takes_for_years():
    track, expressions, units = parts(one_face(100))
    x = columns_of(track, expressions, units)["x"]
    assert x[0] == ORIGIN_MS + 20
    assert np.log10(x).min() > 11


def test_each_value_fills_its_cell_from_edge_to_edge():
    track, expressions, units = parts(held())
    columns = columns_of(track, expressions, units)
    seconds = (columns["steps"] - ORIGIN_MS) / 1000
    assert seconds == pytest.approx([0, 0.1, 0.1, 0.2, 0.2, 3.2, 3.2, 3.3], abs=1e-3)
    assert (np.diff(seconds) > 0).all()
    chart = next(chart for chart in charts_of(track, expressions, units) if chart.name == "expressions")
    happiness = resolved(next(trace for trace in chart.traces if trace["name"] == "Happiness"), columns, LIGHT)
    assert happiness["x"] is columns["steps"]
    assert happiness["y"] == pytest.approx(np.repeat([0.1, 0.2, 0.3, 0.4], 2))


def test_where_a_picture_is_held_lines_are_steps():
    track, expressions, units = parts(held())
    columns = columns_of(track, expressions, units)
    assert valence_of(charts_of(track, expressions, units), columns)["y"] == pytest.approx(
        np.repeat([0, 0.2, 0.4, 0.6], 2)
    )
    track, expressions, units = parts(one_face(10))
    columns = columns_of(track, expressions, units)
    line = valence_of(charts_of(track, expressions, units), columns)
    assert line["x"] is columns["x"]
    assert line["y"] is columns["valence"]


def held():
    """Return four pictures of 0.1 s, the third of which is held for 3 s."""
    times = [0.0, 0.1, 0.2, 3.2]
    return table_of([face_row(n, time_s=t, valence=n / 5, p_happiness=(n + 1) / 10) for n, t in enumerate(times)])


def valence_of(charts, columns):
    return resolved(next(trace for trace in charts[0].traces if trace.get("name") == "valence"), columns, LIGHT)


def test_reduced_series_keep_their_extremes():
    table = long_table(3000)
    track, expressions, units = parts(table, cells=100)
    columns = columns_of(track, expressions, units)
    values = table["arousal"].to_numpy()
    assert len(columns["arousal"]) <= 100
    assert columns["arousal_high"].max() == values.max()
    assert columns["arousal_low"].min() == values.min()


def test_gaps_and_low_quality_are_veiled_where_they_are():
    charts = charts_of(*parts(two_faces_with_gaps(200)))
    veils = {trace["name"]: trace for trace in charts[0].traces if trace.get("fill") == "toself"}
    seconds = {name: [None if x is None else (x - ORIGIN_MS) / 1000 for x in t["x"]] for name, t in veils.items()}
    assert seconds["low quality"] == pytest.approx([1.6, 2.4, 2.4, 1.6, None])
    assert seconds["no observed face"][:2] == pytest.approx([3.2, 3.6])  # interpolated
    assert seconds["no observed face"][5:7] == pytest.approx([4.0, 4.8])  # not there


def test_cards_say_what_the_rows_say():
    track, _, units = parts(two_faces_with_gaps(200))
    card = card_of(track, units)
    assert card.frames == 200
    assert card.observed == pytest.approx(130 / 200)
    assert {status.value: count for status, count in card.statuses.items()} == {
        "observed": 130,
        "low_quality": 20,
        "interpolated": 10,
        "no_face": 40,
    }
    assert sum(share for _, share in card.shares) == pytest.approx(1)
    assert card.valence == pytest.approx(np.nanmean(track.rows["valence"].to_numpy()), abs=1e-6)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
class TestContrast:
    def test_text(self, theme: Theme):
        for ground in (theme.ground, theme.panel):
            for ink in (theme.ink, theme.muted, theme.accent):
                assert contrast(ink, ground) >= 4.5, (ink, ground)
        assert contrast(theme.on_accent, theme.accent) >= 4.5

    def test_lines(self, theme: Theme):
        assert contrast(theme.valence, theme.panel) >= 3
        assert contrast(theme.arousal, theme.panel) >= 3


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast of two colours such as `#aabbcc`."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)
