"""Backbones that teach another one: what they say of the very pictures that it is shown joins the targets.

A teacher sees the same changed picture as its pupil (Beyer et al. 2022, Knowledge distillation: A good teacher is
patient and consistent), and its mirror image, so that the pupil learns what both together would say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.special import softmax

from affectline.backbones import load_backbone
from affectline.backbones.spec import BackboneSpec
from affectline.errors import InputError
from affectline.labels import Expression
from affectline.records import FloatArray


class Teachers:
    """Several backbones that speak with one voice: the mean of their probabilities, at temperature 1.

    Args:
        paths: backbone files.
        spec: of the pupil: the teachers must take the same inputs; another size is resized to.
        labels: the classes of the targets.

    Raises:
        InputError: a teacher takes other inputs, or does not know the same classes.
        AffectlineError: a file is no backbone.
    """

    def __init__(self, paths: Sequence[Path], spec: BackboneSpec, labels: tuple[Expression, ...]) -> None:
        self._backbones = [load_backbone(path) for path in paths]
        self._columns = []
        for path, backbone in zip(paths, self._backbones, strict=True):
            wrong = [name for name in _ALIKE if getattr(backbone.spec, name) != getattr(spec, name)]
            if wrong:
                theirs, ours = (", ".join(str(getattr(one, name)) for name in wrong) for one in (backbone.spec, spec))
                raise InputError(
                    f"the teacher {path} has another {', '.join(wrong)} ({theirs}) than its pupil ({ours}); "
                    "teachers must take the same inputs"
                )
            if set(backbone.spec.labels) != set(labels):
                raise InputError(f"the teacher {path} does not know the classes {', '.join(labels)}")
            self._columns.append([backbone.spec.labels.index(label) for label in labels])

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of each file."""
        return tuple(backbone.digest for backbone in self._backbones)

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Return the probabilities for n inputs, shape (n, K), float32.

        Args:
            inputs: shape (n, 3, S, S), float32, as the pupil gets them.
        """
        opinions = [
            softmax(backbone.run(view).logits[:, columns], axis=1)
            for backbone, columns in zip(self._backbones, self._columns, strict=True)
            for fitting in (_resized(inputs, backbone.spec.size),)
            for view in (fitting, np.ascontiguousarray(fitting[..., ::-1]))
        ]
        return np.asarray(np.mean(opinions, axis=0), np.float32)


_ALIKE = ("mean", "std", "colour")


def _resized(inputs: FloatArray, size: int) -> FloatArray:
    if inputs.shape[-1] == size:
        return inputs
    pictures = [
        cv2.resize(one.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
        for one in inputs
    ]
    return np.asarray(np.stack(pictures), np.float32)
