"""An EfficientNet-B0 of 224 px with random weights, in the file layout of EmotiEffLib: weights do not change speed."""

from __future__ import annotations

import sys
from pathlib import Path

from affectline.backbones.spec import EXAMPLE_DESCRIPTION

LOGITS = 8


def write_random_b0(path: Path) -> Path:
    """Write the network, and the description that affectline wants beside it, and return its path."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from networks import random_network  # noqa: PLC0415 - the tests' builder, found only now

    path.write_bytes(random_network("b0", LOGITS))
    path.with_suffix(".json").write_text(EXAMPLE_DESCRIPTION)
    return path
