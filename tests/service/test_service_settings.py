"""What the service refuses to be started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from affectline.errors import InputError, UnknownNameError
from affectline.service.model_check import check_models
from affectline.service.settings import AnalysisChoice, Limits, ServiceSettings, new_token, read_token

LONG = "0123456789abcdef"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104 - that is what is refused
def test_an_address_that_others_reach_needs_a_token(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no token: anybody there could see and upload videos"):
        ServiceSettings(tmp_path, host=host)
    assert ServiceSettings(tmp_path, host=host, token=LONG).token == LONG


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str, tmp_path: Path) -> None:
    assert ServiceSettings(tmp_path, host=host).token is None


@pytest.mark.parametrize("token", ["", "short", "0123456789abcde", "sixteen letters!", "0123456789abcdé" * 2])
def test_a_token_must_be_long_and_fit_into_headers(token: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a token needs at least 16 characters"):
        ServiceSettings(tmp_path, token=token)


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    assert LONG not in repr(ServiceSettings(tmp_path, token=LONG))
    assert ServiceSettings(tmp_path, token=new_token()).token != new_token()


def test_the_token_is_the_first_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f" {LONG} \nsomething else\n")
    assert read_token(file) == LONG
    with pytest.raises(InputError, match="the token cannot be read"):
        read_token(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"queue": 0}, "queue must be at least 1"),
        ({"port": 65536}, "port must lie from 0 to 65535"),
        ({"keep_hours": -1.0}, "keep_hours must be a number from 0 up"),
        ({"keep_hours": float("nan")}, "keep_hours must be a number from 0 up"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        ServiceSettings(tmp_path, **options)  # type: ignore[arg-type]


def test_limits_must_be_above_0() -> None:
    with pytest.raises(InputError, match=r"max_minutes must be a number above 0, got 0\.0"):
        Limits(max_minutes=0.0)
    assert Limits(max_mb=1.5, max_minutes=2.0).max_bytes == 1_500_000
    assert Limits(max_minutes=2.0).max_frames == 2 * 60 * 120


def test_hosts_that_a_request_may_name(tmp_path: Path) -> None:
    own = ServiceSettings(tmp_path)
    assert [own.allows_host(name) for name in ("localhost", "127.0.0.1", "::1")] == [True] * 3
    assert [own.allows_host(name) for name in ("evil.example", "192.168.1.5", "127.0.0.1.evil.example")] == [False] * 3
    shared = ServiceSettings(tmp_path, host="0.0.0.0", token=LONG, allowed_hosts=("lab.example",))  # noqa: S104
    assert [shared.allows_host(name) for name in ("lab.example", "192.168.1.5", "fe80::1")] == [True] * 3
    assert not shared.allows_host("evil.example")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - browsers need not open that address
        ("::", "http://[::1]:8000"),
        ("lab.example", "http://lab.example:8000"),
    ],
)
def test_the_address_that_is_shown_can_be_opened(tmp_path: Path, host: str, url: str) -> None:
    assert ServiceSettings(tmp_path, host=host, token=LONG).url(8000) == url


def test_only_what_runs_on_the_processor_is_held_to_its_address_space() -> None:
    limits = Limits(memory_mb=1000)
    assert [AnalysisChoice(device=device).memory_mb(limits) for device in ("cpu", "openvino", "cuda", "tensorrt")] == [
        1000, 1000, None, None,
    ]  # fmt: skip


def test_modules_in_the_users_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="no-such-backbone"):
        check_models(AnalysisChoice(backbones=("no-such-backbone",), offline=True))
