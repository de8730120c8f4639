"""One synthetic video: latents, evidence, labels, and which frames show no face or have no label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.layout import INVALID
from affectline.datasets.synthetic.design import (
    BACKBONES,
    CHOICE_ANNOTATOR,
    EXPRESSIVE,
    EXPRESSIVE_NOISE,
    FPS,
    MUSCULAR,
    MUSCULAR_NOISE,
    N_EXPRESSIVE,
    N_LATENT,
    VA_ANNOTATOR,
    VA_LABEL,
    Design,
)
from affectline.datasets.synthetic.process import Spectrum
from affectline.labels import Task
from affectline.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticVideo:
    """Everything that is known of one video.

    Attributes:
        name: as in all files.
        split: `train`, `val` or `test`.
        latents: shape (T, 20), float32: h.
        evidence: one for each backbone, shape (T, 20), float32: u = h + noise.
        labels: by task, without invalid codes: VA (T, 2) float32; EXPR (T,) int64; AU (T, 12) int64.
        annotated: the same with invalid codes, as the annotation files have them.
        has_face: shape (T,), bool.
    """

    name: str
    split: str
    latents: FloatArray
    evidence: tuple[FloatArray, ...]
    labels: dict[Task, NDArray[np.generic]]
    annotated: dict[Task, NDArray[np.generic]]
    has_face: NDArray[np.bool_]


def make_video(name: str, split: str, n_frames: int, design: Design, rng: np.random.Generator) -> SyntheticVideo:
    """Return a video that depends on the arguments and the state of `rng` alone."""
    latents = _draw(EXPRESSIVE, MUSCULAR, n_frames, rng)
    shared = _draw(EXPRESSIVE_NOISE.shared, MUSCULAR_NOISE.shared, n_frames, rng)
    evidence = []
    for number in range(len(BACKBONES)):
        own = _draw(EXPRESSIVE_NOISE.own[number], MUSCULAR_NOISE.own[number], n_frames, rng)
        evidence.append((latents + shared + own).astype(np.float32))
    labels = _labels(latents, design, rng)
    annotated = {task: _with_invalid(task, values, rng) for task, values in labels.items()}
    has_face = ~_bursts(n_frames, 0.02, 0.4 * FPS, rng)
    if not has_face.any():
        has_face[n_frames // 2] = True
    return SyntheticVideo(name, split, latents.astype(np.float32), tuple(evidence), labels, annotated, has_face)


def _draw(expressive: Spectrum, muscular: Spectrum, n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return paths of all dimensions, shape (n_frames, 20)."""
    paths = (expressive.draw(n_frames, N_EXPRESSIVE, rng), muscular.draw(n_frames, N_LATENT - N_EXPRESSIVE, rng))
    return np.concatenate(paths, axis=1)


def _labels(latents: NDArray[np.float64], design: Design, rng: np.random.Generator) -> dict[Task, NDArray[np.generic]]:
    n_frames = len(latents)
    felt = latents[:, :2] + VA_ANNOTATOR.draw(n_frames, 2, rng)
    valence_arousal = np.clip(VA_LABEL[:, 0] + VA_LABEL[:, 1] * felt, -1.0, 1.0)
    classes = latents @ design.class_weights.T + design.class_bias
    classes += CHOICE_ANNOTATOR.draw(n_frames, classes.shape[1], rng)
    units = latents @ design.unit_weights.T
    units += CHOICE_ANNOTATOR.draw(n_frames, units.shape[1], rng)
    return {
        # Annotation files have three decimals.
        Task.VA: np.round(valence_arousal, 3).astype(np.float32),
        Task.EXPR: np.argmax(classes, axis=1),
        Task.AU: (units >= design.unit_threshold).astype(np.int64),
    }


def _with_invalid(task: Task, values: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
    """Return the labels with runs of frames that the annotators could not label."""
    annotated = values.copy()
    annotated[_bursts(len(values), 0.02, 1.0 * FPS, rng)] = INVALID[task]
    return annotated


def _bursts(n_frames: int, share: float, mean_length: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask with about `share` of the frames in runs of about `mean_length`, shape (n_frames,)."""
    mask = np.zeros(n_frames, np.bool_)
    for _ in range(rng.poisson(share * n_frames / mean_length)):
        start = int(rng.integers(n_frames))
        mask[start : start + 1 + int(rng.exponential(mean_length))] = True
    return mask
