"""Writes a source again as an MP4 that browsers play, with each picture passed through a hand on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from affectline.atomic_file import complete_path
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import UInt8Array
from affectline.report.mp4 import USUAL_CODECS, USUAL_TICK, Codecs, Mp4Writer, SoundError
from affectline.report.sound import Sound
from affectline.video import EVERY_FRAME, FrameSource, Sampling
from affectline.video.opening import opened

logger = logging.getLogger(__name__)

USUAL_RATE = Fraction(25)

Draw = Callable[[UInt8Array, int], UInt8Array]
"""From a frame of shape (height, width, 3), uint8, RGB, and its index to the picture in the size that is written."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a copy is written.

    Attributes:
        size_wh: width and height, even.
        sampling: which frames are written, all from the start.
        codecs: what pictures and sound are encoded as.
    """

    size_wh: tuple[int, int]
    sampling: Sampling = EVERY_FRAME
    codecs: Codecs = USUAL_CODECS


def write_copy(
    source: FrameSource, out: Path, encoding: Encoding, draw: Draw, on_progress: ProgressHook = ignore_progress
) -> None:
    """Write a copy with the source's frame times and sound; memory does not grow with its length.

    Where the sound cannot be written, the copy is made without it, and a line in the log says why.

    Args:
        source: a video or an image sequence.
        out: the MP4 to write or replace.
        encoding: how.
        draw: makes the pictures that are written.
        on_progress: called after each frame with how many are done and the container's number of frames, or None.

    Raises:
        VideoError: the source cannot be read.
        OutputError: the result cannot be written.
    """
    try:
        _write(source, out, encoding, draw, on_progress, has_sound=True)
    except SoundError as error:
        logger.warning("%s is written without sound, which cannot be taken over: %s", out, error)
        _write(source, out, encoding, draw, on_progress, has_sound=False)


def _write(
    source: FrameSource, out: Path, encoding: Encoding, draw: Draw, on_progress: ProgressHook, *, has_sound: bool
) -> None:
    rate = source.info.frame_rate or USUAL_RATE
    with complete_path(out, av.error.FFmpegError) as unfinished, _sound_of(source) as (sound, tick):
        audio = None if sound is None or not has_sound else sound.stream
        with Mp4Writer(unfinished, encoding.size_wh, tick, rate, audio, encoding.codecs) as writer:
            _copy(source, encoding.sampling, draw, sound, writer, on_progress)


@contextmanager
def _sound_of(source: FrameSource) -> Iterator[tuple[Sound | None, Fraction]]:
    """Give a source's sound and the time base of its pictures."""
    if source.info.kind != "video":
        yield None, USUAL_TICK
        return
    with opened(source.info.path) as (container, stream):
        yield Sound(container, stream), stream.time_base or USUAL_TICK


def _copy(
    source: FrameSource,
    sampling: Sampling,
    draw: Draw,
    sound: Sound | None,
    writer: Mp4Writer,
    on_progress: ProgressHook,
) -> None:
    last_s = 0.0
    interval_s = float(1 / (source.info.frame_rate or USUAL_RATE))
    for done, frame in enumerate(source.frames(sampling), 1):
        time_s = frame.time_s or 0.0
        writer.write_frame(draw(frame.rgb, frame.index), time_s)
        if sound is not None:
            for packet in sound.until(time_s):
                writer.write_audio(packet)
        if done > 1:
            interval_s = time_s - last_s
        last_s = time_s
        on_progress(done, source.info.frame_count)
    if sound is None:
        writer.finish(last_s + interval_s)
        return
    for packet in sound.until(None):
        writer.write_audio(packet)
    writer.finish(sound.video_end_s(last_s, interval_s))


def resize(rgb: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    """Return a picture in another size: averaged when reduced, interpolated when enlarged; a copy in any case."""
    height, width = rgb.shape[:2]
    if (width, height) == size_wh:
        return rgb.copy()
    interpolation = cv2.INTER_AREA if width > size_wh[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size_wh, interpolation=interpolation), dtype=np.uint8)
