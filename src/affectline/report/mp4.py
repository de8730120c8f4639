"""Writes an MP4 that browsers play: H.264, with the sound of another file taken over as it is where that can be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

PLAYER_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "opus"})
"""What MP4 holds and players expect in it; other sound is encoded anew, as AAC."""
BROWSER_AUDIO = frozenset({"aac", "mp3"})
"""What every browser plays in it."""

AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC_FORMAT = "fltp"
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


@dataclass(frozen=True, slots=True)
class Codecs:
    """How pictures and sound are encoded.

    Attributes:
        x264: options of the encoder of pictures.
        copied_audio: codecs of sound that is taken over as it is.
    """

    x264: Mapping[str, str] = field(default_factory=lambda: X264_OPTIONS)
    copied_audio: frozenset[str] = PLAYER_AUDIO


USUAL_CODECS = Codecs()


class SoundError(Exception):
    """The sound cannot be written; without it the pictures can."""


class Mp4Writer:
    """Encodes frames and takes over sound. Close it, or use it in a `with` block.

    Args:
        path: what is written.
        size_wh: width and height of the frames, even.
        tick: the time base of the source's video, in seconds.
        rate: frames per second on average, which sets the H.264 level.
        audio: the source's sound; None for none.
        codecs: what they are encoded as.

    Raises:
        OutputError: this PyAV has no H.264 encoder.
        SoundError: the sound cannot be written, here or in any method.
        OSError, av.error.FFmpegError: the file cannot be written, here or in any method.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        tick: Fraction,
        rate: Fraction,
        audio: AudioStream | None,
        codecs: Codecs,
    ) -> None:
        _require_encoder()
        self._tick = Fraction(1, tick.denominator) if tick >= FINEST_TICK else USUAL_TICK
        # Start times are stored in units of the movie's clock, by default milliseconds, which are too coarse.
        options = {"movflags": "+faststart", "movie_timescale": str(_fine_timescale(self._tick))}
        self._output = av.open(str(path.absolute()), "w", format="mp4", options=options)
        self._video = self._output.add_stream("libx264", rate=rate, options=dict(codecs.x264))
        self._video.width, self._video.height = size_wh
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = self._tick
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        self._is_copied = audio is not None and _can_copy(audio, codecs.copied_audio)
        self._resampler: av.AudioResampler | None = None
        self._resampled_from: tuple[str, str, int] | None = None
        self._sound_pts: int | None = None
        self._audio = None
        if audio is not None:
            with _sound_reported():
                self._audio = self._add_audio(audio)
                self._output.start_encoding()  # which asks of the sound what MP4 must know of it
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

    def write_audio(self, packet: Packet[Stream]) -> None:
        """Take over a packet of the source's sound, whose times count from 0.

        One that does not lie behind the last is left out: where recordings were joined, the sound may overlap.
        """
        if self._audio is None or packet.time_base is None:
            return
        with _sound_reported():
            if not self._is_copied:
                self._encode_audio(packet)
            elif packet.pts is not None and packet.dts is not None and self._is_next(packet.dts):
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
            with _sound_reported():
                for frame in self._rest():
                    self._output.mux(self._audio.encode(frame))
                self._output.mux(self._audio.encode(None))

    def _add_audio(self, audio: AudioStream) -> AudioStream:
        if self._is_copied:
            return self._output.add_stream_from_template(audio)
        layout = "mono" if audio.layout.nb_channels == 1 else "stereo"
        rate = next((rate for rate in AAC_RATES if rate >= audio.rate), AAC_RATES[-1])
        return self._output.add_stream("aac", rate=rate, layout=layout)

    def _is_next(self, ticks: int) -> bool:
        is_next = self._sound_pts is None or ticks > self._sound_pts
        if is_next:
            self._sound_pts = ticks
        return is_next

    def _encode_audio(self, packet: Packet[Stream]) -> None:
        if self._audio is None:
            return
        for frame in _decoded(packet):
            if frame.pts is None or self._is_next(frame.pts):
                for piece in self._resampled(frame, self._audio):
                    self._output.mux(self._audio.encode(piece))

    def _resampled(self, frame: av.AudioFrame, audio: AudioStream) -> Iterator[av.AudioFrame]:
        """Return sound as the encoder takes it, whatever it is from here on: broadcasts go from mono to stereo."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._resampler is None or kind != self._resampled_from:
            yield from self._rest()
            self._resampler = av.AudioResampler(AAC_FORMAT, audio.layout, audio.rate)
            self._resampled_from = kind
        yield from self._resampler.resample(frame)

    def _rest(self) -> list[av.AudioFrame]:
        return [] if self._resampler is None else self._resampler.resample(None)

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


def audio_name(audio: AudioStream) -> str:
    """Return what FFmpeg calls the codec of a sound track; `unknown` where it does not know it."""
    return "unknown" if audio.codec_context is None else audio.codec_context.name.removesuffix("float")


def _can_copy(audio: AudioStream, copied: frozenset[str]) -> bool:
    name = audio_name(audio)
    return name in copied and (name != "mp3" or audio.rate >= LOWEST_MP3_RATE)


@contextlib.contextmanager
def _sound_reported() -> Iterator[None]:
    try:
        yield
    except (ValueError, av.error.FFmpegError) as error:
        raise SoundError(str(error)) from error


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
