"""What a temporal head's network is: its kind, its sizes, and the shapes of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from affectline.errors import InputError
from affectline.json_records import JsonValue

TEMPORAL_MODELS: Final = ("gru", "tcn", "transformer")

TAPS: Final = 3
"""Steps that a convolution of the TCN sees."""

ATTENTION_HEADS: Final = 4
FARTHEST: Final = 128
"""Distance in steps from which on the transformer does not tell distances apart."""

LONGEST_WINDOW: Final = 4096
"""Steps; what is longer is a mistake."""

SHORTEST_WINDOW: Final = 8
LARGEST: Final = {"inputs": 65_536, "size": 1024, "layers": 16}
FILTER: Final = "filter.weight"
SMALLEST_SHARE: Final = 0.02
"""The filter makes up for masked steps, but not for more than all but this share of its weight."""

TINY: Final = 1e-12
"""Keeps a filter of zeros from dividing by 0."""

_NUMBERS: Final = ("inputs", "size", "layers", "window", "reach")
_LONGEST_INTERVAL_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class TemporalSpec:
    """The network of a temporal head.

    Attributes:
        model: one of `TEMPORAL_MODELS`.
        is_causal: scores rest on the past alone.
        inputs: d, numbers in an encoding of a frame.
        size: numbers in each hidden state.
        layers: of the network.
        window: W, steps that the network sees together, even.
        reach: steps that the filter sees behind a step and, unless causal, ahead of it.
        interval_s: seconds from step to step: the usual frame interval of the training data.

    Raises:
        InputError: a value is not as said, or beyond `LARGEST`, `LONGEST_WINDOW`.
    """

    model: str
    is_causal: bool
    inputs: int
    size: int
    layers: int
    window: int
    reach: int
    interval_s: float

    def __post_init__(self) -> None:
        if self.model not in TEMPORAL_MODELS:
            raise InputError(f"no temporal model {self.model!r}; choose one of {', '.join(TEMPORAL_MODELS)}")
        for name, most in LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"the {name} of a temporal head is 1 to {most}, got {getattr(self, name)}")
        if not SHORTEST_WINDOW <= self.window <= LONGEST_WINDOW or self.window % 2:
            raise InputError(
                f"the window of a temporal head is an even number of {SHORTEST_WINDOW} to {LONGEST_WINDOW} steps, got "
                f"{self.window}; choose another --window"
            )
        if not 0 <= self.reach < self.window:
            raise InputError(
                f"the filter of a temporal head reaches 0 to {self.window - 1} steps, its window, got {self.reach}; "
                "train it again"
            )
        if not 0 < self.interval_s <= _LONGEST_INTERVAL_S:
            raise InputError(f"the steps of a temporal head must be 0 to 3600 seconds apart, got {self.interval_s}")
        if self.model == "transformer" and self.size % ATTENTION_HEADS:
            raise InputError(
                f"a transformer needs a size that {ATTENTION_HEADS} divides, got {self.size}; choose another --hidden"
            )

    @property
    def window_s(self) -> float:
        """How long a window is, seconds."""
        return self.window * self.interval_s

    @property
    def taps(self) -> int:
        """How many steps the filter sees."""
        return self.reach + 1 if self.is_causal else 2 * self.reach + 1

    def shapes(self, n_labels: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of every array of filter and network, by name, as PyTorch lays them out."""
        size = self.size
        shapes: dict[str, tuple[int, ...]] = {FILTER: (n_labels, 1, self.taps)}
        if self.model == "gru":
            ends = 1 if self.is_causal else 2
            return shapes | self._gru_shapes() | _dense("out", n_labels, size * ends)
        shapes |= _dense("start", size, self.inputs + 1)
        for number in range(self.layers):
            inner = _tcn_block(size) if self.model == "tcn" else _transformer_block(size)
            shapes |= {f"blocks.{number}.{name}": shape for name, shape in inner.items()}
        if self.model == "transformer":
            shapes |= _norm("norm", size)
        return shapes | _dense("out", n_labels, size)

    def _gru_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        size, ends = self.size, ("",) if self.is_causal else ("", "_reverse")
        for layer in range(self.layers):
            width = size * len(ends) if layer else self.inputs + 1
            for end in ends:
                shapes[f"gru.weight_ih_l{layer}{end}"] = (3 * size, width)
                shapes[f"gru.weight_hh_l{layer}{end}"] = (3 * size, size)
                shapes |= {f"gru.bias_{kind}_l{layer}{end}": (3 * size,) for kind in ("ih", "hh")}
        return shapes

    def to_settings(self) -> dict[str, JsonValue]:
        """Return the spec as the head's file has it; `from_settings` gives an equal one back."""
        return {
            "model": self.model,
            "causal": self.is_causal,
            "inputs": self.inputs,
            "size": self.size,
            "layers": self.layers,
            "window": self.window,
            "reach": self.reach,
            "interval_s": self.interval_s,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, JsonValue]) -> TemporalSpec:
        """Read a spec from a head's settings.

        Raises:
            InputError: a value is missing, of another type or not possible.
        """
        kinds = {"model": str, "causal": bool, **dict.fromkeys(_NUMBERS, int), "interval_s": float}
        values = []
        for name, kind in kinds.items():
            value = settings.get(name)
            if type(value) is not kind:
                raise InputError(f"{name} of a temporal head must be {kind.__name__}, got {value!r}; train it again")
            values.append(value)
        return cls(*values)  # type: ignore[arg-type]  # the types have been checked


def _dense(name: str, after: int, before: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _tcn_block(size: int) -> dict[str, tuple[int, ...]]:
    return {"dilated.weight": (size, size, TAPS), "dilated.bias": (size,), **_dense("mix", size, size)}


def _transformer_block(size: int) -> dict[str, tuple[int, ...]]:
    return {
        "distance": (ATTENTION_HEADS, 2 * FARTHEST + 1),
        **_norm("before_attention", size),
        **_dense("attention", 3 * size, size),
        **_dense("project", size, size),
        **_norm("before_mixing", size),
        **_dense("widen", 2 * size, size),
        **_dense("narrow", size, 2 * size),
    }
