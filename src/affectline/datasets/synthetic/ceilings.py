"""How well anyone could do: the Bayes predictor, by formula, from one frame and from the whole video.

Given the evidence u = h + noise (all Gaussian), the latents have a Gaussian posterior: from one frame by linear
regression, from the whole video by the smoother of Wiener. From it follow

- valence, arousal: the posterior mean, scaled to the variance of the labels, which is the predictor with the best CCC;
  its CCC is the correlation with the labels;
- each unit: P(on) by the normal distribution function, with the best threshold for F1;
- the expressions: P(class has the highest score), an integral over the posterior by 128 points of a Sobol sequence,
  with the best offset for each class's log probability for macro F1.

Thresholds and offsets are the best ones on the frames that are judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from affectline.datasets.synthetic.design import (
    BACKBONES,
    CHOICE_ANNOTATOR,
    EXPRESSIVE,
    EXPRESSIVE_NOISE,
    MUSCULAR,
    MUSCULAR_NOISE,
    N_EXPRESSIVE,
    N_LATENT,
    VA_OUTPUT,
    Design,
)
from affectline.datasets.synthetic.process import Spectrum, wiener
from affectline.datasets.synthetic.video import SyntheticVideo
from affectline.labels import Task
from affectline.metrics.concordance import concordances
from affectline.metrics.report import make_report
from affectline.postprocess.adjustment import best_adjustment
from affectline.postprocess.thresholds import best_thresholds

MAX_FRAMES = 40_000
"""Frames that are judged; more are thinned out evenly."""

SOBOL_LOG2 = 7


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The best scores that are possible from something, on the frames that were judged.

    Attributes:
        source: from what, such as `synthetic_b0 embedding, one frame`.
        p: the official score of each task.
    """

    source: str
    p: Mapping[Task, float]


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is known of the latents of n frames.

    Attributes:
        mean: shape (n, 20).
        covariance: shape (20, 20), the same for every frame.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def find_ceilings(videos: Sequence[SyntheticVideo], design: Design) -> tuple[Ceilings, ...]:
    """Return the ceilings on the labelled frames with a face of some videos."""
    step = max(1, -(-sum(len(video.latents) for video in videos) // MAX_FRAMES))
    chosen = [np.flatnonzero(video.has_face)[::step] for video in videos]
    truth = {
        task: np.concatenate([video.labels[task][frames] for video, frames in zip(videos, chosen, strict=True)])
        for task in Task
    }
    found = []
    for number, backbone in enumerate(BACKBONES):
        seen = np.concatenate([video.evidence[number][frames] for video, frames in zip(videos, chosen, strict=True)])
        inputs = {"embedding": np.eye(N_LATENT), "logits": _logit_matrix(design)}
        extra = {"embedding": np.zeros(N_LATENT), "logits": np.full(N_EXPRESSIVE, backbone.logit_noise**2)}
        if backbone.has_valence_arousal:
            inputs["logits+va"] = np.concatenate([_logit_matrix(design), VA_OUTPUT[1] * np.eye(2, N_LATENT)])
            extra["logits+va"] = np.append(extra["logits"], np.full(2, VA_OUTPUT[2] ** 2))
        for name, matrix in inputs.items():
            rng = np.random.default_rng(number)
            outputs = seen @ matrix.T + np.sqrt(extra[name]) * rng.standard_normal((len(seen), len(matrix)))
            posterior = _from_one_frame(outputs, matrix, extra[name], number)
            found.append(Ceilings(f"{backbone.name} {name}, one frame", _judge(posterior, truth, design)))
        posterior = _from_video(videos, chosen, number)
        found.append(Ceilings(f"{backbone.name} embedding, whole video", _judge(posterior, truth, design)))
    return tuple(found)


def _logit_matrix(design: Design) -> NDArray[np.float64]:
    return np.concatenate([design.logit_weights, np.zeros((N_EXPRESSIVE, N_LATENT - N_EXPRESSIVE))], axis=1)


def noise_of(number: int) -> tuple[Spectrum, Spectrum]:
    """Return the whole noise of a backbone on the dimensions 0 to 7 and on 8 to 19."""
    return EXPRESSIVE_NOISE.of(number), MUSCULAR_NOISE.of(number)


def _from_one_frame(
    outputs: NDArray[np.float64], matrix: NDArray[np.float64], extra: NDArray[np.float64], number: int
) -> Posterior:
    """Return the posterior given `matrix @ u + noise`, with `extra` the variances of that noise."""
    prior = np.repeat([EXPRESSIVE.variance, MUSCULAR.variance], [N_EXPRESSIVE, N_LATENT - N_EXPRESSIVE])
    noise = np.repeat([part.variance for part in noise_of(number)], [N_EXPRESSIVE, N_LATENT - N_EXPRESSIVE])
    total = matrix @ np.diag(prior + noise) @ matrix.T + np.diag(extra)
    gain = np.linalg.solve(total, matrix * prior).T
    return Posterior(outputs @ gain.T, np.diag(prior) - gain @ matrix * prior)


def _from_video(videos: Sequence[SyntheticVideo], chosen: Sequence[NDArray[np.intp]], number: int) -> Posterior:
    expressive_noise, muscular_noise = noise_of(number)
    means, variances = [], []
    for video, frames in zip(videos, chosen, strict=True):
        seen = video.evidence[number]
        first, first_variance = wiener(seen[:, :N_EXPRESSIVE], EXPRESSIVE, expressive_noise)
        second, second_variance = wiener(seen[:, N_EXPRESSIVE:], MUSCULAR, muscular_noise)
        means.append(np.concatenate([first[frames], second[frames]], axis=1))
        variances.append((first_variance, second_variance))
    spread = np.repeat(np.mean(variances, axis=0), [N_EXPRESSIVE, N_LATENT - N_EXPRESSIVE])
    return Posterior(np.concatenate(means), np.diag(spread))


def _judge(posterior: Posterior, truth: Mapping[Task, NDArray[np.generic]], design: Design) -> dict[Task, float]:
    va = np.asarray(truth[Task.VA], np.float64)
    mean = posterior.mean[:, :2]
    matched = va.mean(axis=0) + (mean - mean.mean(axis=0)) / mean.std(axis=0) * va.std(axis=0)
    units = unit_probabilities(posterior, design)
    is_on = units >= best_thresholds(units, truth[Task.AU])
    classes = class_probabilities(posterior, design)
    expressions = np.asarray(truth[Task.EXPR], np.int64)
    chosen = np.argmax(np.log(classes) + best_adjustment(classes, expressions), axis=1)
    return {
        Task.VA: float(concordances(va, matched).mean()),
        Task.EXPR: make_report(Task.EXPR, expressions, chosen, Task.EXPR.official_labels).p,
        Task.AU: make_report(Task.AU, truth[Task.AU], is_on, Task.AU.official_labels).p,
    }


def unit_probabilities(posterior: Posterior, design: Design) -> NDArray[np.float64]:
    """Return P(on) of each unit, shape (n, 12)."""
    weights = design.unit_weights
    variance = np.einsum("ij,jk,ik->i", weights, posterior.covariance, weights) + CHOICE_ANNOTATOR.variance
    return np.asarray(norm.cdf((posterior.mean @ weights.T - design.unit_threshold) / np.sqrt(variance)))


def class_probabilities(posterior: Posterior, design: Design) -> NDArray[np.float64]:
    """Return P(class) of each expression, shape (n, 8), by quasi-Monte Carlo integration over the posterior."""
    weights = design.class_weights
    n_classes = len(weights)
    covariance = weights @ posterior.covariance @ weights.T + CHOICE_ANNOTATOR.variance * np.eye(n_classes)
    points = norm.ppf(qmc.Sobol(n_classes, seed=0).random_base2(SOBOL_LOG2)) @ np.linalg.cholesky(covariance).T
    scores = posterior.mean @ weights.T + design.class_bias
    counts = np.zeros(scores.shape)
    rows = np.arange(len(scores))
    for point in points:
        counts[rows, np.argmax(scores + point, axis=1)] += 1.0
    # No class is impossible: half a point each.
    return (counts + 0.5) / (len(points) + 0.5 * n_classes)
