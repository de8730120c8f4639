"""Action units from blendshapes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectline.errors import ShapeError
from affectline.faces.landmarks import LandmarkNetwork
from affectline.faces.mesh import BLENDSHAPES, MESH_POINTS
from affectline.heads.action_units import AU_THRESHOLDS, RULES, action_units, lip_gaps
from affectline.labels import ABAW_ACTION_UNITS, ActionUnit
from affectline.records import FloatArray

DOCUMENT = Path(__file__).parents[2] / "docs" / "action_units.md"
BLENDSHAPE_ROWS = arrays(np.float32, st.tuples(st.integers(0, 5), st.just(52)), elements=st.floats(0, 1, width=32))


def face(**shapes: float) -> FloatArray:
    """One row of blendshapes, 0 but for those named; a name without its side sets both sides."""
    row = np.zeros((1, 52), np.float32)
    for name, value in shapes.items():
        columns = [n for n, known in enumerate(BLENDSHAPES) if known in {name, f"{name}Left", f"{name}Right"}]
        assert columns, name
        row[0, columns] = value
    return row


def activation(unit: ActionUnit, blendshapes: FloatArray, points: FloatArray | None = None) -> float:
    return float(action_units(blendshapes, points)[0, ABAW_ACTION_UNITS.index(unit)])


def mouth(gap: float) -> FloatArray:
    """A mesh whose lips are this far apart, in distances between the outer eye corners."""
    points = np.zeros((1, MESH_POINTS, 3), np.float32)
    points[0, 263] = (60, 0, 80)  # 100 apart, along the depth too
    points[0, [14, 87, 317], 1] = 100 * gap
    return points


CRYING = {"mouthShrugUpper": 0.035, "eyeBlink": 0.6}

HAND_COMPUTED = [
    (ActionUnit.AU1, {"browInnerUp": 0.45}, 0.5),
    (ActionUnit.AU2, {"browOuterUp": 0.4, "browInnerUp": 0.3}, 0.5),
    (ActionUnit.AU2, {"browOuterUp": 0.4, "browInnerUp": 0.15}, 0.25),
    (ActionUnit.AU2, {"browOuterUpLeft": 0.7, "browOuterUpRight": 0.1, "browInnerUp": 0.3}, 0.5),
    (ActionUnit.AU2, {"browOuterUp": 1}, 0),
    (ActionUnit.AU4, {"browDown": 0.055}, 0.5),
    (ActionUnit.AU4, {"browDown": 0.055, "mouthSmile": 0.35}, 0.25),
    (ActionUnit.AU4, {"browDown": 0.25, "mouthSmile": 0.9}, 0),
    (ActionUnit.AU4, {"browDown": 0.45, "mouthSmile": 0.9}, 0.5),
    (ActionUnit.AU4, {"browDown": 0.6, "mouthSmile": 0.9}, 1),
    (ActionUnit.AU4, {"browDown": 0.1, "mouthSmile": 0.9, "mouthShrugUpper": 0.025}, 0.5),
    (ActionUnit.AU4, {"browDown": 0.1, "mouthSmile": 0.9, **CRYING}, 1),
    (ActionUnit.AU6, {"eyeSquint": 0.3, "mouthSmile": 0.6}, 0.5),
    (ActionUnit.AU6, {"eyeSquint": 0.3, "mouthSmile": 0.4}, 0.25),
    (ActionUnit.AU6, {"eyeSquint": 1}, 0),
    (ActionUnit.AU6, {"eyeSquint": 1, "mouthSmile": 1, **CRYING}, 0),
    (ActionUnit.AU7, {"eyeSquint": 0.5}, 0.5),
    (ActionUnit.AU7, {"eyeSquint": 0.5, "mouthSmile": 0.35}, 0.25),
    (ActionUnit.AU7, {"eyeSquint": 1, "mouthSmile": 0.6}, 0),
    (ActionUnit.AU10, {"mouthUpperUp": 0.325}, 0.5),
    (ActionUnit.AU10, {"mouthUpperUp": 0.325, "mouthSmile": 0.35}, 0.25),
    (ActionUnit.AU12, {"mouthSmile": 0.5}, 0.5),
    (ActionUnit.AU12, {"mouthSmileLeft": 1}, 0.5),
    (ActionUnit.AU12, {"mouthSmile": 1, "mouthShrugUpper": 1}, 1),
    (ActionUnit.AU12, {"mouthSmile": 1, "eyeBlink": 1}, 1),
    (ActionUnit.AU12, {"mouthSmile": 1, "mouthShrugUpper": 0.025, "eyeBlink": 0.45}, 0.75),
    (ActionUnit.AU12, {"mouthSmile": 1, **CRYING}, 0),
    (ActionUnit.AU15, {"mouthFrown": 0.08}, 0.5),
    (ActionUnit.AU23, {"mouthRollLower": 0.3, "mouthRollUpper": 0.1}, 0.5),
    (ActionUnit.AU23, {"mouthRollLower": 0.3, "mouthRollUpper": 0.1, "jawOpen": 0.125}, 0.25),
    (ActionUnit.AU24, {"mouthPress": 0.09}, 0.5),
    (ActionUnit.AU24, {"mouthPress": 0.15, "mouthUpperUpRight": 0.2}, 0),
    (ActionUnit.AU25, {"jawOpen": 0.25}, 0.5),
    (ActionUnit.AU25, {"mouthLowerDownLeft": 0.25, "jawOpen": 0.2}, 0.5),
    (ActionUnit.AU26, {"jawOpen": 0.275}, 0.5),
]


@pytest.mark.parametrize(("unit", "shapes", "expected"), HAND_COMPUTED)
def test_hand_computed(unit: ActionUnit, shapes: dict[str, float], expected: float) -> None:
    assert activation(unit, face(**shapes)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("gap", "jaw", "expected"), [(0.02, 0, 0), (0.07, 0, 0.5), (0.3, 0, 1), (0.07, 0.4, 1)])
def test_lip_gap_shows_parted_lips(gap: float, jaw: float, expected: float) -> None:
    assert activation(ActionUnit.AU25, face(jawOpen=jaw), mouth(gap)) == pytest.approx(expected, abs=1e-5)


def test_points_change_no_other_unit() -> None:
    blendshapes = np.random.default_rng(3).random((4, 52), np.float32)
    points = np.random.default_rng(4).random((4, MESH_POINTS, 3), np.float32)
    others = [unit is not ActionUnit.AU25 for unit in ABAW_ACTION_UNITS]
    assert np.array_equal(action_units(blendshapes, points)[:, others], action_units(blendshapes)[:, others])


def test_lip_gaps() -> None:
    assert lip_gaps(np.concatenate([mouth(0), mouth(0.25)])) == pytest.approx([0, 0.25])
    assert lip_gaps(np.zeros((1, MESH_POINTS, 3), np.float32)) == pytest.approx([0])


def test_face_at_rest_shows_nothing() -> None:
    assert np.array_equal(action_units(face(), mouth(0)), np.zeros((1, 12), np.float32))


def test_no_faces() -> None:
    result = action_units(np.empty((0, 52), np.float32), np.empty((0, MESH_POINTS, 3), np.float32))
    assert (result.shape, result.dtype) == ((0, 12), np.float32)


@given(BLENDSHAPE_ROWS)
def test_range_and_shape(blendshapes: FloatArray) -> None:
    result = action_units(blendshapes)
    assert (result.shape, result.dtype) == ((len(blendshapes), 12), np.float32)
    assert ((result >= 0) & (result <= 1)).all()


@given(BLENDSHAPE_ROWS, st.floats(0, 1, width=32))
def test_more_smile_is_never_less_au12(blendshapes: FloatArray, more: float) -> None:
    wider = blendshapes.copy()
    smile = [BLENDSHAPES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]
    wider[:, smile] = np.maximum(wider[:, smile], np.float32(more))
    column = ABAW_ACTION_UNITS.index(ActionUnit.AU12)
    assert (action_units(wider)[:, column] >= action_units(blendshapes)[:, column]).all()


@given(BLENDSHAPE_ROWS)
def test_rows_do_not_depend_on_each_other(blendshapes: FloatArray) -> None:
    rows = [action_units(row[np.newaxis]) for row in blendshapes]
    assert np.array_equal(action_units(blendshapes), np.concatenate([np.empty((0, 12), np.float32), *rows]))


@pytest.mark.parametrize("shape", [(52,), (3, 51), (1, 2, 52)])
def test_wrong_blendshapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"blendshapes must be of shape \(n, 52\), got"):
        action_units(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(2, MESH_POINTS, 3), (1, 468, 3)])
def test_wrong_points(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"points must be of shape \(1, 478, 3\), one face for each row"):
        action_units(face(), np.zeros(shape, np.float32))


def test_one_rule_for_each_unit_in_order() -> None:
    assert tuple(rule.unit for rule in RULES) == ABAW_ACTION_UNITS
    assert dict(AU_THRESHOLDS) == {rule.unit: rule.threshold for rule in RULES}
    for rule in RULES:
        assert 0 < rule.threshold < 1
        for ramp in rule.ramps:
            # What excludes may be the lack of a movement: then the ramp falls.
            assert ramp.start < ramp.full or ramp in rule.excluded_by
            assert ramp.start != ramp.full
            assert set(ramp.blendshapes) <= set(BLENDSHAPES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.unit.value)
def test_every_row_is_documented(rule: object) -> None:
    assert str(rule) in DOCUMENT.read_text(encoding="utf-8")


def test_demo_clip_goes_from_sad_to_happy(task_file: Path, demo_clip: Path) -> None:
    network = LandmarkNetwork(task_file)
    times, seen = [], []
    with av.open(str(demo_clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 6:
                continue
            rgb = frame.to_ndarray(format="rgb24")
            landmarks = network.read(rgb, network.suggest(rgb)[0])
            assert landmarks is not None
            times.append(frame.time)
            seen.append(landmarks)
    activations = action_units(
        np.stack([landmarks.blendshapes for landmarks in seen]), np.stack([landmarks.points for landmarks in seen])
    )
    time_s = np.asarray(times)
    sad = dict(zip(ABAW_ACTION_UNITS, activations[(time_s >= 1) & (time_s < 6)].mean(axis=0), strict=True))
    happy = dict(zip(ABAW_ACTION_UNITS, activations[(time_s >= 11) & (time_s < 19)].mean(axis=0), strict=True))
    assert sad[ActionUnit.AU12] <= 0.15
    assert happy[ActionUnit.AU12] >= 0.5
    assert happy[ActionUnit.AU6] > sad[ActionUnit.AU6] + 0.4
    assert happy[ActionUnit.AU25] > 0.9
    assert happy[ActionUnit.AU26] < 0.1
    assert sad[ActionUnit.AU4] > happy[ActionUnit.AU4] + 0.1
    assert sad[ActionUnit.AU15] > happy[ActionUnit.AU15]
