"""Writes an MP4 that browsers play: H.264, with the sound of another file taken over as it is where that can be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av

from affectline.errors import OutputError
from affectline.records import UInt8Array

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

COPIED_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "opus"})
"""What MP4 holds and players expect in it; other sound is encoded anew, as AAC."""

HIGHEST_AAC_RATE = 48_000
LOWEST_MP3_RATE = 16_000
"""Hertz. MP4 knows MP3 (MPEG-1 and MPEG-2 layer III) only from here up."""

FINE_TIMESCALE = 10_000
"""FFmpeg's smallest for video (libavformat/movenc.c)."""

FINEST_TICK = Fraction(1, 1_000_000)
USUAL_TICK = Fraction(1, 90_000)

# Without B frames pictures are stored in the order in which they are shown, so that the simplest readers count time
# from 0 too. Key frames every 60 pictures make jumping about quick.
X264_OPTIONS: Mapping[str, str] = {"preset": "veryfast", "crf": "23", "bf": "0", "g": "60"}
BT709 = 1
"""The number of ITU-R BT.709 in H.264: what players assume, and so what they are given and told."""
LIMITED_RANGE = 1


class Mp4Writer:
    """Encodes frames and takes over sound. Close it, or use it in a `with` block.

    Args:
        path: what is written.
        size_wh: width and height of the frames, even.
        tick: the time base of the source's video, in seconds.
        rate: frames per second on average, which sets the H.264 level.
        audio: the source's sound; None for none.
        x264: options of the encoder.

    Raises:
        OutputError: this PyAV has no H.264 encoder.
        OSError, av.error.FFmpegError: the file cannot be written, here or in any method.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        tick: Fraction,
        rate: Fraction,
        audio: AudioStream | None,
        x264: Mapping[str, str] = X264_OPTIONS,
    ) -> None:
        _require_encoder()
        self._tick = Fraction(1, tick.denominator) if tick >= FINEST_TICK else USUAL_TICK
        # Start times are stored in units of the movie's clock, by default milliseconds, which are too coarse.
        options = {"movflags": "+faststart", "movie_timescale": str(_fine_timescale(self._tick))}
        self._output = av.open(str(path.absolute()), "w", format="mp4", options=options)
        self._video = self._output.add_stream("libx264", rate=rate, options=dict(x264))
        self._video.width, self._video.height = size_wh
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = self._tick
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        self._is_copied = audio is not None and _can_copy(audio)
        self._audio = None if audio is None else self._add_audio(audio)
        self._last_pts = -1
        self._waiting: Packet[VideoStream] | None = None

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the file is thrown away, and what closing it says would hide the cause.
        with contextlib.suppress(OSError, av.error.FFmpegError) if error else contextlib.nullcontext():
            self._output.close()

    def write_frame(self, rgb: UInt8Array, time_s: float) -> None:
        """Encode a frame; times must grow.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            time_s: when it is shown, in seconds from 0.
        """
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
        self._last_pts = max(round(time_s / self._tick), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, self._tick
        self._mux_video(self._video.encode(picture))

    def write_audio(self, packet: Packet[Stream], start_s: Fraction) -> None:
        """Take over a packet of the source's sound.

        Args:
            packet: as it was read.
            start_s: what time 0 is on the source's clock, in seconds.
        """
        if self._audio is None or packet.time_base is None:
            return
        offset = round(start_s / packet.time_base)
        if not self._is_copied:
            self._encode_audio(packet, offset)
        elif packet.pts is not None and packet.dts is not None:
            packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
            packet.stream = self._audio
            self._output.mux(packet)

    def finish(self, end_s: float) -> None:
        """Write what the encoders still hold.

        Args:
            end_s: until when the last frame is shown, in seconds.
        """
        self._mux_video(self._video.encode(None))
        if self._waiting is not None:
            self._waiting.duration = max(1, round(end_s / self._tick) - self._last_pts)
            self._output.mux(self._waiting)
        if self._audio is not None and not self._is_copied:
            self._output.mux(self._audio.encode(None))

    def _add_audio(self, audio: AudioStream) -> AudioStream:
        if self._is_copied:
            return self._output.add_stream_from_template(audio)
        layout = "mono" if audio.layout.nb_channels == 1 else "stereo"
        return self._output.add_stream("aac", rate=min(audio.rate, HIGHEST_AAC_RATE), layout=layout)

    def _encode_audio(self, packet: Packet[Stream], offset: int) -> None:
        if self._audio is None:
            return
        for frame in _decoded(packet):
            if frame.pts is not None:
                frame.pts -= offset
            self._output.mux(self._audio.encode(frame))

    def _mux_video(self, packets: Sequence[Packet[VideoStream]]) -> None:
        """Mux all packets but the last, whose duration is known only when the next one comes."""
        for packet in packets:
            if self._waiting is not None:
                self._waiting.duration = (packet.pts or 0) - (self._waiting.pts or 0)
                self._output.mux(self._waiting)
            self._waiting = packet


def _require_encoder() -> None:
    try:
        av.codec.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError as error:
        raise OutputError(
            "this build of PyAV has no H.264 encoder (libx264), which annotated videos and previews need; install the "
            "wheel from PyPI (pip install --force-reinstall --only-binary=:all: av) or leave the video out (--no-video)"
        ) from error


def _can_copy(audio: AudioStream) -> bool:
    name = audio.codec_context.name.removesuffix("float")
    return name in COPIED_AUDIO and (name != "mp3" or audio.rate >= LOWEST_MP3_RATE)


def _fine_timescale(tick: Fraction) -> int:
    """Return the time scale that FFmpeg gives an MP4 video track: the tick's, doubled until it is fine enough."""
    scale = tick.denominator
    while scale < FINE_TIMESCALE:
        scale *= 2
    return scale


def _decoded(packet: Packet[Stream]) -> Iterator[av.AudioFrame]:
    """Return the sound in a packet; a damaged packet has none."""
    with contextlib.suppress(av.error.InvalidDataError, EOFError):
        yield from (frame for frame in packet.decode() if isinstance(frame, av.AudioFrame))
