"""Temporal heads with random numbers."""

from __future__ import annotations

import numpy as np

from affectline.features import FeaturePart
from affectline.heads.head import BackboneRef, Decision, HeadCard
from affectline.heads.temporal import CORE, TemporalHead
from affectline.heads.temporal_spec import FILTER, TEMPORAL_MODELS, TemporalSpec
from affectline.labels import Task
from labelled_examples import DIGEST

REF = BackboneRef("net", DIGEST)
KINDS = [(model, is_causal) for model in TEMPORAL_MODELS for is_causal in (False, True)]
"""Every network there is."""


def temporal_head(  # noqa: PLR0913 - one for each thing that a test varies
    model: str = "tcn",
    is_causal: bool = False,
    task: Task = Task.VA,
    *,
    labels: tuple[str, ...] | None = None,
    ref: BackboneRef = REF,
    parts: tuple[FeaturePart, ...] = (FeaturePart.EMBEDDING,),
    width: int = 6,
    projected: int = 0,
    size: int = 8,
    layers: int = 2,
    window: int = 16,
    interval_s: float = 1 / 30,
    seed: int = 0,
    decision: Decision | None = None,
    inputs: np.ndarray | None = None,
) -> TemporalHead:
    """Return a head whose numbers are drawn so that all of them matter; it is standardised on `inputs`, if given.

    Encodings have a number a label, and `projected` numbers; with none, for valence and arousal, the `width` inputs.
    """
    labels = labels or task.official_labels
    n_labels = len(labels)
    passed = projected or (width if task is Task.VA else 0)
    spec = TemporalSpec(model, is_causal, n_labels + passed, size, layers, window, window // 4, interval_s)
    rng = np.random.default_rng(seed)
    shapes = {CORE + name: shape for name, shape in spec.shapes(n_labels).items()}
    shapes |= {"mean": (width,), "encoder.0.weight": (5, width), "encoder.0.bias": (5,)}
    if projected:
        shapes |= {"encoder.projection.weight": (projected, width), "encoder.projection.bias": (projected,)}
    shapes |= {"encoder.1.weight": (n_labels, 5), "encoder.1.bias": (n_labels,)}
    numbers = {
        name: (rng.normal(0, 1, shape) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.3)).astype(np.float32)
        for name, shape in shapes.items()
    }
    # A filter of both signs would make much of the ends of a track, where it makes up for what is not there.
    numbers[CORE + FILTER] = np.abs(numbers[CORE + FILTER]) * np.float32(spec.taps**-0.5)
    numbers["scale"] = rng.uniform(0.5, 2, width).astype(np.float32)
    if inputs is not None:
        numbers |= {"mean": inputs.mean(axis=0), "scale": inputs.std(axis=0) + np.float32(1e-3)}
    card = HeadCard(task, labels, (ref,), decision=decision or Decision(), training={"model": model})
    return TemporalHead(card, parts, spec, numbers)


def encodings(n: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, size)).astype(np.float32)
