"""Finding the key frame from which to decode, and its true number, without decoding what comes before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from affectline.video.decoding import Pictures, goes_back
from affectline.video.opening import opened

ONE_PICTURE_PER_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1"})
"""Codecs whose packets can be counted as pictures. Others are decoded from the start: VP8, say, hides pictures."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where decoding starts.

    Attributes:
        packets: how many packets of the stream come before the key frame.
        index: the number of the key frame among all decoded frames.
        pts: its time stamp; pictures before it are dropped. None at the start of the file.
    """

    packets: int = 0
    index: int = 0
    pts: int | None = None


FILE_START = Start()


def find_start(path: Path, target_pts: int) -> Start:
    """Return the last key frame at or before a time stamp, the start of the file where none can be trusted."""
    with opened(path) as (container, stream):
        if stream.codec_context.codec.canonical_name not in ONE_PICTURE_PER_PACKET:
            return FILE_START
        start = _count_to(container, stream, target_pts)
    return start if start.pts is not None and _is_there(path, start) else FILE_START


def _count_to(container: InputContainer, stream: VideoStream, target_pts: int) -> Start:
    start, shown, first_pts, last_dts = FILE_START, 0, None, None
    try:
        for number, packet in enumerate(container.demux(stream)):
            if packet.size == 0:
                return start
            if packet.pts is None or packet.is_corrupt or goes_back(packet, last_dts):
                return FILE_START
            last_dts = packet.dts
            if first_pts is None and packet.is_keyframe:
                first_pts = packet.pts
            if packet.dts is not None and packet.dts > target_pts:
                return start  # what follows is shown even later
            # What precedes the first key frame in the file or on the screen cannot be decoded.
            if first_pts is None or packet.pts < first_pts:
                continue
            if packet.is_keyframe and packet.pts <= target_pts:
                start = Start(number, shown, packet.pts)
            elif start.pts is not None and packet.pts < start.pts and not packet.is_discard:
                start = Start(start.packets, start.index + 1, start.pts)  # shown before the key frame, stored after
            shown += not packet.is_discard
    except av.error.FFmpegError:
        return FILE_START
    return start


def _is_there(path: Path, start: Start) -> bool:
    """Return whether decoding from there gives the key frame itself, whole, and one picture per packet."""
    with opened(path) as (container, stream):
        for picture, is_damaged in Pictures(container, stream, start.packets):
            if picture.pts is None or is_damaged or picture.interlaced_frame:
                return False
            if start.pts is not None and picture.pts >= start.pts:
                return picture.pts == start.pts
    return False
