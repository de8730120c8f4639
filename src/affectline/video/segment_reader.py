"""Reading one part of a video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from affectline.errors import VideoError
from affectline.records import Frame
from affectline.video.boxes import is_last_picture_cut
from affectline.video.decoding import Clock, Pictures, Tally
from affectline.video.opening import opened
from affectline.video.picture import RgbConverter
from affectline.video.run import Run
from affectline.video.seeking import FILE_START
from affectline.video.segments import Segment
from affectline.video.source import Sampling


class UnusableStartError(VideoError):
    """A video cannot be decoded from a key frame on, though its packets said that it can."""


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What reading a segment gave. Frames have the numbers that counting packets gives.

    Attributes:
        first_index: of the first frame of the segment; None where there is none.
        next_index: of the first frame behind it.
        tally: what was met with in it, its first frame left out, the one behind it included.
        last_pts: the last time stamp.
        reached_end: the file ended.
        is_from_start: decoding began at the start of the file.
    """

    first_index: int | None
    next_index: int
    tally: Tally
    last_pts: int | None
    reached_end: bool
    is_from_start: bool


class SegmentReader:
    """The sampled frames of one segment. Iterate once, then ask for the `report`.

    Args:
        path: the video.
        segment: which part.
        sampling: which of its frames.
        converter: makes pictures of frames.

    Attributes:
        report: what reading gave; None before the end.
        frames: how many frames of the segment were decoded so far.
    """

    def __init__(self, path: Path, segment: Segment, sampling: Sampling, converter: RgbConverter) -> None:
        self.report: SegmentReport | None = None
        self.frames = 0
        self._path = path
        self._segment = segment
        self._sampling = sampling
        self._converter = converter

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames.

        Raises:
            UnusableStartError: what decoding should begin with is not there or not whole.
            VideoError: the file cannot be opened.
        """
        segment, first_index = self._segment, None
        with self._at_start() as (source, pictures, clock):
            run = Run(source, clock, segment.start, segment.resume_after)
            base, reached_end = Tally(), True
            told = 0 if segment.resume_after is None and segment.from_s is None else None
            for picture, is_damaged, number, time_s, previous_s in run:
                damaged = pictures.tally.damaged
                # What was met with before belongs to those who read it before.
                told = damaged - is_damaged if told is None else told
                if segment.from_s is not None and time_s < segment.from_s:
                    told = damaged
                    continue
                if first_index is None:
                    first_index = number
                    base = Tally() if segment.from_s is None else pictures.tally
                if segment.to_s is not None and time_s >= segment.to_s:
                    reached_end = False
                    break
                self.frames += 1
                if self._sampling.takes(number, time_s, previous_s):
                    missed, told = damaged - told - is_damaged, damaged
                    yield Frame(number, time_s, self._converter.convert(picture), is_damaged, missed)
            is_empty = first_index is None and segment.from_s is not None  # the part before met with all that is left
            tally = Tally() if is_empty else pictures.tally.since(base)
        next_index = run.index + reached_end
        is_from_start = segment.start == FILE_START
        self.report = SegmentReport(first_index, next_index, tally, run.last_pts, reached_end, is_from_start)

    @contextmanager
    def _at_start(self) -> Iterator[tuple[Iterator[tuple[VideoFrame, bool]], Pictures, Clock]]:
        """Open the file where decoding begins: by seeking or, where that does not lead there, by counting packets."""
        start, is_first = self._segment.start, self._segment.from_s is None
        for seeks in (False,) if is_first else (True, False):
            with opened(self._path) as (container, stream):
                is_last_cut = container.format.name == "mpegts" and is_last_picture_cut(self._path, stream.id)
                if seeks and start.pts is not None and not _seek(container, stream, start.pts):
                    continue
                skipped, sought_pts = (0, start.pts) if seeks else (start.packets, None)
                pictures = Pictures(container, stream, skipped, is_last_cut=is_last_cut, sought_pts=sought_pts)
                source = iter(pictures)
                if is_first:
                    yield source, pictures, Clock(container, stream, pictures)
                    return
                first = next(source, None)
                if first is not None and _is_whole(*first, start.pts):
                    yield chain([first], source), pictures, Clock(container, stream, pictures)
                    return
        raise UnusableStartError(f"its key frame with the time stamp {start.pts} is not there or damaged")


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> bool:
    try:
        container.seek(pts, stream=stream)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def _is_whole(picture: VideoFrame, is_damaged: bool, pts: int | None) -> bool:
    """Return whether decoding begins with its key frame, whole; two packets may make one interlaced picture."""
    return picture.pts == pts and not is_damaged and not picture.interlaced_frame
