"""A larger network that is asked about the faces of which the first one is not sure (`--cascade`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.backbones import Backbone
from affectline.backbones.spec import BackboneSpec
from affectline.errors import InputError
from affectline.heads.pretrained import expression_probabilities
from affectline.labels import Expression, Task
from affectline.records import FloatArray


@dataclass(frozen=True, slots=True)
class Cascade:
    """The larger network, and when it is asked.

    Attributes:
        backbone: the network.
        sure_from: it is asked about faces whose highest probability by the first network is lower.
    """

    backbone: Backbone
    sure_from: float

    def unsure(self, probabilities: FloatArray) -> NDArray[np.intp]:
        """Return the numbers of the faces that the network is to be asked about.

        Args:
            probabilities: of n faces by the first network, shape (n, K).
        """
        return np.flatnonzero(probabilities.max(axis=1) < self.sure_from)

    def answers(self, prepared: Sequence[FloatArray], labels: Sequence[Expression]) -> FloatArray:
        """Return what the network says of m faces, shape (m, K), float32; 0 for a label that it does not know.

        Args:
            prepared: each as the network's `prepare` gave it.
            labels: the K classes of the first network, in its order.
        """
        spec = self.backbone.spec
        logits = self.backbone.run(np.stack(prepared), in_lanes=False).logits
        table = np.zeros((len(prepared), len(labels)), np.float32)
        table[:, [labels.index(label) for label in spec.labels]] = expression_probabilities(logits, spec.temperature)
        return table


def check_cascade(sure_from: float, large: BackboneSpec, small: BackboneSpec | None, *, has_head: bool) -> None:
    """Refuse a cascade that cannot be.

    Args:
        sure_from: see `Cascade`.
        large: of the network that is asked.
        small: of the backbone that expressions come from; None where none gives them.
        has_head: a trained head gives the expressions.

    Raises:
        InputError: the threshold is no probability, or the networks do not answer the same question.
    """
    if not 0 < sure_from <= 1:
        raise InputError(f"a cascade asks below a probability above 0 and up to 1, got {sure_from}")
    if has_head or small is None:
        raise InputError(
            "a cascade asks a second network about the expressions of the first one; here a head gives them: leave out "
            "the cascade or the head"
        )
    if not large.gives(Task.EXPR):
        raise InputError(f"{large.name} gives no expressions and cannot be asked about them")
    foreign = [label.value for label in large.labels if label not in small.labels]
    if foreign:
        raise InputError(
            f"{large.name} knows {', '.join(foreign)}, which {small.name} does not; a cascade needs a first network "
            "that knows all the classes of the one that is asked"
        )
