"""Opening a video file, with an error that helps where that fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from affectline.errors import VideoError
from affectline.video.boxes import top_level_boxes

# Playlists (hls, dash, concat) are left out on purpose: they make the reader open other files and addresses. So is
# FFmpeg's reader of plain text, which draws it as a video. Sound formats are in, so that the error can say so.
FORMATS = (
    "aac,aiff,ape,apng,asf,av1,avi,dv,flac,flv,gif,h264,hevc,ivf,m4v,matroska,webm,mjpeg,mov,mp4,mp3,mpeg,mpegts,"
    "mpegvideo,mxf,nut,obu,ogg,rm,wav,yuv4mpegpipe"
)
HEAD_BYTES = 1 << 20


@contextmanager
def opened(path: Path, *, ignore_edit_list: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and choose its stream; close it at the end.

    Args:
        path: the file.
        ignore_edit_list: read also the pictures that an MP4's edit list cuts away.

    Raises:
        VideoError: there is no such file, it is no video, or no decoder knows its codec.
    """
    check_readable(path)
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    if ignore_edit_list:
        options["ignore_editlist"] = "1"
    try:
        # An absolute path keeps FFmpeg from taking a name such as `concat:a.mp4` for a protocol.
        container = av.open(str(path.absolute()), container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(_why_not_opened(path)) from error
    with container:
        yield container, _video_stream(container, path)


def check_readable(path: Path) -> None:
    """Make sure that the path leads to a file with something in it.

    Raises:
        VideoError: missing, a folder, empty, or no permission.
    """
    if path.is_dir():
        raise VideoError(f"{path}: this is a folder; a video file was expected")
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except FileNotFoundError as error:
        raise VideoError(f"{path}: no such file; check the spelling of the path") from error
    except PermissionError as error:
        raise VideoError(f"{path}: no permission to read this file; change its permissions or owner") from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check the path and the disk") from error
    if is_empty:
        raise VideoError(f"{path}: the file is empty; copy or record it again")


def _why_not_opened(path: Path) -> str:
    kinds = [box.kind for box in top_level_boxes(path)]
    if "mdat" in kinds and "moov" not in kinds:
        return (
            f"{path}: the recording was cut before it was finished, and the index of this MP4 (moov) is gone; "
            "tools such as untrunc can rebuild it from an intact file of the same camera"
        )
    return f"{path}: not a video that can be read, or its start is damaged; check that it plays in a video player"


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream to analyse: the one that FFmpeg finds best, but never cover art."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "sound only" if container.streams.audio else "nothing that can be analysed"
        raise VideoError(f"{path}: no video stream, the file holds {what}; give a file with a picture track")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise VideoError(
            f"{path}: no decoder for the video codec {_codec_name(path)}; convert the file to H.264, "
            "for example with ffmpeg or HandBrake"
        )
    best = container.streams.best("video")
    return next((stream for stream in decodable if best is not None and stream.index == best.index), decodable[0])


def _codec_name(path: Path) -> str:
    """Return what the container calls a codec that FFmpeg does not know: PyAV does not tell."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        index = next((box for box in top_level_boxes(path) if box.kind == "moov"), None)
        if index is not None:
            file.seek(index.start)
            head = file.read(min(index.size, HEAD_BYTES))
    # MP4: the first entry of a video track's sample description. Matroska: CodecID, an element with a short size.
    found = re.search(rb"vmhd.*?stsd.{12}(.{4})", head, re.DOTALL) or re.search(rb"\x86[\x81-\xbf](V_[\w./]+)", head)
    return repr(found[1].decode("latin-1")) if found else "of this file"
