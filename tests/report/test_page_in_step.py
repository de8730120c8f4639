"""Charts, slider and video of a page are at one time, also with a part of the video, uneven times or few points."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from finished_results import moving_row, nobody, one_face, write_result
from opened_reports import boxes_of, place_on, ready, settled, time_of
from PIL import Image
from result_tables import table_of

import clips
from affectline.labels import Expression
from affectline.report.colours import EXPRESSION_RGB, RGB
from affectline.report.page import write_report
from affectline.video import Sampling
from browser import PHONE, Visit, Visitor, visitor

if TYPE_CHECKING:
    import pyarrow as pa
    from playwright.sync_api import Browser

FIRST, END = 100, 150
"""Of 200 frames at 25 a second: from 4 s to 6 s."""

HELD_TIMES = [Fraction(n, 25) for n in [*range(51), *range(150, 200)]]

PICTURE_IN_VIDEO = """() => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const side = (length) => [1, 3, 5, 7].map((eighth) => Math.floor((eighth * length) / 8));
  return side(canvas.height).map((y) => side(canvas.width).map((x) => context.getImageData(x, y, 1, 1).data[0]));
}"""


def write_clip(path: Path, times: Sequence[Fraction], tick: Fraction = Fraction(1, 25)) -> Path:
    return clips.write(path, times, tick=tick, size=(320, 240)).path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of eight seconds."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", [Fraction(n, 25) for n in range(200)])


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory, clip: Path, chromium: Browser) -> Iterator[Visit]:
    """The report of two of those seconds."""
    folder = tmp_path_factory.mktemp("part")
    rows = [moving_row(n, of=200) for n in range(FIRST, END)]
    write_result(folder, table_of(rows), duration_s=8.0, sampling=Sampling(start_s=4.0, end_s=6.0))
    with visitor(chromium) as visit:
        yield ready(visit(write_report(folder, video=clip).as_uri()))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Visit]:
    """The report of a picture that is held from 2 s to 6 s, and with which sadness turns to happiness."""
    folder = write_result(tmp_path_factory.mktemp("held"), turning(HELD_TIMES, 2.0))
    with visitor(chromium) as visit:
        yield ready(visit(write_report(folder).as_uri()))


class TestPartOfAVideo:
    def test_it_opens_on_the_first_picture_that_was_analysed(self, part: Visit) -> None:
        settled(part)
        assert time_of(part) == pytest.approx(4.001, abs=1e-3)
        assert boxes_of(part) == 1
        assert part.page.locator("#clock").text_content() == "0:04.0"

    @pytest.mark.parametrize("time_s", [1.5, 7.5])
    def test_outside_of_it_nothing_is_shown_and_that_is_said(self, part: Visit, time_s: float) -> None:
        part.page.evaluate(f"video.currentTime = {time_s}")
        part.wait_until("document.querySelector('#now-word').textContent === 'not analysed'")
        assert boxes_of(part) == 0
        assert part.page.locator("#now-valence").text_content() == "\N{EN DASH}"
        assert part.page.locator("#now-status").text_content() == "analysed: 0:04.0 \N{EN DASH} 0:06.0"
        told = part.page.get_by_role("status").filter(
            has_text="This part was not analysed; what was goes from 0:04.0 to 0:06.0."
        )
        assert told.count() == 1
        spoken = part.page.locator("#slider").get_attribute("aria-valuetext")
        assert spoken == f"0:0{time_s}, not analysed"
        assert part.page.locator("#affect .cursor").is_hidden()
        assert part.page.locator("#plane .dot-cursor").is_hidden()
        part.page.mouse.click(*place_on(part, "affect", 0.5))
        settled(part)
        assert time_of(part) == pytest.approx(5, abs=0.05)
        assert boxes_of(part) == 1
        assert told.count() == 0

    def test_the_right_edge_of_a_chart_is_the_last_picture(self, part: Visit) -> None:
        part.page.evaluate("page.seek(last)")
        settled(part)
        assert part.page.locator("#now-word").text_content() == "Neutral"
        assert picture_in(part) == END - 1

    def test_without_a_face_it_opens_there_too(self, tmp_path: Path, clip: Path, visit: Visitor) -> None:
        table = nobody(END).slice(FIRST)
        write_result(tmp_path, table, duration_s=8.0, sampling=Sampling(start_s=4.0, end_s=6.0))
        shown = ready(visit(write_report(tmp_path, video=clip).as_uri()))
        shown.wait_until("Math.abs(document.querySelector('video').currentTime - 4.001) < 1e-3")


def test_times_below_narrow_charts_lie_level(tmp_path: Path, visit: Visitor) -> None:
    table = table_of([moving_row(n, of=200) for n in range(50, 125)])
    shown = ready(visit(write_report(write_result(tmp_path, table)).as_uri(), size=PHONE))
    turns = shown.page.locator("#affect .xtick text").evaluate_all(
        "labels => labels.map((l) => l.getAttribute('transform'))"
    )
    assert len(turns) >= 2
    assert not [turn for turn in turns if turn and "rotate" in turn]


def test_the_last_picture_keeps_its_box_while_the_sound_goes_on(tmp_path: Path, clip: Path, visit: Visitor) -> None:
    write_result(tmp_path, one_face(200), duration_s=8.0)
    shown = ready(visit(write_report(tmp_path, video=clip).as_uri()))
    shown.page.evaluate("page.show(last + 1)")
    assert boxes_of(shown) == 1
    assert shown.page.locator("#now-word").text_content() == "Happiness"


class TestSlider:
    @pytest.mark.parametrize(
        "times",
        [
            [Fraction(-(-n * 25 // 10), 25) for n in range(40)],
            [Fraction(round(Fraction(n * 1000, 30)), 1000) for n in range(60)],
            [Fraction(n * n % 7 + 7 * n, 100) for n in range(40)],
        ],
        ids=["10 of 25 frames a second", "whole milliseconds", "variable rate"],
    )
    def test_arrow_keys_reach_each_row(self, tmp_path: Path, visit: Visitor, times: list[Fraction]) -> None:
        shown = self.opened(tmp_path, visit, uneven(times))
        assert self.cells_by_key(shown, "ArrowRight", len(times) - 1) == list(range(1, len(times)))
        assert self.cells_by_key(shown, "ArrowLeft", 5) == list(range(len(times) - 2, len(times) - 7, -1))
        shown.page.keyboard.press("Home")
        shown.page.keyboard.press("ArrowRight")
        spoken = shown.page.locator("#slider").get_attribute("aria-valuetext") or ""
        assert spoken == shown.page.evaluate("clock(edges[1])") + ", Sadness"

    def test_of_a_reduced_page_they_reach_each_point(
        self, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("affectline.report.page.write.MAX_CELLS", 30)
        shown = self.opened(tmp_path, visit, one_face(200))
        assert self.cells_by_key(shown, "ArrowRight", 29) == list(range(1, 30))

    def test_the_picture_is_that_of_the_row(self, tmp_path: Path, visit: Visitor) -> None:
        times = [Fraction(round(Fraction(n * 1000, 30)), 1000) for n in range(30)]
        video = write_clip(tmp_path / "clip.mp4", times, tick=Fraction(1, 1000))
        shown = self.opened(tmp_path, visit, uneven(times), video)
        settled(shown)
        for cell in range(1, 8):
            shown.page.keyboard.press("ArrowRight")
            settled(shown)
            shown.page.wait_for_timeout(60)  # until the picture is there
            assert (shown.page.evaluate("cellAt(page.time)"), picture_in(shown)) == (cell, cell)

    def opened(self, folder: Path, visit: Visitor, table: pa.Table, video: Path | None = None) -> Visit:
        shown = ready(visit(write_report(write_result(folder / "out", table), video=video).as_uri()))
        shown.page.locator("#slider").focus()
        return shown

    def cells_by_key(self, shown: Visit, key: str, times: int) -> list[int]:
        found = []
        for _ in range(times):
            shown.page.keyboard.press(key)
            found.append(int(shown.page.evaluate("cellAt(page.time)")))
        return found


class TestHeldPicture:
    def test_colours_change_where_the_picture_does(self, held: Visit) -> None:
        seen = {second: colour_at(held, second / 8) for second in (0.5, 1.95, 2.05, 2.9, 4.5, 5.9, 7.9)}
        sad, happy = EXPRESSION_RGB[Expression.SADNESS], EXPRESSION_RGB[Expression.HAPPINESS]
        assert seen == {0.5: sad, 1.95: sad, 2.05: happy, 2.9: happy, 4.5: happy, 5.9: happy, 7.9: happy}

    @pytest.mark.parametrize(
        ("second", "expression", "valence"),
        [(1.9, "Sadness : 100%", "-0.80"), (2.1, "Happiness : 100%", "+0.80"), (4.1, "Happiness : 100%", "+0.80")],
    )
    def test_the_pointer_reads_what_is_under_it(
        self, held: Visit, second: float, expression: str, valence: str
    ) -> None:
        assert expression in hover_text(held, "expressions", second / 8)
        assert f"valence : {valence}" in hover_text(held, "affect", second / 8)

    def test_a_reduced_page_does_so_too(self, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("affectline.report.page.write.MAX_CELLS", 40)
        shown = ready(visit(write_report(write_result(tmp_path, turning(HELD_TIMES, 2.0))).as_uri()))
        assert shown.page.evaluate("data.isBinned")
        sad, happy = EXPRESSION_RGB[Expression.SADNESS], EXPRESSION_RGB[Expression.HAPPINESS]
        assert [colour_at(shown, second / 8) for second in (1.9, 2.1, 2.9, 4.0)] == [sad, happy, happy, happy]
        assert "Happiness : 100%" in hover_text(shown, "expressions", 2.9 / 8)


class TestWords:
    def test_a_box_that_would_lag_behind_is_not_offered(self, tmp_path: Path, clip: Path, visit: Visitor) -> None:
        table = uneven([Fraction(n, 2) for n in range(16)])
        page = write_report(write_result(tmp_path / "out", table, duration_s=8.0), video=clip)
        shown = ready(visit(page.as_uri()))
        assert shown.page.get_by_text("Outline the faces").count() == 0
        assert "Faces are not outlined: the points of the charts are 0.50 s apart" in shown.page.inner_text(".charts")
        assert shown.complaints == []

    def test_where_faces_are_outlined_nothing_is_said(self, tmp_path: Path, clip: Path) -> None:
        text = write_report(write_result(tmp_path / "out", one_face(200), duration_s=8.0), video=clip).read_text()
        assert "Outline the faces" in text
        assert "not outlined" not in text

    def test_charts_alone_say_nothing_of_boxes(self, tmp_path: Path) -> None:
        table = uneven([Fraction(n, 2) for n in range(16)])
        assert "not outlined" not in write_report(write_result(tmp_path / "out", table)).read_text()

    def test_a_reduced_chart_is_described_by_its_rows(
        self, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("affectline.report.page.write.MAX_CELLS", 20)
        # Most rows lie in the first second, so that the mean of the points is not that of the rows.
        times = [Fraction(n, 100) for n in range(100)] + [Fraction(n) for n in range(1, 10)]
        values = {20: 1.0, 70: -1.0} | dict.fromkeys(range(100, 109), 0.5)
        rows = [
            moving_row(n, of=109) | {"time_s": float(time_s), "valence": values.get(n, 0.0)}
            for n, time_s in enumerate(times)
        ]
        shown = ready(visit(write_report(write_result(tmp_path, table_of(rows))).as_uri()))
        described = shown.page.locator("#affect").get_attribute("aria-label") or ""
        assert "valence from \N{MINUS SIGN}1.00 to +1.00, mean +0.04" in described


def uneven(times: Sequence[Fraction]) -> pa.Table:
    """Return one face at these times."""
    return table_of([moving_row(n, of=len(times)) | {"time_s": float(time_s)} for n, time_s in enumerate(times)])


def turning(times: Sequence[Fraction], turns_s: float) -> pa.Table:
    """Return a face that is sad and then, from a time on, happy."""
    rows = []
    for number, time_s in enumerate(map(float, times)):
        label = Expression.SADNESS if time_s < turns_s else Expression.HAPPINESS
        row = moving_row(number, of=len(times)) | {each.column: float(each is label) for each in Expression}
        valence = -0.8 if label is Expression.SADNESS else 0.8
        rows.append(row | {"time_s": time_s, "expression": label.value, "valence": valence})
    return table_of(rows)


def picture_in(shown: Visit) -> int:
    """Return the number of the picture that the video shows."""
    levels = np.asarray(shown.page.evaluate(PICTURE_IN_VIDEO), np.uint8)
    return clips.number_in(np.repeat(levels[:, :, None], 3, axis=2))


def colour_at(shown: Visit, share: float) -> RGB:
    """Return the colour of the expressions' chart at half of its height."""
    x, y = place_on(shown, "expressions", share)
    shown.page.mouse.move(0, 0)  # what the pointer reads would lie over it
    shown.wait_until("!document.querySelector('#expressions .hoverlayer text')")
    data = shown.page.screenshot(clip={"x": x, "y": y - 20, "width": 1, "height": 1})
    red, green, blue = Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))
    return red, green, blue


def hover_text(shown: Visit, chart: str, share: float) -> str:
    """Return what the pointer reads on a chart."""
    shown.page.mouse.move(0, 0)
    shown.wait_until(f"!document.querySelector('#{chart} .hoverlayer text')")
    shown.page.mouse.move(*place_on(shown, chart, share))
    shown.page.wait_for_selector(f"#{chart} .hoverlayer text", state="attached")
    return "\n".join(shown.page.locator(f"#{chart} .hoverlayer text").all_text_contents())
