"""Action units without training: a table that reads the 12 units off MediaPipe's blendshapes, after FACS.

Each value is an activation in [0, 1]: how far the face goes from rest towards a clear showing of the unit. It is not
a FACS intensity, and it was chosen by rule, not fitted to coded faces. docs/action_units.md shows the table and says
what it can and cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from affectline.errors import ShapeError
from affectline.faces.mesh import BLENDSHAPES, LEFT_EYE_OUTER_CORNER, MESH_POINTS, RIGHT_EYE_OUTER_CORNER
from affectline.labels import ActionUnit
from affectline.records import FloatArray

_POSITION = {name: position for position, name in enumerate(BLENDSHAPES)}


@dataclass(frozen=True, slots=True)
class Ramp:
    """A straight line from 0 to 1 over one measure of the face, flat beyond its ends.

    Attributes:
        blendshapes: names; where there are several, their mean counts, so that a unit on one side counts half.
        start: up to here the ramp is 0.
        full: from here it is 1.
        takes_largest: the largest counts instead of the mean.
    """

    blendshapes: tuple[str, ...]
    start: float
    full: float
    takes_largest: bool = False

    def values(self, blendshapes: FloatArray) -> FloatArray:
        """Return the ramp's values, shape (n,), float32, in [0, 1], for blendshapes of shape (n, 52)."""
        columns = blendshapes[:, [_POSITION[name] for name in self.blendshapes]]
        return _ramp(columns.max(axis=1) if self.takes_largest else columns.mean(axis=1), self.start, self.full)

    def __str__(self) -> str:
        names = [_short(name) for name in self.blendshapes if not name.endswith("Right")]
        measure = f"max({', '.join(names)})" if self.takes_largest else " + ".join(names)
        return f"{measure} {self.start:g}..{self.full:g}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one action unit is read: `drive`, times every one of `needs`, times 1 - the product of `excluded_by`.

    Attributes:
        unit: the action unit.
        drive: what the unit itself moves.
        reason: why these blendshapes.
        needs: what must be there too.
        excluded_by: what, all of it together, shows that another movement explains the drive.
        threshold: the unit is on from this activation.
        lip_gap: start and full of a second drive, the gap between the lips; the larger of both drives counts.
    """

    unit: ActionUnit
    drive: Ramp
    reason: str
    needs: tuple[Ramp, ...] = ()
    excluded_by: tuple[Ramp, ...] = ()
    threshold: float = 0.5
    lip_gap: tuple[float, float] | None = None

    @property
    def ramps(self) -> tuple[Ramp, ...]:
        """Every ramp over blendshapes that the rule uses."""
        return (self.drive, *self.needs, *self.excluded_by)

    def activation(self, blendshapes: FloatArray, lip_gaps: FloatArray | None) -> FloatArray:
        """Return the unit's activations, shape (n,), float32, in [0, 1].

        Args:
            blendshapes: shape (n, 52).
            lip_gaps: shape (n,), as from `lip_gaps`; None where only the blendshapes are known.
        """
        value = self.drive.values(blendshapes)
        if self.lip_gap is not None and lip_gaps is not None:
            value = np.maximum(value, _ramp(lip_gaps, *self.lip_gap))
        for ramp in self.needs:
            value = value * ramp.values(blendshapes)
        if self.excluded_by:
            value = value * (1 - np.prod([ramp.values(blendshapes) for ramp in self.excluded_by], axis=0))
        return value.astype(np.float32)

    def __str__(self) -> str:
        drive = f"[{self.drive}]"
        if self.lip_gap is not None:
            drive = f"max({drive}, [lip gap {self.lip_gap[0]:g}..{self.lip_gap[1]:g}])"
        parts = [drive, *(f"[{ramp}]" for ramp in self.needs)]
        if self.excluded_by:
            parts.append(f"(1 - {' x '.join(f'[{ramp}]' for ramp in self.excluded_by)})")
        return " x ".join(parts)


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


def _short(name: str) -> str:
    return name.removesuffix("Left") if name.endswith("Left") and name not in {"mouthLeft", "jawLeft"} else name


# A mouth drawn wide by crying looks like a smile to the blendshape network (mouthSmile 0.9 on the demo clip). What
# tells the two apart there without overlap is the raised chin (AU17): mouthShrugUpper 0.04 to 0.11 while crying, under
# 0.02 while smiling with lips shut or open. The eyes must be shut as well, so that a raised chin alone, which some
# faces show at rest, takes nothing from a smile.
_CRYING = (Ramp(("mouthShrugUpper",), 0.015, 0.035), Ramp(_both("eyeBlink"), 0.3, 0.6))
_SMILE = Ramp(_both("mouthSmile"), 0.1, 0.6)
_LIPS_APART = Ramp((*_both("mouthUpperUp", "mouthLowerDown"), "jawOpen"), 0.05, 0.2, takes_largest=True)

RULES = (
    Rule(
        ActionUnit.AU1,
        Ramp(("browInnerUp",), 0.1, 0.8),
        "The same movement: the middle of the frontalis pulls the inner ends of the brows up.",
    ),
    Rule(
        ActionUnit.AU2,
        Ramp(_both("browOuterUp"), 0.1, 0.7),
        "The same movement at the outer ends. A head tilted forward raises browOuterUp alone, while faces hardly"
        " ever raise the outer brow without the inner one, so some browInnerUp is asked for.",
        needs=(Ramp(("browInnerUp",), 0.0, 0.3),),
    ),
    Rule(
        ActionUnit.AU4,
        Ramp(_both("browDown"), 0.01, 0.1),
        "The same movement. The network answers weakly: 0.04 to 0.1 for clearly knit brows, 0.4 for posed anger,"
        " under 0.02 at rest; hence the steep ramp. It also takes the narrowed eyes of a smile for lowered brows (0.03"
        " to 0.3, seldom more), so beside a smile only more than that counts, unless a raised chin shows crying.",
        excluded_by=(_SMILE, Ramp(_both("browDown"), 0.6, 0.3), Ramp(("mouthShrugUpper",), 0.035, 0.015)),
    ),
    Rule(
        ActionUnit.AU6,
        Ramp(_both("eyeSquint"), 0.1, 0.5),
        "cheekSquint, its namesake, stays at 0 in MediaPipe. In a smile the raised cheek narrows the eye from below"
        " (the Duchenne smile), so the squint that comes with a smile is counted; AU6 without a smile is not seen.",
        needs=(Ramp(_both("mouthSmile"), 0.2, 0.6),),
        excluded_by=_CRYING,
    ),
    Rule(
        ActionUnit.AU7,
        Ramp(_both("eyeSquint"), 0.35, 0.65),
        "Tightened lids narrow the eye too; here counts the squint that no smile explains. Narrow eyes reach 0.35 at"
        " rest, so the ramp starts there.",
        excluded_by=(_SMILE,),
    ),
    Rule(
        ActionUnit.AU10,
        Ramp(_both("mouthUpperUp"), 0.05, 0.6),
        "The same movement. A smile lifts the upper lip as well, so what comes with a smile is left out. noseSneer"
        " belongs to AU9 and stays at 0 in MediaPipe.",
        excluded_by=(_SMILE,),
    ),
    Rule(
        ActionUnit.AU12,
        Ramp(_both("mouthSmile"), 0.0, 1.0),
        "The same movement: zygomaticus major pulls the lip corners up and back. A mouth drawn wide by crying, chin"
        " raised and eyes shut, is not counted.",
        excluded_by=_CRYING,
    ),
    Rule(
        ActionUnit.AU15,
        Ramp(_both("mouthFrown"), 0.01, 0.15),
        "The same movement. The network answers weakly: 0.02 to 0.13 where corners are clearly down, 0 at rest; hence"
        " the steep ramp.",
    ),
    Rule(
        ActionUnit.AU23,
        Ramp(("mouthRollLower", "mouthRollUpper"), 0.05, 0.35),
        "Tightened lips turn inwards and show less red, which is what mouthRoll measures; lips apart are not"
        " tightened. AU28 (lips sucked in) looks the same here.",
        excluded_by=(_LIPS_APART,),
    ),
    Rule(
        ActionUnit.AU24,
        Ramp(_both("mouthPress"), 0.03, 0.15),
        "The same movement: lips pressed together. A toothy smile raises mouthPress too, but lips apart cannot press.",
        excluded_by=(_LIPS_APART,),
    ),
    Rule(
        ActionUnit.AU25,
        Ramp((*_both("mouthLowerDown", "mouthUpperUp"), "jawOpen"), 0.1, 0.4, takes_largest=True),
        "Lips part because the lower one falls, the upper one rises or the jaw opens. Slightly parted lips move none"
        " of the three, but the landmarks show the gap, so the larger of the two counts.",
        lip_gap=(0.02, 0.12),
    ),
    Rule(
        ActionUnit.AU26,
        Ramp(("jawOpen",), 0.05, 0.5),
        "The same movement. A smile that shows teeth stays under 0.15, posed surprise reaches 0.5.",
    ),
)
"""One rule for each unit, in the order of `ABAW_ACTION_UNITS`."""

AU_THRESHOLDS = MappingProxyType({rule.unit: rule.threshold for rule in RULES})
"""From which activation a unit is on."""

# Pairs of inner lip points, upper and lower: middle, and half way to each corner.
_UPPER_LIP, _LOWER_LIP = (13, 82, 312), (14, 87, 317)


def action_units(blendshapes: FloatArray, points: FloatArray | None = None) -> FloatArray:
    """Return the activation of each action unit.

    Args:
        blendshapes: shape (n, 52), in [0, 1], in the order of `faces.mesh.BLENDSHAPES`.
        points: shape (n, 478, 3), the landmarks of the same faces, in any one scale for x, y and z. They show AU25
            where lips are only slightly parted, to which the blendshapes are blind.

    Returns:
        shape (n, 12), float32, in [0, 1], in the order of `ABAW_ACTION_UNITS`.

    Raises:
        ShapeError: an array has another shape.
    """
    if blendshapes.shape != (len(blendshapes), len(BLENDSHAPES)):
        raise ShapeError(f"blendshapes must be of shape (n, {len(BLENDSHAPES)}), got {blendshapes.shape}")
    expected = (len(blendshapes), MESH_POINTS, 3)
    if points is not None and points.shape != expected:
        raise ShapeError(
            f"points must be of shape {expected}, one face for each row of blendshapes, got {points.shape}"
        )
    gaps = None if points is None else lip_gaps(points)
    return np.stack([rule.activation(blendshapes, gaps) for rule in RULES], axis=1)


def lip_gaps(points: FloatArray) -> FloatArray:
    """Return how far the lips are apart, shape (n,), float32, in distances between the outer eye corners.

    Args:
        points: shape (n, 478, 3); distances are taken in depth too, so that a turned head changes little.
    """
    gaps = np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=2).mean(axis=1)
    eyes = np.linalg.norm(points[:, RIGHT_EYE_OUTER_CORNER] - points[:, LEFT_EYE_OUTER_CORNER], axis=1)
    ratios: FloatArray = np.divide(gaps, eyes, out=np.zeros_like(gaps), where=eyes > 0).astype(np.float32)
    return ratios


def _ramp(values: FloatArray, start: float, full: float) -> FloatArray:
    slope: FloatArray = (values - np.float32(start)) / np.float32(full - start)
    return np.clip(slope, 0, 1)
