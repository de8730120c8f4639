"""The outermost structure of container files: what they say they hold, against what is there.

FFmpeg reads a file that was cut as if it just ended. The sizes that containers write tell the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BOX_HEAD = 8
"""Bytes of the size and name that start a box."""

MP4_KINDS = frozenset(
    {"ftyp", "styp", "moov", "moof", "mdat", "mfra", "sidx", "ssix", "emsg", "prft", "free", "skip", "wide", "udta"}
    | {"meta", "uuid", "pnot", "junk"}
)
"""Top-level boxes of ISO/IEC 14496-12 and QuickTime. Cameras append trailers that are no boxes: they end the walk."""

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
MATROSKA_TOP = frozenset(
    {EBML, SEGMENT, CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC}
)
CLUSTER_PARTS = frozenset({0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0xBF, 0xEC, 0x5854})
"""Matroska (RFC 9559): the elements of a segment, and of a cluster."""

LONGEST_NAME, LONGEST_NUMBER = 4, 8
"""Bytes of the longest name and the longest size of an element."""

FLV_SIZE, FLV_TAG_HEAD = 4, 11
"""Flash video: bytes of the size that follows each tag, and of the head of a tag."""

TS_PACKET = 188
TS_PACKET_OF_CAMCORDERS = 192
"""Camcorders write a time stamp before each packet."""

TS_PACKET_SIZES = (TS_PACKET, TS_PACKET_OF_CAMCORDERS, 204)
TS_SYNC = 0x47
TAIL_PACKETS = 20_000
"""How many packets at the end are searched for the last one of the picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """One top-level box of an MP4: its name, where it starts and how many bytes it says it has (0: to the end)."""

    kind: str
    start: int
    size: int


def top_level_boxes(path: Path) -> Iterator[Box]:
    """Return the top-level boxes of an MP4 or QuickTime file; nothing for other files."""
    length = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start + BOX_HEAD <= length:
            file.seek(start)
            head = file.read(2 * BOX_HEAD)
            kind, size = head[4:8].decode("latin-1"), int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[BOX_HEAD:], "big")
            if kind not in MP4_KINDS:
                return
            yield Box(kind, start, size)
            if size < BOX_HEAD:
                return
            start += size


def is_cut(path: Path, container: str) -> bool:
    """Return whether a file ends before its container says that it should.

    Args:
        path: the file.
        container: FFmpeg's name of its format. Formats that do not say how long they are count as whole.
    """
    names = container.split(",")
    if "mp4" in names:
        return _is_mp4_cut(path)
    length = path.stat().st_size
    with path.open("rb") as file:
        if "matroska" in names:
            return _is_matroska_cut(file, length)
        if "avi" in names:
            return _is_avi_cut(file, length)
        if "mpegts" in names:
            return _is_transport_stream_cut(file, length)
        return "flv" in names and _is_flv_cut(file, length)


def is_last_picture_cut(path: Path, pid: int) -> bool:
    """Return whether an MPEG transport stream ends inside a picture.

    A picture starts in a packet of its own, so the last packet of the one before is filled up with stuffing. Where
    there is none the picture goes on in packets that are gone (or fits exactly: one picture in 184).

    Args:
        path: a transport stream.
        pid: the number of its video stream.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        layout = _transport_packets(file)
        if layout is None:
            return False
        size, offset = layout
        whole = length // size
        first = max(0, whole - TAIL_PACKETS)
        file.seek(first * size)
        tail = file.read((whole - first) * size)
    for start in range(len(tail) - size + offset, -1, -size):
        packet = tail[start : start + TS_PACKET]
        if int.from_bytes(packet[1:3], "big") & 0x1FFF == pid and packet[3] & 0x10:
            return not _is_stuffed(packet)
    return False


def _is_stuffed(packet: bytes) -> bool:
    """Return whether the adaptation field of a packet (ISO/IEC 13818-1, 2.4.3.4) is longer than what it holds."""
    if not packet[3] & 0x20:
        return False
    length = packet[4]
    if length == 0:
        return True
    flags, used = packet[5], 1
    used += 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
    has_more = bool(flags & 0b11)  # private data or an extension: rare, and seldom without stuffing
    return has_more or length > used


def _is_mp4_cut(path: Path) -> bool:
    boxes = list(top_level_boxes(path))
    if not boxes:
        return False
    last, length = boxes[-1], path.stat().st_size
    end = last.start + last.size
    # A fragment is a moof and its mdat; a rest shorter than a box header is a header that was cut.
    return (last.size != 0 and end > length) or last.kind == "moof" or 0 < length - end < BOX_HEAD


def _is_matroska_cut(file: BinaryIO, length: int) -> bool:
    """Walk the elements of the segment, and of those clusters whose size the recorder did not know."""
    start = 0
    while start < length:
        file.seek(start)
        head = _element_head(file.read(12))
        if head is None:
            return True
        name, size, head_size = head
        if name not in MATROSKA_TOP and name not in CLUSTER_PARTS:
            return False
        if size is not None and start + head_size + size > length:
            return True
        is_entered = name == SEGMENT or size is None
        start += head_size + (0 if is_entered or size is None else size)
    return False


def _element_head(data: bytes) -> tuple[int, int | None, int] | None:
    """Return name, size (None: unknown) and head length of a Matroska element; None where the bytes do not suffice.

    What is no element, such as padding, has the name 0.
    """
    name_size = 1 + LONGEST_NUMBER - data[0].bit_length()
    if name_size > LONGEST_NAME:
        return 0, None, 1
    if name_size >= len(data):
        return None
    size_size = 1 + LONGEST_NUMBER - data[name_size].bit_length()
    if size_size > LONGEST_NUMBER:
        return 0, None, 1
    if name_size + size_size > len(data):
        return None
    name = int.from_bytes(data[:name_size], "big")
    size = int.from_bytes(data[name_size : name_size + size_size], "big") - (1 << 7 * size_size)
    return name, None if size == (1 << 7 * size_size) - 1 else size, name_size + size_size


def _is_avi_cut(file: BinaryIO, length: int) -> bool:
    start = 0
    while start + 8 <= length:
        file.seek(start)
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or size == 0:
            return False
        start += 8 + size
    return start > length + 1  # the padding byte of an odd chunk may be missing


def _is_flv_cut(file: BinaryIO, length: int) -> bool:
    """Return whether the last four bytes are not what they must be: the size of the tag before them."""
    file.seek(max(0, length - FLV_SIZE))
    size = int.from_bytes(file.read(FLV_SIZE), "big")
    if not FLV_TAG_HEAD <= size <= length - FLV_SIZE:
        return True
    file.seek(length - FLV_SIZE - size)
    return int.from_bytes(file.read(FLV_TAG_HEAD)[1:4], "big") != size - FLV_TAG_HEAD


def _is_transport_stream_cut(file: BinaryIO, length: int) -> bool:
    """Return whether the last packet is shorter than the others."""
    layout = _transport_packets(file)
    return layout is not None and length % layout[0] != 0


def _transport_packets(file: BinaryIO) -> tuple[int, int] | None:
    """Return the size of the packets, and where in one the sync byte stands; None where the file starts otherwise."""
    file.seek(0)
    head = file.read(TS_PACKET_SIZES[-1] * 4)
    for size in TS_PACKET_SIZES:
        offset = size - TS_PACKET if size == TS_PACKET_OF_CAMCORDERS else 0
        if all(data == TS_SYNC for data in head[offset::size][:3]):
            return size, offset
    return None
