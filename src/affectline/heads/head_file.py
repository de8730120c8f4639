"""Heads as files: one safetensors file each, whose metadata hold the JSON that says what the numbers are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from affectline.atomic_file import complete_file
from affectline.errors import InputError, InputFileError, ModelFileError, ShapeError
from affectline.heads.blend import BlendHead
from affectline.heads.cascade import CascadeHead
from affectline.heads.gated import GatedHead, PaperGatedHead
from affectline.heads.head import Head, HeadCard
from affectline.heads.mlp import MlpHead
from affectline.heads.pretrained_head import PretrainedHead
from affectline.heads.temporal import TemporalHead
from affectline.json_records import JsonValue, parse_object, read_record, to_json_object
from affectline.labels import Expression, Task

METADATA_KEY: Final = "affectline"
FORMAT: Final = 1
"""Version of the file format; a reader refuses a newer one."""

_KNOWN_LABELS: Final[Mapping[Task, frozenset[str]]] = {
    Task.VA: frozenset(Task.VA.official_labels),
    Task.EXPR: frozenset(label.value for label in Expression),
    Task.AU: frozenset(Task.AU.official_labels),
}

_AUTOML: Final = "automl"
_MAX_DEPTH: Final = 4
"""Blends of blends of blends: deeper ones are a mistake."""

Arrays = Mapping[str, NDArray[np.generic]]
OpaqueOpener = Callable[[HeadCard, Mapping[str, JsonValue], Arrays], Head]
"""Opens a head whose arrays only another library understands (`training.automl.opaque_opener`)."""


@runtime_checkable
class SavableHead(Head, Protocol):
    """A head that can say what to write into its file."""

    @property
    def kind(self) -> str:
        """The word by which the file says which class it is."""

    def settings(self) -> dict[str, JsonValue]:
        """What the file says besides the card."""

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The numbers, by name."""


_CLASSES: Final[Mapping[str, Callable[[HeadCard, Mapping[str, JsonValue], Arrays], Head]]] = {
    "mlp": MlpHead.restore,
    "pretrained": PretrainedHead.restore,
    "cascade": CascadeHead.restore,
    "gated": GatedHead.restore,
    "gated_paper": PaperGatedHead.restore,
    "temporal": TemporalHead.restore,
}


def save_head(head: SavableHead | BlendHead, path: Path) -> None:
    """Write a head to a file, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
        InputError: a part of a blend is of a class that has no file form.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    text = json.dumps({"format": FORMAT, **_describe(head, "", arrays)})
    content = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {METADATA_KEY: text})
    with complete_file(path) as file:
        file.write(content)


def _describe(head: object, prefix: str, arrays: dict[str, NDArray[np.generic]]) -> dict[str, JsonValue]:
    """Return the JSON of a head; add its numbers to `arrays` under names that start with the prefix."""
    if isinstance(head, BlendHead):
        arrays.update({prefix + name: array for name, array in head.arrays().items()})
        parts: list[JsonValue] = [
            _describe(part, f"{prefix}part{number}.", arrays) for number, part in enumerate(head.parts)
        ]
        return {"kind": head.kind, "card": to_json_object(head.card), "parts": parts}
    if not isinstance(head, SavableHead):
        raise InputError(f"a head of the class {type(head).__name__} has no file form")
    arrays.update({prefix + name: array for name, array in head.arrays().items()})
    return {"kind": head.kind, "card": to_json_object(head.card), "settings": head.settings()}


def load_head(path: Path, open_opaque: OpaqueOpener | None = None) -> Head:
    """Read a head from its file.

    Args:
        path: a file that `save_head` wrote.
        open_opaque: opens heads that hold a pickle, after checking that the caller trusts it; None refuses them.

    Raises:
        InputFileError: the file cannot be read.
        ModelFileError: it is damaged, no head file, of a newer format, or holds a pickle that nobody may open.
    """
    with _reading(path) as content:
        arrays = load_arrays(content)
        return _restore(_description(content), arrays, open_opaque, 0)


def load_card(path: Path) -> HeadCard:
    """Read what a head says of itself; nothing of it is opened, so a pickle in it need not be trusted.

    Raises:
        InputFileError: the file cannot be read.
        ModelFileError: it is damaged, no head file, or of a newer format.
    """
    with _reading(path) as content:
        load_arrays(content)  # which tells of a file that is cut off, or none of these
        return _card(_description(content))


@contextmanager
def _reading(path: Path) -> Iterator[bytes]:
    """Give the content of a head file; what is wrong with it is told with the path."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"cannot read the head {path}: {error.strerror}") from error
    try:
        yield content
    except (ModelFileError, InputError, ShapeError, SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path} is no head that can be used: {error}") from error


def _description(content: bytes) -> Mapping[str, JsonValue]:
    """Return the JSON of the head in a file."""
    record = parse_object(_metadata(content).get(METADATA_KEY, ""), "its description")
    if record.get("format") != FORMAT:
        raise ModelFileError(f"format {record.get('format')!r}, this version of affectline reads {FORMAT}")
    return record


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the text metadata of a safetensors file: its JSON header stands behind its length, 8 bytes."""
    length = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + length]).get("__metadata__")
    return found if isinstance(found, dict) else {}


def _restore(record: Mapping[str, JsonValue], arrays: Arrays, open_opaque: OpaqueOpener | None, depth: int) -> Head:
    card = _card(record)
    kind = record.get("kind")
    if kind == BlendHead.kind:
        return _restore_blend(card, record, arrays, open_opaque, depth)
    settings = record.get("settings")
    if not isinstance(settings, dict):
        raise ModelFileError("it has no settings")
    if kind == _AUTOML:
        if open_opaque is None:
            raise ModelFileError(
                "it holds a Python pickle, which can run any program; if you made it yourself, pass "
                f"--trust-pickle {settings.get('sha256')}"
            )
        return open_opaque(card, settings, arrays)
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise ModelFileError(f"it is of the kind {kind!r}; known are {', '.join([*_CLASSES, _AUTOML, BlendHead.kind])}")
    return _CLASSES[kind](card, settings, arrays)


def _card(record: Mapping[str, JsonValue]) -> HeadCard:
    card = read_record(HeadCard, record.get("card"), "the card")
    unknown = set(card.labels) - _KNOWN_LABELS[card.task]
    if unknown:
        raise ModelFileError(f"it has labels that {card.task.value} heads do not know: {', '.join(sorted(unknown))}")
    return card


def _restore_blend(
    card: HeadCard, record: Mapping[str, JsonValue], arrays: Arrays, open_opaque: OpaqueOpener | None, depth: int
) -> BlendHead:
    parts, weights = record.get("parts"), arrays.get("weights")
    if not isinstance(parts, list) or weights is None or depth >= _MAX_DEPTH:
        raise ModelFileError("a blend in it has no parts or weights, or is nested too deeply")
    heads = []
    for number, part in enumerate(parts):
        if not isinstance(part, dict):
            raise ModelFileError(f"part {number} of a blend is no object")
        prefix = f"part{number}."
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        heads.append(_restore(part, own, open_opaque, depth + 1))
    return BlendHead(card, tuple(heads), np.asarray(weights, np.float32))
