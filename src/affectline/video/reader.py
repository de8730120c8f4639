"""Reading a video: every frame with its true number and time, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from affectline.errors import VideoError
from affectline.records import Frame
from affectline.video.boxes import is_cut, is_last_picture_cut
from affectline.video.decoding import Clock, Pictures
from affectline.video.opening import opened
from affectline.video.picture import RgbConverter, Upright, square_size, upright_of
from affectline.video.seeking import FILE_START, Start, find_start
from affectline.video.source import EVERY_FRAME, ReadReport, Sampling, SourceInfo


def open_video(path: Path) -> VideoFile:
    """Open a video file and decode its first picture, so that bad input is refused before any work starts.

    Raises:
        VideoError: the file is missing, no video, or not one picture of it can be decoded.
    """
    path = Path(path)
    with opened(path) as (container, stream):
        picture = next((picture for picture, _ in Pictures(container, stream)), None)
        if picture is None:
            raise VideoError(
                f"{path}: no picture could be decoded, the file is damaged or was cut right after its start; "
                "copy or record it again"
            )
        upright = upright_of(picture)
        stored_wh = square_size(picture.width, picture.height, stream.sample_aspect_ratio)
        info = _info(path, container, stream, stored_wh, upright)
    return VideoFile(info, stored_wh, upright)


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
        after_s = max(sampling.start_s or 0.0, resume_after[1] if resume_after else 0.0)
        start = self._start(after_s)
        converter = RgbConverter(self._stored_wh, self._upright)
        with opened(self.info.path) as (container, stream):
            is_last_cut = container.format.name == "mpegts" and is_last_picture_cut(self.info.path, stream.id)
            pictures = Pictures(container, stream, start.packets, is_last_cut=is_last_cut)
            run = _Run(pictures, Clock(container, stream), start, resume_after)
            for picture, is_damaged, number, time_s, previous_s in run:
                if sampling.end_s is not None and time_s >= sampling.end_s:
                    break
                if sampling.takes(number, time_s, previous_s):
                    yield Frame(number, time_s, converter.convert(picture), is_damaged)
            else:
                self._report = self._final_report(run, pictures, start)
                return
        self._report = self._report_of(run.index, pictures, [])

    def _start(self, after_s: float) -> Start:
        if after_s <= 0:
            return FILE_START
        with opened(self.info.path) as (container, stream):
            target_pts = Clock(container, stream).ticks(after_s)
        return find_start(self.info.path, target_pts)

    def _final_report(self, run: _Run, pictures: Pictures, start: Start) -> ReadReport:
        problems = []
        if is_cut(self.info.path, self.info.container or ""):
            problems.append(
                f"the file ends early, after {run.index + 1} frames: it was cut while it was recorded or copied; "
                "if it is whole elsewhere, copy it again"
            )
        elif pictures.has_read_error:
            problems.append("part of the file could not be read")
        expected = self.info.frame_count if start is FILE_START else None
        missing = (expected or 0) - run.index - 1 - pictures.discarded - pictures.lost
        if missing > 0 and (problems or pictures.lost or not self._holds_all_packets(run.last_pts)):
            problems.append(f"{missing} of the {expected} frames in its index are missing")
        return self._report_of(run.index + 1, pictures, problems)

    def _report_of(self, decoded: int, pictures: Pictures, problems: list[str]) -> ReadReport:
        damaged = pictures.lost + pictures.concealed
        if damaged:
            problems = [*problems, f"{damaged} {'frame is' if damaged == 1 else 'frames are'} damaged"]
        problem = f"{self.info.path}: {'; '.join(problems)}" if problems else None
        return ReadReport(decoded, self.info.frame_count, damaged, problem is None, problem)

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


class _Numbered(NamedTuple):
    """A picture with its number and time, and the time of the one before it (None at the start)."""

    picture: VideoFrame
    is_damaged: bool
    number: int
    time_s: float
    previous_s: float | None


class _Run:
    """One pass over the pictures of a file: gives each that is not handled yet its number and time."""

    def __init__(self, pictures: Pictures, clock: Clock, start: Start, resume_after: tuple[int, float] | None) -> None:
        self.index = start.index - 1
        self.last_pts: int | None = None
        self._pictures = pictures
        self._clock = clock
        self._start = start
        self._resume_after = resume_after

    def __iter__(self) -> Iterator[_Numbered]:
        previous_s: float | None = None
        for picture, is_damaged in self._pictures:
            if self._start.pts is not None and (picture.pts is None or picture.pts < self._start.pts):
                continue
            self.index += 1
            self.last_pts = picture.pts
            time_s = self._clock.time_s(picture)
            if not self._is_handled(time_s):
                yield _Numbered(picture, is_damaged, self.index, time_s, previous_s)
            previous_s = time_s

    def _is_handled(self, time_s: float) -> bool:
        """Return whether an earlier run handled the picture: by number, after a jump by the surer time."""
        if self._resume_after is None:
            return False
        index, handled_s = self._resume_after
        if self._start is FILE_START:
            return self.index <= index
        if time_s <= handled_s:
            self.index = min(self.index, index)
            return True
        self.index = max(self.index, index + 1)
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
