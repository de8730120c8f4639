"""A real browser for tests: Debian's Chromium, driven by Playwright, with what it complains of and asks for.

The fixtures `chromium` and `visit` are there for every test (tests/conftest.py). Where Playwright or Chromium is
missing, the tests are skipped and say so.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, PHONE = (1280, 900), (390, 844)
LOADS_MS = 60_000
"""Long enough for a busy machine; nothing waits that long where it works."""

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOCAL_SCHEMES = frozenset({"file", "data", "blob", "about"})


@dataclass
class Visit:
    """A page in the browser, with all that it said.

    Attributes:
        page: Playwright's.
        complaints: errors and warnings of the console, uncaught errors, and what the content policy forbade.
        requests: the addresses that were asked for.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait_until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true.

        Playwright's own `wait_for_function` evaluates text in the page, which a strict content policy forbids.
        """
        end_s = time.monotonic() + LOADS_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end_s, f"never became true: {condition}"
            self.page.wait_for_timeout(20)

    def foreign_requests(self, *hosts: str) -> list[str]:
        """Return the requests that left this machine: neither to a file nor to one of these hosts (`localhost:1`)."""
        parts = ((url, urlsplit(url)) for url in self.requests)
        return [url for url, part in parts if part.scheme not in LOCAL_SCHEMES and part.netloc not in hosts]

    def accessibility_faults(self) -> list[str]:
        """Return what axe-core finds of serious or critical impact, a line for each rule with the elements."""
        from axe_playwright_python.sync_playwright import Axe

        violations: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        grave = [rule for rule in violations if rule["impact"] in {"serious", "critical"}]
        return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in grave]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window; for one module: while it is open, an event loop runs in this thread."""
    with launched() as browser:
        yield browser


@contextmanager
def launched(*flags: str) -> Iterator[Browser]:
    """Start Chromium with more flags than `QUIET`, such as a fake camera's; skip the test where it is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *flags])
        yield browser
        browser.close()


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visitor]:
    """Give a function that opens an address, such as `visit(url, size=PHONE, scheme="dark")`."""
    with visitor(chromium) as open_page:
        yield open_page


@contextmanager
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Give a function that opens addresses in windows of their own, which are closed in the end."""
    contexts = []

    def open_page(url: str, size: tuple[int, int] = WIDE, scheme: str = "light", **context: Any) -> Visit:
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, **context))
        return visited(contexts[-1].new_page(), url)

    yield open_page
    for context in contexts:
        context.close()


def visited(page: Page, url: str) -> Visit:
    """Open an address in a page and note all that it says and asks for, from the first moment on."""
    visit = Visit(page)
    page.set_default_timeout(LOADS_MS)
    page.on("console", lambda said: said.type in {"error", "warning"} and visit.complaints.append(said.text))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.goto(url)
    return visit
