"""Independent images in the page: those without a face, those that are left out, and how much room all may take."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from finished_results import images, write_result
from opened_reports import boxes_of, ready, write_images

from affectline.labels import FERPLUS_8
from affectline.report.page import write_report
from affectline.schema import timeline_schema
from browser import PHONE, Visit, Visitor


def faceless(names: list[str]) -> pa.Table:
    """Return images in none of which a face was found."""
    rows = [{"frame": number, "status": "no_face", "source": name} for number, name in enumerate(names)]
    schema = timeline_schema(FERPLUS_8, with_source=True)
    return pa.table([pa.array([row.get(f.name) for row in rows], f.type) for f in schema], schema=schema)


def report(folder: Path, table: pa.Table, pictures: Path) -> Path:
    result = write_result(folder / "out", table, input=pictures.name, duration_s=None)
    return write_report(result, video=pictures)


def folder_of(folder: Path, names: list[str]) -> Path:
    pictures = folder / "pictures"
    pictures.mkdir()
    write_images(pictures, names)
    return pictures


def width_shown(shown: Visit) -> int:
    """Return how many pixels wide the picture in the page is, 0 where none is shown."""
    shown.wait_until("picture.hidden || picture.complete")
    return int(shown.page.evaluate("picture.hidden ? 0 : picture.naturalWidth"))


class TestWithoutAFace:
    def test_the_picture_is_shown(self, tmp_path: Path, visit: Visitor) -> None:
        write_images(tmp_path, ["wall.png"])
        shown = ready(visit(report(tmp_path, faceless(["wall.png"]), tmp_path / "wall.png").as_uri()))
        assert shown.page.get_by_role("heading", name="No face was found").is_visible()
        assert width_shown(shown) == 64
        assert shown.page.get_by_role("img", name="The image wall.png").is_visible()
        assert shown.page.locator("#slider").is_hidden()
        assert shown.complaints == []

    @pytest.mark.parametrize("size", [(1280, 900), PHONE])
    def test_a_folder_can_be_leafed_through(self, tmp_path: Path, visit: Visitor, size: tuple[int, int]) -> None:
        names = ["a.png", "b.png", "c.png"]
        page = report(tmp_path, faceless(names), folder_of(tmp_path, names))
        shown = ready(visit(page.as_uri(), size=size, bypass_csp=True))
        assert shown.page.locator("#clock").text_content() == "1 of 3"
        shown.page.get_by_label("Image").focus()
        shown.page.keyboard.press("ArrowRight")
        assert shown.page.locator("#clock").text_content() == "2 of 3"
        assert shown.page.locator("#picture").get_attribute("alt") == "The image b.png"
        assert shown.page.locator("#slider").get_attribute("aria-valuetext") == "b.png"
        assert width_shown(shown) == 64
        assert shown.accessibility_faults() == []
        assert shown.complaints == []


class TestLeftOut:
    def test_a_picture_that_is_not_there_is_said_to_be_missing(
        self, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("affectline.report.page.pictures.MOST_IMAGES", 3)
        names = [f"{number}.png" for number in range(5)]
        shown = ready(visit(report(tmp_path, images(names), folder_of(tmp_path, names)).as_uri()))
        missing = shown.page.get_by_text("This picture is not in the page.")
        shown.page.evaluate("page.seek(1)")
        assert (width_shown(shown), missing.is_visible(), boxes_of(shown)) == (64, False, 1)
        shown.page.evaluate("page.seek(4)")
        assert (width_shown(shown), missing.is_visible(), boxes_of(shown)) == (0, True, 0)
        assert "The page holds the pictures of 3 of the 5 images" in shown.page.inner_text(".charts")

    def test_it_is_said_without_a_face_too(
        self, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("affectline.report.page.pictures.MOST_IMAGES", 1)
        names = ["a.png", "b.png"]
        shown = ready(visit(report(tmp_path, faceless(names), folder_of(tmp_path, names)).as_uri()))
        assert "The page holds the pictures of 1 of the 2 images" in shown.page.inner_text(".viewer")

    def test_where_all_are_there_nothing_is_said(self, tmp_path: Path) -> None:
        names = ["a.png", "b.png"]
        text = report(tmp_path, images(names), folder_of(tmp_path, names)).read_text()
        assert "The page holds" not in text


def test_pictures_too_keep_the_page_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectline.report.page.write.MOST_MEGABYTES", 6.5)
    random = np.random.default_rng(0)
    names = [f"{number}.jpg" for number in range(12)]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in names:
        cv2.imwrite(str(pictures / name), random.integers(0, 256, (600, 600, 3), dtype=np.uint8))
    page = report(tmp_path, images(names), pictures)
    assert 5_500_000 < page.stat().st_size <= 6_500_000
    assert page.read_text().count('"src":"data:image/jpeg') == 12
