"""The planted structure of the synthetic set: every number that it is made from. docs/synthetic.md explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from affectline.datasets.synthetic.process import Spectrum
from affectline.labels import ABAW_ACTION_UNITS, ABAW_EXPRESSION_8, AFFECTNET_8, Expression

FPS: Final = 30.0
N_EXPRESSIVE: Final = 8
"""Latent dimensions 0 to 7: valence, arousal and six more that tell expressions apart."""
N_IN_LOGITS: Final = 6
"""The logits see dimensions 0 to 5; 6 and 7 show in the embedding only."""
N_LATENT: Final = N_EXPRESSIVE + len(ABAW_ACTION_UNITS)
"""Dimensions 8 to 19 drive one action unit each."""

EXPRESSIVE: Final = Spectrum(slow=((0.75, 1.6 * FPS), (0.25, 8.0 * FPS)))
"""How dimensions 0 to 7 move: within a few seconds, and with a mood of half a minute."""
MUSCULAR: Final = Spectrum(slow=((0.75, 0.25 * FPS), (0.25, 10.0 * FPS)))
"""How dimensions 8 to 19 move: within a quarter of a second, and slowly."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a group of dimensions is seen through.

    Attributes:
        shared: the same for every backbone: constant for a subject, slow, and white.
        own: of each backbone alone, in the order of `BACKBONES`: slow and white.
    """

    shared: Spectrum
    own: tuple[Spectrum, Spectrum]

    def of(self, number: int) -> Spectrum:
        """Return the whole noise of one backbone."""
        return self.shared + self.own[number]


EXPRESSIVE_NOISE: Final = Noise(
    Spectrum(slow=((0.20, 1.2 * FPS),), white=0.50, constant=0.10),
    (Spectrum(slow=((0.25, 1.2 * FPS),), white=0.25), Spectrum(slow=((0.45, 1.2 * FPS),), white=0.70)),
)
MUSCULAR_NOISE: Final = Noise(
    Spectrum(slow=((0.05, 1.0 * FPS),), white=0.35, constant=0.10),
    (Spectrum(slow=((0.10, 1.0 * FPS),), white=0.30), Spectrum(slow=((0.25, 1.0 * FPS),), white=0.65)),
)

ALIGNED_NOISE: Final = 0.6
"""Standard deviation of the white noise that the features of aligned crops have on top: in the paper they are worse."""


@dataclass(frozen=True, slots=True)
class BackboneDesign:
    """One of the two make-believe backbones.

    Attributes:
        name: in the store.
        logit_noise: standard deviation of the white noise of each logit.
        has_valence_arousal: it gives valence and arousal.
    """

    name: str
    logit_noise: float
    has_valence_arousal: bool


BACKBONES: Final = (BackboneDesign("synthetic_b0", 0.25, False), BackboneDesign("synthetic_mt", 0.5, True))
"""The first sees more; the second also gives valence and arousal."""

VA_OUTPUT: Final = (0.10, 0.30, 0.10)
"""Bias, slope and white noise (standard deviation) of the valence and arousal that the second backbone gives."""

VA_LABEL: Final = np.array([(0.12, 0.30), (0.18, 0.24)])
"""Mean and slope of the labels valence and arousal: label = mean + slope * (latent + annotator noise), then clipped."""
VA_ANNOTATOR: Final = Spectrum(slow=((0.55, 3.0 * FPS),), white=0.10)
CHOICE_ANNOTATOR: Final = Spectrum(slow=((0.10, 1.0 * FPS),))
"""Noise of the annotators on each class's and each unit's score."""

EXPRESSION_SHARES: Final = {
    Expression.NEUTRAL: 0.22,
    Expression.ANGER: 0.07,
    Expression.DISGUST: 0.06,
    Expression.FEAR: 0.06,
    Expression.HAPPINESS: 0.15,
    Expression.SADNESS: 0.12,
    Expression.SURPRISE: 0.09,
    Expression.OTHER: 0.23,
}
"""How often each class occurs: like Aff-Wild2, with the rarest less rare so that small sets have them."""

UNIT_RATES: Final = (0.12, 0.07, 0.16, 0.26, 0.38, 0.34, 0.24, 0.04, 0.04, 0.04, 0.62, 0.09)
"""How often each unit is on, in the order of the annotations; like Aff-Wild2."""

_PROTOTYPES: Final = {
    Expression.NEUTRAL: (0.0, -0.5),
    Expression.ANGER: (-0.5, 0.5),
    Expression.DISGUST: (-0.5, 0.2),
    Expression.FEAR: (-0.5, 0.6),
    Expression.HAPPINESS: (0.7, 0.2),
    Expression.SADNESS: (-0.6, -0.4),
    Expression.SURPRISE: (0.1, 0.7),
    Expression.OTHER: (0.1, 0.0),
    Expression.CONTEMPT: (-0.3, 0.1),
}
"""Where each expression lies on valence and arousal."""

_UNIT_VALENCE_AROUSAL: Final = (
    (0.0, 0.3), (0.0, 0.3), (-0.35, 0.1), (0.45, 0.1), (0.1, 0.2), (0.2, 0.2),
    (0.5, 0.1), (-0.3, -0.1), (-0.2, 0.1), (-0.2, 0.0), (0.15, 0.35), (0.05, 0.35),
)  # fmt: skip
"""How each unit goes with valence and arousal."""

_UNIT_PARTNERS: Final = (
    (0, 1),
    (1, 0),
    (2, 4),
    (3, 6),
    (4, 3),
    (5, 3),
    (6, 3),
    (7, 9),
    (8, 9),
    (9, 8),
    (10, 11),
    (11, 10),
)
"""Each unit's own dimension and that of the unit it goes with (inner and outer brow, cheek and lip corner, ...)."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The matrices of the planted structure.

    Attributes:
        class_weights: shape (8, 20): the score of each ABAW class is `class_weights @ h + class_bias + noise`; the
            highest is the label.
        class_bias: shape (8,), fitted to `EXPRESSION_SHARES`.
        unit_weights: shape (12, 20), rows of length 1: a unit is on where `unit_weights @ h + noise >= unit_threshold`.
        unit_threshold: shape (12,).
        logit_weights: shape (8, 8): the AffectNet logits are `logit_weights @ u[:8] + noise` of the evidence u; the
            last two columns are 0.
    """

    class_weights: NDArray[np.float64]
    class_bias: NDArray[np.float64]
    unit_weights: NDArray[np.float64]
    unit_threshold: NDArray[np.float64]
    logit_weights: NDArray[np.float64]


def make_design() -> Design:
    """Return the matrices; they are the same for every set."""
    rng = np.random.default_rng(20230318)
    directions = {label: rng.standard_normal(N_IN_LOGITS - 2) for label in Expression}
    seen = {label: _seen_part(label, directions[label]) for label in Expression}
    class_weights = np.zeros((len(ABAW_EXPRESSION_8), N_LATENT))
    unseen = rng.standard_normal((len(ABAW_EXPRESSION_8), N_EXPRESSIVE - N_IN_LOGITS))
    muscular = rng.standard_normal((len(ABAW_EXPRESSION_8), N_LATENT - N_EXPRESSIVE))
    for number, label in enumerate(ABAW_EXPRESSION_8):
        class_weights[number, :N_IN_LOGITS] = seen[label]
        # Part of every class, and most of Other, shows in dimensions that the logits do not see.
        share = 0.8 if label is Expression.OTHER else 0.4
        class_weights[number, N_IN_LOGITS:N_EXPRESSIVE] = share * unseen[number] / np.linalg.norm(unseen[number])
        class_weights[number, N_EXPRESSIVE:] = 0.8 * share * muscular[number] / np.linalg.norm(muscular[number])
    unit_weights = np.zeros((len(ABAW_ACTION_UNITS), N_LATENT))
    for number, (own, partner) in enumerate(_UNIT_PARTNERS):
        unit_weights[number, :2] = _UNIT_VALENCE_AROUSAL[number]
        unit_weights[number, N_EXPRESSIVE + own] = 1.0
        unit_weights[number, N_EXPRESSIVE + partner] += 0.5
    unit_weights /= np.linalg.norm(unit_weights, axis=1, keepdims=True)
    spread = np.sqrt(1.0 + CHOICE_ANNOTATOR.variance)
    thresholds = np.asarray(norm.isf(UNIT_RATES)) * spread
    logits = np.zeros((len(AFFECTNET_8), N_EXPRESSIVE))
    logits[:, :N_IN_LOGITS] = [seen[label] for label in AFFECTNET_8]
    return Design(class_weights, _fitted_bias(class_weights), unit_weights, thresholds, logits)


def _seen_part(label: Expression, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([_PROTOTYPES[label], 0.75 * direction / np.linalg.norm(direction)])


def _fitted_bias(class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the biases with which the classes occur as often as they should, by simulation with a fixed seed."""
    rng = np.random.default_rng(5)
    latents = rng.standard_normal((40_000, N_LATENT))
    scores = latents @ class_weights.T
    scores += np.sqrt(CHOICE_ANNOTATOR.variance) * rng.standard_normal(scores.shape)
    wanted = np.array([EXPRESSION_SHARES[label] for label in ABAW_EXPRESSION_8])
    bias = np.zeros(len(wanted))
    for _ in range(60):
        share = np.bincount(np.argmax(scores + bias, axis=1), minlength=len(wanted)) / len(scores)
        bias += 0.5 * np.log(wanted / np.maximum(share, 1e-4))
    return np.asarray(bias - bias.mean())
