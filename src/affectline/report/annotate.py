"""The source video with what was found drawn onto it: same length, frame times and sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from affectline.progress import ProgressHook, ignore_progress
from affectline.records import UInt8Array
from affectline.report.marks import Mark, MarkTable
from affectline.report.painter import Painter
from affectline.report.transcode import Encoding, resize, write_copy
from affectline.video import open_video

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_SIDE = 1920
SHORTEST_SIDE = 64


def annotate_video(video: Path, table: pa.Table, out: Path, on_progress: ProgressHook = ignore_progress) -> None:
    """Write the annotated copy of a video: H.264 in MP4, as long as the source, with its sound.

    Frames keep their times, rotation and pixel aspect are applied, pictures over 1920 pixels are reduced. Of a
    damaged video all frames are written that can be decoded. Memory does not grow with the length.

    Args:
        video: the source.
        table: the columns of the result table; boxes in pixels of the upright frame. If only some frames were
            sampled, their marks stay for up to one sampling interval.
        out: the MP4 to write or replace.
        on_progress: called after each frame with how many are done and the container's number of frames, or None.

    Raises:
        VideoError: the source cannot be read.
        OutputError: the result cannot be written.
    """
    source = open_video(Path(video))
    size_wh = output_size(source.info.width, source.info.height)
    write_copy(source, Path(out), Encoding(size_wh), _Annotator(table, size_wh).draw, on_progress)


def output_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of the annotated video for frames of a size: even, no side over 1920 or under 64 pixels."""
    scale = min(max(1.0, SHORTEST_SIDE / min(width, height)), LONGEST_SIDE / max(width, height))
    return _even(width * scale), _even(height * scale)


def _even(side: float) -> int:
    return max(SHORTEST_SIDE, 2 * round(side / 2))


class _Annotator:
    """Brings frames to the output's size and draws onto them."""

    def __init__(self, table: pa.Table, size_wh: tuple[int, int]) -> None:
        self._marks = MarkTable(table)
        self._painter = Painter(size_wh)
        self._size_wh = size_wh

    def draw(self, rgb: UInt8Array, index: int) -> UInt8Array:
        """Return the annotated picture of the frame with this index, the frame itself untouched."""
        height, width = rgb.shape[:2]
        picture = resize(rgb, self._size_wh)
        scale_xy = self._size_wh[0] / width, self._size_wh[1] / height
        self._painter.draw(picture, [_scaled(mark, *scale_xy) for mark in self._marks.at(index)])
        return picture


def _scaled(mark: Mark, x_scale: float, y_scale: float) -> Mark:
    if x_scale == y_scale == 1:
        return mark
    x1, y1, x2, y2 = mark.box_xyxy
    return replace(mark, box_xyxy=(x1 * x_scale, y1 * y_scale, x2 * x_scale, y2 * y_scale))
