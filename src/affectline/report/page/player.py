"""The video of the page: the source itself where every browser plays it, else a smaller preview."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from affectline.errors import InputError
from affectline.postprocess.rows import floats
from affectline.progress import ProgressHook, ignore_progress
from affectline.report.mp4 import BROWSER_AUDIO, X264_OPTIONS, Codecs, audio_name
from affectline.report.series import make_grid
from affectline.report.sound import sound_track
from affectline.report.transcode import Encoding, resize, write_copy
from affectline.video import FrameSource, Sampling
from affectline.video.decoding import player_start_s
from affectline.video.opening import opened

PREVIEW_NAME = "report_video.mp4"

MEGABYTE = 1_000_000
PREVIEW_SIDE, SMALL_SIDE = 640, 480
PREVIEW_RATE = 30.0
PREVIEW_X264 = {**X264_OPTIONS, "crf": "27", "g": "30"}
LEAST_BITS_PER_S, ENOUGH_BITS_PER_S = 110_000, 350_000
"""For the pictures: with less a preview is no use, so it stays beside the page; with less than enough it is smaller."""
MARGIN = 0.9
"""What of the room a rate-limited encoder is given: it may overshoot."""
USUAL_SOUND_BITS_PER_S = 128_000
WRONG_VIDEO_S = 1.0
LOCATION_KEYS = ("location", "com.apple.quicktime.location", "gps")


@dataclass(frozen=True, slots=True)
class Player:
    """How the page shows a video.

    Attributes:
        base64: the file, to stand in the page; None if it lies beside it.
        name: the file beside the page; None if it stands in it.
        is_preview: it is not the source itself.
        size_wh: of its source's upright picture, which boxes refer to.
    """

    base64: str | None
    name: str | None
    is_preview: bool
    size_wh: tuple[int, int]


def make_player(
    source: FrameSource, folder: Path, limit_bytes: int, on_progress: ProgressHook = ignore_progress
) -> Player:
    """Return how a video is shown; write the preview into the folder if it is too large for the page.

    Args:
        source: a video or an image sequence.
        folder: where the page will lie.
        limit_bytes: larger files do not go into the page.
        on_progress: told of the frames of a preview.

    Raises:
        VideoError: the source cannot be read.
        OutputError: the preview cannot be written.
    """
    size_wh, path = (source.info.width, source.info.height), source.info.path
    beside = folder / PREVIEW_NAME
    if _is_playable(source) and path.stat().st_size <= limit_bytes:
        beside.unlink(missing_ok=True)
        return Player(_base64(path), None, is_preview=False, size_wh=size_wh)
    encoding = _preview_encoding(source, limit_bytes)
    write_copy(source, beside, encoding, lambda rgb, _: resize(rgb, encoding.size_wh), on_progress)
    if beside.stat().st_size <= limit_bytes:
        inside = _base64(beside)
        beside.unlink()
        return Player(inside, None, is_preview=True, size_wh=size_wh)
    return Player(None, PREVIEW_NAME, is_preview=True, size_wh=size_wh)


def check_belongs(source: FrameSource, table: pa.Table, size_bytes: int | None) -> None:
    """Make sure that a video is as long as the result at least, unless it is the file that was analysed.

    Args:
        source: the video; one that is as large as what was analysed is taken for it, whatever its container says.
        table: the result.
        size_bytes: of what was analysed; None where that is unknown.

    Raises:
        InputError: it ends before the result's last frame.
    """
    if source.info.path.is_file() and source.info.path.stat().st_size == size_bytes:
        return
    times = floats(table, "time_s")
    duration_s = source.info.duration_s
    if duration_s is not None and len(times) and float(times[-1]) > duration_s + WRONG_VIDEO_S:
        raise InputError(
            f"{source.info.path} lasts {duration_s:.1f} s, but the result goes on to {float(times[-1]):.1f} s; "
            "give the video that was analysed"
        )


def sequence_rate(table: pa.Table) -> float | None:
    """Return the frames per second of a result's frames; None where they have no times or there is only one."""
    grid = make_grid(table, max_cells=len(table) + 1)
    if not grid.has_time or len(grid.frames) < 2:  # noqa: PLR2004 - a rate lies between two
        return None
    return float((grid.frames[-1] - grid.frames[0]) / (grid.edges[-2] - grid.edges[0]))


def _is_playable(source: FrameSource) -> bool:
    """Return whether all browsers play the file as it is, and it tells nobody where it was recorded."""
    if source.info.kind != "video" or "mp4" not in (source.info.container or ""):
        return False
    with opened(source.info.path) as (container, stream):
        context = stream.codec_context
        is_h264 = context.name == "h264" and context.pix_fmt in ("yuv420p", "yuvj420p")
        sounds = set(map(audio_name, container.streams.audio))
        keys = [*container.metadata, *(key for track in container.streams for key in track.metadata)]
        is_placed = any(word in key.lower() for key in keys for word in LOCATION_KEYS)
        # Cameras put the way they went into a stream of its own, as data or as subtitles.
        has_others = len(container.streams) > 1 + len(container.streams.audio)
        # Chromium counts from the container's 0, wherever its first picture lies.
        starts_at_0 = player_start_s(container, stream) == 0
        return is_h264 and sounds <= BROWSER_AUDIO and starts_at_0 and not has_others and not is_placed


def _preview_encoding(source: FrameSource, limit_bytes: int) -> Encoding:
    """Return a size and, where that gives a usable picture, a bit rate with which the preview fits into the page."""
    side, x264 = PREVIEW_SIDE, dict(PREVIEW_X264)
    if source.info.duration_s:
        rate = limit_bytes * 8 * MARGIN / source.info.duration_s - _sound_bits_per_s(source)
        if rate >= LEAST_BITS_PER_S:
            side = side if rate >= ENOUGH_BITS_PER_S else SMALL_SIDE
            x264 |= {"maxrate": str(int(rate)), "bufsize": str(int(rate))}
    scale = min(1.0, side / max(source.info.width, source.info.height))
    size_wh = (_even(source.info.width * scale), _even(source.info.height * scale))
    is_fast = (source.info.frame_rate or 0) > PREVIEW_RATE
    return Encoding(size_wh, Sampling(fps=PREVIEW_RATE) if is_fast else Sampling(), Codecs(x264, BROWSER_AUDIO))


def _sound_bits_per_s(source: FrameSource) -> int:
    if not source.info.has_audio:
        return 0
    with opened(source.info.path) as (container, _):
        track = sound_track(container)
        return 0 if track is None else track.bit_rate or USUAL_SOUND_BITS_PER_S


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
