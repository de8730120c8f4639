"""FER+: grey photographs of 48 x 48 pixels with the votes of ten people each.

Barsoum et al. (2016), Training deep networks for facial expression recognition with crowd-sourced label distribution,
ICMI; the evaluation is that of the authors' reference code (FERPlus on GitHub).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputFileError
from affectline.labels import FERPLUS_8
from affectline.records import FloatArray, UInt8Array

SPLITS: Final = ("train", "valid", "test")
SIZE: Final = 48
N_VOTES: Final = len(FERPLUS_8) + 2
"""Columns of votes: the eight classes, `unknown`, `not a face`."""

NO_LABEL: Final = -1
"""Of an image that does not count."""


@dataclass(frozen=True, slots=True, eq=False)
class FerPlusSplit:
    """One split.

    Attributes:
        images: shape (n, 48, 48), uint8, grey.
        votes: shape (n, 10), uint8: how many of ten people chose each of `labels.FERPLUS_8`, unknown, not a face.
    """

    images: UInt8Array
    votes: UInt8Array

    def __len__(self) -> int:
        return len(self.images)


def load_ferplus(path: Path) -> Mapping[str, FerPlusSplit]:
    """Return the splits `train`, `valid` and `test` of an NPZ file.

    Args:
        path: holds `<split>_x` (n, 48, 48) uint8 and `<split>_v` (n, 10) votes for each split.

    Raises:
        InputFileError: the file cannot be read, or an array is missing or not as said.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for split in SPLITS for name in (f"{split}_x", f"{split}_v")}
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputFileError(
            f"{path} cannot be read as FER+: {error}; it must be an NPZ file with the arrays "
            f"{', '.join(f'{split}_x, {split}_v' for split in SPLITS)}"
        ) from error
    return {split: _checked(split, found[f"{split}_x"], found[f"{split}_v"], path) for split in SPLITS}


def _checked(split: str, images: NDArray[np.generic], votes: NDArray[np.generic], path: Path) -> FerPlusSplit:
    if images.ndim != 3 or images.shape[1:] != (SIZE, SIZE) or images.dtype != np.uint8 or not len(images):  # noqa: PLR2004
        raise InputFileError(
            f"{path}: {split}_x must hold uint8 images of {SIZE} x {SIZE}, got {images.dtype} {images.shape}"
        )
    if votes.shape != (len(images), N_VOTES) or votes.dtype.kind not in "iu":
        raise InputFileError(
            f"{path}: {split}_v must hold {N_VOTES} whole numbers for each of {len(images)} images, got {votes.dtype} "
            f"{votes.shape}"
        )
    if votes.min() < 0 or votes.max() > N_VOTES or not votes.any(axis=1).all():
        raise InputFileError(f"{path}: {split}_v must hold votes of ten people, from 0 to 10, some for each image")
    return FerPlusSplit(images.astype(np.uint8, copy=False), votes.astype(np.uint8))


def without_single_votes(votes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the votes with ones replaced by zeros, shape (n, 10): a lone voter counts as a slip (reference code)."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def official_labels(votes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the class of each image by the official protocol ("majority"), shape (n,); `NO_LABEL` does not count.

    Single votes are dropped. The class with the most votes is the label if it has more than half of those that remain
    and is one of the eight classes.
    """
    kept = without_single_votes(votes)
    labels = kept.argmax(axis=1)
    counts = (2 * kept.max(axis=1) > kept.sum(axis=1)) & (labels < len(FERPLUS_8))
    return np.where(counts, labels, NO_LABEL)


def plurality_labels(votes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the class with the most votes, shape (n,), without the rule of the half; `NO_LABEL` does not count."""
    kept = without_single_votes(votes)
    labels = kept.argmax(axis=1)
    return np.where((kept.max(axis=1) > 0) & (labels < len(FERPLUS_8)), labels, NO_LABEL)


def vote_shares(votes: NDArray[np.integer]) -> FloatArray:
    """Return the shares of the eight classes in the votes without single ones, shape (n, 8), float32, rows sum to 1.

    Where nothing is left of the eight, all votes for them count; an image with none has equal shares.
    """
    classes = votes[:, : len(FERPLUS_8)].astype(np.float64)
    kept = np.where(classes > 1, classes, 0.0)
    counts = np.where(kept.any(axis=1, keepdims=True), kept, classes)
    counts = np.where(counts.any(axis=1, keepdims=True), counts, 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float32)
