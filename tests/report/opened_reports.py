"""A report in a browser's window: where its parts are, and what they show."""

from __future__ import annotations

from pathlib import Path

import cv2

import clips
from browser import Visit

LEFT, RIGHT = 44, 10
"""Margins of the charts over time, in pixels."""


def ready(visit: Visit) -> Visit:
    visit.page.wait_for_selector("html[data-ready]", state="attached")
    if visit.page.locator("video").count():
        visit.wait_until("document.querySelector('video').readyState >= 2")
    return visit


def time_of(visit: Visit) -> float:
    return float(visit.page.evaluate("document.querySelector('video').currentTime"))


def cursor_share(visit: Visit, chart: str = "affect") -> float:
    """Where the cursor stands on a chart over time: 0 at its left edge, 1 at its right one."""
    plot = visit.page.locator(f"#{chart}")
    cursor = plot.locator(".cursor").bounding_box()
    box = plot.bounding_box()
    assert cursor is not None
    assert box is not None
    return (cursor["x"] + cursor["width"] / 2 - box["x"] - LEFT) / (box["width"] - LEFT - RIGHT)


def place_on(visit: Visit, chart: str, share: float) -> tuple[float, float]:
    plot = visit.page.locator(f"#{chart}")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    return box["x"] + LEFT + share * (box["width"] - LEFT - RIGHT), box["y"] + box["height"] / 2


def boxes_of(visit: Visit) -> int:
    return int(visit.page.evaluate("document.querySelector('#boxes').children.length"))


def settled(visit: Visit) -> None:
    visit.wait_until("page.wanted === null && !document.querySelector('video').seeking")


def write_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), clips.picture(number))
