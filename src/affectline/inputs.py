"""From what a user typed to a list of inputs: videos, images, folders, patterns, lists, URLs."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from affectline.errors import InputError, InputFileError
from affectline.file_names import as_utf8
from affectline.images import IMAGE_SUFFIXES, check_sequence_rate, natural_order, open_images
from affectline.picture_formats import is_phone_picture
from affectline.remote import (
    check_kind,
    downloaded,
    is_pattern,
    is_remote,
    is_url,
    list_urls,
    local_path,
    shown_url,
    url_name,
)
from affectline.video import FrameSource, open_video

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv", ".asf"}
    | {".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".mjpeg", ".mjpg", ".h264", ".hevc", ".ivf", ".y4m", ".nut"}
)

IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
STEM_DIGEST_BYTES = 4


@dataclass(frozen=True)
class Input:
    """One thing to analyse.

    Attributes:
        path: a video, an image, or a folder of images; of a URL, its file name.
        kind: `video`, `image`, `images` or `sequence`.
        stem: the name of its result folder, unique among the inputs.
        url: where it is, if it is not on this machine.
    """

    path: Path
    kind: str
    stem: str
    url: str | None = None

    @property
    def place(self) -> str:
        """The URL, as it may be shown, or the absolute path."""
        return place_of(self.path, self.url)


def place_of(path: Path, url: str | None) -> str:
    """Return what an input is known by: its path or, if it is not on this machine, its URL as it may be shown."""
    return str(path) if url is None else shown_url(url)


def expand_inputs(paths: Sequence[Path | str], sequence_fps: float | None) -> list[Input]:
    """Return the inputs that paths stand for, each file once, in the order given.

    A folder stands for each video in it, or for its images together; folders in it are not searched. A pattern such
    as `*.mp4` is expanded where the shell did not. A path that leads nowhere is an input too: opening it raises, and
    the others are not lost.

    Args:
        paths: files, folders and patterns.
        sequence_fps: a folder of images is one video with so many frames per second.

    Raises:
        InputError: no path given, or a rate that is not above 0.
        InputFileError: a folder that holds nothing to analyse, or both videos and images.
    """
    remote = [str(path) for path in paths if is_url(str(path))]
    if remote:
        raise InputError(
            f"{shown_url(remote[0])} is a URL; those are read by the command line only: copy the file here"
        )
    if not all(map(str, paths)) or not paths:
        raise InputError("no input given; name a video, an image or a folder")
    check_sequence_rate(sequence_fps)
    found: dict[Path, tuple[Path, str]] = {}
    for typed in paths:
        for path in matches(typed):
            for file, kind in _expand(path, "images" if sequence_fps is None else "sequence"):
                # The same file may be named in two ways; two links to one file stay two inputs.
                found.setdefault(file.parent.resolve() / file.name, (file.absolute(), kind))
    return _with_stems([Input(path, kind, "") for path, kind in found.values()])


def expand_urls(typed: Sequence[str], sequence_fps: float | None) -> list[Input]:
    """Return the inputs that words of the command line stand for: as `expand_inputs`, and URLs and lists.

    `@FILE` stands for the words in a text file, one a line. A URL (`s3://`, `gs://`, ...) is a file, a pattern or a
    folder, whose videos are taken; pictures must be named one by one. URLs come behind the others.

    Raises:
        InputError, InputFileError: as `expand_inputs`; a list or a store cannot be read.
        MissingExtraError: fsspec, or what it needs for such URLs, is not installed.
    """
    words = read_lists(typed)
    urls = [word for word in words if is_remote(word)]
    paths = [local_path(word) or word for word in words if not is_remote(word)]
    found = [] if urls and not paths else expand_inputs(paths, sequence_fps)
    remote = [_remote_input(url) for word in urls for url in _videos_of(word)]
    return _with_stems([*found, *{item.url: item for item in remote}.values()]) if remote else found


def _remote_input(url: str) -> Input:
    path = Path(url_name(url))
    return Input(path, "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video", "", url)


def read_lists(typed: Sequence[str]) -> list[str]:
    """Return words with each `@FILE` replaced by that file's lines, without empty ones and those that begin with `#`.

    Raises:
        InputFileError: a list cannot be read, or is empty.
    """
    words: list[str] = []
    for word in typed:
        if not word.startswith("@") or Path(word).exists():
            words.append(word)
            continue
        try:
            lines = Path(word[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"the list {word[1:]} cannot be read as text: {error}") from error
        inside = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not inside:
            raise InputFileError(f"the list {word[1:]} names nothing; write one input on each line")
        words += inside
    return words


def _videos_of(url: str) -> list[str]:
    """Return what a URL stands for; of a folder or a pattern, the videos.

    What is called like a video or a picture is one: whether it can be read is found when its turn comes, and if it
    cannot, the others are not lost.
    """
    suffix = PurePosixPath(url_name(url)).suffix.lower()
    if suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES and not url.endswith("/") and not is_pattern(url):
        check_kind(url)
        return [url]
    found = list_urls(url)
    if found == [url]:
        return found
    videos = [one for one in found if PurePosixPath(url_name(one)).suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise InputFileError(
            f"{shown_url(url)}: no video there ({url_name(found[0])}, ...); pictures must be named one by one"
        )
    return videos


@contextmanager
def local_copy(path: Path, url: str | None) -> Iterator[Path]:
    """Give a path on this machine: the path itself or, of a URL, that of a copy which goes with the block.

    Raises:
        InputFileError: it cannot be copied.
    """
    if url is None:
        yield path
        return
    with downloaded(url) as copy:
        yield copy


def open_input(item: Input, sequence_fps: float | None) -> FrameSource:
    """Open an input that is on this machine.

    Raises:
        InputFileError: it cannot be read (a `VideoError` where it is a video).
    """
    if item.kind == "video":
        return open_video(item.path)
    return open_images(item.path, sequence_fps if item.kind == "sequence" else None)


def distinct_stem(stem: str, place: str) -> str:
    """Return a stem that no other place has: with a digest of the path or URL behind it."""
    name = place.encode("utf-8", "surrogateescape")
    return f"{stem}-{hashlib.blake2b(name, digest_size=STEM_DIGEST_BYTES).hexdigest()}"


def matches(typed: Path | str) -> list[Path]:
    """Return what a pattern stands for, in natural order; the path itself where it is none or finds nothing."""
    path = Path(typed)
    if path.exists() or not glob.has_magic(str(typed)):
        return [path]
    found = glob.glob(str(typed))  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(map(Path, found), key=natural_order) or [path]


def _expand(path: Path, kind_of_folder: str) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        yield path, "image" if _is_image(path) else "video"
        return
    try:
        files = sorted((f for f in path.iterdir() if not f.name.startswith(".") and f.is_file()), key=natural_order)
    except OSError as error:
        raise InputFileError(f"{path}: the folder cannot be read ({error.strerror}); check its permissions") from error
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if videos and images:
        raise InputFileError(
            f"{path}: this folder mixes videos ({videos[0].name}, ...) and images ({images[0].name}, ...); "
            "move one kind elsewhere or name the files one by one"
        )
    if not videos and not images:
        raise InputFileError(f"{path}: no video or image in this folder (folders in it are not searched)")
    if images:
        yield path, kind_of_folder
    yield from ((video, "video") for video in videos)


def _is_image(path: Path) -> bool:
    """Return whether a file is an image, by its suffix; by its first bytes where that is unknown."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
        return suffix in IMAGE_SUFFIXES
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head.startswith(IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or is_phone_picture(head)


def _with_stems(found: Sequence[Input]) -> list[Input]:
    """Name the inputs after their files; where names collide, add a digest of the place to each."""
    stems = [_stem(item.path, item.kind) for item in found]
    # Some file systems do not tell Clip from clip.
    counts = Counter(stem.casefold() for stem in stems)
    return [
        replace(item, stem=stem if counts[stem.casefold()] == 1 else distinct_stem(stem, item.place))
        for item, stem in zip(found, stems, strict=True)
    ]


def _stem(path: Path, kind: str) -> str:
    name = path.resolve().name if kind in ("images", "sequence") else path.stem
    return "root" if name in {"", ".", ".."} else as_utf8(name)
