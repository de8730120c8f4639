"""The sound packets of a video, handed out in step with its pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av

from affectline.video.decoding import JUMP_BACK_S, MICROSECOND, goes_back, picture_interval_s, player_start_s

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

MOST_HELD: Final = 2000
"""Packets of sound that wait for the pictures of their recording: some ten seconds."""


def sound_track(container: InputContainer) -> AudioStream | None:
    """Return the sound track that players choose, among those whose codec FFmpeg knows and that hold any sound.

    Phones add tracks with codecs of their own, such as Apple's spatial sound; PyAV has no codec context for them.
    Recorders of television announce tracks that never come.
    """
    known = [track for track in container.streams.audio if track.codec_context is not None and _is_there(track)]
    best = container.streams.best("audio")
    return next((track for track in known if best is not None and track.index == best.index), next(iter(known), None))


def _is_there(track: AudioStream) -> bool:
    return track.rate > 0 and track.layout.nb_channels > 0


class Sound:
    """Reads a container's packets without decoding them. Times count from where a player does.

    Where time stamps jump back, another recording was joined on: as in `video.decoding.Clock`, its times go on behind
    the last picture, those of its sound with them.

    Attributes:
        stream: the sound track that players choose; None if there is none, or none with a codec that FFmpeg knows.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self.stream = sound_track(container)
        self._starts_s = [player_start_s(container, video)]
        """What is taken from the time stamps of each recording."""
        self._pictures_end_s = 0.0
        self._video = video
        self._picture_s = self._sound_s = Fraction(-1)
        self._picture_dts: int | None = None
        self._recording = 0
        self._packets = container.demux([video] if self.stream is None else [video, self.stream])
        self._held: deque[tuple[int, Packet[Stream]]] = deque(maxlen=MOST_HELD)
        self._waiting: Packet[Stream] | None = None

    def until(self, time_s: float | None) -> Iterator[Packet[Stream]]:
        """Return the sound packets up to a time in seconds from the start, those given before left out.

        Args:
            time_s: None for all that are left.
        """
        while (packet := self._waiting or self._next_sound()) is not None:
            self._waiting = packet
            if time_s is not None and (packet.dts or 0) * _tick_s(packet) > time_s:
                return
            self._waiting = None
            yield packet

    def video_end_s(self, last_s: float, interval_s: float) -> float:
        """Return when the last picture ends, in seconds from the start, once all packets are read.

        Args:
            last_s: when it begins.
            interval_s: how long pictures last where the container does not say.
        """
        end_s = self._pictures_end_s
        if self._video.duration is not None and self._video.time_base is not None:
            cut = (self._video.start_time or 0) + self._video.duration
            cut_s = float(cut * self._video.time_base - self._starts_s[0])
            # An edit list may end inside the last picture, and may be rounded to milliseconds, which is no such end.
            if last_s < cut_s < end_s - interval_s / 2:
                end_s = cut_s
        return end_s if end_s > last_s else last_s + interval_s

    def _next_sound(self) -> Packet[Stream] | None:
        """Return the next sound packet; None at the end or where it breaks."""
        while not self._held or self._held[0][0] >= len(self._starts_s):
            packet = self._next_packet()
            if packet is None:
                return None
            if packet.stream_index == self._video.index:
                self._note_picture(packet)
            else:
                self._note_sound(packet)
        recording, packet = self._held.popleft()
        shift = round(self._starts_s[recording] / _tick_s(packet))
        packet.pts, packet.dts = (None if ticks is None else ticks - shift for ticks in (packet.pts, packet.dts))
        return packet

    def _next_packet(self) -> Packet[Stream] | None:
        try:
            return next((packet for packet in self._packets if packet.dts is not None), None)
        except av.error.FFmpegError:
            return None

    def _note_picture(self, packet: Packet[Stream]) -> None:
        """Note when the pictures end, and where another recording begins."""
        if packet.pts is None or packet.is_discard:
            return
        time_s = packet.pts * _tick_s(packet) - self._starts_s[-1]
        has_gone_back, self._picture_dts = goes_back(packet, self._picture_dts), packet.dts
        if has_gone_back and time_s < self._picture_s - JUMP_BACK_S:
            behind_s = self._picture_s + picture_interval_s(self._video)
            self._starts_s.append(self._starts_s[-1] + time_s - behind_s)
            time_s = behind_s
        self._picture_s = max(self._picture_s, time_s)
        if packet.duration:
            self._pictures_end_s = max(self._pictures_end_s, float(time_s + packet.duration * _tick_s(packet)))

    def _note_sound(self, packet: Packet[Stream]) -> None:
        """Hold a packet until the pictures of its recording are there."""
        time_s = (packet.dts or 0) * _tick_s(packet)
        if time_s < self._sound_s - JUMP_BACK_S:
            self._recording += 1
        self._sound_s = time_s
        self._held.append((self._recording, packet))


def _tick_s(packet: Packet[Stream]) -> Fraction:
    return packet.time_base or MICROSECOND
