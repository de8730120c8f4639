"""What every source of frames offers, and the records that describe it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from affectline.errors import InputError
from affectline.records import Frame

TIME_TOLERANCE_S = 2e-6
"""Times are rounded to a microsecond; a frame this little before a point of the sampling grid counts as on it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which decoded frames become rows.

    Attributes:
        every: frames whose index is a multiple of this.
        fps: instead of `every`: the first frame at or after each multiple of 1/fps seconds. More than the video's
            own rate gives every frame once.
        start_s: frames at or after this time, in seconds.
        end_s: frames before this time, in seconds.

    Raises:
        InputError: a value is out of range, or both `every` and `fps` are given.
    """

    every: int = 1
    fps: float | None = None
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"every must be a whole number from 1 up, got {self.every}")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps must be a number above 0, got {self.fps}")
        if self.fps is not None and self.every != 1:
            raise InputError(f"give either every ({self.every}) or fps ({self.fps}), not both")
        for name, value in (("start", self.start_s), ("end", self.end_s)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be a number of seconds from 0 up, got {value}")
        if self.end_s is not None and self.end_s <= (self.start_s or 0.0):
            raise InputError(f"end ({self.end_s} s) must lie after start ({self.start_s or 0.0} s)")

    @property
    def needs_times(self) -> bool:
        """Whether frames without a time cannot be sampled like this."""
        return self.fps is not None or self.start_s is not None or self.end_s is not None

    def takes(self, index: int, time_s: float, previous_s: float | None) -> bool:
        """Return whether a frame becomes a row, `end_s` left to the reader, which stops there.

        Args:
            index: of the frame, from the start of the file.
            time_s: of the frame.
            previous_s: the time of the frame before it, sampled or not; None for the first of the file.
        """
        if self.start_s is not None and time_s < self.start_s:
            return False
        if self.fps is None:
            return index % self.every == 0
        return previous_s is None or self._grid_point(time_s) > self._grid_point(previous_s)

    def _grid_point(self, time_s: float) -> int:
        return math.floor((time_s + TIME_TOLERANCE_S) * (self.fps or 0.0))


EVERY_FRAME = Sampling()


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself before its frames are read.

    Attributes:
        path: the file or folder.
        kind: `video`, `image`, `images` (independent ones) or `sequence` (images that are one video).
        width: pixels of the upright frame with square pixels, as `Frame.rgb` will be; 0 where images may differ.
        height: likewise.
        frame_rate: frames per second on average, as the container has it; None where it has none.
        frame_count: the container's number of frames; None where it has none.
        duration_s: the container's; None where it has none.
        codec: the name that FFmpeg gives it, such as `h264`; None for images.
        container: likewise, such as `matroska,webm`.
        rotation_deg: how far the stored picture was turned clockwise to be upright: 0, 90, 180 or 270.
        has_audio: there is a sound track.
    """

    path: Path
    kind: str
    width: int
    height: int
    frame_rate: Fraction | None
    frame_count: int | None
    duration_s: float | None
    codec: str | None
    container: str | None
    rotation_deg: int
    has_audio: bool


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What reading gave; complete only after the iteration ended.

    Attributes:
        decoded_frames: frames decoded up to where reading stopped, counted from the start of the file, so also
            those that an earlier run handled or that were skipped to reach `start_s`.
        container_frames: the container's number; None where it has none.
        corrupt_frames: frames that this run found damaged, whether they came out (`Frame.is_corrupt`) or not.
        is_complete: reading reached the end of what was asked for, and nothing was damaged or missing.
        problem: one line that says what was damaged or missing; None where nothing was.
    """

    decoded_frames: int
    container_frames: int | None
    corrupt_frames: int
    is_complete: bool
    problem: str | None

    def with_damage(self, count: int, path: Path) -> ReadReport:
        """Return a report that knows of so many damaged frames at least, some of which an earlier run may have found.

        Args:
            count: of damaged frames that came out, of the whole source.
            path: of the source, for the problem.
        """
        if count <= self.corrupt_frames:
            return self
        words = damage_in_words(count)
        if self.problem is None:
            problem = f"{path}: {words}"
        elif self.corrupt_frames:
            problem = self.problem.replace(damage_in_words(self.corrupt_frames), words)
        else:
            problem = f"{self.problem}; {words}"
        return replace(self, corrupt_frames=count, is_complete=False, problem=problem)


def damage_in_words(count: int) -> str:
    """Return how many frames are damaged."""
    return f"{count} {'frame is' if count == 1 else 'frames are'} damaged"


class FrameSource(Protocol):
    """A video, an image or a folder of images."""

    info: SourceInfo

    @property
    def names(self) -> tuple[str, ...] | None:
        """File names by frame index, of independent images in a folder; None for everything else."""

    @property
    def report(self) -> ReadReport:
        """What the latest iteration over `frames` gave."""

    def frames(
        self, sampling: Sampling = EVERY_FRAME, resume_after: tuple[int, float] | None = None
    ) -> Iterator[Frame]:
        """Return the sampled frames, one at a time, in order of presentation.

        Args:
            sampling: which frames.
            resume_after: index and time in seconds of the last frame that an earlier run handled: go on with the
                frames that it would have yielded next.
        """
