"""How heads are trained in the experiments, and how a user says otherwise: `--set HEAD.PARAMETER=VALUE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Final, TypeVar

from affectline.backbones import DEFAULT_BACKBONE
from affectline.errors import InputError
from affectline.experiments.recipes import HeadRecipe, heads

Settings = Mapping[str, Mapping[str, str]]
"""By head, then by parameter: the value as it was typed."""

Params = TypeVar("Params")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How the fine-tuned network of Table 2 is trained.

    Attributes:
        init: with what it begins: a backbone that affectline exported, by name or file, or weights (docs/finetune.md).
        arch: architecture; empty takes that of `init`, EfficientNet-Lite0 for `imagenet`.
        crops: number of training crops, at most; every k-th labelled frame of each video is taken.
        epochs: passes over them.
        learning_rate: the highest.
        size: of the input, pixels.
    """

    init: str = DEFAULT_BACKBONE
    arch: str = ""
    crops: int = 5000
    epochs: int = 8
    learning_rate: float = 5e-4
    size: int = 96


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """What all heads share, and what was set for single ones.

    Attributes:
        network: of the fine-tuned one.
        automl_s: seconds that LightAutoML may search for each head.
        own: what was set for single heads.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    automl_s: float = 600.0
    own: Settings = field(default_factory=dict)


_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": {"true": True, "false": False}.__getitem__,
}
"""How a typed value becomes that of a field of this type."""


def parse_settings(typed: Sequence[str]) -> Settings:
    """Return settings by head from texts such as `au_b0_mlp.epochs=5`.

    Raises:
        InputError: a text is not of that form, or there is no such head.
    """
    found: dict[str, dict[str, str]] = {}
    for text in typed:
        place, _, value = text.partition("=")
        head, _, parameter = place.partition(".")
        if not (head and parameter and value):
            raise InputError(
                f"--set {text!r} is not understood; write HEAD.PARAMETER=VALUE, such as au_b0_mlp.epochs=5"
            )
        if head not in heads():
            raise InputError(f"--set {text!r}: no head {head}; there are {', '.join(heads())}")
        found.setdefault(head, {})[parameter] = value
    return MappingProxyType({head: MappingProxyType(values) for head, values in found.items()})


def with_settings(params: Params, recipe: HeadRecipe, settings: Settings) -> Params:
    """Return parameters (a frozen record) with what was set for a head.

    Raises:
        InputError: there is no such parameter, or the value is not of its type.
    """
    chosen = settings.get(recipe.name, {})
    types = {one.name: str(one.type).split(" | ")[0] for one in fields(params)}  # type: ignore[arg-type]  # a dataclass
    changed: dict[str, object] = {}
    for name, text in chosen.items():
        form = _FORMS.get(types.get(name, ""))
        if form is None:
            known = ", ".join(name for name, kind in types.items() if kind in _FORMS)
            raise InputError(
                f"{recipe.name} ({recipe.model}) has no parameter {name} that can be set; there are {known}"
            )
        try:
            changed[name] = form(text)
        except (ValueError, KeyError) as error:
            raise InputError(f"{recipe.name}.{name} is {types[name]}, got {text!r}") from error
    return replace(params, **changed)  # type: ignore[type-var]  # a dataclass
