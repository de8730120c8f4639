from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from result_tables import empty_row, face_row, long_table, table_of

from affectline.errors import OutputError
from affectline.labels import ABAW_EXPRESSION_8, AFFECTNET_7, FERPLUS_8, UNCERTAIN, Expression, Status
from affectline.report.plot import draw_timeline, plot_timeline


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() == "panel"]


def words_in(figure: Figure) -> list[str]:
    texts = figure.findobj(mpl.text.Text)
    return [text.get_text() for text in texts if text.get_text()]


def legend_of(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_the_picture_is_1600_wide_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    plot_timeline(table_of([face_row(0), face_row(1)]), tmp_path / "timeline.png", "clip.mp4", "zero-shot")
    with Image.open(tmp_path / "timeline.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == 1600
        assert np.asarray(picture.convert("L")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["timeline.png"]
    assert dict(mpl.rcParams) == before


def test_lines_show_the_values_of_the_table() -> None:
    rows = [face_row(0, valence=-1.0), face_row(1, valence=0.5), empty_row(2), face_row(3, valence=1.0)]
    affect = panels_of(draw_timeline(table_of(rows), "", ""))[0]
    valence = next(line for line in affect.get_lines() if line.get_label() == "valence")
    np.testing.assert_allclose(valence.get_ydata(), [-1, 0.5, np.nan, 1])
    np.testing.assert_allclose(valence.get_xdata(), [0.02, 0.06, 0.1, 0.14])
    assert legend_of(affect) == ["valence", "arousal"]


def test_a_held_picture_is_a_step_and_no_ramp() -> None:
    rows = [face_row(n, time_s=t, valence=n / 5) for n, t in enumerate([0.0, 0.1, 0.2, 3.2])]
    affect = panels_of(draw_timeline(table_of(rows), "", ""))[0]
    valence = next(line for line in affect.get_lines() if line.get_label() == "valence")
    np.testing.assert_allclose(valence.get_xdata(), [0, 0.1, 0.1, 0.2, 0.2, 3.2, 3.2, 3.3])
    np.testing.assert_allclose(valence.get_ydata(), [0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6], rtol=1e-6)


def test_the_heat_map_shows_every_action_unit() -> None:
    table = table_of([face_row(0), empty_row(1), face_row(2)])
    heat = panels_of(draw_timeline(table, "", ""))[2]
    values = heat.collections[0].get_array().reshape(12, 3)
    np.testing.assert_allclose(values[:, 0], np.arange(12) / 12, atol=1e-6)
    assert values.mask[:, 1].all()
    assert [label.get_text() for label in heat.get_yticklabels()][:3] == ["AU1", "AU2", "AU4"]


@pytest.mark.parametrize("labels", [FERPLUS_8, AFFECTNET_7, ABAW_EXPRESSION_8])
def test_the_key_names_the_classes_of_the_table_upwards(labels: tuple[Expression, ...]) -> None:
    table = table_of([face_row(0), face_row(1, expression=UNCERTAIN)], labels)
    expressions = panels_of(draw_timeline(table, "", ""))[1]
    assert legend_of(expressions) == [UNCERTAIN, *(label.value for label in reversed(labels))]


def test_areas_stack_up_to_one() -> None:
    expressions = panels_of(draw_timeline(table_of([face_row(0), face_row(1)]), "", ""))[1]
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in expressions.collections[: len(FERPLUS_8)]]
    assert tops[FERPLUS_8.index(Expression.NEUTRAL)] == pytest.approx(0.2)
    assert tops[FERPLUS_8.index(Expression.HAPPINESS)] == pytest.approx(1.0)


def test_gaps_are_hatched_and_low_quality_is_grey() -> None:
    rows = [face_row(0), empty_row(1), face_row(2), face_row(3, status=Status.LOW_QUALITY.value)]
    for axes in panels_of(draw_timeline(table_of(rows), "", "")):
        hatched = [patch for patch in axes.patches if patch.get_hatch()]
        assert [(patch.get_x(), patch.get_width()) for patch in hatched] == [(pytest.approx(0.04), pytest.approx(0.04))]
        assert axes.patches[-1].get_x() == pytest.approx(0.12)


def test_a_table_without_action_units_has_no_heat_map() -> None:
    figure = draw_timeline(table_of([face_row(0)], with_units=False), "", "")
    assert len(panels_of(figure)) == 2
    assert "AU12" not in words_in(figure)


@pytest.mark.parametrize("frames", [0, 1, 50])
def test_without_a_face_there_is_still_a_picture(tmp_path: Path, frames: int) -> None:
    table = table_of([empty_row(frame) for frame in range(frames)])
    assert "no face found" in words_in(draw_timeline(table, "clip", ""))
    plot_timeline(table, tmp_path / "t.png", "clip", "")
    assert (tmp_path / "t.png").stat().st_size > 1000


def test_only_four_tracks_are_shown_and_the_caption_says_so() -> None:
    rows = [face_row(frame, track=track) for track in range(1, 7) for frame in range(track)]
    figure = draw_timeline(table_of(rows), "", "Valence is zero-shot.")
    names = [word for word in words_in(figure) if word.startswith("Track")]
    assert names == ["Track 3", "Track 4", "Track 5", "Track 6"]
    assert "Valence is zero-shot. 2 more tracks with fewer rows not shown." in words_in(figure)


def test_faces_of_images_that_are_left_out_are_named_so() -> None:
    rows = [face_row(0, track=None, time_s=None) for _ in range(5)]
    assert "VA zero-shot. 1 more face with fewer rows not shown." in words_in(
        draw_timeline(table_of(rows), "", "VA zero-shot")
    )


def test_one_image_has_one_whole_number_below_it() -> None:
    lowest = panels_of(draw_timeline(table_of([face_row(0, track=None, time_s=None)]), "", ""))[-1]
    low, high = lowest.get_xlim()
    assert [tick for tick in lowest.get_xticks() if low <= tick <= high] == [0]


def test_images_are_points_over_their_index() -> None:
    rows = [face_row(frame, track=None, time_s=None) for frame in range(3)]
    panels = panels_of(draw_timeline(table_of(rows), "", ""))
    valence = next(line for line in panels[0].get_lines() if line.get_label() == "valence")
    assert valence.get_linestyle() == "None"
    assert valence.get_xdata().tolist() == [0, 1, 2]
    assert panels[-1].get_xlabel() == "image"


@pytest.mark.parametrize(
    ("seconds", "label", "tick"),
    [(60, "time (s)", "10"), (600, "time (mm:ss)", "02:00"), (7200, "time (h:mm:ss)", "1:00:00")],
)
def test_long_videos_have_a_clock(seconds: int, label: str, tick: str) -> None:
    lowest = panels_of(draw_timeline(table_of([face_row(n, fps=1.0) for n in range(seconds)]), "", ""))[-1]
    assert lowest.get_xlabel() == label
    assert tick in [text.get_text() for text in lowest.get_xticklabels()]


def test_a_long_table_is_drawn_from_few_points() -> None:
    affect = panels_of(draw_timeline(long_table(20_000), "", ""))[0]
    valence = next(line for line in affect.get_lines() if line.get_label() == "valence")
    assert len(valence.get_xdata()) <= 1200
    # Random values between 0 and 1: the band reaches both ends, the line stays in the middle.
    assert np.nanmax(np.abs(valence.get_ydata() - 0.5)) < 0.35
    band = affect.collections[1].get_paths()[0].vertices[:, 1]
    assert band.min() < 0.01
    assert band.max() > 0.99


def test_names_with_dollars_or_unknown_letters_are_drawn(tmp_path: Path) -> None:
    table = table_of([face_row(0)])
    plot_timeline(table, tmp_path / "übung $1 日本.png", "übung $a_{b 日本.mp4", "")
    assert "übung $a_{b □□.mp4" in words_in(draw_timeline(table, "übung $a_{b 日本.mp4", ""))


def test_an_unwritable_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "t.png"
    with pytest.raises(OutputError, match=re.escape(f"cannot write {place}")):
        plot_timeline(table_of([face_row(0)]), place, "", "")


def test_drawing_loads_no_pyplot() -> None:
    code = "import sys, affectline.report.plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
