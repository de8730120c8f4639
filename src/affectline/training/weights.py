"""Files with the weights of a network that was trained here, and what must be known to go on with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from affectline.atomic_file import complete_file
from affectline.backbones.spec import BackboneSpec, Form, describe, parse_description
from affectline.errors import InputFileError

_KEY: Final = "affectline"


@dataclass(frozen=True, slots=True)
class AboutWeights:
    """What a weights file says of itself.

    Attributes:
        arch: name of the timm architecture.
        backbone: sha256 of the backbone file that was exported from these weights.
        spec: of that backbone.
    """

    arch: str
    backbone: str
    spec: BackboneSpec


def save_weights(path: Path, tensors: Mapping[str, Tensor], about: AboutWeights) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"arch": about.arch, "backbone": about.backbone, "description": describe(about.spec)}
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with complete_file(path) as file:
        file.write(save(plain, {_KEY: json.dumps(record)}))


def read_weights(path: Path) -> tuple[dict[str, Tensor], AboutWeights | None]:
    """Return the tensors of a safetensors file, and what it says of itself; None if another program wrote it.

    Raises:
        InputFileError: it cannot be read.
        ModelFileError: what it says of itself is damaged.
    """
    try:
        with safe_open(str(path), "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        record = None if text is None else json.loads(text)
        if record is None:
            return tensors, None
        spec = parse_description(record["description"], Form.AFFECTLINE, str(path))
        return tensors, AboutWeights(str(record["arch"]), str(record["backbone"]), spec)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"cannot read the weights {path}: {error}; give a safetensors file") from error
