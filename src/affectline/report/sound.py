"""The sound packets of a video, handed out in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import av

from affectline.video.decoding import MICROSECOND, player_start_s

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream


def sound_track(container: InputContainer) -> AudioStream | None:
    """Return the sound track that players choose, among those whose codec FFmpeg knows.

    Phones add tracks with codecs of their own, such as Apple's spatial sound; PyAV has no codec context for them.
    """
    known = [track for track in container.streams.audio if track.codec_context is not None]
    best = container.streams.best("audio")
    return next((track for track in known if best is not None and track.index == best.index), next(iter(known), None))


class Sound:
    """Reads a container's packets without decoding them.

    Attributes:
        stream: the sound track that players choose; None if there is none, or none with a codec that FFmpeg knows.
        start_s: the time on the container's clock that a player counts from.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self.stream = sound_track(container)
        self.start_s = player_start_s(container, video)
        self._pictures_end_s = 0.0
        self._video = video
        self._packets = container.demux([video] if self.stream is None else [video, self.stream])
        self._waiting: Packet[Stream] | None = None

    def until(self, time_s: float | None) -> Iterator[Packet[Stream]]:
        """Return the sound packets up to a time in seconds from the start, those given before left out.

        Args:
            time_s: None for all that are left.
        """
        while (packet := self._waiting or self._next_sound()) is not None:
            self._waiting = packet
            if time_s is not None and self._seconds(packet.dts or 0, packet) > time_s:
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
            cut_s = float(cut * self._video.time_base - self.start_s)
            # An edit list may end inside the last picture, and may be rounded to milliseconds, which is no such end.
            if last_s < cut_s < end_s - interval_s / 2:
                end_s = cut_s
        return end_s if end_s > last_s else last_s + interval_s

    def _next_sound(self) -> Packet[Stream] | None:
        """Return the next sound packet, noting on the way when the pictures end; None at the end or where it breaks."""
        try:
            for packet in self._packets:
                if packet.dts is None:
                    continue
                if packet.stream_index != self._video.index:
                    return packet
                if packet.pts is not None and packet.duration and not packet.is_discard:
                    self._pictures_end_s = max(
                        self._pictures_end_s, self._seconds(packet.pts + packet.duration, packet)
                    )
        except av.error.FFmpegError:
            return None
        return None

    def _seconds(self, ticks: int, packet: Packet[Stream]) -> float:
        return float(ticks * (packet.time_base or MICROSECOND) - self.start_s)
