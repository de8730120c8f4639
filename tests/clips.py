"""Tiny clips for tests: every frame carries its number, so that a test can say which frame came out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from affectline.records import UInt8Array

GRID = 4
"""A frame is GRID x GRID grey cells: the first is white, the last black, between them the bits of the number."""

SIZE = (64, 48)
RATE = Fraction(30)
MOST_FRAMES_PER_SECOND = Fraction(200)
AUDIO_RATE = 16_000
AAC_FRAME = 1024
B_FRAMES = {"g": "8", "bf": "3", "b_strategy": "0"}
OPEN_GOP = {**B_FRAMES, "x264-params": "open-gop=1:scenecut=0"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
DISPLAY_MATRICES = {
    # What a player does to the stored picture: a, b, c, d of x' = a x + c y, y' = b x + d y (y points down).
    "as is": (1, 0, 0, 1),
    "turned right": (0, 1, -1, 0),
    "turned round": (-1, 0, 0, -1),
    "turned left": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "mirrored upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "mirrored and turned": (0, -1, -1, 0),
}


@dataclass(frozen=True)
class Clip:
    """A generated file and what reading it has to give.

    Attributes:
        path: the file.
        times_s: the time of each frame, as a player counts.
        numbers: the number shown in each frame.
        size_wh: width and height of the upright frame with square pixels.
    """

    path: Path
    times_s: tuple[float, ...]
    numbers: tuple[int, ...]
    size_wh: tuple[int, int] = SIZE


@dataclass(frozen=True)
class Coding:
    """How a clip is encoded and packed; the defaults suit most tests. Noise makes pictures of a realistic size."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    codec_options: Mapping[str, str] = field(default_factory=lambda: {"g": "8", "bf": "0"})
    container: str | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    pixel_aspect: Fraction | None = None
    audio_s: float = 0.0
    has_noise: bool = False


def picture(number: int, size_wh: tuple[int, int] = SIZE) -> UInt8Array:
    """Return the RGB picture of shape (height, width, 3) that shows a number below 2**14."""
    bits = [1] + [number >> k & 1 for k in range(GRID * GRID - 2)] + [0]
    cells = np.array(bits, np.uint8).reshape(GRID, GRID) * 200 + 25
    width, height = size_wh
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    return np.repeat(cells[np.ix_(rows, columns)][:, :, np.newaxis], 3, axis=2)


def number_in(rgb: UInt8Array) -> int:
    """Return the number that a picture shows, -1 where the picture is not upright or not one of ours."""
    height, width = rgb.shape[:2]
    rows = (2 * np.arange(GRID) + 1) * height // (2 * GRID)
    columns = (2 * np.arange(GRID) + 1) * width // (2 * GRID)
    bits = (rgb[np.ix_(rows, columns)].mean(axis=2) > 125).ravel()
    if not bits[0] or bits[-1]:
        return -1
    return sum(1 << k for k, bit in enumerate(bits[1:-1]) if bit)


def cfr(
    path: Path,
    frames: int = 24,
    rate: Fraction = RATE,
    size: tuple[int, int] = SIZE,
    coding: Coding | None = None,
) -> Clip:
    """Write a clip of constant frame rate; the suffix of the path chooses the container."""
    return write(path, [k / Fraction(rate) for k in range(frames)], coding, tick=1 / Fraction(rate), size=size)


def vfr(path: Path, times_s: Sequence[float], coding: Coding | None = None) -> Clip:
    """Write a clip with frames at the given times, in whole milliseconds."""
    times = [Fraction(round(time_s * 1000), 1000) for time_s in times_s]
    return write(path, times, coding, tick=Fraction(1, 1000))


def late_start(path: Path, delay_s: Fraction = Fraction(1, 2), frames: int = 24) -> Clip:
    """Write a clip whose picture starts after its sound."""
    times = [delay_s + k / RATE for k in range(frames)]
    clip = write(path, times, Coding(audio_s=2.0), tick=1 / RATE)
    # The AAC encoder starts a frame early; MP4 hides that by an edit list, a transport stream does not.
    early_s = AAC_FRAME / AUDIO_RATE if path.suffix == ".ts" else 0.0
    return replace(clip, times_s=tuple(time_s + early_s for time_s in clip.times_s))


def rotated(path: Path, display: str, frames: int = 3) -> Clip:
    """Write an MP4 that a player turns as `DISPLAY_MATRICES` says, stored so that its pictures come out upright."""
    a, b, c, d = DISPLAY_MATRICES[display]
    clip = write(path, [k / RATE for k in range(frames)], tick=1 / RATE, stored=lambda rgb: _as_stored(rgb, display))
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44  # version, times, track, duration, layer, group, volume: ISO/IEC 14496-12, 8.3.2
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return clip


def _as_stored(rgb: UInt8Array, display: str) -> UInt8Array:
    """Undo, by a table of corners, what a player does."""
    undo = {
        "as is": lambda p: p,
        "turned right": lambda p: np.rot90(p, 1),
        "turned round": lambda p: np.rot90(p, 2),
        "turned left": lambda p: np.rot90(p, -1),
        "mirrored": np.fliplr,
        "mirrored upside down": np.flipud,
        "transposed": lambda p: p.transpose(1, 0, 2),
        "mirrored and turned": lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    }
    return np.ascontiguousarray(undo[display](rgb))


def trimmed(path: Path, first: int, last: int, frames: int = 24) -> Clip:
    """Write an MP4 with B-frames whose edit list shows only the frames from first up to last, without last."""
    write(path, [k / RATE for k in range(frames)], Coding(codec_options=B_FRAMES), tick=1 / RATE)
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # version and flags, count; then duration (movie time) and start (media time)
    duration, start = struct.unpack_from(">Ii", data, entry)
    ticks_per_frame = round(_media_duration(bytes(data)) / frames)
    struct.pack_into(">Ii", data, entry, duration * (last - first) // frames, start + first * ticks_per_frame)
    path.write_bytes(data)
    return Clip(path, tuple(k / 30 for k in range(last - first)), tuple(range(first, last)))


def _media_duration(data: bytes) -> int:
    (duration,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 20)
    return int(duration)


def truncated(clip: Clip, fraction: float, name: str | None = None) -> Clip:
    """Return a copy of a clip that ends early; its times and numbers are those of the whole."""
    path = clip.path.with_name(name or f"cut-{fraction:.3f}-{clip.path.name}")
    data = clip.path.read_bytes()
    # An odd length never falls between two packets of a transport stream, where nothing would show.
    path.write_bytes(data[: int(len(data) * fraction) | 1])
    return replace(clip, path=path)


def without_index(clip: Clip) -> Clip:
    """Return a copy of an MP4 that ends where its index (moov) would start, as after a power cut."""
    path = clip.path.with_name(f"no-index-{clip.path.name}")
    data = clip.path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    return replace(clip, path=path)


def audio_only(path: Path) -> Path:
    """Write a file with sound and no picture."""
    with av.open(str(path), "w") as output:
        _write_silence(output, 0.5)
    return path


def with_cover_art(path: Path) -> Path:
    """Write a sound file with a cover picture, as music shops sell it."""
    with av.open(str(path), "w", format="mp4") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = *SIZE, "yuvj420p"
        cover.disposition = Disposition.attached_pic.value
        _write_silence(output, 0.5)
        frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24").reformat(format="yuvj420p")
        frame.pts = 0
        output.mux(cover.encode(frame))
        output.mux(cover.encode(None))
    return path


def write(
    path: Path,
    times_s: Sequence[Fraction],
    coding: Coding | None = None,
    *,
    tick: Fraction,
    size: tuple[int, int] = SIZE,
    stored: Callable[[UInt8Array], UInt8Array] = np.ascontiguousarray,
) -> Clip:
    """Encode frames 0, 1, ... at the given times (multiples of tick) and return the clip.

    Args:
        path: the file; its suffix chooses the container unless the coding does.
        times_s: the time of each frame.
        coding: how to encode.
        tick: the time base.
        size: width and height of the upright pictures.
        stored: what becomes of an upright picture before it is encoded.
    """
    coding = coding or Coding()
    pictures = [stored(picture(number, size)) for number in range(len(times_s))]
    if coding.has_noise:
        random = np.random.default_rng(0)
        pictures = [rgb + random.integers(0, 30, rgb.shape, np.uint8) for rgb in pictures]
    with av.open(str(path), "w", format=coding.container, options=dict(coding.container_options)) as output:
        video = output.add_stream(
            coding.codec, rate=min(1 / tick, MOST_FRAMES_PER_SECOND), options=dict(coding.codec_options)
        )
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = coding.pix_fmt
        video.time_base = video.codec_context.time_base = tick
        if coding.pixel_aspect:
            video.codec_context.sample_aspect_ratio = coding.pixel_aspect
        if coding.audio_s:
            _write_silence(output, coding.audio_s)
        for rgb, time_s in zip(pictures, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = int(time_s / tick), tick
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    start_s = Fraction(0) if coding.audio_s else times_s[0]
    width = round(size[0] * (coding.pixel_aspect or 1))
    return Clip(path, tuple(float(t - start_s) for t in times_s), tuple(range(len(times_s))), (width, size[1]))


def _write_silence(output: av.container.OutputContainer, seconds: float) -> None:
    audio = output.add_stream("aac", rate=AUDIO_RATE, layout="mono")
    for start in range(0, int(seconds * AUDIO_RATE), AAC_FRAME):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, AAC_FRAME), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        output.mux(audio.encode(frame))
    output.mux(audio.encode(None))
