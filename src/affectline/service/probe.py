"""Looks at an upload before anybody works on it: a child process of its own (`python -m affectline.service.probe`).

Sizes and lengths are read from the container, and its packets are counted, before the first picture is decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from affectline.errors import InputFileError
from affectline.json_records import read_record, to_json_object
from affectline.parent_pipe import ChildLimits, ParentPipe, apply_limits


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What a probe is told.

    Attributes:
        path: the upload.
        max_pixels: of a picture.
        max_seconds: of a video.
        max_frames: of a video.
        limits: of this process.
    """

    path: str
    max_pixels: int
    max_seconds: float
    max_frames: int
    limits: ChildLimits


@dataclass(frozen=True, slots=True)
class Probed:
    """What an upload is.

    Attributes:
        kind: `video` or `image`.
        width: pixels of the upright picture.
        height: likewise.
        duration_s: seconds, from the packets; None for an image.
        frames: packets of the video stream, which is about the number of frames; 1 for an image.
    """

    kind: str
    width: int
    height: int
    duration_s: float | None
    frames: int


class RefusedUpload(Exception):  # noqa: N818 - it is an answer, not a fault
    """An upload that is not let in, with the HTTP status and a sentence for the client."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


NOT_SUPPORTED: Final = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
NOT_USABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY


def main() -> None:
    """Probe one upload and say what it is, or why it is refused."""
    pipe = ParentPipe()
    request = read_record(ProbeRequest, json.loads(pipe.receive()), "the request")
    apply_limits(request.limits)
    try:
        pipe.send({"probed": to_json_object(probe_upload(request))})
    except RefusedUpload as refusal:
        pipe.send({"status": int(refusal.status), "detail": refusal.detail})
    except MemoryError:
        pipe.send({"status": int(NOT_USABLE), "detail": "Opening this file takes more memory than is allowed here."})


def probe_upload(request: ProbeRequest) -> Probed:
    """Return what an upload is.

    Raises:
        RefusedUpload: it is no video or image, too large, too long, or nothing in it can be decoded.
    """
    from affectline.inputs import expand_inputs

    path = Path(request.path)
    (item,) = expand_inputs([path], None)
    return _probe_image(path, request) if item.kind == "image" else _probe_video(path, request)


def _probe_image(path: Path, request: ProbeRequest) -> Probed:
    from PIL import Image, UnidentifiedImageError

    from affectline.errors import MissingExtraError
    from affectline.images import read_image
    from affectline.picture_formats import register_heic

    with suppress(MissingExtraError):
        register_heic(path.name)
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise RefusedUpload(NOT_USABLE, f"The picture is too large: {_pixels(request.max_pixels)}.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise RefusedUpload(NOT_SUPPORTED, "The file begins like an image, but is none that can be read.") from error
    _check_pixels(width, height, request)
    with _refusing(path, NOT_USABLE):
        height, width = read_image(path).shape[:2]
    return Probed("image", width, height, None, 1)


def _probe_video(path: Path, request: ProbeRequest) -> Probed:
    import av

    from affectline.video import open_video
    from affectline.video.opening import opened
    from affectline.video.picture import square_size

    with _refusing(path, NOT_SUPPORTED), opened(path) as (container, stream):
        context = stream.codec_context
        _check_pixels(context.width, context.height, request)
        _check_pixels(*square_size(context.width, context.height, stream.sample_aspect_ratio), request)
        length = _Length(request)
        # Of a damaged file what comes before the fault counts; whether that can be used is for the reader to say.
        with suppress(av.error.FFmpegError, MemoryError):
            for packet in container.demux(stream):
                if packet.size:
                    length.add(packet.pts, float(packet.time_base or 0), float(stream.average_rate or 0))
    with _refusing(path, NOT_USABLE):
        info = open_video(path).info
    return Probed("video", info.width, info.height, round(length.seconds, 3), length.frames)


class _Length:
    """How long a video is, by its packets: what its header says may be wrong or missing."""

    def __init__(self, request: ProbeRequest) -> None:
        self.frames = 0
        self._request = request
        self._first_s: float | None = None
        self._last_s = 0.0
        self._rate = 0.0

    def add(self, pts: int | None, tick_s: float, rate: float) -> None:
        self.frames += 1
        self._rate = rate
        if pts is not None:
            time_s = pts * tick_s
            self._first_s = time_s if self._first_s is None else min(self._first_s, time_s)
            self._last_s = max(self._last_s, time_s)
        if self.frames > self._request.max_frames:
            raise RefusedUpload(
                NOT_USABLE,
                f"The video has more than {self._request.max_frames} frames, which is the most allowed here.",
            )
        if self.seconds > self._request.max_seconds:
            raise RefusedUpload(
                NOT_USABLE,
                f"The video is longer than {self._request.max_seconds / 60:g} minutes, which is the most allowed here: "
                "cut it, or raise --max-minutes of the service.",
            )

    @property
    def seconds(self) -> float:
        if self._first_s is None:  # a stream without times is played at its rate
            return self.frames / self._rate if self._rate else 0.0
        return self._last_s - self._first_s + (1 / self._rate if self._rate else 0.0)


def _check_pixels(width: int, height: int, request: ProbeRequest) -> None:
    if width * height > request.max_pixels:
        raise RefusedUpload(NOT_USABLE, f"The picture has {width} x {height} pixels; {_pixels(request.max_pixels)}.")


def _pixels(most: int) -> str:
    return f"at most {most / 1e6:.1f} megapixels are allowed here"


@contextmanager
def _refusing(path: Path, status: HTTPStatus) -> Iterator[None]:
    """Turn the error of a file that cannot be read into a refusal that does not tell where the file lies."""
    try:
        yield
    except InputFileError as error:
        reason = without_path(str(error), path)
        raise RefusedUpload(status, f"{reason[:1].upper()}{reason[1:]}.") from error


def without_path(message: str, path: Path) -> str:
    """Return an error message without the place of the file, which is nobody's business."""
    return message.replace(f"{path}: ", "").replace(str(path), "the file").replace(str(path.parent), "the folder")


if __name__ == "__main__":
    main()
