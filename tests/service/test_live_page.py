"""Live mode of the page in a real browser: with a fake camera, and with a service that keeps silent or says no."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service_process import ServiceProcess
from test_service_page import SAID, check, wait_until

from browser import CHROMIUM, QUIET, Visit, Visitor, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute


@pytest.fixture(scope="module")
def camera_browser(chromium: Browser, camera_file: Path) -> Iterator[Browser]:
    """A Chromium whose camera shows the demo clip."""
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera_file}")
    started = chromium.browser_type.launch(executable_path=CHROMIUM, args=[*QUIET, *camera])
    yield started
    started.close()


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
    assert page.locator("#overlay").evaluate(PAINTED)
    assert page.locator("#rolling").evaluate(PAINTED)
    assert watched.accessibility_faults() == []
    page.get_by_role("button", name="Stop the camera").click()
    page.get_by_text("The camera is off.").first.wait_for()
    assert_camera_is_off(page)


FIGURES = ("rate", "delay", "delay-95", "faces", "valence", "arousal")
PAINTED = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer).some(Boolean);
}"""


def assert_nothing_is_said_of_now(page: Page) -> None:
    assert [page.locator(f"#{figure}").inner_text() for figure in FIGURES] == ["\u2013"] * 6
    assert page.locator("#expressions li, #unit-bars li").count() == 0
    assert page.locator("#rolling").get_attribute("aria-label") == "Valence and arousal of the last 20 seconds"
    assert page.locator("#next-face").is_hidden()
    assert not page.locator("#overlay").evaluate(PAINTED)


def assert_camera_is_off(page: Page) -> None:
    assert page.locator("#camera").evaluate("video => video.srcObject") is None
    assert page.locator("#start").inner_text() == "Start the camera"
    assert_nothing_is_said_of_now(page)


FACES = [
    {"track_id": track, "status": "observed", "box": [left, 100, left + 90, 200], "expression": "Sadness"}
    | {"valence": -0.4, "arousal": 0.1, "probabilities": {"Neutral": 0.2, "Sadness": 0.8}, "action_units": {"AU1": 0.5}}
    for track, left in ((1, 100), (2, 300))
]
SEEN = json.dumps({"type": "faces", "time_s": 0.1, "width": 640, "height": 360, "faces": FACES})


class MadeUpService:
    """Stands for the service at the other end of the page's WebSocket.

    Attributes:
        answers: what is said to each of the next frames; nothing when they are used up.
    """

    def __init__(self, page: Page) -> None:
        self.answers: list[str] = []
        self.frames = 0
        self.socket: WebSocketRoute | None = None
        page.route_web_socket(re.compile("/v1/live"), self._open)
        page.reload()

    def _open(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.on_message(self._take)
        socket.send('{"type": "ready", "action_units": true}')

    def _take(self, _: str | bytes) -> None:
        self.frames += 1
        if self.answers:
            self.say(self.answers.pop(0))

    def say(self, text: str) -> None:
        assert self.socket is not None
        self.socket.send(text)


def start_camera(page: Page) -> None:
    page.get_by_role("checkbox", name="Action units").check()
    page.get_by_role("button", name="Start the camera").click()


def test_live_mode_notices_a_service_that_keeps_silent(camera_browser: Browser, service: ServiceProcess) -> None:
    with visitor(camera_browser) as visit:
        watched = visit(f"{service.url}/#live", permissions=["camera"])
        page = watched.page
        page.clock.install()
        made_up = MadeUpService(page)
        made_up.answers = [SEEN] * 3
        start_camera(page)
        for seen in (4, 5):  # frames: three are answered, and later one more
            watched.wait_until("document.getElementById('faces').textContent === '2'")
            assert page.locator("#overlay").evaluate(PAINTED)
            wait_until(page, lambda: made_up.frames == seen)  # noqa: B023 - within the loop
            page.clock.fast_forward(5000)
            watched.wait_until("document.getElementById('stage-text').textContent === 'The service does not answer.'")
            assert_nothing_is_said_of_now(page)
            assert page.locator("#start").inner_text() == "Stop the camera"
            if seen == 4:
                made_up.say(SEEN)
                watched.wait_until("document.getElementById('stage-text').textContent === ''")
        page.clock.fast_forward(16_000)
        page.locator("#stage-text", has_text="The service does not answer. The camera is off.").wait_for()
        assert_camera_is_off(page)
        check(watched, service)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no frame for 120 seconds", "No frame for 120 seconds."),
        (None, "The service has ended this: too much work."),
    ],
)
def test_live_mode_keeps_what_the_service_said_last(
    camera_browser: Browser, service: ServiceProcess, said: str | None, shown: str
) -> None:
    with visitor(camera_browser) as visit:
        watched = visit(f"{service.url}/#live", permissions=["camera"])
        page = watched.page
        made_up = MadeUpService(page)
        # A frame that is refused is forgotten with the next one that is not.
        made_up.answers = [SEEN, '{"type": "problem", "detail": "This message is no JPEG."}', SEEN]
        start_camera(page)
        wait_until(page, lambda: made_up.frames == 4)
        page.evaluate(SAID)
        if said:
            made_up.say(json.dumps({"type": "problem", "detail": said}))
        assert made_up.socket is not None
        made_up.socket.close(code=1011, reason="too much work")
        page.get_by_role("button", name="Start the camera").wait_for()
        assert page.locator("#stage-text").inner_text() == shown
        assert page.evaluate("said").count(shown) == 1
        assert_camera_is_off(page)
        check(watched, service)


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
