"""Who is let in: hosts, origins, tokens, cookies, on HTTP and on the WebSocket."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from service_process import ServiceProcess
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from affectline.service.access import COOKIE, Keys
from conftest import TOKEN

LIST = "/v1/analyses"
CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "192.168.1.5", "localhost@evil.example"]
)
def test_a_name_that_was_pointed_here_is_refused(service: ServiceProcess, host: str) -> None:
    answer = service.client.get(LIST, headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "wrong_host"


def test_names_of_loopback_are_let_in_with_any_port(service: ServiceProcess) -> None:
    for host in ("localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"):
        assert service.client.get(LIST, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "file://"])
def test_a_page_of_another_origin_can_neither_post_nor_read_nor_open_the_socket(
    service: ServiceProcess, origin: str, empty_clip: Path
) -> None:
    before = service.client.get(LIST).json()
    with empty_clip.open("rb") as file:
        posted = service.client.post(LIST, files={"file": file}, headers={"Origin": origin})
    assert (posted.status_code, posted.json()["code"]) == (403, "other_origin")
    read = service.client.get(LIST, headers={"Origin": origin})
    assert read.status_code == 403
    assert "access-control-allow-origin" not in read.headers
    preflight = service.client.options(LIST, headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"})
    assert preflight.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{service.address}/v1/live", origin=origin)
    assert refused.value.response.status_code == 403
    assert service.will_log("WS none 403")
    assert service.client.get(LIST).json() == before


def test_reads_that_a_foreign_page_embeds_are_refused_and_visits_are_not(service: ServiceProcess) -> None:
    assert service.client.get(LIST, headers=CROSS_SITE).status_code == 403
    assert service.client.get(LIST, headers={**CROSS_SITE, "Sec-Fetch-Site": "same-site"}).status_code == 403
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert service.client.get("/", headers=visit).status_code == 200
    assert service.client.post("/logout", headers=visit).status_code == 403


def test_an_origin_that_is_no_address_is_refused(service: ServiceProcess) -> None:
    answer = service.client.get(LIST, headers={"Origin": "http://["})
    assert (answer.status_code, answer.json()["code"]) == (403, "other_origin")


def test_the_pages_own_origin_is_let_in(service: ServiceProcess) -> None:
    answer = service.client.post(LIST, content=b"", headers={"Origin": service.url, "Content-Type": "video/mp4"})
    assert (answer.status_code, answer.json()["code"]) == (400, "empty")


def test_every_answer_has_the_headers_that_hold_browsers_back(service: ServiceProcess) -> None:
    for path in ("/", LIST, "/nothing", "/static/style.css", "/metrics"):
        headers = service.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == ("same-origin" if path == "/" else "no-referrer")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
    assert service.client.get(LIST).headers["cache-control"] == "no-store"


class TestToken:
    def test_without_it_nothing_but_the_login_form_and_the_health_is_shown(
        self, locked_service: ServiceProcess
    ) -> None:
        get = locked_service.client.get
        for path in (LIST, "/v1/models", "/v1/schema", "/metrics", "/openapi.json", f"{LIST}/x/report", "/nothing"):
            answer = get(path)
            assert (answer.status_code, answer.json()["code"]) == (401, "no_token")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert get("/healthz").status_code == 200
        assert 'name="token"' in get("/").text

    @pytest.mark.parametrize("shown", ["x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
    def test_a_wrong_one_is_refused(self, locked_service: ServiceProcess, shown: str) -> None:
        answer = locked_service.client.get(LIST, headers={"Authorization": f"Bearer {shown}"})
        assert answer.status_code == 401

    def test_the_right_one_is_let_in(self, locked_service: ServiceProcess) -> None:
        assert locked_service.client.get(LIST, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200

    def test_a_browser_gets_a_cookie_that_holds_no_token(self, locked_service: ServiceProcess) -> None:
        own = {"Origin": locked_service.url}
        wrong = locked_service.client.post("/login", data={"token": "wrong"}, headers=own)
        assert (wrong.headers["location"], "set-cookie" in wrong.headers) == ("/?wrong", False)
        right = locked_service.client.post("/login", data={"token": TOKEN}, headers=own)
        assert right.status_code == 303
        attributes = right.headers["set-cookie"].lower()
        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        assert TOKEN not in right.headers["set-cookie"]
        assert "secure" not in attributes
        proxied = {"Origin": locked_service.url.replace("http:", "https:")}
        behind_tls = locked_service.client.post("/login", data={"token": TOKEN}, headers=proxied)
        assert "secure" in behind_tls.headers["set-cookie"].lower()
        cookie = {"Cookie": f"{COOKIE}={right.cookies[COOKIE]}"}
        locked_service.client.cookies.clear()
        assert locked_service.client.get(LIST, headers=cookie).status_code == 200
        # A cookie is sent by the browser, whoever asks it to: a change must say which page it comes from.
        missing = locked_service.client.delete(f"{LIST}/x", headers=cookie)
        assert (missing.status_code, missing.json()["code"]) == (403, "no_origin")
        assert locked_service.client.delete(f"{LIST}/x", headers=cookie | own).status_code == 404

    def test_who_has_a_cookie_of_yesterday_can_log_out_and_a_foreign_page_cannot_do_it(
        self, locked_service: ServiceProcess
    ) -> None:
        old = {"Cookie": f"{COOKIE}=1.x"}
        out = locked_service.client.post("/logout", headers={**old, "Origin": locked_service.url})
        assert (out.status_code, out.headers["location"]) == (303, "/")
        assert "max-age=0" in out.headers["set-cookie"].lower()
        foreign = locked_service.client.post("/logout", headers={**old, "Origin": "https://evil.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "other_origin")

    def test_a_login_that_is_broken_off_breaks_nothing(self, locked_service: ServiceProcess) -> None:
        head = f"POST /login HTTP/1.1\r\nHost: {locked_service.address}\r\nContent-Length: 50\r\n\r\ntoken=a"
        with locked_service.connection() as client:
            client.sendall(head.encode())
            time.sleep(0.1)
        assert locked_service.will_log("POST /login 400")
        assert "Traceback" not in locked_service.log.read_text()

    def test_the_socket_takes_it_as_a_subprotocol_or_a_cookie(self, locked_service: ServiceProcess) -> None:
        address = f"ws://{locked_service.address}/v1/live"
        for options in ({}, {"subprotocols": ["affectline.v1", "affectline.token.wrong"]}):
            with pytest.raises(InvalidStatus) as refused:
                connect(address, **options)  # type: ignore[arg-type]
            assert refused.value.response.status_code == 401
        with connect(address, subprotocols=["affectline.v1", f"affectline.token.{TOKEN}"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "affectline.v1"
        cookie = {"Cookie": f"{COOKIE}={Keys(TOKEN).new_cookie()}"}
        with pytest.raises(InvalidStatus) as refused:
            connect(address, additional_headers=cookie)
        assert refused.value.response.status_code == 403
        with connect(address, additional_headers=cookie, origin=locked_service.url) as socket:  # type: ignore[arg-type]
            assert socket.response is not None
            assert socket.response.status_code == 101


@pytest.mark.parametrize("path", ["/nothing", "/", "/v1/analyses", "/static/live.js"])
def test_a_socket_to_where_there_is_none_gets_a_problem(service: ServiceProcess, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{service.address}{path}")
    answer = refused.value.response
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert json.loads(answer.body)["code"] == "not_found"
    assert service.will_log("WS none 404")
    assert "WS none 500" not in service.log.read_text()


def test_cookies_are_ours_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(TOKEN)
    cookie = keys.new_cookie()
    assert keys.is_cookie(cookie)
    until, _, signature = cookie.partition(".")
    for forged in (f"{int(until) + 1}.{signature}", f"{until}.", until, "", f"{until}.{signature[:-1]}x", "é.é"):
        assert not keys.is_cookie(forged)
    assert not Keys("another-token-of-a-service").is_cookie(cookie)
    assert not Keys(None).is_cookie(cookie)
    later_s = time.time() + 13 * 3600
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert not keys.is_cookie(cookie)
