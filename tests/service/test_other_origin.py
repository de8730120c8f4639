"""Pages of other origins in a real browser: what they try, and that nothing comes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service_process import ServiceProcess

from browser import launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL_NAME = "evil.example"

ATTEMPTS = """async ([service, id]) => {
  const loads = (kind, path) => new Promise((resolve) => {
    const element = document.createElement(kind);
    element.onload = element.onloadeddata = () => resolve("loaded");
    element.onerror = () => resolve("refused");
    element.src = service + path;
    document.body.append(element);
  });
  const opens = () => new Promise((resolve) => {
    const socket = new WebSocket(`${service.replace("http", "ws")}/v1/live`, "affectline.v1");
    socket.onopen = () => resolve("opened");
    socket.onerror = () => resolve("refused");
  });
  const form = new FormData();
  form.append("file", new Blob(["x"]), "clip.mp4");
  const bytes = new Blob(["x"], { type: "video/mp4" });
  const own = `${service}/v1/analyses/${id}`;
  const sent = {
    read: fetch(`${service}/v1/analyses`),
    "read blindly": fetch(`${service}/v1/analyses`, { mode: "no-cors" }),
    "post a form": fetch(`${service}/v1/analyses`, { method: "POST", mode: "no-cors", body: form }),
    "post bytes": fetch(`${service}/v1/analyses`, { method: "POST", mode: "no-cors", body: bytes }),
    delete: fetch(own, { method: "DELETE" }),
    script: loads("script", "/v1/analyses"),
    picture: loads("img", "/static/logo.svg"),
    video: loads("video", `/v1/analyses/${id}/report_video.mp4`),
    socket: opens(),
  };
  const came = {};
  for (const [name, attempt] of Object.entries(sent)) {
    came[name] = await attempt.then((answer) => answer.type ?? answer, () => "refused");
  }
  return came;
}"""

POST_BY_NAVIGATION = """(service) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: `${service}/v1/analyses`, enctype: "multipart/form-data" });
  const field = document.createElement("input");
  Object.assign(field, { name: "file", value: "x" });
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title><body></body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def other_port() -> Iterator[int]:
    """A server of somebody else on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for which the attacker's name leads to this machine."""
    with launched(f"--host-resolver-rules=MAP {EVIL_NAME} 127.0.0.1") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", EVIL_NAME])
def test_a_page_of_another_origin_can_do_nothing(
    page: Page, service: ServiceProcess, empty_clip: Path, other_port: int, host: str
) -> None:
    kept = service.wait(service.upload(empty_clip).json()["id"])
    page.goto(f"http://{host}:{other_port}/")
    came = page.evaluate(ATTEMPTS, [service.url, kept["id"]])
    assert came == dict.fromkeys(came, "refused")
    assert len(came) == 9
    assert service.state(kept["id"]) == kept


def test_a_form_that_leads_to_the_service_is_refused_and_a_link_is_not(
    page: Page, service: ServiceProcess, other_port: int
) -> None:
    page.goto(f"http://127.0.0.1:{other_port}/")
    with page.expect_navigation(url=f"{service.url}/v1/analyses") as refused:
        page.evaluate(POST_BY_NAVIGATION, service.url)
    assert refused.value is not None
    assert refused.value.status == 403
    page.goto(f"http://127.0.0.1:{other_port}/")
    with page.expect_navigation(url=f"{service.url}/") as followed:
        page.evaluate("(service) => { location.href = `${service}/`; }", service.url)
    assert followed.value is not None
    assert followed.value.status == 200


def test_a_name_that_was_pointed_here_is_refused(page: Page, service: ServiceProcess) -> None:
    port = service.address.rpartition(":")[2]
    answer = page.goto(f"http://{EVIL_NAME}:{port}/v1/analyses")
    assert answer is not None
    assert answer.status == 421
