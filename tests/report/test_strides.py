"""What pictures and words of an analysis with a stride or a cascade say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from finished_results import write_result
from result_tables import face_row, table_of

from affectline import jobs
from affectline.postprocess.finish import finish
from affectline.provenance import CascadeRecord
from affectline.report.notebook import caption_of
from affectline.report.page import write_report
from affectline.report.page.facts import settings
from affectline.report.strides import with_strides_seen
from affectline.timeline import Timeline
from raw_tables import UNSMOOTHED, blank, face, provenance, raw_table

STRIDE_S = 0.12
"""Three frames of 0.04 s."""


def statuses(table: pa.Table, track: int = 1) -> list[str]:
    pairs = zip(table["track_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    return [status for number, status in pairs if number == track]


def result(seen: dict[int, list[dict[str, object]]], n_frames: int) -> pa.Table:
    rows = [row for number in range(n_frames) for row in seen.get(number, [blank(number)])]
    return finish(raw_table(rows), replace(UNSMOOTHED, stride_s=STRIDE_S))


def test_rows_between_two_looks_are_drawn_as_seen() -> None:
    table = result({number: [face(number)] for number in (0, 3, 6)}, 7)
    assert statuses(table) == ["observed", "interpolated", "interpolated"] * 2 + ["observed"]
    drawn = with_strides_seen(table, STRIDE_S)
    assert statuses(drawn) == ["observed"] * 7
    assert drawn.drop_columns("status") == table.drop_columns("status")


def test_a_longer_gap_is_a_gap() -> None:
    table = result({number: [face(number)] for number in (0, 3, 9)}, 10)
    assert statuses(with_strides_seen(table, STRIDE_S)) == ["observed"] * 4 + ["interpolated"] * 5 + ["observed"]


def test_between_low_quality_rows_quality_is_low() -> None:
    low = {"status": "low_quality", "quality": 0.1}
    table = result({0: [face(0, **low)], 3: [face(3, **low)], 6: [face(6)]}, 7)
    assert statuses(with_strides_seen(table, STRIDE_S)) == ["low_quality"] * 4 + ["observed"] * 3


def test_each_track_counts_for_itself() -> None:
    seen = {0: [face(0), face(0, 2)], 3: [face(3)], 6: [face(6)], 9: [face(9), face(9, 2)]}
    drawn = with_strides_seen(result(seen, 10), STRIDE_S)
    assert statuses(drawn) == ["observed"] * 10
    assert statuses(drawn, 2) == ["observed", *["interpolated"] * 8, "observed"]
    assert drawn["frame"].to_pylist() == sorted(drawn["frame"].to_pylist())


def test_without_a_stride_nothing_changes() -> None:
    table = result({number: [face(number)] for number in (0, 3, 6)}, 7)
    assert with_strides_seen(table, None) is table


def test_a_timeline_keeps_its_rows_and_lends_others_to_pictures() -> None:
    timeline = Timeline(result({number: [face(number)] for number in (0, 3, 6)}, 7), provenance(stride_s=STRIDE_S))
    assert statuses(timeline.table).count("interpolated") == 4
    assert statuses(timeline.drawn_table) == ["observed"] * 7
    assert statuses(Timeline(timeline.table, provenance()).drawn_table).count("interpolated") == 4


def test_an_annotated_video_shows_what_the_picture_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[pa.Table] = []
    monkeypatch.setattr(jobs, "annotate_video", lambda _video, table, _out, _advance: shown.append(table))
    timeline = Timeline(result({number: [face(number)] for number in (0, 3, 6)}, 7), provenance(stride_s=STRIDE_S))
    jobs.draw_video(timeline, tmp_path, tmp_path / "clip.mp4", Silent())
    assert [statuses(table) for table in shown] == [["observed"] * 7]


class Silent:
    def begin(self, name: str) -> None: ...

    def advance(self, stage: str, done: int, total: int | None) -> None: ...

    def finish(self, result: jobs.JobResult) -> None: ...


def test_cards_and_moments_of_the_report_count_what_was_looked_at(tmp_path: Path) -> None:
    # Happiness grows between two looks and falls again: the rows next to the third look are the next strongest.
    rows = [
        face_row(
            number,
            status="observed" if number % 10 == 0 else "interpolated",
            **{"p_happiness": 0.9 - abs(number - 30) / 100, "p_neutral": 0.1 + abs(number - 30) / 100},
        )
        for number in range(101)
    ]
    page = write_report(write_result(tmp_path / "out", table_of(rows), stride_s=0.4)).read_text()
    assert [float(at) * 25 for at in re.findall(r'data-at="([^"]+)"', page)] == pytest.approx([30, 0, 60])
    card = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page[page.index("Frames observed") :]))
    assert card.startswith("Frames observed 11 % 89 % filled in between")
    assert '"name":"no observed face"' not in page  # the charts do not hatch what was planned


def test_the_stride_stands_under_the_picture_and_in_the_report() -> None:
    assert "networks run once in 0.12 s" in caption_of(provenance(stride_s=STRIDE_S))
    assert "networks run" not in caption_of(provenance())
    rows = dict(settings(provenance(stride_s=STRIDE_S)))
    assert rows["Networks run"] == "once in 0.12 s, rows between are interpolated"


def test_the_report_says_how_often_a_cascade_asked() -> None:
    rows = dict(settings(provenance(cascade=CascadeRecord("teacher", 0.75), asked_faces=12)))
    assert rows["Asked when unsure"] == "teacher, below 75 %: 12 faces"
    assert "Asked when unsure" not in dict(settings(provenance()))
