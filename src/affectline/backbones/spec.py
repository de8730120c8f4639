"""What affectline must know of a backbone file to use it, and the JSON text that says so.

The text travels in the file (`metadata_props["affectline"]`) or, for a file in the EmotiEffLib form, beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeGuard

from affectline.errors import ModelFileError
from affectline.labels import VALENCE_AROUSAL, ActionUnit, Expression, Task
from affectline.records import CropPolicy


class Form(str, Enum):
    """How a backbone file lays out what it computes."""

    AFFECTLINE = "affectline"
    """Named outputs, and a description inside the file."""

    EMOTIEFFLIB = "emotiefflib"
    """One output: the logits, then perhaps valence and arousal. The last node, a Gemm, takes the embedding."""


class Colour(str, Enum):
    """What a network's three input channels hold."""

    RGB = "rgb"
    GREY = "grey"
    """Luminance (ITU-R BT.601), three times."""


class Interpolation(str, Enum):
    """How a picture is resized, in OpenCV's words."""

    LINEAR = "linear"
    AREA = "area"


@dataclass(frozen=True, slots=True)
class ResizeStep:
    """One resize, to a square of `size` pixels; what is not square is stretched."""

    interpolation: Interpolation
    size: int


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """How to feed a backbone and to read it.

    Attributes:
        name: what results are labelled with.
        form: how the file is laid out.
        labels: the expressions that the logits stand for, in their order; empty where the network gives none.
        has_valence_arousal: the network gives valence and arousal.
        size: height and width of the input in pixels.
        mean, std: for each channel: the input is `(pixel / 255 - mean) / std`.
        colour: what the channels hold.
        resize: done in this order; the last one gives `size`.
        crop: how the face is cut out of the frame.
        temperature: logits are divided by it before the softmax; fitted on held-out data, 1 if it never was.
        training_data: what it was trained on, and the terms of that.
        licence: the terms of the file.
        version: of the weights.
        source: where a person reads about it.
        action_units: what the action unit logits stand for, in their order; empty where the network gives none.
    """

    name: str
    form: Form
    labels: tuple[Expression, ...]
    has_valence_arousal: bool
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    colour: Colour
    resize: tuple[ResizeStep, ...]
    crop: CropPolicy
    temperature: float
    training_data: str
    licence: str
    version: str
    source: str
    action_units: tuple[ActionUnit, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the outputs of the affectline form are called, in the order in which they are used here."""
        expressions = (EXPRESSION_OUTPUT,) if self.labels else ()
        values = VALENCE_AROUSAL if self.has_valence_arousal else ()
        units = (ACTION_UNIT_OUTPUT,) if self.action_units else ()
        return (EMBEDDING_OUTPUT, *expressions, *values, *units)

    def gives(self, task: Task) -> bool:
        """Return whether the network has outputs of its own for a task."""
        return {
            Task.EXPR: bool(self.labels),
            Task.VA: self.has_valence_arousal,
            Task.AU: bool(self.action_units),
        }[task]


EMBEDDING_OUTPUT: Final = "embedding"
EXPRESSION_OUTPUT: Final = "expression_logits"
ACTION_UNIT_OUTPUT: Final = "au_logits"
"""Outputs of the affectline form besides `valence` and `arousal`."""

_ONE: Final = (1, "one")
_TWO: Final = (2, "two")

MAX_SIZE: Final = 2048
"""The largest input side that is believed; a larger one is a mistake in the description."""

EXAMPLE_DESCRIPTION: Final = (
    '{"name": "my_b0", "labels": {"expression_logits": ["Anger", "Contempt", "Disgust", "Fear", "Happiness", '
    '"Neutral", "Sadness", "Surprise"]}, "valence_arousal": false, "size": 224, "mean": [0.485, 0.456, 0.406], '
    '"std": [0.229, 0.224, 0.225], "colour": "rgb", "resize": [["linear", 224]], "margin": 0.0, "square": false, '
    '"top": 0.13, "temperature": 1.0, "training_data": "AffectNet", "licence": "research only", "version": "1", '
    '"source": "me"}'
)
"""A description that is right for a network like EmotiEffNet-B0."""


def describe(spec: BackboneSpec) -> str:
    """Return the JSON text that `parse_description` turns into the same spec."""
    labels = {
        EXPRESSION_OUTPUT: [label.value for label in spec.labels],
        ACTION_UNIT_OUTPUT: [unit.value for unit in spec.action_units],
    }
    fields = {
        "name": spec.name,
        "labels": {output: words for output, words in labels.items() if words},
        "valence_arousal": spec.has_valence_arousal,
        "size": spec.size,
        "mean": spec.mean,
        "std": spec.std,
        "colour": spec.colour.value,
        "resize": [(step.interpolation.value, step.size) for step in spec.resize],
        "margin": spec.crop.margin,
        "square": spec.crop.square,
        "top": spec.crop.top,
        "temperature": spec.temperature,
        "training_data": spec.training_data,
        "licence": spec.licence,
        "version": spec.version,
        "source": spec.source,
    }
    return json.dumps(fields)


def parse_description(text: str, form: Form, place: str) -> BackboneSpec:
    """Return the spec that a JSON text describes.

    Args:
        text: one object with all the fields of `EXAMPLE_DESCRIPTION` and no others.
        form: of the file that is described.
        place: where the text was found, for messages.

    Raises:
        ModelFileError: it is no such text; the message names the field.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ModelFileError(f"{place} is not JSON: {error}") from error
    known = json.loads(EXAMPLE_DESCRIPTION)
    if not isinstance(found, dict) or found.keys() != known.keys():
        has = set(found) if isinstance(found, dict) else set()
        raise ModelFileError(
            f"{place} must be one JSON object with the right fields; missing: {_listed(known.keys() - has)}; "
            f"not known: {_listed(has - known.keys())}; for example {EXAMPLE_DESCRIPTION}"
        )
    return _spec_from(_Fields(found, place), form)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class _Fields:
    """The fields of a description, each checked as it is read."""

    def __init__(self, fields: dict[str, object], place: str) -> None:
        self._fields = fields
        self._place = place

    def wrong(self, name: str, expected: str) -> ModelFileError:
        return ModelFileError(f"{self._place}: {name} must be {expected}, got {json.dumps(self._fields[name])}")

    def text(self, name: str) -> str:
        value = self._fields[name]
        if not isinstance(value, str):
            raise self.wrong(name, "text")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields[name]
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        value = self._fields[name]
        if not _is_number(value) or not low <= value <= high:
            raise self.wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def size(self, name: str) -> int:
        value = self._fields[name]
        if not _is_size(value):
            raise self.wrong(name, f"a whole number from 1 to {MAX_SIZE}")
        return value

    def triple(self, name: str, low: float, high: float) -> tuple[float, float, float]:
        value = self._fields[name]
        if (
            not isinstance(value, list)
            or len(value) != 3  # noqa: PLR2004 - red, green, blue
            or not all(_is_number(part) and low <= part <= high for part in value)
        ):
            raise self.wrong(name, f"three numbers from {low:g} to {high:g}")
        red, green, blue = map(float, value)
        return red, green, blue

    def colour(self) -> Colour:
        try:
            return Colour(self._fields["colour"])
        except ValueError as error:
            raise self.wrong("colour", " or ".join(repr(colour.value) for colour in Colour)) from error

    def resize(self, size: int) -> tuple[ResizeStep, ...]:
        expected = f'a list of steps such as ["linear", {size}] (or "area"), the last one to {size}'
        value = self._fields["resize"]
        if not isinstance(value, list):
            raise self.wrong("resize", expected)
        try:
            steps = tuple(ResizeStep(Interpolation(kind), to) for kind, to in value)
        except (ValueError, TypeError) as error:
            raise self.wrong("resize", expected) from error
        if not steps or not all(_is_size(step.size) for step in steps) or steps[-1].size != size:
            raise self.wrong("resize", expected)
        return steps

    def labels(self) -> tuple[tuple[Expression, ...], tuple[ActionUnit, ...]]:
        value = self._fields["labels"]
        if not isinstance(value, dict) or not value.keys() <= {EXPRESSION_OUTPUT, ACTION_UNIT_OUTPUT}:
            raise self.wrong("labels", f"lists of labels for {EXPRESSION_OUTPUT}, {ACTION_UNIT_OUTPUT} or both")
        expressions = self._words(EXPRESSION_OUTPUT, _TWO, [label.value for label in Expression])
        units = self._words(ACTION_UNIT_OUTPUT, _ONE, [unit.value for unit in ActionUnit])
        return tuple(map(Expression, expressions)), tuple(map(ActionUnit, units))

    def _words(self, output: str, least: tuple[int, str], known: Sequence[str]) -> list[str]:
        labels = self._fields["labels"]
        words = labels.get(output) if isinstance(labels, dict) else None
        if words is None:
            return []
        if not _are_different_words(words) or len(words) < least[0] or not set(words) <= set(known):
            raise self.wrong("labels", f'{{"{output}": [at least {least[1]} different ones of {", ".join(known)}]}}')
        return list(words)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIZE


def _are_different_words(value: object) -> bool:
    if not isinstance(value, Sequence) or not all(isinstance(word, str) for word in value):
        return False
    return len(set(value)) == len(value)


def _spec_from(fields: _Fields, form: Form) -> BackboneSpec:
    size = fields.size("size")
    labels, units = fields.labels()
    has_valence_arousal = fields.flag("valence_arousal")
    if not (labels or units or has_valence_arousal):
        raise fields.wrong(
            "labels", f"at least one of {EXPRESSION_OUTPUT} and {ACTION_UNIT_OUTPUT}, or valence_arousal true"
        )
    if form is Form.EMOTIEFFLIB and (units or not labels):
        raise fields.wrong("labels", f"{EXPRESSION_OUTPUT} alone, as the EmotiEffLib form has them")
    return BackboneSpec(
        name=fields.text("name"),
        form=form,
        labels=labels,
        has_valence_arousal=has_valence_arousal,
        size=size,
        mean=fields.triple("mean", 0.0, 1.0),
        std=fields.triple("std", 1e-3, 10.0),
        colour=fields.colour(),
        resize=fields.resize(size),
        crop=CropPolicy(fields.number("margin", -0.9, 9.0), fields.flag("square"), fields.number("top", 0.0, 9.0)),
        temperature=fields.number("temperature", 0.01, 100.0),
        training_data=fields.text("training_data"),
        licence=fields.text("licence"),
        version=fields.text("version"),
        source=fields.text("source"),
        action_units=units,
    )
