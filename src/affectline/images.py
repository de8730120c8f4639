"""Reading images: one file, or a folder of independent images or of the frames of a sequence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from affectline.errors import InputError, InputFileError, VideoError
from affectline.file_names import as_utf8
from affectline.picture_formats import read_by_pillow
from affectline.records import TIME_DECIMALS, Frame, UInt8Array
from affectline.video import ReadReport, Sampling, SourceInfo, read_frames
from affectline.video.source import EVERY_FRAME

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
    | {".pbm", ".pnm", ".jp2", ".avif", ".heic", ".heif", ".hif"}
)

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_SCAN = 0xDA
PNG_START, PNG_END = b"\x89PNG", b"IEND"
GIF_START, GIF_END = b"GIF8", b";"
RATE_DENOMINATOR = 1_000_000
NAMED_PROBLEMS = 3
"""How many bad images a report names before it only counts."""


def open_images(path: Path, sequence_fps: float | None = None) -> ImageFiles:
    """Open an image, or a folder of images in natural order (`2.png` before `10.png`).

    Args:
        path: an image file or a folder; other files and hidden ones in it are left alone, folders in it too.
        sequence_fps: the images of the folder are one video with so many frames per second.

    Raises:
        InputError: sequence_fps is not above 0.
        InputFileError: nothing there, no image in the folder, or a single image that cannot be read.
    """
    path = Path(path)
    check_sequence_rate(sequence_fps)
    if not path.is_dir():
        return _open_one(path)
    files = image_files(path)
    if not files:
        raise InputFileError(
            f"{path}: no image in this folder; the known suffixes are {' '.join(sorted(IMAGE_SUFFIXES))}"
        )
    if sequence_fps is None:
        return ImageFiles(_info(path, "images", files, (0, 0), None), files)
    sizes = (rgb.shape[1::-1] for rgb in map(_read_or_none, files) if rgb is not None)
    rate = Fraction(sequence_fps).limit_denominator(RATE_DENOMINATOR)
    return ImageFiles(_info(path, "sequence", files, next(sizes, (0, 0)), rate), files)


def check_sequence_rate(fps: float | None) -> None:
    """Make sure that an image sequence has no rate or a possible one.

    Raises:
        InputError: it is not above 0.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"the frame rate of an image sequence must be a number above 0, got {fps}")


def image_files(folder: Path) -> tuple[Path, ...]:
    """Return the image files of a folder in natural order.

    Raises:
        InputFileError: the folder cannot be read.
    """
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
    except OSError as error:
        raise InputFileError(
            f"{folder}: the folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    return tuple(sorted((f for f in files if f.is_file()), key=natural_order))


def natural_order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key by which numbers in file names count as numbers."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return tuple((1, int(part), "") if part.isdigit() else (2, 0, part) for part in parts if part), path.name


def read_image(path: Path) -> UInt8Array:
    """Return an image as RGB, turned upright by its EXIF orientation, of shape (height, width, 3), uint8.

    16-bit images are scaled to 8 bit, transparency is left out, of an animation the first picture is taken.

    Raises:
        InputFileError: missing, no permission, not an image, or cut.
        MissingExtraError: a HEIC photograph, and pillow-heif is not installed.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open all names on Windows
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: no such file; check the spelling of the path") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    content = data.tobytes()
    if _is_cut(content):
        raise InputFileError(f"{path}: the image is cut off; copy it again")
    rgb = read_by_pillow(content, str(path)) if data.size else None
    if rgb is None and data.size:
        rgb = _decode(data)
    if rgb is None and data.size:
        rgb = _first_picture(path)
    if rgb is None:
        raise InputFileError(
            f"{path}: the file is no image that can be read, or is damaged; check that a viewer opens it"
        )
    return rgb


def is_damaged(path: Path) -> bool:
    """Return whether a JPEG has faults inside, which OpenCV fills with invented pixels; False for other files.

    Raises:
        InputFileError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not data.startswith(JPEG_START):
        return False
    strict = av.CodecContext.create("mjpeg", "r")
    strict.options = {"err_detect": "explode"}
    try:
        strict.decode(av.Packet(data))
        strict.decode(None)
    except av.error.InvalidDataError:
        return True
    except (av.error.FFmpegError, ValueError):  # a kind of JPEG that FFmpeg does not know
        return False
    return False


def _decode(data: UInt8Array) -> UInt8Array | None:
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # such as more pixels than OpenCV allows
        return None
    return None if bgr is None else np.ascontiguousarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _first_picture(path: Path) -> UInt8Array | None:
    """Return the picture of a format that FFmpeg reads and this OpenCV does not, such as GIF."""
    try:
        frame = next(read_frames(path), None)
    except VideoError:
        return None
    return None if frame is None or frame.is_corrupt else frame.rgb


def _is_cut(data: bytes) -> bool:
    """Return whether a JPEG, PNG or GIF lacks its end: decoders fill the rest with grey and say nothing."""
    if data.startswith(PNG_START):
        return data.rfind(PNG_END) < 0
    if data.startswith(GIF_START):
        return not data.rstrip(b"\0\r\n").endswith(GIF_END)
    if not data.startswith(JPEG_START):
        return False
    # Previews inside the header have ends of their own: step over the segments, up to the first scan of pixels.
    start = 2
    while start + 4 <= len(data) and data[start] == JPEG_START[0] and data[start + 1] != JPEG_SCAN:
        is_filling = data[start + 1] == JPEG_START[0]
        start += 1 if is_filling else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data.find(JPEG_END, start) < 0


class ImageFiles:
    """Images as a `FrameSource`; made by `open_images`.

    An image of a folder that cannot be read becomes a frame of one black pixel with `is_corrupt` set.

    Attributes:
        info: what the source is.
    """

    def __init__(self, info: SourceInfo, files: tuple[Path, ...]) -> None:
        self.info = info
        self._files = files
        self._report = ReadReport(0, len(files), 0, is_complete=False, problem=None)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The file name of each frame by its index, where a folder holds independent images."""
        return tuple(as_utf8(file.name) for file in self._files) if self.info.kind == "images" else None

    @property
    def report(self) -> ReadReport:
        """What the latest iteration over `frames` gave, complete only after it ended."""
        return self._report

    def frames(
        self, sampling: Sampling = EVERY_FRAME, resume_after: tuple[int, float] | None = None
    ) -> Iterator[Frame]:
        """Return the sampled images, one at a time; independent ones have no time.

        Raises:
            InputError: the sampling needs times and the images are independent.
        """
        if sampling.needs_times and self.info.frame_rate is None:
            raise InputError(
                f"{self.info.path}: independent images have no times; take every N-th (--every), or make them a "
                "video (--sequence FPS)"
            )
        return self._frames(sampling, -1 if resume_after is None else resume_after[0])

    def _frames(self, sampling: Sampling, handled: int) -> Iterator[Frame]:
        self._report = ReadReport(0, len(self._files), 0, is_complete=False, problem=None)
        bad: list[str] = []
        decoded = 0
        for index, file in enumerate(self._files):
            time_s = self._time_s(index)
            if time_s is not None and sampling.end_s is not None and time_s >= sampling.end_s:
                break
            decoded = index + 1
            if index <= handled or not sampling.takes(index, time_s or 0.0, self._time_s(index - 1)):
                continue
            rgb = _read_or_none(file)
            if rgb is None:
                bad.append(file.name)
                rgb = np.zeros((1, 1, 3), np.uint8)
                yield Frame(index, time_s, rgb, is_corrupt=True)
            else:
                yield Frame(index, time_s, rgb)
        self._report = ReadReport(decoded, len(self._files), len(bad), not bad, self._problem(bad))

    def _time_s(self, index: int) -> float | None:
        if self.info.frame_rate is None or index < 0:
            return None
        return round(float(index / self.info.frame_rate), TIME_DECIMALS)

    def _problem(self, bad: list[str]) -> str | None:
        if not bad:
            return None
        names = ", ".join(bad[:NAMED_PROBLEMS]) + (" and others" if len(bad) > NAMED_PROBLEMS else "")
        return f"{self.info.path}: {len(bad)} of {len(self._files)} images cannot be read: {names}"


def _open_one(path: Path) -> ImageFiles:
    rgb = read_image(path)
    height, width = rgb.shape[:2]
    return ImageFiles(_info(path, "image", (path,), (width, height), None), (path,))


def _read_or_none(path: Path) -> UInt8Array | None:
    try:
        return read_image(path)
    except InputFileError:
        return None


def _info(
    path: Path, kind: str, files: tuple[Path, ...], size_wh: tuple[int, int], rate: Fraction | None
) -> SourceInfo:
    return SourceInfo(
        path=path,
        kind=kind,
        width=size_wh[0],
        height=size_wh[1],
        frame_rate=rate,
        frame_count=len(files),
        duration_s=None if rate is None else float(len(files) / rate),
        codec=None,
        container=None,
        rotation_deg=0,
        has_audio=False,
    )
