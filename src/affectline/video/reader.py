"""Reading a video: every frame with its true number and time, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from affectline.errors import VideoError
from affectline.records import Frame
from affectline.video.boxes import is_cut
from affectline.video.decoding import Clock, Pictures, Tally
from affectline.video.opening import opened
from affectline.video.picture import RgbConverter, Upright, square_size, upright_of
from affectline.video.seeking import FILE_START, Start, find_start
from affectline.video.segment_reader import SegmentReader, SegmentReport
from affectline.video.segments import Begin, Plan, Segment, plan_segments
from affectline.video.source import EVERY_FRAME, ReadReport, Sampling, SourceInfo, damage_in_words

SHAPE_TOLERANCE: Final = 0.02
"""Sizes are rounded to even numbers."""


def open_video(path: Path) -> VideoFile:
    """Open a video file and decode its first picture, so that bad input is refused before any work starts.

    Raises:
        VideoError: the file is missing, no video, or not one picture of it can be decoded.
    """
    path = Path(path)
    with opened(path) as (container, stream):
        declared_wh = stream.codec_context.width, stream.codec_context.height
        picture = next((picture for picture, _ in Pictures(container, stream)), None)
        if picture is None:
            raise VideoError(
                f"{path}: no picture could be decoded, the file is damaged or was cut right after its start; "
                "copy or record it again"
            )
        upright = upright_of(picture)
        width, height = _largest(declared_wh, (picture.width, picture.height))
        stored_wh = square_size(width, height, stream.sample_aspect_ratio)
        info = _info(path, container, stream, stored_wh, upright)
    return VideoFile(info, stored_wh, upright)


def _largest(declared_wh: tuple[int, int], first_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the size that the track is declared to have, if it is a larger one of the first picture's shape.

    Calls over a network begin with small pictures.
    """
    (width, height), (first_width, first_height) = declared_wh, first_wh
    is_same_shape = abs(width * first_height - height * first_width) <= SHAPE_TOLERANCE * height * first_width
    return declared_wh if width > first_width and is_same_shape else first_wh


def probe(path: Path | str) -> SourceInfo:
    """Return what a video says of itself.

    Raises:
        VideoError: as `open_video`.
    """
    return open_video(Path(path)).info


def read_frames(path: Path | str, sampling: Sampling = EVERY_FRAME) -> Iterator[Frame]:
    """Return the sampled frames of a video, one at a time.

    Raises:
        VideoError: as `open_video`.
    """
    return open_video(Path(path)).frames(sampling)


class VideoFile:
    """A video that can be read, as often as needed; made by `open_video`. It is a `FrameSource`."""

    def __init__(self, info: SourceInfo, stored_wh: tuple[int, int], upright: Upright) -> None:
        self.info = info
        self._stored_wh = stored_wh
        self._upright = upright
        self._report = ReadReport(0, info.frame_count, 0, is_complete=False, problem=None)

    @property
    def names(self) -> None:
        """A video's frames have no names of their own."""

    @property
    def report(self) -> ReadReport:
        """What the latest iteration over `frames` gave, complete only after it ended."""
        return self._report

    def frames(
        self, sampling: Sampling = EVERY_FRAME, resume_after: tuple[int, float] | None = None
    ) -> Iterator[Frame]:
        """Return the sampled frames, one at a time, in order of presentation.

        To reach `start_s` or the place to resume from, packets are counted up to the key frame before it, and
        decoding starts there; where a file cannot be trusted for that, decoding starts at its beginning.

        Args:
            sampling: which frames.
            resume_after: index and time in seconds of the last frame that an earlier run handled.

        Raises:
            VideoError: the file cannot be opened any more.
        """
        self._report = ReadReport(0, self.info.frame_count, 0, is_complete=False, problem=None)
        reader = self.read_segment(self._begin(sampling, resume_after).segment(sampling.end_s), sampling)
        yield from reader
        if reader.report is not None:
            self.take_reports([reader.report])

    def segments(
        self, sampling: Sampling, count: int, grid_s: float, resume_after: tuple[int, float] | None = None
    ) -> Plan:
        """Return how the sampled frames are read in parts that need nothing of each other; see `plan_segments`.

        Args:
            sampling: which frames.
            count: about how many parts are wanted.
            grid_s: they meet at multiples of this time, in seconds.
            resume_after: as in `frames`.

        Raises:
            VideoError: the file cannot be opened any more.
        """
        return plan_segments(self.info.path, sampling, count, self._begin(sampling, resume_after), grid_s)

    def read_segment(self, segment: Segment, sampling: Sampling) -> SegmentReader:
        """Return a part's frames, to be iterated over once."""
        converter = RgbConverter(self._stored_wh, self._upright)
        return SegmentReader(self.info.path, segment, sampling, converter)

    def take_reports(self, reports: Sequence[SegmentReport]) -> None:
        """Let `report` say what reading all segments gave, in their order; their numbers follow each other."""
        total = Tally()
        for one in reports:
            total = total.plus(one.tally)
        last = reports[-1]
        if last.reached_end:
            self._report = self._final_report(last.next_index, total, last.last_pts, reports[0].is_from_start)
        else:
            self._report = self._report_of(last.next_index, total, [])

    def _begin(self, sampling: Sampling, resume_after: tuple[int, float] | None) -> Begin:
        after_s = max(sampling.start_s or 0.0, resume_after[1] if resume_after else 0.0)
        return Begin(self._start(after_s), after_s, resume_after)

    def _start(self, after_s: float) -> Start:
        if after_s <= 0:
            return FILE_START
        with opened(self.info.path) as (container, stream):
            target_pts = Clock(container, stream).ticks(after_s)
        return find_start(self.info.path, target_pts)

    def _final_report(self, decoded: int, tally: Tally, last_pts: int | None, is_from_start: bool) -> ReadReport:
        problems = []
        if is_cut(self.info.path, self.info.container or ""):
            problems.append(
                f"the file ends early, after {decoded} frames: it was cut while it was recorded or copied; "
                "if it is whole elsewhere, copy it again"
            )
        elif tally.has_read_error:
            problems.append("part of the file could not be read")
        expected = self.info.frame_count if is_from_start else None
        missing = (expected or 0) - decoded - tally.discarded - tally.lost
        if missing > 0 and (problems or tally.lost or not self._holds_all_packets(last_pts)):
            problems.append(f"{missing} of the {expected} frames in its index are missing")
        return self._report_of(decoded, tally, problems)

    def _report_of(self, decoded: int, tally: Tally, problems: list[str]) -> ReadReport:
        if tally.damaged:
            problems = [*problems, damage_in_words(tally.damaged)]
        problem = f"{self.info.path}: {'; '.join(problems)}" if problems else None
        return ReadReport(decoded, self.info.frame_count, tally.damaged, problem is None, problem)

    def _holds_all_packets(self, last_pts: int | None) -> bool:
        """Return whether the file has all that its index lists, though fewer pictures came out.

        An edit list may leave out packets, a codec may store several for one picture, and a recorder may note in an
        AVI where it dropped one.
        """
        with opened(self.info.path, ignore_edit_list=True) as (container, stream):
            if container.format.name == "avi" and last_pts is not None:
                return last_pts + 1 >= stream.frames
            try:
                return sum(packet.size > 0 for packet in container.demux(stream)) >= stream.frames
            except av.error.FFmpegError:
                return False


def _info(
    path: Path, container: InputContainer, stream: VideoStream, stored_wh: tuple[int, int], upright: Upright
) -> SourceInfo:
    width, height = stored_wh[::-1] if upright.is_transposed else stored_wh
    duration_s = container.duration / av.time_base if container.duration else None
    rate = stream.average_rate or stream.guessed_rate
    return SourceInfo(
        path=path,
        kind="video",
        width=width,
        height=height,
        frame_rate=Fraction(rate) if rate else None,
        frame_count=stream.frames or None,
        duration_s=duration_s,
        codec=stream.codec_context.codec.canonical_name,
        container=container.format.name,
        rotation_deg=upright.rotation_deg,
        has_audio=bool(container.streams.audio),
    )
