"""Labelled faces as batches of inputs and targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledTables
from affectline.datasets.sequences import check_finite
from affectline.errors import InputError
from affectline.features import FeatureInfo, FeaturePart
from affectline.features.view import FeatureView
from affectline.labels import Task
from affectline.pipeline import in_background
from affectline.records import FloatArray

MAX_HELD_BYTES: Final = 256 * 2**20
"""Inputs up to this size are held in memory: the logits of all of Aff-Wild2 are, its embeddings are not."""

FEWEST_EXAMPLES: Final = 10
"""Labelled frames with which training can begin at all; a useful head needs thousands."""

_READ_AHEAD: Final = 4


class Examples:
    """The labelled faces of a split, as inputs (n, width) and targets of one backbone.

    Args:
        data: of one backbone.
        parts: which outputs make up an input.

    Raises:
        InputError: there is no labelled face, or several backbones.
    """

    def __init__(self, data: LabelledTables, parts: tuple[FeaturePart, ...]) -> None:
        digest = only_backbone(data).digest
        self.data = data
        self.parts = parts
        self.target = labelled_targets(data)
        self._view = FeatureView([(one.tables[digest], one.labelled_rows) for one in data.sequences], parts)
        if not len(self._view):
            raise InputError(f"{data.source} has no labelled frame with a face")
        is_small = len(self._view) * self._view.width * 4 <= MAX_HELD_BYTES
        self._held = self._view.to_array() if is_small else None

    def __len__(self) -> int:
        return len(self._view)

    @property
    def width(self) -> int:
        """How many numbers an input has."""
        return self._view.width

    def batches(self, batch_size: int, seed: int | None) -> Iterator[tuple[FloatArray, NDArray[np.generic]]]:
        """Give every example once: inputs (b, width), float32, and targets; in random order unless the seed is None."""
        if self._held is not None:
            order = np.arange(len(self)) if seed is None else np.random.default_rng(seed).permutation(len(self))
            for start in range(0, len(self), batch_size):
                picked = order[start : start + batch_size]
                yield self._held[picked], self.target[picked]
            return
        with in_background(self._view.batches(batch_size, seed=seed), _READ_AHEAD) as batches:
            for positions, inputs in batches:
                yield inputs, self.target[positions]

    def statistics(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of each input number, shape (width,), float32; 1 for a constant.

        Raises:
            InputError: a number is not finite; its video and frame are named.
        """
        total, squares = np.zeros(self.width), np.zeros(self.width)
        shift: NDArray[np.float64] | None = None
        for inputs, _ in self.batches(16_384, None):
            shift = inputs[0].astype(np.float64) if shift is None else shift
            centred = inputs - shift.astype(np.float32)
            total += centred.sum(axis=0, dtype=np.float64)
            squares += np.einsum("ij,ij->j", centred, centred, dtype=np.float64)
        if not (np.isfinite(total).all() and np.isfinite(squares).all()):
            check_finite(self.data, self.parts)
            raise InputError(f"the features of {self.data.source} are too large to be standardised")
        mean = total / len(self)
        deviation = np.sqrt(np.maximum(squares / len(self) - mean**2, 0.0))
        scale = np.where(deviation > 1e-6, deviation, 1.0)  # noqa: PLR2004 - below the rounding of float16
        return (mean + (0.0 if shift is None else shift)).astype(np.float32), scale.astype(np.float32)


def labelled_targets(data: LabelledTables) -> NDArray[np.generic]:
    """Return the labels of all labelled frames that have a face, one sequence behind the other."""
    return np.concatenate([sequence.target[sequence.has_face] for sequence in data.sequences])


def only_backbone(data: LabelledTables) -> FeatureInfo:
    """Return what the features are of.

    Raises:
        InputError: there are those of several backbones.
    """
    infos = list(data.infos.values())
    if len(infos) != 1:
        names = ", ".join(info.backbone for info in infos)
        raise InputError(f"a head is trained on one backbone, got {names}; train a head for each and blend them")
    return infos[0]


def check_targets(
    task: Task, labels: tuple[str, ...], target: NDArray[np.generic], source: str, *, allow_empty: bool
) -> None:
    """Refuse to learn a class that has no examples, a unit that is always or never on, a number that never changes.

    Args:
        task: of what the labels are.
        labels: in order.
        target: the labels of n faces.
        source: what they are, for messages.
        allow_empty: classes and units without examples are no reason.

    Raises:
        InputError: what cannot be learned is named, with the number of frames of each class or unit.
    """
    if len(target) < FEWEST_EXAMPLES:
        raise InputError(
            f"{source} has {len(target)} labelled frames with a face; training needs at least {FEWEST_EXAMPLES}"
        )
    if task is Task.EXPR and len(np.unique(target)) == 1:
        raise InputError(f"all labelled frames of {source} are {labels[target[0]]}; there is nothing to tell")
    if task is Task.VA:
        constant = [label for label, values in zip(labels, target.T, strict=True) if np.ptp(values) == 0]
        if constant:
            raise InputError(
                f"{' and '.join(constant)} of {source} is the same in every frame; there is nothing to learn"
            )
        return
    if allow_empty:
        return
    if task is Task.EXPR:
        counts = np.bincount(np.asarray(target, np.int64), minlength=len(labels))
        missing = [label for label, count in zip(labels, counts, strict=True) if not count]
    else:
        counts = np.asarray(target, np.float64).sum(axis=0).astype(np.int64)
        missing = [label for label, n in zip(labels, counts, strict=True) if n in {0, len(target)}]
    if missing:
        table = ", ".join(f"{label} {count}" for label, count in zip(labels, counts, strict=True))
        raise InputError(
            f"{source} has no examples to tell {', '.join(missing)} by (of {len(target)} frames: {table}); add "
            "videos that show it, or train without it by --allow-empty-classes"
        )
