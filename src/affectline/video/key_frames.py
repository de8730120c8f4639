"""Where decoding can begin as if nothing had come before: closed-GOP key frames, found without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
from av import Packet
from av.video.stream import VideoStream

from affectline.video.decoding import goes_back
from affectline.video.opening import opened
from affectline.video.seeking import ONE_PICTURE_PER_PACKET, Start

_CLEAN_UNITS: Final = {"h264": frozenset({5}), "hevc": frozenset({19, 20})}
"""NAL unit types of pictures from which on nothing refers to what came before: IDR. A key frame of H.264 may be a
recovery point, from which pictures get whole little by little, one of HEVC a CRA picture, behind which come some that
need the ones before."""

_PICTURE_UNITS: Final = {"h264": range(1, 6), "hevc": range(32)}
"""NAL unit types of parts of pictures."""


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """The key frames of a stream at which it can be split.

    Attributes:
        starts: in order, with packets and frames counted from the start of the file. No frame is shown before one of
            them and stored after it.
        last_pts: the largest time stamp of the stream, up to where it could be read.
        problem: why there are none; empty where there are some.
    """

    starts: tuple[Start, ...]
    last_pts: int
    problem: str


def closed_key_frames(path: Path) -> KeyFrames:
    """Read the packets of a video and return its closed-GOP key frames; errors as `opened`."""
    with opened(path) as (container, stream):
        codec = stream.codec_context.codec.canonical_name
        if codec not in ONE_PICTURE_PER_PACKET:
            return KeyFrames((), 0, f"packets of {codec} cannot be counted as pictures")
        found = _Search(stream)
        try:
            for packet in container.demux(stream):
                if packet.size and not found.take(packet):
                    break
        except av.error.FFmpegError:
            pass  # what was found before the damage stands
    if found.starts:
        return KeyFrames(tuple(found.starts), found.last_pts, "")
    return KeyFrames((), found.last_pts, found.problem or "it has no closed-GOP key frame but the first")


class _Search:
    """Goes through the packets in the order of decoding."""

    def __init__(self, stream: VideoStream) -> None:
        self.starts: list[Start] = []
        self.last_pts = 0
        self.problem = ""
        codec = stream.codec_context
        self._codec = codec.codec.canonical_name
        self._length_size = _length_size(self._codec, bytes(codec.extradata or b""))
        self._packets = 0
        self._shown = 0
        self._first_pts: int | None = None
        self._last_dts: int | None = None

    def take(self, packet: Packet[VideoStream]) -> bool:
        """Take the next packet; return whether the ones behind it can be counted on."""
        pts = packet.pts
        if pts is None or packet.is_corrupt:
            self.problem = "its packets lack time stamps" if pts is None else "it is damaged"
            return False
        if goes_back(packet, self._last_dts):
            self.problem = "recordings were joined in it"
            return False
        self._last_dts = packet.dts
        while self.starts and self.starts[-1].pts is not None and pts < self.starts[-1].pts:
            self.starts.pop()  # an open GOP: shown before the key frame, stored after it
        if self._first_pts is None:
            if packet.is_keyframe:
                self._first_pts = self.last_pts = pts
        elif packet.is_keyframe and pts > self.last_pts and self._is_clean(packet):
            self.starts.append(Start(self._packets, self._shown, pts))
        self._packets += 1
        # What precedes the first key frame in the file or on the screen cannot be decoded.
        self._shown += self._first_pts is not None and pts >= self._first_pts and not packet.is_discard
        self.last_pts = max(self.last_pts, pts)
        return True

    def _is_clean(self, packet: Packet[VideoStream]) -> bool:
        if self._codec not in _CLEAN_UNITS:
            return True
        kinds = (_kind(self._codec, header) for header in _headers(bytes(packet), self._length_size))
        pictures = [kind for kind in kinds if kind in _PICTURE_UNITS[self._codec]]
        return bool(pictures) and _CLEAN_UNITS[self._codec].issuperset(pictures)


def _length_size(codec: str, extradata: bytes) -> int:
    """Return how many bytes say how long a NAL unit is; 0 where start codes stand between them."""
    place = {"h264": 4, "hevc": 21}.get(codec)
    if place is None or len(extradata) <= place or extradata[0] != 1:
        return 0
    return (extradata[place] & 3) + 1


def _headers(data: bytes, length_size: int) -> Iterator[int]:
    """Give the first byte of each NAL unit of a packet."""
    place = 0
    if length_size:
        while place + length_size < len(data):
            yield data[place + length_size]
            place += length_size + int.from_bytes(data[place : place + length_size], "big")
        return
    while (place := data.find(b"\0\0\1", place)) >= 0 and place + 3 < len(data):
        yield data[place + 3]
        place += 3


def _kind(codec: str, header: int) -> int:
    return header & 31 if codec == "h264" else header >> 1 & 63
