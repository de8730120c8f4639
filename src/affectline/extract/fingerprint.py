"""Telling whether a video or a folder of crops is the one that features were made from, without reading all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Final

from affectline.datasets.layout import frame_of_crop
from affectline.remote import open_url, remote_status

EDGE_BYTES: Final = 2**20
"""Read from either end of a file."""

DIGITS: Final = 16


def fingerprint(*paths: Path) -> str:
    """Return 16 digits of a sha256 over some files and folders of crops.

    A file counts with its size, its first and its last mebibyte; a folder with the names and sizes of its crops. Where
    a file lies and when it was changed does not matter.

    Raises:
        OSError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(_of_folder(path) if path.is_dir() else _of_file(path))
    return digest.hexdigest()[:DIGITS]


def url_fingerprint(url: str) -> str:
    """Return what `fingerprint` gives for a copy of the file behind a URL, without copying it.

    Raises:
        AffectlineError: it cannot be read.
    """
    size = remote_status(url).size_bytes
    with open_url(url) as file:
        return hashlib.sha256(_edges(file, size)).hexdigest()[:DIGITS]


def _of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _edges(file, path.stat().st_size)


def _edges(file: IO[bytes], size: int) -> bytes:
    first = file.read(EDGE_BYTES)
    file.seek(max(size - EDGE_BYTES, 0))
    return f"{size}\0".encode() + first + file.read(EDGE_BYTES)


def _of_folder(folder: Path) -> bytes:
    crops = sorted(path for path in folder.iterdir() if frame_of_crop(path.name) is not None and path.is_file())
    return "".join(f"{path.name}\0{path.stat().st_size}\0" for path in crops).encode()
