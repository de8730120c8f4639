"""Which devices and precisions work on this machine: the embedded backbone is run on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from affectline.backbones import DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.errors import AffectlineError, InputError, MissingExtraError
from affectline.heads.pretrained import expression_probabilities
from affectline.records import FloatArray
from affectline.runtime import DEFAULT_RUNTIME, PRECISIONS, Precision, Runtime

N_PICTURES: Final = 5

TOLERANCE: Final = {Precision.FP32: 1e-3, Precision.BF16: 0.05}
"""How far a probability may be from ONNX Runtime's fp32 before something is wrong: 3e-7 and 0.003 have been seen."""


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What came of running the default backbone.

    Attributes:
        runtime: what ran it.
        difference: largest difference of a probability from ONNX Runtime in fp32; None where it did not run.
        problem: why not, or what is wrong; empty where all is well.
        is_absent: it did not run because this machine does not have what it needs, which is no fault.
    """

    runtime: Runtime
    difference: float | None
    problem: str = ""
    is_absent: bool = False


def check_runtimes() -> Iterator[RuntimeState]:
    """Give what works, for each device and precision; int8 is left out, since it needs a file of its own."""
    for device, precisions in PRECISIONS.items():
        for precision in precisions:
            if precision is not Precision.INT8:
                yield _check(Runtime(device, precision))


def _check(runtime: Runtime) -> RuntimeState:
    try:
        found = _probabilities(load_backbone(DEFAULT_BACKBONE, runtime, offline=True))
    except (MissingExtraError, InputError) as error:
        return RuntimeState(runtime, None, str(error), is_absent=True)
    except AffectlineError as error:
        return RuntimeState(runtime, None, str(error))
    difference = float(np.abs(found - _expected()).max())
    if difference <= TOLERANCE[runtime.precision]:
        return RuntimeState(runtime, difference)
    problem = f"its probabilities are up to {difference:.2g} from those of device cpu; do not use it, and report it"
    return RuntimeState(runtime, difference, problem)


@cache
def _expected() -> FloatArray:
    return _probabilities(load_backbone(DEFAULT_BACKBONE, DEFAULT_RUNTIME, offline=True))


def _probabilities(backbone: Backbone) -> FloatArray:
    """Return what a backbone says of pictures that are no faces, but not alike either: shape (n, K), float32."""
    coarse = np.random.default_rng(0).integers(0, 256, (N_PICTURES, 6, 6, 3), dtype=np.uint8)
    pictures = coarse.repeat(16, axis=1).repeat(16, axis=2)
    logits = backbone.features(list(pictures)).logits
    return expression_probabilities(logits, backbone.spec.temperature)
