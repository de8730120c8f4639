"""What the make-believe backbones say of a face, given the evidence that they saw."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from affectline import __version__
from affectline.datasets.synthetic.design import BACKBONES, FPS, N_EXPRESSIVE, N_LATENT, VA_OUTPUT, Design
from affectline.features import CropKind, FeatureInfo, TimeSource
from affectline.labels import AFFECTNET_8
from affectline.records import FaceFeatures, FloatArray

POOL_ROWS = 4096
"""Rows of noise that the embeddings draw from: fresh noise for every frame would cost most of the time."""

EMBEDDING_NOISE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticBackbone:
    """A random projection of the evidence.

    Attributes:
        number: its place in `BACKBONES`.
        projection: shape (20, D), float32.
        offset: shape (D,), float32: the embedding is `max(u @ projection + offset, 0) + noise`.
        noise: shape (POOL_ROWS, D), float32, used over and over from a random row on.
    """

    number: int
    projection: FloatArray
    offset: FloatArray
    noise: FloatArray

    @property
    def digest(self) -> str:
        """The sha256 of its parameters."""
        return hashlib.sha256(self.projection.tobytes() + self.offset.tobytes()).hexdigest()

    def info(self, video: str, frame_count: int, kind: CropKind = CropKind.CROPPED) -> FeatureInfo:
        """Return what a table of its outputs is of."""
        design = BACKBONES[self.number]
        return FeatureInfo(
            video=video,
            backbone=design.name,
            digest=self.digest,
            labels=AFFECTNET_8,
            temperature=1.0,
            embedding_size=len(self.offset),
            has_valence_arousal=design.has_valence_arousal,
            crop_kind=kind,
            crop=None,
            detector=None,
            time_source=TimeSource.NOMINAL,
            rate_fps=FPS,
            frame_count=frame_count,
            affectline=__version__,
        )

    def features(self, evidence: FloatArray, design: Design, rng: np.random.Generator) -> FaceFeatures:
        """Return the outputs for n faces; the embedding is float16 already.

        Args:
            evidence: shape (n, 20).
            design: how logits depend on it.
            rng: for the noise.
        """
        embedding = np.maximum(evidence @ self.projection + self.offset, 0.0)
        start = int(rng.integers(POOL_ROWS))
        for first in range(0, len(embedding), POOL_ROWS):
            part = embedding[first : first + POOL_ROWS]
            split = min(POOL_ROWS - start, len(part))
            part[:split] += self.noise[start : start + split]
            part[split:] += self.noise[: len(part) - split]
        logits = evidence[:, :N_EXPRESSIVE] @ design.logit_weights.T.astype(np.float32)
        logits += BACKBONES[self.number].logit_noise * rng.standard_normal(logits.shape, np.float32)
        if not BACKBONES[self.number].has_valence_arousal:
            return FaceFeatures(embedding.astype(np.float16), logits)
        bias, slope, spread = VA_OUTPUT
        given = bias + slope * evidence[:, :2] + spread * rng.standard_normal((len(evidence), 2), np.float32)
        valence, arousal = given.astype(np.float32).T
        return FaceFeatures(embedding.astype(np.float16), logits, valence, arousal)


def make_backbones(width: int, seed: int) -> tuple[SyntheticBackbone, ...]:
    """Return the two backbones of a set with embeddings of this width."""
    found = []
    for number in range(len(BACKBONES)):
        rng = np.random.default_rng([seed, 1000 + number])
        projection = (rng.standard_normal((N_LATENT, width)) / np.sqrt(N_LATENT)).astype(np.float32)
        offset = (0.5 * rng.standard_normal(width)).astype(np.float32)
        noise = EMBEDDING_NOISE * rng.standard_normal((POOL_ROWS, width), np.float32)
        found.append(SyntheticBackbone(number, projection, offset, noise))
    return tuple(found)
