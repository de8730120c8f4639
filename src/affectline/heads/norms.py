"""Valence and arousal of emotion words, as people rated them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from affectline.labels import Expression


@dataclass(frozen=True, slots=True)
class Norm:
    """Where an emotion word lies.

    Attributes:
        word: the word that was rated; None where the place is our choice.
        valence: mean rated pleasure, in [-1, 1].
        arousal: mean rated arousal, in [-1, 1].
    """

    word: str | None
    valence: float
    arousal: float


NORMS_SOURCE: Final = (
    "Russell and Mehrabian (1977), Evidence for a three-factor theory of emotions, "
    "Journal of Research in Personality 11, 273-294, table 4"
)

NORMS: Final[Mapping[Expression, Norm]] = MappingProxyType(
    {
        Expression.HAPPINESS: Norm("Happy", 0.81, 0.51),
        Expression.SADNESS: Norm("Sad", -0.63, -0.27),
        Expression.ANGER: Norm("Angry", -0.51, 0.59),
        Expression.DISGUST: Norm("Disgusted", -0.60, 0.35),
        Expression.FEAR: Norm("Fearful", -0.64, 0.60),
        Expression.SURPRISE: Norm("Surprised", 0.40, 0.67),
        # Three rows of the table would do. "Contemptuous" (-0.24, 0.31) says nearly the same, "Scornful"
        # (-0.35, 0.35) a little more; "Contempt" is the label's own word.
        Expression.CONTEMPT: Norm("Contempt", -0.23, 0.31),
        # Our choices: a neutral face is put at the origin of the scale, and so is a face of which only is known that
        # none of the words fits.
        Expression.NEUTRAL: Norm(None, 0.0, 0.0),
        Expression.OTHER: Norm(None, 0.0, 0.0),
    }
)
"""Mean ratings of the seven words, from `NORMS_SOURCE`; Neutral and Other are our choices."""
