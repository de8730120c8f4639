"""From paths to inputs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from affectline.errors import InputError, InputFileError, VideoError
from affectline.inputs import Input, expand_inputs, open_input
from clips import cfr


def touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(items: list[Input]) -> list[tuple[str, str, str]]:
    return [(item.path.name, item.kind, item.stem) for item in items]


class TestExpandInputs:
    def test_files_keep_their_order(self, tmp_path: Path) -> None:
        paths = [touch(tmp_path / name) for name in ("b.mp4", "a.JPG", "c.mkv")]
        assert found(expand_inputs(paths, None)) == [
            ("b.mp4", "video", "b"),
            ("a.JPG", "image", "a"),
            ("c.mkv", "video", "c"),
        ]

    def test_a_folder_of_videos_is_each_of_them(self, tmp_path: Path) -> None:
        for name in ("clip10.mp4", "clip9.mp4", "notes.txt", ".hidden.mp4", "deeper/x.mp4"):
            touch(tmp_path / name)
        assert found(expand_inputs([tmp_path], None)) == [
            ("clip9.mp4", "video", "clip9"),
            ("clip10.mp4", "video", "clip10"),
        ]

    @pytest.mark.parametrize(("rate", "kind"), [(None, "images"), (25.0, "sequence")])
    def test_a_folder_of_images_is_one_input(self, rate: float | None, kind: str, tmp_path: Path) -> None:
        touch(tmp_path / "person.1" / "1.png")
        touch(tmp_path / "person.1" / "2.png")
        assert found(expand_inputs([tmp_path / "person.1"], rate)) == [("person.1", kind, "person.1")]

    def test_a_mixed_folder_is_refused(self, tmp_path: Path) -> None:
        touch(tmp_path / "a.mp4")
        touch(tmp_path / "b.png")
        with pytest.raises(InputFileError, match=r"mixes videos \(a\.mp4, \.\.\.\) and images \(b\.png, \.\.\.\)"):
            expand_inputs([tmp_path], None)

    def test_a_folder_with_nothing_is_refused(self, tmp_path: Path) -> None:
        touch(tmp_path / "deeper" / "a.mp4")
        with pytest.raises(
            InputFileError, match=r"no video or image in this folder \(folders in it are not searched\)"
        ):
            expand_inputs([tmp_path], None)

    def test_nothing_given(self) -> None:
        with pytest.raises(InputError, match="no input given"):
            expand_inputs([], None)

    def test_patterns_that_the_shell_left(self, tmp_path: Path) -> None:
        for name in ("c10.mp4", "c2.mp4", "d.mkv"):
            touch(tmp_path / name)
        assert found(expand_inputs([f"{tmp_path}/c*.mp4"], None)) == [
            ("c2.mp4", "video", "c2"),
            ("c10.mp4", "video", "c10"),
        ]

    def test_a_file_with_brackets_in_its_name_is_no_pattern(self, tmp_path: Path) -> None:
        touch(tmp_path / "clip [1].mp4")
        touch(tmp_path / "clip 1.mp4")
        assert found(expand_inputs([tmp_path / "clip [1].mp4"], None)) == [("clip [1].mp4", "video", "clip [1]")]

    def test_missing_files_wait_for_their_turn(self, tmp_path: Path) -> None:
        here = touch(tmp_path / "here.mp4")
        items = expand_inputs([tmp_path / "gone.mp4", here, tmp_path / "gone.png", f"{tmp_path}/no*.mp4"], None)
        assert [item.kind for item in items] == ["video", "video", "image", "video"]
        with pytest.raises(VideoError, match=r"gone\.mp4: no such file"):
            open_input(items[0], None)
        with pytest.raises(InputFileError, match=r"gone\.png: no such file"):
            open_input(items[2], None)
        with pytest.raises(VideoError, match=r"no\*\.mp4: no such file"):
            open_input(items[3], None)

    def test_one_file_named_in_two_ways_is_one_input_but_two_links_are_two(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(b"x")
        (tmp_path / "link.mp4").symlink_to(clip)
        paths = [clip, tmp_path / "sub" / ".." / "clip.mp4", tmp_path / "link.mp4"]
        assert [item.path for item in expand_inputs(paths, None)] == [clip, tmp_path / "link.mp4"]

    @pytest.mark.parametrize("rate", [0.0, -5.0, float("nan")])
    def test_an_impossible_rate_is_refused_before_anything_is_read(self, rate: float, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="must be a number above 0"):
            expand_inputs([tmp_path / "gone.mp4"], rate)

    def test_an_empty_path_is_not_the_present_folder(self) -> None:
        with pytest.raises(InputError, match="no input given"):
            expand_inputs([""], None)

    def test_colliding_names_all_get_a_digest(self, tmp_path: Path) -> None:
        paths = [touch(tmp_path / name) for name in ("x/clip.mp4", "y/Clip.mov", "z/other.mp4")]
        stems = [item.stem for item in expand_inputs(paths, None)]
        digests = [hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest() for path in paths]
        assert stems == [f"clip-{digests[0]}", f"Clip-{digests[1]}", "other"]

    def test_the_same_file_counts_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        touch(tmp_path / "a.mp4")
        assert found(expand_inputs(["a.mp4", tmp_path / "a.mp4", "."], None)) == [("a.mp4", "video", "a")]

    def test_the_folder_one_stands_in_has_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        touch(tmp_path / "faces" / "1.jpg")
        monkeypatch.chdir(tmp_path / "faces")
        assert [item.stem for item in expand_inputs(["."], None)] == ["faces"]

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"\x89PNG\r\n", "image"),
            (b"\xff\xd8\xff\xe0", "image"),
            (b"RIFF\0\0\0\0WEBP", "image"),
            (b"RIFF\0\0\0\0AVI ", "video"),
            (b"\0\0\0 ftypisom", "video"),
            (b"", "video"),
        ],
    )
    def test_a_file_without_a_known_suffix_is_known_by_its_start(
        self, content: bytes, kind: str, tmp_path: Path
    ) -> None:
        assert expand_inputs([touch(tmp_path / "upload", content)], None)[0].kind == kind


class TestOpenInput:
    def test_each_kind(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=2)
        (tmp_path / "faces").mkdir()
        for name in ("1.png", "2.png"):
            cv2.imwrite(str(tmp_path / "faces" / name), np.zeros((3, 4, 3), np.uint8))
        paths = [clip.path, tmp_path / "faces" / "1.png", tmp_path / "faces"]
        for rate, kinds in ((None, ["video", "image", "images"]), (5.0, ["video", "image", "sequence"])):
            sources = [open_input(item, rate) for item in expand_inputs(paths, rate)]
            assert [source.info.kind for source in sources] == kinds
            assert [len(list(source.frames())) for source in sources] == [2, 1, 2]
            assert all(source.report.is_complete for source in sources)
