"""URLs, patterns of them, and lists, in a real store of fsspec: its memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from affectline import AnalyzeOptions, Timeline, remote
from affectline.cli.main import app
from affectline.errors import InputError, InputFileError, MissingExtraError
from affectline.extract.fingerprint import EDGE_BYTES, fingerprint, url_fingerprint
from affectline.features.store import FeatureStore
from affectline.inputs import expand_inputs, expand_urls, read_lists
from affectline.jobs import OutputOptions, run_jobs
from affectline.remote import _url_of, downloaded, is_url, list_urls, remote_status, url_name
from faces_on_video import scenery, write_video
from test_jobs import Silent

fsspec = pytest.importorskip("fsspec")
aiohttp = pytest.importorskip("aiohttp")


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    for name in list(system.store):
        system.rm(name)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "clip.mp4", [scenery((96, 96))] * 3)


@pytest.fixture
def bucket(store: fsspec.AbstractFileSystem, clip: Path) -> str:
    for name in ("b.mp4", "a.mp4", "notes.txt", ".hidden.mp4", "deeper/c.mp4"):
        store.pipe(f"/bucket/{name}", clip.read_bytes())
    return "memory://bucket"


def places(*words: str) -> list[str]:
    return [item.place for item in expand_urls(words, None)]


class TestExpanding:
    def test_a_url_a_pattern_and_a_folder(self, bucket: str) -> None:
        a, b, c = (f"memory://bucket/{name}" for name in ("a.mp4", "b.mp4", "deeper/c.mp4"))
        assert places(f"{bucket}/a.mp4") == [f"{bucket}/a.mp4"]
        assert places(f"{bucket}/*.mp4") == [a, b]
        assert places(f"{bucket}/**/c.*") == [c]
        assert places(bucket) == [a, b]

    def test_names_may_hold_what_ends_an_address_on_the_web(
        self, store: fsspec.AbstractFileSystem, bucket: str
    ) -> None:
        for name in ("take#1.mp4", "what?.mp4"):
            store.pipe(f"/odd/{name}", b"x")
        found = expand_urls(["memory://odd"], None)
        assert sorted(item.path.name for item in found) == ["take#1.mp4", "what?.mp4"]
        assert url_name("https://example.org/a%20b.mp4?token=1#t=3") == "a b.mp4"

    @pytest.mark.parametrize(
        ("name", "typed", "path", "expected"),
        [
            ("/videos/a.mp4", "ftp://host/videos", "/videos", "ftp://host/videos/a.mp4"),
            ("/videos/a.mp4", "ftp://host/videos/*.mp4", "/videos/*.mp4", "ftp://host/videos/a.mp4"),
            ("/v/a.mp4", "sftp://me@host:22/v/", "/v/", "sftp://me@host:22/v/a.mp4"),
            ("box/dir/a.mp4", "s3://box/dir", "box/dir", "s3://box/dir/a.mp4"),
            ("box/dir/a.mp4", "abfs://box@account.example/dir", "box/dir", "abfs://box/dir/a.mp4"),
            ("https://h/v/a.mp4", "https://h/v", "https://h/v", "https://h/v/a.mp4"),
        ],
    )
    def test_hosts_stay(self, name: str, typed: str, path: str, expected: str) -> None:
        assert _url_of(name, typed, path) == expected

    def test_names_are_those_of_the_files(self, bucket: str) -> None:
        (first, second) = expand_urls([f"{bucket}/a.mp4", f"{bucket}/deeper/c.mp4"], None)
        assert (first.path, first.stem, first.kind) == (Path("a.mp4"), "a", "video")
        assert second.url == f"{bucket}/deeper/c.mp4"

    def test_the_same_name_here_and_there(self, bucket: str, tmp_path: Path, clip: Path) -> None:
        here = tmp_path / "a.mp4"
        here.write_bytes(clip.read_bytes())
        stems = [item.stem for item in expand_urls([f"{bucket}/a.mp4", str(here)], None)]
        assert len(set(stems)) == 2
        assert all(stem.startswith("a-") for stem in stems)

    def test_file_urls_are_paths(self, clip: Path) -> None:
        (item,) = expand_urls([clip.as_uri()], None)
        assert (item.path, item.url) == (clip, None)

    def test_lists(self, bucket: str, clip: Path, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text(f"# mine\n\n  {clip}  \n{bucket}/*.mp4\n", encoding="utf-8")
        assert places(f"@{tmp_path}/list.txt") == [str(clip), "memory://bucket/a.mp4", "memory://bucket/b.mp4"]
        assert read_lists(["x", f"@{tmp_path}/list.txt"]) == ["x", str(clip), f"{bucket}/*.mp4"]
        (tmp_path / "marked.txt").write_text("a.mp4\n", encoding="utf-8-sig")  # as PowerShell writes it
        assert read_lists([f"@{tmp_path}/marked.txt"]) == ["a.mp4"]

    def test_a_list_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text("# nothing\n", encoding="utf-8")
        with pytest.raises(InputFileError, match=r"the list .*empty names nothing"):
            read_lists([f"@{tmp_path}/empty"])
        with pytest.raises(InputFileError, match=r"the list gone.txt cannot be read"):
            read_lists(["@gone.txt"])

    def test_nothing_to_analyse(self, bucket: str) -> None:
        with pytest.raises(InputFileError, match=r"memory://bucket/\*.txt: no video there \(notes.txt, "):
            places(f"{bucket}/*.txt")
        with pytest.raises(InputFileError, match=r"nothing there matches"):
            places(f"{bucket}/*.mkv")
        with pytest.raises(InputError, match="no input given"):
            places()

    def test_urls_are_for_the_command_line_only(self, bucket: str) -> None:
        with pytest.raises(InputError, match="is a URL; those are read by the command line only"):
            expand_inputs([f"{bucket}/a.mp4"], None)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("s3://b/k.mp4", True),
            ("http://[::1]/a.mp4", True),
            ("http://[clip].mp4", False),
            ("C:\\clip.mp4", False),
            ("/a//b", False),
            ("a:b", False),
        ],
    )
    def test_what_a_url_is(self, text: str, expected: bool) -> None:
        assert is_url(text) == expected

    @pytest.mark.parametrize("word", ["http://[clip].mp4", "//[clip/a.mp4"])
    def test_brackets_that_hold_no_address_are_a_name(self, word: str) -> None:
        (item,) = expand_urls([word], None)
        assert (item.path, item.url) == (Path(word).absolute(), None)


class TestShown:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("ftp://me:secret@host/a.mp4", "ftp://host/a.mp4"),
            ("s3://bucket/what?.mp4", "s3://bucket/what?.mp4"),
            ("https://h/a.mp4?X-Amz-Signature=secret&X-Amz-Expires=60", "https://h/a.mp4"),
            ("https://account.example/a.mp4?sv=2&se=3&sr=b&sp=r&sig=secret", "https://account.example/a.mp4"),
            ("https://me@h/a.mp4#t=3", "https://h/a.mp4"),
            ("abfs://films@account.example/a.mp4", "abfs://films@account.example/a.mp4"),
            ("github://org:repo@main/a.mp4", "github://org:repo@main/a.mp4"),
            ("zip://a.mp4::https://me:secret@h/a.zip?X-Amz-Signature=secret", "zip://a.mp4::https://h/a.zip"),
        ],
    )
    def test_nothing_that_lets_others_in(self, url: str, expected: str) -> None:
        assert remote.shown_url(url) == expected

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("http://admin:secret@camera/?action=stream", "camera"),
            ("zip://a.mp4::https://h/b.zip?X-Amz-Signature=secret", "a.mp4"),
            ("simplecache::s3://bucket/c.mp4", "c.mp4"),
        ],
    )
    def test_names_hold_no_secrets(self, url: str, name: str) -> None:
        assert url_name(url) == name

    @pytest.mark.parametrize("url", ["https://h/a.mp4?id=3", "https://h/a.mp4?Signature=x", "ftp://me:secret@h/a.mp4"])
    def test_what_is_shown_stays_as_it_is(self, url: str) -> None:
        assert remote.shown_url(remote.shown_url(url)) == remote.shown_url(url)

    @pytest.mark.parametrize("name", ["token", "st", "se", "expires"])
    def test_what_may_tell_files_apart_does(self, name: str) -> None:
        # Where nothing is signed, these are no signatures.
        items = expand_urls([f"https://h/get.mp4?{name}={value}" for value in "ab"], None)
        assert len({item.place for item in items}) == len({item.stem for item in items}) == 2

    def test_files_that_a_query_tells_apart_stay_apart(self) -> None:
        urls = [
            f"https://h/video.mp4?id={number}&Expires={expires}&Signature=s" for number in (1, 2) for expires in (5, 6)
        ]
        shown = [remote.shown_url(url) for url in urls]
        assert shown[0] == shown[1] != shown[2] == shown[3]
        assert not any("id=" in url for url in shown)
        assert len({item.stem for item in expand_urls(urls, None)}) == 2

    def test_neither_index_nor_messages_tell_secrets(self, tmp_path: Path) -> None:
        url = "http://me:hunter2@127.0.0.1:9/a.mp4?Signature=hunter2"
        saving = OutputOptions(tmp_path, ("csv",))
        (result,) = run_jobs(expand_urls([url], None), AnalyzeOptions(action_units=False), saving, Silent())
        assert (result.status, result.input) == ("failed", "http://127.0.0.1:9/a.mp4")
        assert "hunter2" not in result.message + (tmp_path / "index.csv").read_text()


class _OnlyWhole(BaseHTTPRequestHandler):
    """Gives files whole, and none of their parts; refuses some, and is slow with others."""

    content = b""

    def do_HEAD(self) -> None:
        self.send_response(403 if self.path.startswith("/refused") else 200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        for start in range(0, len(self.content), 2**21):
            threading.Event().wait(0.2 if self.path == "/slow.mp4" else 0)
            self.wfile.write(self.content[start : start + 2**21])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(clip: Path) -> Iterator[str]:
    # Longer than fsspec reads at once.
    _OnlyWhole.content = clip.read_bytes() + bytes(16 * 2**20)
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyWhole) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestWeb:
    def test_a_server_that_gives_no_parts_of_files(self, web: str) -> None:
        with downloaded(f"{web}/a.mp4") as copy:
            assert copy.read_bytes() == _OnlyWhole.content

    def test_a_large_file_may_take_its_time(self, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # aiohttp's limit is five minutes for all of it.
        monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=0.5))
        with downloaded(f"{web}/slow.mp4") as copy:
            assert copy.read_bytes() == _OnlyWhole.content

    @pytest.mark.parametrize("name", ["refused (1).mp4", "refused(1).mp4", "refused's.mp4", "refused.mp4"])
    def test_messages_tell_no_signature_whatever_the_name(self, name: str, web: str) -> None:
        with pytest.raises(InputFileError, match="403") as raised:
            remote_status(f"{web}/{name}?X-Amz-Credential=hunter2%2F2026&X-Amz-Signature=hunter2")
        assert "hunter2" not in str(raised.value)

    def test_a_url_that_is_refused_does_not_stop_the_others(self, web: str, tmp_path: Path) -> None:
        urls = [f"{web}/refused.mp4", f"{web}/a.mp4"]
        saving = OutputOptions(tmp_path, ("csv",))
        results = run_jobs(expand_urls(urls, None), AnalyzeOptions(action_units=False), saving, Silent())
        assert [(result.status == "failed", result.rows) for result in results] == [(True, 0), (False, 3)]
        assert "403" in results[0].message


class TestCopies:
    def test_a_copy_has_name_content_and_time_and_goes(self, bucket: str, clip: Path) -> None:
        with downloaded(f"{bucket}/a.mp4") as copy:
            assert copy.name == "a.mp4"
            assert copy.read_bytes() == clip.read_bytes()
            first = copy.stat().st_mtime_ns
        assert not copy.parent.exists()
        with downloaded(f"{bucket}/a.mp4") as again:
            assert again.stat().st_mtime_ns == first
        assert remote_status(f"{bucket}/a.mp4").size_bytes == clip.stat().st_size

    def test_a_file_that_is_cut_on_the_way(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        status = remote_status(f"{bucket}/a.mp4")
        longer = remote.RemoteStatus(status.size_bytes + 1, status.changed_ns)
        monkeypatch.setattr(remote, "remote_status", lambda url: longer)
        with (
            pytest.raises(InputFileError, match=rf"{status.size_bytes} of {longer.size_bytes} bytes came"),
            downloaded(f"{bucket}/a.mp4"),
        ):
            pass

    def test_what_cannot_be_opened(self, bucket: str) -> None:
        with pytest.raises(InputFileError, match=r"memory://bucket/gone.mp4: no such file"):
            remote_status(f"{bucket}/gone.mp4")
        with pytest.raises(InputError, match=r"nothing://x.*Protocol not known"):
            list_urls("nothing://x")

    def test_a_store_whose_library_is_missing(self) -> None:
        pytest.importorskip("fsspec")
        with pytest.raises(MissingExtraError, match=r"s3://x/y.mp4: Install s3fs"):
            list_urls("s3://x/y.mp4")

    @pytest.mark.parametrize("size", [0, 10, EDGE_BYTES + 5, 3 * EDGE_BYTES])
    def test_fingerprints_need_no_copy(self, size: int, store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
        content = os.urandom(size)
        store.pipe("/f/x.bin", content)
        (tmp_path / "x.bin").write_bytes(content)
        assert url_fingerprint("memory://f/x.bin") == fingerprint(tmp_path / "x.bin")


class TestJobs:
    def test_the_results_are_those_of_the_file(self, bucket: str, clip: Path, tmp_path: Path) -> None:
        options, urls = AnalyzeOptions(action_units=False), [f"{bucket}/a.mp4", f"{bucket}/gone.mp4"]
        saving = OutputOptions(tmp_path / "far", ("csv",), annotate=True)
        results = run_jobs(expand_urls(urls, None), options, saving, Silent())
        assert [(result.input, result.status) for result in results] == list(zip(urls, ("done", "failed"), strict=True))
        near = OutputOptions(tmp_path / "near", ("csv",))
        (here,) = run_jobs(expand_inputs([clip], None), options, near, Silent())
        found, expected = (Timeline.from_csv(folder / "timeline.csv") for folder in (results[0].folder, here.folder))
        assert found.table.equals(expected.table)
        assert (found.provenance.input, found.provenance.size_bytes) == ("a.mp4", clip.stat().st_size)
        assert (tmp_path / "far" / "a" / "annotated.mp4").is_file()

    def test_what_is_finished_is_not_even_copied(
        self, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: fsspec.AbstractFileSystem
    ) -> None:
        options, saving = AnalyzeOptions(action_units=False), OutputOptions(tmp_path, ("csv",), resume=True)
        inputs = expand_urls([f"{bucket}/a.mp4"], None)
        assert [result.status for result in run_jobs(inputs, options, saving, Silent())] == ["done"]
        with monkeypatch.context() as patch:
            patch.setattr("affectline.inputs.downloaded", None)
            assert [result.status for result in run_jobs(inputs, options, saving, Silent())] == ["skipped"]
        store.pipe("/bucket/a.mp4", store.cat("/bucket/a.mp4") + b"\0")
        # Done again, and what hangs behind the video is found.
        assert [result.status for result in run_jobs(inputs, options, saving, Silent())] == ["incomplete"]

    def test_the_commands_read_urls(self, bucket: str, tmp_path: Path) -> None:
        words = ["analyze", f"{bucket}/*.mp4", "-o", str(tmp_path / "out"), "--no-au", "--no-video"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"a", "b", "index.csv", ".index.lock"}
        words = ["extract", f"{bucket}/a.mp4", "-o", str(tmp_path / "store")]
        said = [CliRunner().invoke(app, words).stdout.strip() for _ in range(2)]
        assert said == ["1 of 1 a: done, 0 faces", "1 of 1 a: skipped, 0 faces"]
        assert [entry.video for entry in FeatureStore(tmp_path / "store").entries] == ["a"]

    def test_an_unknown_engine(self, clip: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["analyze", str(clip), "-o", str(tmp_path), "--engine", "spark"])
        assert "no engine 'spark'; choose local or ray" in str(result.exception)
