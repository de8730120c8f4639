"""The page in a real browser: uploads, the report, a service that is gone, keyboard, contrast, no network."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service_process import ServiceProcess

from browser import LOADS_MS, PHONE, WIDE, Visit, Visitor, visited
from conftest import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

LIST = re.compile(r"/v1/analyses\?")
ANALYSES = re.compile(r"/v1/analyses(/|$)")
UNANSWERED = "The service does not answer. Is it still running?"


def check(visit: Visit, service: ServiceProcess) -> None:
    """Nothing was complained of, and nothing was asked for elsewhere."""
    assert visit.complaints == []
    assert visit.foreign_requests(service.address) == []


def test_from_upload_to_report_to_deletion(visit: Visitor, service: ServiceProcess, face_clip: Path) -> None:
    watched = visit(service.url)
    page = watched.page
    page.get_by_text("Up to 8 MB and 30 s each").wait_for()
    page.set_input_files("#files", face_clip)
    card = page.locator("li.card", has_text="sad face.mp4").first
    card.get_by_role("link", name="Open report of sad face.mp4").wait_for()
    assert "mostly Sadness" in card.inner_text()
    assert re.search(r"1 face · valence \u22120\.\d\d · arousal", card.inner_text())
    assert page.locator("#announce").inner_text() == "sad face.mp4 is done"
    card.get_by_text("Download").click()
    with page.expect_download() as download:
        card.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "sad face.csv"
    assert Path(download.value.path()).read_text().startswith("frame,time_s,track_id")

    with page.context.expect_page() as opened:
        card.get_by_role("link", name="Open report").click()
    report = visited(page.context.new_page(), opened.value.url)
    report.page.get_by_text("sad face.mp4").first.wait_for()
    assert report.page.evaluate("origin") == "null"
    assert report.page.locator(".js-plotly-plot").count() > 0
    check(report, service)

    card.get_by_role("button", name="Delete sad face.mp4").click()
    page.get_by_role("button", name="Keep it").click()
    assert card.is_visible()
    card.get_by_role("button", name="Delete sad face.mp4").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    card.wait_for(state="detached")
    page.get_by_text("sad face.mp4 is deleted").wait_for(state="attached")
    check(watched, service)


def test_a_name_that_is_a_script_stays_a_name(
    visit: Visitor, service: ServiceProcess, empty_clip: Path, tmp_path: Path
) -> None:
    name = "<img src=x onerror=document.title='hacked'>.mp4"
    hostile = tmp_path / name
    hostile.write_bytes(empty_clip.read_bytes())
    watched = visit(service.url)
    page = watched.page
    page.set_input_files("#files", hostile)
    card = page.locator("li.card", has_text="hacked").first
    card.get_by_role("link", name="Open report").wait_for()
    assert card.locator(".name").inner_text() == name
    assert "No face was found." in card.inner_text()
    page.goto(service.url + str(card.get_by_role("link", name="Open report").get_attribute("href")))
    page.get_by_text("hacked").first.wait_for(state="attached")
    assert page.locator("img[src=x]").count() == 0
    assert "hacked" not in page.title().replace(name, "")
    check(watched, service)


def test_a_file_that_is_no_video_says_why(visit: Visitor, service: ServiceProcess, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("no video " * 100)
    watched = visit(service.url)
    page = watched.page
    page.set_input_files("#files", wrong)
    card = page.locator("li.card", has_text="notes.mp4")
    card.get_by_text("Not a video that can be read").wait_for()
    card.get_by_role("button", name="Dismiss notes.mp4").click()
    assert card.count() == 0
    # The browser itself notes the status 415 on the console.
    assert [text for text in watched.complaints if "415" not in text] == []


def test_an_upload_that_is_cancelled_is_not_taken_in(visit: Visitor, service: ServiceProcess, face_clip: Path) -> None:
    watched = visit(service.url)
    page = watched.page
    page.get_by_text("Up to 8 MB and 30 s each").wait_for()
    before = {one["id"] for one in service.client.get("/v1/analyses").json()["analyses"]}
    page.route("**/v1/analyses", lambda route: page.wait_for_timeout(1500) or route.continue_())
    page.set_input_files("#files", {"name": "wrong.mp4", "mimeType": "video/mp4", "buffer": face_clip.read_bytes()})
    page.get_by_role("button", name=re.compile("Delete wrong.mp4|Cancel")).first.click()
    assert page.locator("#announce").inner_text() == "wrong.mp4 was left out"
    page.wait_for_timeout(3000)
    page.unroute("**/v1/analyses")
    assert page.locator("li.card", has_text="wrong.mp4").count() == 0
    after = {one["id"] for one in service.client.get("/v1/analyses").json()["analyses"]}
    assert after == before


def wait_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait for something that this process hears from the browser."""
    for _ in range(LOADS_MS // 20):
        if is_so():
            return
        page.wait_for_timeout(20)
    raise AssertionError


def keep_waiting(route: Route) -> None:
    """A service that takes the request and says nothing."""


@pytest.mark.parametrize("taken_in", ["before", "afterwards"])
def test_what_is_taken_in_although_it_was_cancelled_is_shown(
    visit: Visitor, service: ServiceProcess, empty_clip: Path, taken_in: str
) -> None:
    page = visit(service.url).page
    page.clock.install()
    page.reload()
    page.get_by_text("Up to 8 MB and 30 s each").wait_for()
    # The service has the upload, and the answer that says so never comes.
    page.route(ANALYSES, keep_waiting)
    page.set_input_files("#files", {"name": "late.mp4", "mimeType": "video/mp4", "buffer": empty_clip.read_bytes()})
    cancel = page.locator("li.card:not([data-id])", has_text="late.mp4").get_by_role("button", name="Cancel")
    page.clock.pause_at(time.time() + 60)  # from here on the list is not asked for by and by
    if taken_in == "before":
        taken = service.upload(empty_clip, "late.mp4").json()["id"]
        with page.expect_request(LIST, timeout=10_000):
            cancel.click()
    else:
        cancel.click()
        taken = service.upload(empty_clip, "late.mp4").json()["id"]
        with page.expect_request(LIST, timeout=10_000):
            page.clock.fast_forward(4000)
    page.locator(f"[data-id='{taken}']").wait_for()
    assert page.locator("li.card:not([data-id])").count() == 0
    service.wait(taken)


def test_the_focus_stays_on_the_page_when_a_card_leaves(
    visit: Visitor, service: ServiceProcess, empty_clip: Path
) -> None:
    watched = visit(service.url)
    page = watched.page
    page.get_by_text("Up to 8 MB and 30 s each").wait_for()
    page.set_input_files("#files", {"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video " * 100})
    page.get_by_role("button", name="Dismiss notes.mp4").press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"

    held: list[Route] = []
    page.route(ANALYSES, lambda route: held.append(route))  # noqa: PLW0108 - Playwright refuses builtins
    card = page.locator("li.card:not([data-id])")
    for ends in ("by hand", "by itself"):
        page.set_input_files("#files", empty_clip)
        card.get_by_role("button", name="Cancel").focus()
        if ends == "by hand":
            page.keyboard.press("Enter")
        else:
            wait_until(page, lambda: len(held) == 2)
            held[1].continue_()
            card.wait_for(state="detached")
        assert page.evaluate("document.activeElement.id") == "content", ends


SAID = """() => {
  window.said = [];
  const status = document.getElementById("announce");
  new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
}"""


def troubles_told(page: Page) -> list[str]:
    return [text for text in page.evaluate("said") if UNANSWERED in text]


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_a_service_that_is_gone_is_seen_and_told_once(
    visit: Visitor, service: ServiceProcess, empty_clip: Path, scheme: str, size: tuple[int, int]
) -> None:
    service.wait(service.upload(empty_clip, "kept.mp4").json()["id"])
    watched = visit(service.url, size, scheme)
    page = watched.page
    page.clock.install()
    page.reload()
    page.get_by_text("Up to 8 MB and 30 s each").wait_for()
    page.get_by_role("button", name="Delete kept.mp4").first.wait_for()
    trouble = page.locator("#trouble")
    assert trouble.is_hidden()
    page.evaluate(SAID)

    page.route(re.compile("/v1/analyses"), lambda route: route.abort())
    page.clock.fast_forward(15_000)
    page.get_by_text(UNANSWERED).first.wait_for()
    assert trouble.inner_text() == UNANSWERED
    with page.expect_request(LIST):
        page.clock.fast_forward(3000)
    assert troubles_told(page) == [UNANSWERED]

    # The line is also there for somebody far down in a long list, and says what became of the click.
    page.get_by_role("button", name="Delete kept.mp4").first.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text(f"kept.mp4 was not deleted. {UNANSWERED}").first.wait_for()
    page.evaluate("document.getElementById('list').style.paddingBottom = '3000px'")
    page.mouse.wheel(0, 2000)
    watched.wait_until("scrollY > 1000")
    assert trouble.evaluate("line => line.getBoundingClientRect().top") >= 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.accessibility_faults() == []
    assert trouble.get_attribute("role") is None

    page.unroute(re.compile("/v1/analyses"))
    page.clock.fast_forward(8000)
    page.clock.fast_forward(15_000)
    trouble.wait_for(state="hidden")
    assert troubles_told(page)[:2] == [UNANSWERED, f"kept.mp4 was not deleted. {UNANSWERED}"]


def test_a_service_that_keeps_silent_is_seen(visit: Visitor, service: ServiceProcess) -> None:
    page = visit(service.url).page
    page.add_init_script(
        "const wait = AbortSignal.timeout; AbortSignal.timeout = (ms) => wait.call(AbortSignal, ms / 60);"
    )
    page.route(LIST, keep_waiting)
    page.reload()
    page.locator("#trouble", has_text=UNANSWERED).wait_for()
    page.unroute(LIST)
    page.locator("#trouble").wait_for(state="hidden")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.7, "1 min"), (119.7, "2 min"), (125, "2 min 5 s"), (3599.6, "1 h 0 min"), (7322, "2 h 2 min")],
)
def test_durations(visit: Visitor, service: ServiceProcess, seconds: float, words: str) -> None:
    page = visit(service.url).page
    assert page.evaluate(f"import('/static/words.js').then(({{duration}}) => duration({seconds}))") == words


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("view", ["videos", "live"])
def test_everybody_can_use_it(
    visit: Visitor, service: ServiceProcess, scheme: str, size: tuple[int, int], view: str
) -> None:
    watched = visit(f"{service.url}/#{view}", size, scheme)
    watched.page.get_by_text("Up to 8 MB").wait_for(state="attached")
    assert watched.accessibility_faults() == []
    assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check(watched, service)


def test_the_keyboard_reaches_everything(visit: Visitor, service: ServiceProcess) -> None:
    page = visit(service.url).page
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()"))
    assert reached == ["Skip to the content", "affectline", "Videos", "Live", "files"]


def test_logging_in(visit: Visitor, locked_service: ServiceProcess) -> None:
    watched = visit(locked_service.url)
    page = watched.page
    assert watched.accessibility_faults() == []
    page.get_by_label("Token").fill("not the token of it")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("This is not the token of this service.").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="What does a face show, and when?").wait_for()
    page.get_by_text("Nothing here yet").wait_for()
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").wait_for()
