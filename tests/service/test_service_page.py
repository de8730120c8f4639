"""The page in a real browser: uploads, the report, live mode with a fake camera, keyboard, contrast, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from service_process import ServiceProcess

from conftest import CHROMIUM, TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe_module = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

PATIENCE_MS = 120_000
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser(camera_file: Path) -> Iterator[Browser]:
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera_file}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *camera])
        yield started
        started.close()


class Watched:
    """A page that keeps what it must not do: complaints on the console, and requests to elsewhere."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        own = (url, url.replace("http://", "ws://"), f"blob:{url}", "blob:null", "data:", "about:")
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: message.type in {"error", "warning"} and self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: request.url.startswith(own) or self.foreign.append(request.url))

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def check(self) -> None:
        assert self.complaints == []
        assert self.foreign == []


@pytest.fixture
def watched(browser: Browser, service: ServiceProcess) -> Iterator[Watched]:
    context = browser.new_context(permissions=["camera"], base_url=service.url, reduced_motion="reduce")
    watched = Watched(context.new_page(), service.url)
    yield watched
    watched.check()
    context.close()


def serious_faults(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds that keeps people from using the page."""
    found: dict[str, Any] = axe_module.Axe().run(page).response
    return [
        (fault["id"], [node["html"] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]


def test_from_upload_to_report_to_deletion(watched: Watched, face_clip: Path) -> None:
    page = watched.page
    page.goto("/")
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
    report = Watched(opened.value, page.url)
    opened.value.wait_for_load_state()
    opened.value.get_by_text("sad face.mp4").first.wait_for()
    assert opened.value.evaluate("origin") == "null"
    assert opened.value.locator(".js-plotly-plot").count() > 0
    report.check()
    opened.value.close()

    card.get_by_role("button", name="Delete sad face.mp4").click()
    page.get_by_role("button", name="Keep it").click()
    assert card.is_visible()
    card.get_by_role("button", name="Delete sad face.mp4").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    card.wait_for(state="detached")
    page.get_by_text("sad face.mp4 is deleted").wait_for(state="attached")


def test_a_name_that_is_a_script_stays_a_name(watched: Watched, empty_clip: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='hacked'>.mp4"
    hostile = tmp_path / name
    hostile.write_bytes(empty_clip.read_bytes())
    page = watched.page
    page.goto("/")
    page.set_input_files("#files", hostile)
    card = page.locator("li.card", has_text="hacked").first
    card.get_by_role("link", name="Open report").wait_for()
    assert card.locator(".name").inner_text() == name
    assert "No face was found." in card.inner_text()
    page.goto(str(card.get_by_role("link", name="Open report").get_attribute("href")))
    page.get_by_text("hacked").first.wait_for(state="attached")
    assert page.locator("img[src=x]").count() == 0
    assert "hacked" not in page.title().replace(name, "")


def test_a_file_that_is_no_video_says_why(watched: Watched, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("no video " * 100)
    page = watched.page
    page.goto("/")
    page.set_input_files("#files", wrong)
    card = page.locator("li.card", has_text="notes.mp4")
    card.get_by_text("Not a video that can be read").wait_for()
    card.get_by_role("button", name="Dismiss notes.mp4").click()
    assert card.count() == 0
    # The browser itself notes the status 415 on the console.
    assert [text for text in watched.complaints if "415" not in text] == []
    watched.complaints.clear()


def test_live_mode_with_a_camera(watched: Watched) -> None:
    page = watched.page
    page.goto("/#live")
    page.get_by_label("Action units").check()
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function("Number(document.getElementById('stage').dataset.answers) >= 5")
    page.wait_for_function("document.getElementById('faces').textContent === '1'")
    page.wait_for_function("document.getElementById('delay').textContent !== '\\u2013'")
    bars = page.locator("#expressions li")
    assert bars.count() == 8
    assert page.locator("#unit-bars li").count() == 12
    shares = [int(text.removesuffix("%")) for text in page.locator("#expressions .value").all_inner_texts()]
    assert 96 <= sum(shares) <= 104
    assert re.search(
        r"now valence [+\u2212]\d\.\d\d, arousal", str(page.locator("#rolling").get_attribute("aria-label"))
    )
    painted = "c => new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer).some(Boolean)"
    assert page.locator("#overlay").evaluate(painted)
    assert page.locator("#rolling").evaluate(painted)
    assert serious_faults(page) == []
    page.get_by_role("button", name="Stop the camera").click()
    page.get_by_text("The camera is off.").first.wait_for()
    assert page.locator("#camera").evaluate("video => video.srcObject") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_everybody_can_use_it(browser: Browser, service: ServiceProcess, scheme: Any, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, base_url=service.url)
    watched = Watched(context.new_page(), service.url)
    page = watched.page
    for view in ("/", "/#live"):
        page.goto(view)
        page.locator("li.card").first.wait_for(state="attached")
        assert serious_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    watched.check()
    context.close()


def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    page = watched.page
    page.goto("/")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()"))
    assert reached == ["Skip to the content", "affectline", "Videos", "Live", "files", reached[5]]


def test_logging_in(browser: Browser, locked_service: ServiceProcess) -> None:
    context = browser.new_context(base_url=locked_service.url)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/")
    assert serious_faults(page) == []
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
    context.close()
