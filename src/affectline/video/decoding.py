"""Decoding one stream: every picture that can be had, damage counted, times made whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from affectline.records import TIME_DECIMALS

MICROSECOND = Fraction(1, av.time_base)
"""FFmpeg's own unit of time, in seconds: a container's start and duration are rounded to it."""

READ_FAILURES_IN_A_ROW = 50
"""After so many the rest of a damaged file is given up."""

LARGEST_SINGLE_THREADED = 1920 * 1088
"""With frame threads FFmpeg's H.264 decoder marks only some of the damaged pictures, since it hands them out before
another thread has finished them; without, all. Up to this size one thread keeps up with the networks anyway."""

SELF_DELIMITING = ("mpegts", "mpeg", "h264", "hevc")
"""Formats that do not say where a picture ends: only the decoder sees that the last one was cut."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What decoding has met with so far; see `Pictures`."""

    concealed: int = 0
    lost: int = 0
    discarded: int = 0
    has_read_error: bool = False

    @property
    def damaged(self) -> int:
        """Pictures that came out damaged or not at all."""
        return self.concealed + self.lost

    def plus(self, other: Tally) -> Tally:
        """Return what both have met with together."""
        return Tally(
            self.concealed + other.concealed,
            self.lost + other.lost,
            self.discarded + other.discarded,
            self.has_read_error or other.has_read_error,
        )

    def since(self, earlier: Tally) -> Tally:
        """Return what came after an earlier tally of the same pass."""
        return Tally(
            self.concealed - earlier.concealed,
            self.lost - earlier.lost,
            self.discarded - earlier.discarded,
            self.has_read_error,
        )


class Pictures:
    """The decoded pictures of a stream in order of presentation. Iterate once.

    Attributes:
        concealed: pictures that came out damaged.
        lost: packets that gave no picture because they are damaged.
        discarded: packets that an edit list cuts away.
        has_read_error: reading failed before the end of the file.
        joins: how often the time stamps of packets went back: another recording was joined on.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        skipped_packets: int = 0,
        *,
        is_last_cut: bool = False,
        sought_pts: int | None = None,
    ) -> None:
        """Prepare for decoding.

        Args:
            container: where the stream is from.
            stream: what to decode.
            skipped_packets: so many packets of the stream are passed over.
            is_last_cut: its last packet is not whole.
            sought_pts: the container was sent to a key frame with this time stamp; what comes before is passed over.
        """
        self.concealed = 0
        self.lost = 0
        self.discarded = 0
        self.has_read_error = False
        self.joins = 0
        self._last_dts: int | None = None
        self._container = container
        self._stream = stream
        self._skipped_packets = skipped_packets
        self._sought_pts = sought_pts
        self._is_last_cut = is_last_cut
        self._is_cut_into_packets = container.format.name not in SELF_DELIMITING
        self._suspect_pts: set[int | None] = set()
        self._has_picture = False
        context = stream.codec_context
        is_large = context.width * context.height > LARGEST_SINGLE_THREADED
        stream.thread_type = "AUTO" if is_large and self._is_cut_into_packets else "SLICE"

    @property
    def tally(self) -> Tally:
        """What it has met with so far."""
        return Tally(self.concealed, self.lost, self.discarded, self.has_read_error)

    def __iter__(self) -> Iterator[tuple[VideoFrame, bool]]:
        """Return each picture with whether it is damaged."""
        for packet in self._packets():
            yield from self._marked(self._decode(packet))
        yield from self._flushed()

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Return the packets of the stream that can be decoded, all streams being read: a cut shows in any of them."""
        number = 0
        held: Packet[Stream] | None = None  # so that the last one is known as such
        for packet in self._readable_packets():
            # Empty packets are PyAV's sign to flush a decoder, or a recorder's for a frame that it dropped.
            if packet.stream_index != self._stream.index or packet.size == 0:
                continue
            number += 1
            self.joins += goes_back(packet, self._last_dts)
            self._last_dts = packet.dts
            self.discarded += packet.is_discard
            if number <= self._skipped_packets or not self._has_arrived(packet):
                continue
            if packet.is_corrupt and self._is_cut_into_packets:
                self.lost += 1  # the file ends inside it
                continue
            if packet.is_corrupt:
                self._suspect_pts.add(packet.pts)
            if held is not None:
                yield held
            held = packet
        if held is not None:
            if self._is_last_cut:
                self._suspect_pts.add(held.pts)
            yield held

    def _has_arrived(self, packet: Packet[Stream]) -> bool:
        if self._sought_pts is not None and packet.is_keyframe and packet.pts == self._sought_pts:
            self._sought_pts = None
        return self._sought_pts is None

    def _readable_packets(self) -> Iterator[Packet[Stream]]:
        failures = 0
        packets = self._container.demux()
        while failures < READ_FAILURES_IN_A_ROW:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                self.has_read_error = True
                failures += 1
                packets = self._container.demux()  # goes on where the other stopped
                continue
            if packet is None:
                return
            failures = 0
            yield packet

    def _flushed(self) -> Iterator[tuple[VideoFrame, bool]]:
        """Return the pictures that the decoder still holds; each failure costs one of them, not the rest."""
        for _ in range(READ_FAILURES_IN_A_ROW):
            lost = self.lost
            yield from self._marked(self._decode(None))
            if self.lost == lost:
                return

    def _decode(self, packet: Packet[Stream] | None) -> list[VideoFrame]:
        """Return the pictures that a packet completes; None flushes the decoder."""
        try:
            return self._stream.decode(packet)
        except EOFError:
            return []
        except av.error.FFmpegError:
            # A recording may start between two key frames: what comes before the first picture is no damage.
            self.lost += self._has_picture
            return []

    def _marked(self, pictures: list[VideoFrame]) -> Iterator[tuple[VideoFrame, bool]]:
        for picture in pictures:
            self._has_picture = True
            is_damaged = picture.is_corrupt or (picture.pts is not None and picture.pts in self._suspect_pts)
            self.concealed += is_damaged
            yield picture, is_damaged


def player_start_s(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return the time on the container's clock that a player counts from, in seconds.

    FFmpeg rounds it to a microsecond; it is given as exactly as the stream says that sets it.

    Args:
        container: where the stream is from.
        stream: the one to ask first; others are asked if it begins at another time.
    """
    rounded = (container.start_time or 0) * MICROSECOND
    starts = (
        other.start_time * other.time_base
        for other in (stream, *container.streams)
        if other.start_time is not None and other.time_base is not None
    )
    return next((start for start in starts if abs(start - rounded) <= MICROSECOND), rounded)


def goes_back(packet: Packet[Any], last_dts: int | None) -> bool:
    """Return whether recordings were joined before this packet: its time stamp does not go on from those before."""
    return last_dts is not None and packet.dts is not None and packet.dts < last_dts


def picture_interval_s(stream: VideoStream) -> Fraction:
    """Return how long a picture usually lasts, in seconds."""
    rate = stream.guessed_rate or stream.average_rate
    return 1 / Fraction(rate) if rate else Fraction(1, 25)


JUMP_BACK_S: Final = Fraction(1, 2)
"""Pictures of one recording are never out of order by so much."""


class Clock:
    """Seconds from the start that a player counts from, strictly growing.

    A picture without a time stamp, or with one that does not lie after the last, gets a time after the last one. Where
    time stamps jump back with those of the packets, another recording was joined on: its times go on from there.
    Without them it is a picture that a decoder gives too late behind damage.

    Args:
        container: where the stream is from.
        stream: the one with the pictures.
        pictures: those whose times are asked for; only needed for `time_s`.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, pictures: Pictures | None = None) -> None:
        self._tick_s = stream.time_base or MICROSECOND
        self._start_s = player_start_s(container, stream)
        self._interval_s = picture_interval_s(stream)
        self._last_s: Fraction | None = None
        self._joined_at_s = Fraction(0)
        self._pictures = pictures
        self._joins = 0

    def time_of(self, pts: int) -> float:
        """Return the time that a time stamp stands for, in seconds, rounded to a microsecond."""
        return round(float(pts * self._tick_s - self._start_s), TIME_DECIMALS)

    def ticks(self, time_s: float) -> int:
        """Return the last time stamp of the stream that lies before a time in seconds."""
        return int((Fraction(time_s) + self._start_s) // self._tick_s) - 1

    def time_s(self, picture: VideoFrame) -> float:
        """Return the time of the next picture, in seconds, rounded to a microsecond."""
        if picture.pts is not None:
            time_s = picture.pts * self._tick_s - self._start_s + self._joined_at_s
        else:
            time_s = Fraction(0) if self._last_s is None else self._last_s + self._interval_s
        if self._last_s is not None:
            if time_s < self._last_s - JUMP_BACK_S and self._has_joined():
                self._joined_at_s += self._last_s + self._interval_s - time_s
                time_s = self._last_s + self._interval_s
            time_s = max(time_s, self._last_s + MICROSECOND)
        self._last_s = time_s
        return round(float(time_s), TIME_DECIMALS)

    def _has_joined(self) -> bool:
        """Return whether packets went back since the last time that pictures did."""
        joins = 0 if self._pictures is None else self._pictures.joins
        has_joined = joins > self._joins
        self._joins = joins
        return has_joined
