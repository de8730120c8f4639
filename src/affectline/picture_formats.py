"""Pictures that OpenCV does not read, or not as they are meant: HEIC, AVIF, TIFF with transparency, deep PNM."""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Final

import numpy as np
from PIL import Image, ImageOps, features

from affectline.errors import InputFileError, MissingExtraError
from affectline.records import UInt8Array

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")
_PNM_STARTS: Final = (b"P5", b"P6")
_LAYERED_MODES: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


def read_by_pillow(data: bytes, name: str) -> UInt8Array | None:
    """Return the picture as RGB, turned upright, shape (height, width, 3), uint8; None for what OpenCV reads well.

    A HEIC photograph is a grid of tiles and an AVIF says by a property of its own how it is to be turned: both are lost
    on FFmpeg and OpenCV.

    Args:
        data: content of the file.
        name: of the file, for messages.

    Raises:
        MissingExtraError: what reads this format is not installed.
        InputFileError: a HEIC or AVIF picture is damaged.
    """
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        if not features.check("avif"):
            raise MissingExtraError(f"{name} is an AVIF picture, which needs a newer Pillow: pip install -U pillow")
        return _opened_whole(data, name)
    if brands & _HEIC_BRANDS:
        register_heic(name)
        return _opened_whole(data, name)
    if data.startswith(_TIFF_STARTS):
        return _opened(data, _LAYERED_MODES)  # OpenCV multiplies colours by their alpha
    if data.startswith(_PNM_STARTS):
        return _opened(data, frozenset({"I", "I;16"}))  # OpenCV does not ask how large the largest value is
    return None


def _brands(data: bytes) -> frozenset[bytes]:
    """Return what a file of the ISO base media format says it is; nothing for others."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return frozenset({data[8:12], *(data[at : at + 4] for at in range(16, end, 4))})


def is_phone_picture(head: bytes) -> bool:
    """Return whether a file is a HEIC or AVIF picture, by its first bytes: videos begin alike."""
    return bool(_brands(head) & (_HEIC_BRANDS | _AVIF_BRANDS))


def register_heic(name: str) -> None:
    """Let Pillow open HEIC; raises MissingExtraError, with the file's name, where pillow-heif is not installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is a HEIC photograph, which needs: pip install 'affectline[heic]' ({error}); or convert it to JPEG"
        ) from error


def _opened_whole(data: bytes, name: str) -> UInt8Array:
    """Return the picture; others would find one of its tiles, or find it lying on its side."""
    found = None if _ends_inside_a_box(data) else _opened(data)
    if found is None:
        raise InputFileError(f"{name}: the picture is damaged or cut off; copy it again")
    return found


def _ends_inside_a_box(data: bytes) -> bool:
    """Return whether a file of the ISO base media format was cut: decoders fill the tiles that are gone with grey."""
    at = 0
    while 0 <= at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if not size:  # up to the end, wherever that is
            return False
        at += max(size, 8)
    return at != len(data)


def _opened(data: bytes, modes: frozenset[str] | None = None) -> UInt8Array | None:
    """Return the picture if Pillow reads it and it is of one of the modes; None otherwise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                if modes is not None and picture.mode not in modes:
                    return None
                picture.load()
                return _as_rgb(ImageOps.exif_transpose(picture))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None


def _as_rgb(picture: Image.Image) -> UInt8Array:
    if picture.mode.startswith("I"):  # 16 bit, scaled to that by Pillow
        grey = np.asarray(picture, np.int64).clip(0, 65535) // 257
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    # Not convert(): it would lay a picture with transparency over black.
    layers = np.asarray(picture.convert("RGBA") if picture.mode in _LAYERED_MODES else picture.convert("RGB"))
    return np.ascontiguousarray(layers[:, :, :3], np.uint8)
