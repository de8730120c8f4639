"""Small JPEGs for the page: faces of the moments, and the pictures of a folder of images."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from affectline.records import Frame, UInt8Array
from affectline.report.page.moments import Moment
from affectline.report.transcode import resize
from affectline.video import FrameSource, Sampling

THUMBNAIL_PX = 168
"""Shown at half of that or a little more, so that they are sharp on fine screens."""

FACE_MARGIN = 1.5
"""Side of what is cut out, relative to the longer side of the face's box."""

JPEG_QUALITY = 78
TIME_TOLERANCE_S = 1e-4

MOST_IMAGES = 400
LARGE_IMAGES, LARGE_SIDE, SMALL_SIDE = 60, 720, 320
"""Up to so many independent images stand in the page at the larger size."""

REDUCTION, LEAST_SIDE = 0.75, 64
"""A picture for which there is no room is made smaller by steps, but not so small that nothing can be seen."""

_WORDS_BYTES = 80
"""What the page's data say of a picture beside its address."""


def thumbnails(source: FrameSource, moments: Iterable[Moment]) -> dict[Moment, str]:
    """Return a square JPEG of each moment's face as a `data:` address; a frame that cannot be read is left out."""
    wanted: dict[int, list[Moment]] = {}
    for moment in sorted(moments, key=lambda moment: moment.frame):
        wanted.setdefault(moment.frame, []).append(moment)
    found = {}
    for frame, here in _frames(source, wanted):
        for moment in here:
            found[moment] = jpeg_address(cut_face(frame.rgb, moment.box_xyxy))
    return found


def image_pictures(
    source: FrameSource, frames: Iterable[int], room_bytes: int
) -> dict[int, tuple[str, tuple[int, int]]]:
    """Return of each independent image a reduced JPEG as a `data:` address and its own width and height.

    Images that cannot be read, those after the first `MOST_IMAGES` and those that are too large at any size are left
    out.

    Args:
        source: a picture or a folder of them.
        frames: the indices of the images.
        room_bytes: for all of them; each may take an equal part of what those before it have left.
    """
    wanted = set(sorted(set(frames))[:MOST_IMAGES])
    longest = LARGE_SIDE if len(wanted) <= LARGE_IMAGES else SMALL_SIDE
    found = {}
    for frame in source.frames():
        if frame.index not in wanted:
            continue
        room = room_bytes // len(wanted) - _WORDS_BYTES
        wanted.remove(frame.index)
        address = None if frame.is_corrupt else _fitting(frame.rgb, longest, room)
        if address is not None:
            found[frame.index] = (address, (frame.rgb.shape[1], frame.rgb.shape[0]))
            room_bytes -= len(address) + _WORDS_BYTES
    return found


def _fitting(rgb: UInt8Array, longest: int, most_bytes: int) -> str | None:
    """Return the address of a picture, made as small as it must be; None if that would be too small."""
    height, width = rgb.shape[:2]
    side = min(longest, max(width, height))
    while True:
        scale = side / max(width, height)
        address = jpeg_address(resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale)))))
        if len(address) <= most_bytes:
            return address
        side = round(side * REDUCTION)
        if side < LEAST_SIDE:
            return None


def cut_face(rgb: UInt8Array, box_xyxy: tuple[float, float, float, float]) -> UInt8Array:
    """Return a square around a face, moved rather than filled where it would leave the picture."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = box_xyxy
    side = round(min(max(right - left, bottom - top) * FACE_MARGIN, height, width))
    side = max(side, 1)
    x = int(np.clip(round((left + right - side) / 2), 0, width - side))
    y = int(np.clip(round((top + bottom - side) / 2), 0, height - side))
    return resize(rgb[y : y + side, x : x + side], (THUMBNAIL_PX, THUMBNAIL_PX))


def jpeg_address(rgb: UInt8Array) -> str:
    """Return a picture as a `data:` address that an `img` can show."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _frames(source: FrameSource, wanted: dict[int, list[Moment]]) -> Iterator[tuple[Frame, list[Moment]]]:
    """Give the wanted frames: of a video by jumping to each, of images by passing over all."""
    if source.info.kind != "video":
        yield from ((frame, wanted[frame.index]) for frame in source.frames() if frame.index in wanted)
        return
    for moments in wanted.values():
        start_s = max(0.0, (moments[0].time_s or 0.0) - TIME_TOLERANCE_S)
        frame = next(iter(source.frames(Sampling(start_s=start_s))), None)
        if frame is not None:
            yield frame, moments
