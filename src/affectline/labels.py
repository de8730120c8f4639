"""Every label order that affectline knows, each with its source.

Code refers to labels by name, never by position.
"""

from __future__ import annotations

from enum import Enum


class Expression(str, Enum):
    """A facial expression. The value is the word that tables and files show."""

    ANGER = "Anger"
    CONTEMPT = "Contempt"
    DISGUST = "Disgust"
    FEAR = "Fear"
    HAPPINESS = "Happiness"
    NEUTRAL = "Neutral"
    SADNESS = "Sadness"
    SURPRISE = "Surprise"
    OTHER = "Other"

    @property
    def column(self) -> str:
        """The name of this expression's probability column, such as `p_happiness`."""
        return f"p_{self.value.lower()}"


AFFECTNET_8 = (
    Expression.ANGER,
    Expression.CONTEMPT,
    Expression.DISGUST,
    Expression.FEAR,
    Expression.HAPPINESS,
    Expression.NEUTRAL,
    Expression.SADNESS,
    Expression.SURPRISE,
)
"""The order of the 8 logits of EmotiEffNet models (AffectNet, Mollahosseini et al. 2017; EmotiEffLib)."""

AFFECTNET_7 = tuple(label for label in AFFECTNET_8 if label is not Expression.CONTEMPT)
"""The order of the 7-class EmotiEffNet models: AffectNet without Contempt (EmotiEffLib)."""

ABAW_EXPRESSION_8 = (
    Expression.NEUTRAL,
    Expression.ANGER,
    Expression.DISGUST,
    Expression.FEAR,
    Expression.HAPPINESS,
    Expression.SADNESS,
    Expression.SURPRISE,
    Expression.OTHER,
)
"""The classes 0 to 7 of the expression annotations of Aff-Wild2 (ABAW-3 to ABAW-10); -1 is invalid."""

FERPLUS_8 = (
    Expression.NEUTRAL,
    Expression.HAPPINESS,
    Expression.SURPRISE,
    Expression.SADNESS,
    Expression.ANGER,
    Expression.DISGUST,
    Expression.FEAR,
    Expression.CONTEMPT,
)
"""The first eight vote columns of FER+ (Barsoum et al., ICMI 2016), which are also its classes."""


class ActionUnit(str, Enum):
    """A facial action unit of FACS (Ekman, Friesen and Hager 2002). The value is the name that FACS gives it."""

    AU1 = "AU1"
    AU2 = "AU2"
    AU4 = "AU4"
    AU6 = "AU6"
    AU7 = "AU7"
    AU10 = "AU10"
    AU12 = "AU12"
    AU15 = "AU15"
    AU23 = "AU23"
    AU24 = "AU24"
    AU25 = "AU25"
    AU26 = "AU26"

    @property
    def column(self) -> str:
        """The name of this unit's activation column, such as `au01`."""
        return f"au{int(self.value[2:]):02d}"

    @property
    def on_column(self) -> str:
        """The name of this unit's boolean column, such as `au01_on`."""
        return f"{self.column}_on"

    @property
    def meaning(self) -> str:
        """What the unit does, in the words of FACS, such as `inner brow raiser`."""
        return _AU_MEANING[self]


_AU_MEANING = {
    ActionUnit.AU1: "inner brow raiser",
    ActionUnit.AU2: "outer brow raiser",
    ActionUnit.AU4: "brow lowerer",
    ActionUnit.AU6: "cheek raiser",
    ActionUnit.AU7: "lid tightener",
    ActionUnit.AU10: "upper lip raiser",
    ActionUnit.AU12: "lip corner puller",
    ActionUnit.AU15: "lip corner depressor",
    ActionUnit.AU23: "lip tightener",
    ActionUnit.AU24: "lip pressor",
    ActionUnit.AU25: "lips part",
    ActionUnit.AU26: "jaw drop",
}

ABAW_ACTION_UNITS = tuple(ActionUnit)
"""The 12 units of the Aff-Wild2 annotations, in their column order (ABAW-3 to ABAW-10); -1 is invalid."""


class Task(str, Enum):
    """What a head predicts. The value is the name that the ABAW challenges give the task."""

    VA = "VA"
    EXPR = "EXPR"
    AU = "AU"

    @property
    def official_labels(self) -> tuple[str, ...]:
        """What the Aff-Wild2 annotations of the task name, in their order: outputs, classes or units."""
        return _OFFICIAL_LABELS[self]


VALENCE_AROUSAL = ("valence", "arousal")
"""The two outputs of the valence/arousal task, in the order of the Aff-Wild2 annotations."""

_OFFICIAL_LABELS = {
    Task.VA: VALENCE_AROUSAL,
    Task.EXPR: tuple(label.value for label in ABAW_EXPRESSION_8),
    Task.AU: tuple(unit.value for unit in ABAW_ACTION_UNITS),
}


class Status(str, Enum):
    """What a row of the timeline rests on."""

    OBSERVED = "observed"
    LOW_QUALITY = "low_quality"
    INTERPOLATED = "interpolated"
    NO_FACE = "no_face"
    ERROR = "error"


class HeadKind(str, Enum):
    """What the scores of a task rest on."""

    PRETRAINED = "pretrained"
    """A network was trained on such labels, elsewhere."""

    ZERO_SHOT = "zero-shot"
    """No network ever saw such labels; the scores are derived from others by a published table."""

    TRAINED = "trained"
    """A head file that the user gave."""


UNCERTAIN = "uncertain"
"""What the expression column says when the two likeliest expressions are too close to call."""
