from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.labels import ActionUnit, Expression, Status
from affectline.report.colours import EXPRESSION_RGB
from affectline.report.marks import Mark
from affectline.report.painter import Painter
from affectline.report.sprites import Sprite, tag, text

SIZE = (640, 360)
UNITS = ((ActionUnit.AU6, 0.2), (ActionUnit.AU12, 0.9), (ActionUnit.AU25, 0.5))


def mark(box: tuple[float, float, float, float], status: Status = Status.OBSERVED, track: int | None = 1) -> Mark:
    return Mark(box, track, status, Expression.HAPPINESS.value, 0.8, 0.5, 0.5, UNITS)


def painted(marks: list[Mark], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a black picture of shape (height, width, 3) with the marks on it."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    Painter(size).draw(picture, marks)
    return picture


def test_the_box_has_the_colour_of_the_expression() -> None:
    picture = painted([mark((200, 100, 320, 260))])
    yellow = np.array(EXPRESSION_RGB[Expression.HAPPINESS])
    assert np.abs(picture[200, 200] - yellow).max() < 10
    assert np.abs(picture[260, 260] - yellow).max() < 10
    assert picture[110:250, 210:310].max() == 0  # nothing on the face itself


def test_the_lines_tell_the_status() -> None:
    box = (200.0, 100.0, 320.0, 260.0)
    lit = {
        status: (painted([mark(box, status)])[130:250, 198:203].max(axis=2) > 120)
        for status in (Status.OBSERVED, Status.LOW_QUALITY, Status.INTERPOLATED)
    }
    assert lit[Status.LOW_QUALITY].sum() < lit[Status.OBSERVED].sum()
    assert lit[Status.OBSERVED].any(axis=1).all()
    # Dashes: about half of the line.
    assert 0.3 < lit[Status.INTERPOLATED].any(axis=1).mean() < 0.75


def test_the_gauge_shows_valence_and_arousal() -> None:
    happy, sad = (
        painted([Mark((100, 100, 220, 260), 1, Status.OBSERVED, None, None, valence, arousal, ())])
        for valence, arousal in ((0.8, 0.8), (-0.8, -0.8))
    )
    rows, columns = np.nonzero((happy.astype(int) - sad).max(axis=2) > 100)
    other_rows, other_columns = np.nonzero((sad.astype(int) - happy).max(axis=2) > 100)
    assert columns.mean() > other_columns.mean() + 20  # valence to the right
    assert rows.mean() < other_rows.mean() - 20  # arousal upwards
    assert columns.min() > 222  # beside the box


def test_a_face_at_the_border_keeps_its_label_inside() -> None:
    for box in ((-30.0, -40.0, 60.0, 70.0), (600.0, 330.0, 700.0, 420.0)):
        picture = painted([mark(box)])
        label = tag((("1", (51, 34, 136), (255, 255, 255)),), 13)
        indigo = (np.abs(picture.astype(int) - (51, 34, 136)).max(axis=2) < 3).sum()
        assert indigo > 0.5 * label.size_wh[0] * label.size_wh[1]


def test_cards_cover_no_other_face() -> None:
    boxes = [(60.0, 100.0, 180.0, 260.0), (190.0, 100.0, 310.0, 260.0), (320.0, 100.0, 440.0, 260.0)]
    picture = painted([mark(box, track=number) for number, box in enumerate(boxes, 1)])
    for x1, y1, x2, y2 in boxes:
        assert picture[int(y1) + 8 : int(y2) - 8, int(x1) + 8 : int(x2) - 8].max() == 0


def test_labels_cover_no_other_face_and_no_other_label() -> None:
    # The usual place of the first label is on the second face, and that of the third on the second label.
    boxes = [(200.0, 150.0, 290.0, 250.0), (295.0, 100.0, 380.0, 190.0), (400.0, 110.0, 500.0, 200.0)]
    together = painted([mark(box, track=number) for number, box in enumerate(boxes, 1)])
    for x1, y1, x2, y2 in boxes:
        assert together[int(y1) + 8 : int(y2) - 8, int(x1) + 8 : int(x2) - 8].max() == 0
    number_colours = [(51, 34, 136), (136, 34, 85), (17, 119, 51)]
    for number, (box, colour) in enumerate(zip(boxes, number_colours, strict=True), 1):
        alone = painted([mark(box, track=number)])
        shown, all_of_it = ((np.abs(p.astype(int) - colour).max(axis=2) < 3).sum() for p in (together, alone))
        assert shown > 0.95 * all_of_it > 50


def test_nothing_is_drawn_without_faces() -> None:
    assert painted([]).max() == 0


@settings(max_examples=40)
@given(
    box=st.tuples(*[st.floats(-3000, 3000, width=32)] * 4),
    size=st.sampled_from([(64, 64), (640, 360), (360, 640)]),
    status=st.sampled_from([Status.OBSERVED, Status.INTERPOLATED]),
    track=st.one_of(st.none(), st.integers(1, 10_000)),
)
def test_any_box_can_be_drawn(
    box: tuple[float, float, float, float], size: tuple[int, int], status: Status, track: int | None
) -> None:
    x1, y1, x2, y2 = box
    ordered = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    assert painted([mark(ordered, status, track)], size).max() > 60  # at least the label can be seen


@given(x=st.integers(-20, 30), y=st.integers(-20, 30))
def test_a_sprite_is_blended_where_it_lies_inside(x: int, y: int) -> None:
    half = Sprite(np.full((6, 8, 3), 200 * 128, np.uint16), np.full((6, 8, 1), 127, np.uint16))
    picture = np.full((20, 24, 3), 100, np.uint8)
    half.paste(picture, x, y)
    expected = np.full((60, 64, 3), 100)
    expected[20 + y : 26 + y, 20 + x : 28 + x] = round(200 * 128 / 255 + 100 * 127 / 255)
    assert (picture == expected[20:40, 20:44]).all()


@pytest.mark.parametrize("size_px", [7, 13, 40])
def test_letters_grow_with_their_size(size_px: int) -> None:
    sprite = text("AU12", size_px)
    assert 2 * size_px < sprite.size_wh[0] < 4 * size_px
    assert sprite.colour.max() == 255 * 255
