"""Labelled face pictures, as training on pictures takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.backbones.spec import BackboneSpec, Colour, Interpolation
from affectline.datasets.ferplus import FerPlusSplit, vote_shares
from affectline.datasets.labelled_crops import LabelledCrops
from affectline.images import read_image
from affectline.labels import Task
from affectline.records import FloatArray, UInt8Array
from affectline.training.augment import NO_AUGMENTATION, augment


class PictureSet(Protocol):
    """Labelled pictures."""

    @property
    def targets(self) -> FloatArray:
        """Shape (n, K): class shares that sum to 1, values, or 0 and 1, by the task."""

    def __len__(self) -> int:
        """Return how many there are."""

    def picture(self, index: int) -> UInt8Array:
        """Return a picture, shape (height, width), grey, or (height, width, 3), RGB; uint8."""


@dataclass(frozen=True, slots=True, eq=False)
class FerPlusPictures:
    """A split of FER+ with the shares of votes as targets, without images in which nobody saw one of the classes.

    Attributes:
        images: shape (n, 48, 48), uint8.
        votes: shape (n, 10).
        targets: shape (n, 8), float32.
    """

    images: UInt8Array
    votes: UInt8Array
    targets: FloatArray

    @classmethod
    def of(cls, split: FerPlusSplit) -> FerPlusPictures:
        """Return the pictures of a split."""
        kept = split.votes[:, :8].any(axis=1)
        votes = split.votes[kept]
        return cls(split.images[kept], votes, vote_shares(votes))

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int) -> UInt8Array:
        """Return an image, shape (48, 48)."""
        return np.asarray(self.images[index], np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class CropPictures:
    """Labelled crops with targets as training takes them.

    Attributes:
        files: n pictures.
        targets: shape (n, K), float32: VA in [-1, 1], EXPR 1 for the class and 0 for the others, AU 0 or 1.
    """

    files: Sequence[Path]
    targets: FloatArray

    @classmethod
    def of(cls, crops: LabelledCrops) -> CropPictures:
        """Return the pictures of labelled crops."""
        if crops.task is Task.EXPR:
            return cls(crops.files, np.eye(len(crops.labels), dtype=np.float32)[crops.target])
        return cls(crops.files, np.asarray(crops.target, np.float32))

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, index: int) -> UInt8Array:
        """Return a crop, shape (height, width, 3), RGB."""
        return read_image(self.files[index])


def as_inputs(pictures: PictureSet, rows: Sequence[int], spec: BackboneSpec) -> FloatArray:
    """Return some pictures, unchanged, as the network gets them: shape (n, 3, S, S), float32."""
    rng = np.random.default_rng(0)
    small = (shrink(pictures.picture(row), spec) for row in rows)
    return np.stack([as_input(augment(picture, spec.size, NO_AUGMENTATION, rng), spec) for picture in small])


def shrink(picture: UInt8Array, spec: BackboneSpec) -> UInt8Array:
    """Return a picture as the network's preprocessing has it before its last step: in its colours, made smaller.

    Augmentation does the last step, to the network's size, in one with what it changes.
    """
    if spec.colour is Colour.GREY and picture.ndim == 3:  # noqa: PLR2004 - height, width, channel
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    for step in spec.resize[:-1]:
        if picture.shape[:2] != (step.size, step.size):
            flag = cv2.INTER_AREA if step.interpolation is Interpolation.AREA else cv2.INTER_LINEAR
            picture = np.asarray(cv2.resize(picture, (step.size, step.size), interpolation=flag), np.uint8)
    return picture


def as_input(picture: UInt8Array, spec: BackboneSpec) -> FloatArray:
    """Return a picture of the network's size, normalised, shape (3, S, S), float32."""
    planes = np.stack([picture] * 3) if picture.ndim == 2 else picture.transpose(2, 0, 1)  # noqa: PLR2004
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    return np.asarray((planes.astype(np.float32) / 255 - mean) / std, np.float32)


def order_of(n: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return the order of n pictures in an epoch; a function of its arguments alone."""
    return np.random.default_rng([seed, epoch]).permutation(n)
