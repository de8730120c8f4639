"""What a timeline looks like in a notebook."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest
from finished_results import HOSTILE_NAME, images, nobody, one_face, two_faces_with_gaps

from affectline.errors import MissingExtraError, UnknownNameError
from affectline.labels import FERPLUS_8
from affectline.report.themes import LIGHT
from affectline.timeline import Timeline
from raw_tables import provenance


def timeline(table, **changes) -> Timeline:
    return Timeline(table, provenance(expressions=FERPLUS_8, **changes))


class TestCard:
    def test_it_has_a_line_for_each_track_with_its_means(self):
        html = timeline(two_faces_with_gaps(200))._repr_html_()
        rows = re.findall(r"<tr>(.*?)</tr>", html)
        assert len(rows) == 3
        assert re.sub("<[^>]+>", "|", rows[1]).count("|65%|") == 1
        assert "Neutral 50%" in rows[1]
        assert "VA zero-shot" in html

    def test_words_are_escaped(self):
        html = timeline(one_face(10), input=HOSTILE_NAME)._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;" in html

    def test_the_curve_is_drawing_and_nothing_else(self):
        html = timeline(two_faces_with_gaps(200))._repr_html_()
        svg = ET.fromstring(re.search(r"<svg viewBox=.0 0 240.*?</svg>", html)[0])  # noqa: S314 - our own
        curves = [part for part in svg if part.tag == "polyline"]
        paper = next(part for part in svg if part.tag == "rect")
        assert paper.get("fill") == LIGHT.panel  # the curves' colours are read on that, in a dark notebook too
        assert len(curves) == 4  # valence and arousal, before the gap and behind it

    def test_nobody(self):
        assert "no face found" in timeline(nobody())._repr_html_()

    def test_a_single_row(self):
        assert "<circle" in timeline(one_face(1))._repr_html_()


class TestPlot:
    def test_it_is_a_matplotlib_figure_that_shows_itself(self):
        figure = timeline(one_face(50)).plot()
        assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
        assert next(text.get_text() for text in figure.texts) == "clip ä.mp4"


class TestInteractivePlot:
    def test_it_holds_the_scores_of_the_largest_track(self):
        figure = timeline(two_faces_with_gaps(200)).iplot()
        assert figure.layout.title.text == "clip ä.mp4, Track 1"
        [valence] = [trace for trace in figure.data if trace.name == "valence"]
        assert valence.y[50] == pytest.approx(1.6 * 50 / 199 - 0.8, abs=1e-6)
        assert {trace.name for trace in figure.data} >= {"Neutral", "Happiness", "low quality", "no observed face"}
        assert sum(trace.type == "heatmap" for trace in figure.data) == 12

    def test_a_track_is_chosen_by_its_number(self):
        figure = timeline(two_faces_with_gaps(200)).iplot(track_id=4)
        assert figure.layout.title.text == "clip ä.mp4, Track 4"
        with pytest.raises(UnknownNameError, match="no track 3; tracks: 1, 4"):
            timeline(two_faces_with_gaps(200)).iplot(track_id=3)

    def test_the_plane_keeps_its_shape(self):
        figure = timeline(one_face(20)).iplot()
        plane = figure.get_subplot(1, 2)
        assert plane.yaxis.scaleanchor == plane.yaxis.anchor

    @pytest.mark.parametrize("table", [nobody(), images(["a.jpg", "b.jpg"]), one_face(1)])
    def test_other_results(self, table):
        assert timeline(table).iplot().to_json()

    def test_a_name_is_text(self):
        title = timeline(one_face(5), input="<a href='x'>.mp4").iplot().layout.title.text
        assert title == "&lt;a href='x'&gt;.mp4, Track 1"

    def test_without_plotly_the_error_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "plotly.subplots", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'affectline\[report\]'`, or use plot\(\)"):
            timeline(one_face(5)).iplot()
