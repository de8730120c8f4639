"""The page in a real browser: uploads, the report, live mode with a fake camera, keyboard, contrast, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service_process import ServiceProcess

from browser import CHROMIUM, PHONE, QUIET, WIDE, Visit, Visitor, visited, visitor
from conftest import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def camera_browser(chromium: Browser, camera_file: Path) -> Iterator[Browser]:
    """A Chromium whose camera shows the demo clip."""
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera_file}")
    started = chromium.browser_type.launch(executable_path=CHROMIUM, args=[*QUIET, *camera])
    yield started
    started.close()


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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.7, "1 min"), (119.7, "2 min"), (125, "2 min 5 s"), (3599.6, "1 h 0 min"), (7322, "2 h 2 min")],
)
def test_durations(visit: Visitor, service: ServiceProcess, seconds: float, words: str) -> None:
    page = visit(service.url).page
    assert page.evaluate(f"import('/static/words.js').then(({{duration}}) => duration({seconds}))") == words


def test_live_mode_with_a_camera(camera_browser: Browser, service: ServiceProcess) -> None:
    with visitor(camera_browser) as visit:
        watched = visit(f"{service.url}/#live", permissions=["camera"])
        show_the_camera(watched)
        check(watched, service)


def show_the_camera(watched: Visit) -> None:
    page = watched.page
    page.get_by_role("checkbox", name="Action units").check()
    page.get_by_role("button", name="Start the camera").click()
    watched.wait_until("Number(document.getElementById('stage').dataset.answers) >= 5")
    watched.wait_until("document.getElementById('faces').textContent === '1'")
    watched.wait_until("document.getElementById('delay').textContent !== '\\u2013'")
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
    assert watched.accessibility_faults() == []
    page.get_by_role("button", name="Stop the camera").click()
    page.get_by_text("The camera is off.").first.wait_for()
    assert page.locator("#camera").evaluate("video => video.srcObject") is None


FOLLOWING = """async () => {
  const { Followed } = await import("/static/followed.js");
  const face = (track_id, left, side, status = "observed") => ({ track_id, status, box: [left, 0, left + side, side] });
  const small = face(1, 300, 40), large = face(2, 0, 80), poor = face(3, 100, 200, "low_quality");
  const followed = new Followed();
  const track = (faces, ms) => followed.among(faces, ms)?.track_id ?? null;
  const seen = [track([small, large, poor], 0), track([small, poor], 900), track([small, poor], 1100)];
  seen.push(track([small, { ...large, box: [0, 0, 500, 500] }], 1200));
  followed.next([small, large]);
  seen.push(track([small, large], 1300));
  followed.next([small, large]);
  return [...seen, track([small, large], 1400), track([], 1500), track([poor], 9000)];
}"""


def test_curves_follow_one_face(visit: Visitor, service: ServiceProcess) -> None:
    # The largest good one, through a short absence; the next one when it has left; and whom the button says.
    assert visit(service.url).page.evaluate(FOLLOWING) == [2, None, 1, 1, 2, 1, None, 3]


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
