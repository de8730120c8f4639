"""The file of a backbone: where it is, and the one beside it that holds the same network in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectline.assets import cache_folder, fetch
from affectline.backbones.registry import BACKBONES
from affectline.backbones.spec import EXAMPLE_DESCRIPTION, BackboneSpec, Form, parse_description
from affectline.errors import InputFileError, ModelFileError, UnknownNameError

METADATA_KEY: Final = "affectline"
"""Under which a file in the affectline form keeps its description."""

INT8_SUFFIX: Final = ".int8.onnx"


@dataclass(frozen=True, slots=True)
class BackboneFile:
    """Where a backbone is.

    Attributes:
        path: of the ONNX file.
        known: what the registry says of it; None for a file of the user's.
    """

    path: Path
    known: BackboneSpec | None

    @property
    def int8_path(self) -> Path:
        """Where the same network in 8 bits is looked for: beside the file; in the cache for a registered backbone."""
        if self.known is not None:
            return cache_folder() / f"{self.known.name}{INT8_SUFFIX}"
        return self.path.with_name(f"{self.path.stem}{INT8_SUFFIX}")

    def read(self) -> bytes:
        """Return the content; raises InputFileError if it cannot be read."""
        return _read(self.path)

    def read_int8(self) -> tuple[Path, bytes]:
        """Return the file that holds 8-bit weights, which may be the file itself, and its content.

        Raises:
            ModelFileError: there is none, or it holds no such weights.
            InputFileError: it cannot be read.
        """
        content = self.read()
        if is_quantised(content):
            return self.path, content
        name = self.path if self.known is None else self.known.name
        advice = f"make it with `affectline models quantise {name} FACES` (docs/backbones.md)"
        if not self.int8_path.is_file():
            raise ModelFileError(
                f"precision int8 needs {self.int8_path}, which is not there; {advice}, or leave out --precision"
            )
        content = _read(self.int8_path)
        if not is_quantised(content):
            raise ModelFileError(f"{self.int8_path} holds no 8-bit weights; remove it and {advice}")
        return self.int8_path, content

    def sidecar(self) -> BackboneSpec:
        """Return what the registry or, for a user's file in the EmotiEffLib form, the JSON file beside it says.

        Raises:
            ModelFileError: there is none, or it is not as docs/backbones.md says.
        """
        return self.known or _read_sidecar(self.path)


def find_backbone(name_or_path: str | Path, *, offline: bool = False) -> BackboneFile:
    """Return the file of a registered backbone, fetched if it is not here yet, or a user's own.

    Raises:
        UnknownNameError: it is neither a known name nor a file.
        AssetError: it is not here and cannot be fetched, or is damaged.
    """
    known = BACKBONES.get(str(name_or_path))
    path = Path(name_or_path) if known is None else fetch(known.name, offline=offline)
    if not path.is_file():
        raise UnknownNameError(f"{name_or_path} is neither a file nor one of the backbones {', '.join(BACKBONES)}")
    return BackboneFile(path, known)


def absolute_name(name_or_path: str | Path) -> str | Path:
    """Return what names the same backbone from every folder."""
    is_file = str(name_or_path) not in BACKBONES and Path(name_or_path).is_file()
    return Path(name_or_path).absolute() if is_file else name_or_path


def is_quantised(content: bytes) -> bool:
    """Return whether an ONNX file holds 8-bit weights or activations with their scales.

    The names of operators stand in the file as they are; that weights spell one of them by chance is not to be feared.
    """
    return b"DequantizeLinear" in content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error


def _read_sidecar(path: Path) -> BackboneSpec:
    sidecar = path.with_suffix(".json")
    try:
        text = sidecar.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelFileError(
            f'{path} says nothing of itself: it has no metadata_props["{METADATA_KEY}"] and no {sidecar.name} beside '
            f"it; write that file, for example {EXAMPLE_DESCRIPTION}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"cannot read {sidecar}: {error}") from error
    return parse_description(text, Form.EMOTIEFFLIB, str(sidecar))
