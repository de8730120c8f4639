"""Files that are complete or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from affectline.atomic_file import complete_file, complete_path
from affectline.errors import InputFileError, OutputError


class LibraryError(Exception):
    """What a library might raise that is no OSError."""


def test_the_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    place = tmp_path / "table.csv"
    place.write_bytes(b"old")
    with complete_file(place) as file:
        file.write(b"new")
        assert place.read_bytes() == b"old"
    assert place.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [place]


def test_after_an_error_what_was_there_stays_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "table.csv"
    place.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), complete_file(place) as file:
        file.write(bytes(1 // 0))
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_library_that_cannot_write_is_reported_with_the_path(tmp_path: Path) -> None:
    message = r"cannot write .*video\.mp4: codec on strike; choose a folder"
    with pytest.raises(OutputError, match=message), complete_path(tmp_path / "video.mp4", LibraryError):
        raise LibraryError("codec on strike")


def test_other_errors_of_a_library_are_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="codec on strike"), complete_path(tmp_path / "video.mp4"):
        raise LibraryError("codec on strike")


def test_an_error_of_affectline_passes_through(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="the source is gone"), complete_path(tmp_path / "video.mp4"):
        raise InputFileError("the source is gone")


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    place = tmp_path / "none" / "t.csv"
    message = r"cannot write .*t\.csv: No such file or directory"
    with pytest.raises(OutputError, match=message), complete_file(place) as file:
        file.write(b"new")
