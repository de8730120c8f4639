"""The report as a person meets it: opened from disk in a real browser, with a video and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from finished_results import HOSTILE_NAME, images, nobody, one_face, two_faces_with_gaps, write_result
from opened_reports import LEFT, RIGHT, cursor_share, place_on, ready, settled, time_of, write_images

import clips
from affectline.report.page import write_report
from browser import PHONE, Visit, Visitor, visitor
from clips import Coding

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FRAMES, FPS = 200, 25


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a video of eight seconds with two faces and a name that attacks."""
    folder = tmp_path_factory.mktemp("two")
    clip = clips.write(
        folder / "clip.mp4",
        [clips.Fraction(n, FPS) for n in range(FRAMES)],
        tick=clips.Fraction(1, FPS),
        size=(320, 240),
    )
    write_result(folder / "out", two_faces_with_gaps(FRAMES), input=HOSTILE_NAME)
    return write_report(folder / "out", video=clip.path)


@pytest.fixture(scope="module")
def window(report: Path, chromium: Browser) -> Iterator[Visit]:
    """The report in a browser window, its video ready."""
    with visitor(chromium) as visit:
        yield ready(visit(report.as_uri()))


@pytest.fixture
def opened(window: Visit) -> Visit:
    """The report's window, at its beginning."""
    window.page.evaluate("page.select(0); page.showWhole(); page.seek(0)")
    settled(window)
    return window


class TestTogether:
    @pytest.mark.parametrize("chart", ["affect", "expressions", "units"])
    def test_a_click_on_a_chart_seeks_the_video(self, opened: Visit, chart: str) -> None:
        opened.page.mouse.click(*place_on(opened, chart, 0.25))
        settled(opened)
        assert time_of(opened) == pytest.approx(0.25 * FRAMES / FPS, abs=0.05)
        for other in ("affect", "expressions", "units"):
            assert cursor_share(opened, other) == pytest.approx(0.25, abs=0.01)
        assert opened.page.locator("#clock").text_content() == "0:02.0"

    def test_a_drag_takes_the_video_along(self, opened: Visit) -> None:
        opened.page.mouse.move(*place_on(opened, "affect", 0.1))
        opened.page.mouse.down()
        opened.page.mouse.move(*place_on(opened, "affect", 0.3), steps=4)
        opened.page.mouse.move(*place_on(opened, "affect", 0.75), steps=8)
        opened.page.mouse.up()
        opened.wait_until("Math.abs(document.querySelector('video').currentTime - 6) < 0.06")
        opened.page.mouse.move(*place_on(opened, "affect", 0.2))
        assert cursor_share(opened) == pytest.approx(0.75, abs=0.01)

    def test_a_click_on_the_plane_goes_to_the_nearest_moment(self, opened: Visit) -> None:
        box = opened.page.locator("#plane").bounding_box()
        assert box is not None
        opened.page.mouse.click(box["x"] + 30, box["y"] + box["height"] / 2)
        settled(opened)
        assert time_of(opened) == pytest.approx(0, abs=0.05)  # where valence is -0.8
        assert opened.page.locator("#now-valence").text_content() == "\N{MINUS SIGN}0.80"

    def test_playing_moves_the_cursors(self, opened: Visit) -> None:
        opened.page.evaluate("document.querySelector('video').play()")
        opened.wait_until("document.querySelector('video').currentTime > 0.5")
        opened.page.evaluate("document.querySelector('video').pause()")
        opened.page.wait_for_timeout(100)
        now = time_of(opened) / (FRAMES / FPS)
        assert cursor_share(opened, "affect") == pytest.approx(now, abs=0.02)
        assert cursor_share(opened, "units") == pytest.approx(now, abs=0.02)
        dot = opened.page.locator("#plane .dot-cursor").bounding_box()
        plane = opened.page.locator("#plane").bounding_box()
        assert dot is not None
        assert plane is not None
        assert 0 < dot["x"] + 8 - plane["x"] < plane["width"]

    def test_the_video_leads_where_it_is_sought(self, opened: Visit) -> None:
        opened.page.evaluate("document.querySelector('video').currentTime = 4")
        opened.wait_until("document.querySelector('#clock').textContent === '0:04.0'")
        assert cursor_share(opened) == pytest.approx(0.5, abs=0.01)

    def test_a_moment_is_a_button_that_goes_there(self, opened: Visit) -> None:
        moment = opened.page.locator(".moment:visible").first
        assert moment.locator("img").evaluate("image => image.naturalWidth") > 0
        moment.click()
        settled(opened)
        assert time_of(opened) == pytest.approx(float(moment.get_attribute("data-at") or -1), abs=0.05)

    def test_zoom_keeps_the_cursor_and_the_clicks_right(self, opened: Visit) -> None:
        opened.page.mouse.click(*place_on(opened, "affect", 0.5))
        opened.page.get_by_role("button", name="Zoom in").click()
        assert opened.page.locator("#view").text_content() == "0:02.0 \N{EN DASH} 0:06.0"
        opened.page.mouse.click(*place_on(opened, "affect", 0.75))
        settled(opened)
        assert time_of(opened) == pytest.approx(5, abs=0.05)
        assert cursor_share(opened) == pytest.approx(0.75, abs=0.01)
        opened.page.get_by_role("button", name="Whole").click()
        assert cursor_share(opened) == pytest.approx(5 / 8, abs=0.01)

    def test_the_drawn_charts_lie_under_the_cursor(self, opened: Visit) -> None:
        # Plotly itself is asked where it drew a time; nothing here repeats the page's arithmetic.
        drawn = opened.page.evaluate("document.querySelector('#affect .gd')._fullLayout.xaxis.c2p(data.origin + 6000)")
        box = opened.page.locator("#affect").bounding_box()
        assert box is not None
        assert drawn / (box["width"] - LEFT - RIGHT) == pytest.approx(0.75, abs=0.005)

    def test_every_tick_is_labelled(self, opened: Visit) -> None:
        labels = opened.page.locator("#expressions .ytick text")
        assert [label.text_content() for label in labels.all() if label.is_visible()] == ["0", "0.5", "1"]


class TestReading:
    def test_the_values_are_those_of_the_table(self, opened: Visit) -> None:
        opened.page.evaluate("page.seek(1)")  # frame 25 of 200
        assert opened.page.locator("#now-valence").text_content() == f"\N{MINUS SIGN}{0.8 - 1.6 * 25 / 199:.2f}"
        bars = opened.page.locator("#now-bars li").all_text_contents()
        assert "Neutral25 %" in bars
        assert "Sadness75 %" in bars

    def test_gaps_and_low_quality_are_said(self, opened: Visit) -> None:
        says = {}
        for second in (2.1, 3.3, 4.2):
            opened.page.evaluate(f"page.seek({second})")
            says[second] = (
                opened.page.locator("#now-word").text_content(),
                opened.page.locator("#now-status").text_content(),
            )
        assert says[2.1][1] == "low quality"
        assert says[3.3][1] == "interpolated"
        assert says[4.2] == ("no face", "")

    def test_tracks_are_chosen(self, opened: Visit) -> None:
        opened.page.evaluate("page.seek(3)")
        before = opened.page.locator("#now-valence").text_content()
        opened.page.get_by_role("radio", name=re.compile("Track 4")).check()
        assert opened.page.locator("#now-valence").text_content() != before
        assert opened.page.get_by_label("Summary of Track 4").is_visible()
        assert opened.page.get_by_label("Summary of Track 1").is_hidden()
        assert "Track 4" in (opened.page.locator("#affect").get_attribute("aria-label") or "")

    def test_keys_alone_reach_a_time(self, opened: Visit) -> None:
        opened.page.locator("#slider").focus()
        for _ in range(5):
            opened.page.keyboard.press("ArrowRight")
        settled(opened)
        assert time_of(opened) == pytest.approx(5 / FPS, abs=0.03)
        assert opened.page.locator("#slider").get_attribute("aria-valuetext") == "0:00.2, Sadness"

    def test_the_table_has_a_row_a_second(self, opened: Visit) -> None:
        opened.page.get_by_text("Read the values as a table").click()
        rows = opened.page.locator("#details tbody tr")
        rows.first.wait_for()
        assert rows.count() == 8
        assert rows.nth(1).locator("th").text_content() == "0:01.00"
        assert rows.nth(1).locator("td").nth(1).text_content() == "Sadness"

    def test_the_download_is_the_table_file(self, opened: Visit, report: Path) -> None:
        with opened.page.expect_download() as download:
            opened.page.get_by_role("button", name="Download the table (CSV)").click()
        assert Path(download.value.path()).read_bytes() == (report.parent / "timeline.csv").read_bytes()


class TestSafety:
    def test_it_says_nothing_bad_and_asks_nobody(self, opened: Visit) -> None:
        opened.page.mouse.click(*place_on(opened, "affect", 0.5))
        opened.page.locator("#theme").click()
        settled(opened)
        assert opened.complaints == []
        assert opened.foreign_requests() == []

    def test_a_hostile_name_is_text(self, opened: Visit) -> None:
        assert opened.page.locator("h1").text_content() == HOSTILE_NAME
        assert opened.page.title() == f"{HOSTILE_NAME} · affectline report"

    def test_the_policy_stops_other_scripts(self, report: Path, visit: Visitor) -> None:
        shown = ready(visit(report.as_uri()))
        shown.page.evaluate(
            """() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';
            document.head.append(script);
            const button = document.createElement('button'); button.setAttribute('onclick', 'window.ran = true');
            document.body.append(button); button.click(); }"""
        )
        assert shown.page.evaluate("window.ran === undefined")
        assert len([line for line in shown.complaints if "Content Security Policy" in line]) == 2


class TestAccess:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [(1280, 900), PHONE])
    def test_axe_finds_no_grave_fault(self, report: Path, visit: Visitor, scheme: str, size: tuple[int, int]) -> None:
        shown = ready(visit(report.as_uri(), size=size, scheme=scheme, bypass_csp=True))
        shown.page.get_by_text("Read the values as a table").click()
        assert shown.accessibility_faults() == []

    def test_a_phone_needs_no_sideways_scrolling(self, report: Path, visit: Visitor) -> None:
        shown = ready(visit(report.as_uri(), size=PHONE))
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]

    def test_the_theme_follows_the_system_until_it_is_chosen(self, report: Path, visit: Visitor) -> None:
        shown = ready(visit(report.as_uri(), scheme="dark"))
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = shown.page.evaluate(ground)
        shown.page.locator("#theme").click()
        assert shown.page.evaluate(ground) != dark


class TestOtherResults:
    def test_nobody(self, tmp_path: Path, visit: Visitor) -> None:
        clip = clips.write(
            tmp_path / "clip.mp4", [clips.Fraction(n, 25) for n in range(50)], tick=clips.Fraction(1, 25)
        )
        shown = ready(visit(write_report(write_result(tmp_path / "out", nobody()), video=clip.path).as_uri()))
        assert shown.page.get_by_role("heading", name="No face was found").is_visible()
        assert shown.page.locator("video").is_visible()
        assert shown.complaints == []

    def test_charts_alone(self, tmp_path: Path, visit: Visitor) -> None:
        shown = ready(visit(write_report(write_result(tmp_path / "out", one_face())).as_uri()))
        assert shown.page.locator("video").count() == 0
        shown.page.mouse.click(*place_on(shown, "expressions", 0.5))
        assert cursor_share(shown) == pytest.approx(0.5, abs=0.01)
        assert shown.page.locator("#now-word").text_content() == "Neutral"
        assert shown.complaints == []

    def test_images(self, tmp_path: Path, visit: Visitor) -> None:
        folder = tmp_path / "pictures"
        folder.mkdir()
        names = [f"{n}<b>.png" for n in range(5)]
        write_images(folder, names)
        result = write_result(tmp_path / "out", images(names, faces_each=2), input="pictures", duration_s=None)
        shown = ready(visit(write_report(result, video=folder).as_uri()))
        shown.page.mouse.click(*place_on(shown, "affect", 0.7))
        assert shown.page.locator("#clock").text_content() == "4 of 5"
        assert shown.page.locator("#picture").get_attribute("alt") == "The image 3<b>.png"
        assert shown.page.locator("#picture").evaluate("image => image.naturalWidth") == 64
        shown.page.get_by_text("Read the values as a table").click()
        shown.page.locator("#details tbody th").first.wait_for()
        assert shown.page.locator("#details tbody th").all_text_contents() == names
        assert shown.complaints == []

    def test_one_image(self, tmp_path: Path, visit: Visitor) -> None:
        write_images(tmp_path, ["face.png"])
        result = write_result(tmp_path / "out", images(["face.png"]), input="face.png", duration_s=None)
        shown = ready(visit(write_report(result, video=tmp_path / "face.png").as_uri()))
        assert shown.page.locator("#clock").text_content() == "1 of 1"
        assert shown.complaints == []

    def test_a_video_beside_the_page_is_played(self, tmp_path: Path, visit: Visitor) -> None:
        times = [clips.Fraction(n, 25) for n in range(100)]
        clip = clips.write(tmp_path / "clip.mp4", times, Coding(has_noise=True), tick=clips.Fraction(1, 25))
        result = write_result(tmp_path / "out", one_face())
        shown = ready(visit(write_report(result, video=clip.path, embed_limit_mb=0).as_uri()))
        shown.page.mouse.click(*place_on(shown, "affect", 0.5))
        settled(shown)
        assert time_of(shown) == pytest.approx(2, abs=0.05)
        assert shown.complaints == []
        assert shown.foreign_requests() == []

    def test_a_video_that_was_left_behind_is_said_to_be(self, tmp_path: Path, visit: Visitor) -> None:
        times = [clips.Fraction(n, 25) for n in range(100)]
        clip = clips.write(tmp_path / "clip.mp4", times, Coding(has_noise=True), tick=clips.Fraction(1, 25))
        page = write_report(write_result(tmp_path / "out", one_face()), video=clip.path, embed_limit_mb=0)
        (page.parent / "report_video.mp4").unlink()
        shown = visit(page.as_uri())
        shown.page.get_by_text("keep report_video.mp4 beside this page").wait_for()
