"""Files in object stores and behind other URLs, through fsspec: listing, looking at the ends, and copying to here.

Only what a person typed on the command line gets here: nothing that a network client says is ever opened as a URL.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from affectline.errors import InputError, InputFileError, MissingExtraError

INSTALL: Final = "pip install 'affectline[remote]'"

_WEB: Final = ("http", "https")
_ANY_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s<>]+")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MAGIC: Final = re.compile(r"[*?\[]")

_SIGNATURES: Final = (
    ("", re.compile("x-(amz|goog)-.*|access_token", re.IGNORECASE)),
    ("signature", re.compile("awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id", re.IGNORECASE)),
    ("sig", re.compile("s(e|ig|v|p|r|t|pr|s|rt|ip)|sk(oid|tid|t|e|s|v)", re.IGNORECASE)),
)
"""Names in a query that say who may read a file, and until when, not which file it is: AWS, Google, Azure. They do so
where the first name is there, too; elsewhere they may tell files from each other."""

_SECRET: Final = re.compile(
    r"([?&;][^\s=&]*(?:sig|token|key|secret|passw|credential|security)[^\s=&]*=)[^\s&]+", re.IGNORECASE
)
_DIGEST: Final = re.compile("[0-9a-f]{8}")
_CHAIN: Final = "::"
_NAMING_USERS: Final = frozenset({"abfs", "abfss", "adl", "az", "wasb", "wasbs", "github"})
"""Kinds of URL that say before an @ what a file is in, not who reads it: a container, or a repository."""

_SILENT_S: Final = 60.0
"""So long a web server may say nothing; how long a whole file takes is up to the network."""


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """What a store says of a file.

    Attributes:
        size_bytes: its size.
        changed_ns: when it was changed, nanoseconds since 1970; 0 where the store does not say.
    """

    size_bytes: int
    changed_ns: int


def is_url(text: str) -> bool:
    """Return whether a text begins like a URL, and is one; a path that begins with a drive does not."""
    if _URL.match(text) is None:
        return False
    try:
        urlsplit(text)
    except ValueError:  # http://[clip].mp4: brackets there hold an address
        return False
    return True


def local_path(url: str) -> Path | None:
    """Return the path that a `file://` URL names; None for every other text."""
    return Path(url2pathname(urlsplit(url).path)) if is_url(url) and not is_remote(url) else None


def is_remote(text: str) -> bool:
    """Return whether a text is the URL of something that is not on this machine."""
    return is_url(text) and urlsplit(text).scheme != "file"


def url_name(url: str) -> str:
    """Return the file name at the end of a URL, of the first in a chain. Only on the web, ? and # end it."""
    url = next(filter(is_url, url.split(_CHAIN)), url)
    if urlsplit(url).scheme.lower() in _WEB:
        return PurePosixPath(unquote(urlsplit(url).path)).name or urlsplit(url).hostname or "web"
    return url.rstrip("/").rsplit("/", 1)[-1]


def shown_url(url: str) -> str:
    """Return a URL as it may be shown and kept: without a user's name and password, and without what signs it.

    Of what else a query on the web says a digest stays, which tells two files from each other. What is shown already
    stays as it is.
    """
    if _CHAIN in url:
        return _CHAIN.join(shown_url(part) if is_url(part) else part for part in url.split(_CHAIN))
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.netloc.rpartition("@")[2]
    if scheme in _WEB:
        return urlunsplit((parts.scheme, host, parts.path, _digest(parts.query), ""))
    if scheme in _NAMING_USERS or not parts.netloc:
        return url
    return url.replace(f"//{parts.netloc}", f"//{host}", 1)


def _digest(query: str) -> str:
    """Return what stands for a query: a digest of what is no signature; nothing where nothing is left."""
    if _DIGEST.fullmatch(query):
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    names = {"", *(name.lower() for name, _ in pairs)}
    signs = [pattern for sign, pattern in _SIGNATURES if sign in names]
    told = [(name, value) for name, value in pairs if not any(pattern.fullmatch(name) for pattern in signs)]
    return hashlib.blake2b(repr(told).encode(), digest_size=4).hexdigest() if told else ""


def is_pattern(url: str) -> bool:
    """Return whether a URL has signs that stand for others; on the web, ? begins a query."""
    parts = urlsplit(url)
    return _MAGIC.search(parts.path if parts.scheme.lower() in _WEB else url) is not None


def check_kind(url: str) -> None:
    """Raise what `list_urls` would where no such URL can be read here, without asking the store."""
    with _reported(url):
        _open_system(url)


def list_urls(url: str) -> list[str]:
    """Return the files that a URL stands for: itself, those that match its pattern, or those of a folder.

    Folders in a folder are not looked into. A URL that leads nowhere stands for itself: opening it will say so.

    Raises:
        InputFileError: the store cannot be reached, or the folder is empty.
        MissingExtraError: fsspec, or what it needs for such URLs, is not installed.
        InputError: there is no such kind of URL.
    """
    with _reported(url):
        system, path = _open_system(url)
        if is_pattern(url) and not system.exists(path):
            found = [name for name in system.glob(path) if not system.isdir(name)]
        elif system.isdir(path):
            found = [entry["name"] for entry in system.ls(path, detail=True) if entry["type"] == "file"]
        else:
            return [url]
    urls = [_url_of(name, url, path) for name in found]
    visible = sorted(one for one in urls if not fnmatch.fnmatch(url_name(one), ".*"))
    if not visible:
        raise InputFileError(f"{shown_url(url)}: nothing there matches; folders in a folder are not searched")
    return visible


def _url_of(name: str, url: str, path: str) -> str:
    """Return the URL of a file that a store names.

    Args:
        name: the store's, without scheme, and without host where the paths of the store have none.
        url: what was typed.
        path: the store's path of that.
    """
    typed, scheme = url.rstrip("/"), url.split("://", 1)[0]
    if typed.endswith(path.rstrip("/")) and not name.startswith(f"{scheme}://"):
        return f"{typed.removesuffix(path.rstrip('/'))}{name}"
    return f"{scheme}://{name.removeprefix(f'{scheme}://')}"


def remote_status(url: str) -> RemoteStatus:
    """Return size and time of a file; errors as `list_urls`."""
    with _reported(url):
        system, path = _open_system(url)
        size = system.size(path)
        if size is None:
            raise InputFileError(
                f"{shown_url(url)}: the store does not say how large it is; copy the file here and name the copy"
            )
        try:
            changed = system.modified(path)
        except (NotImplementedError, KeyError):
            return RemoteStatus(int(size), 0)
    return RemoteStatus(int(size), int(changed.timestamp() * 1e9))


@contextmanager
def open_url(url: str) -> Iterator[IO[bytes]]:
    """Open a file for reading parts of it; errors as `list_urls`."""
    with _reported(url):
        system, path = _open_system(url)
        with system.open(path, "rb") as file:
            yield file


@contextmanager
def downloaded(url: str) -> Iterator[Path]:
    """Give a copy of a file, under its own name and with its own time, for as long as the block lasts.

    It lies in the folder for temporary files (`TMPDIR`), which needs room for it.

    Raises:
        InputFileError: the file cannot be read, is not whole, or there is no room for it; else as `list_urls`.
    """
    status = remote_status(url)
    with tempfile.TemporaryDirectory(prefix="affectline-") as folder:
        copy = Path(folder) / url_name(url)
        with _reported(url):
            system, path = _open_system(url)
            system.get_file(path, str(copy))  # from front to back: not every web server gives parts of a file
        if copy.stat().st_size != status.size_bytes:
            raise InputFileError(
                f"{shown_url(url)}: {copy.stat().st_size} of {status.size_bytes} bytes came; did it change meanwhile? "
                "Try again"
            )
        os.utime(copy, ns=(status.changed_ns, status.changed_ns))
        yield copy


def _open_system(url: str) -> tuple[Any, str]:  # fsspec has no types
    core = _fsspec_core()
    system, path = core.url_to_fs(url, **_patience(url))
    return system, path


def _patience(url: str) -> dict[str, Any]:
    """Return what fsspec gives web servers, by kind of URL: aiohttp's own limit is five minutes for a whole file."""
    kinds = [kind for kind in _WEB if f"{kind}://" in url.lower()]
    if not kinds:
        return {}
    try:
        from aiohttp import ClientTimeout  # noqa: PLC0415 - an extra; fsspec says what is missing
    except ImportError:
        return {}
    timeout = ClientTimeout(total=None, sock_connect=_SILENT_S, sock_read=_SILENT_S)
    options = {"client_kwargs": {"timeout": timeout}}
    return options if _CHAIN not in url else dict.fromkeys(kinds, options)


@cache
def _fsspec_core() -> Any:  # noqa: ANN401 - fsspec has no types
    try:
        import fsspec.core  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(f"URLs need fsspec: run `{INSTALL}`") from error
    return fsspec.core


@contextmanager
def _reported(url: str) -> Iterator[None]:
    """Turn what fsspec and the libraries behind it raise into errors of affectline's own."""
    try:
        yield
    except (InputFileError, MissingExtraError):
        raise
    except FileNotFoundError as error:
        # On the web, that may be a server that refuses.
        reason = "" if error.__cause__ is None else f" ({_shown_text(url, error.__cause__)})"
        raise InputFileError(f"{shown_url(url)}: no such file{reason}") from error
    except ImportError as error:
        raise MissingExtraError(f"{shown_url(url)}: {error}") from error
    except ValueError as error:
        raise InputError(
            f"{shown_url(url)}: {_shown_text(url, error)}; URLs begin with s3://, gs://, https:// or another scheme of "
            "fsspec"
        ) from error
    except _refusals() as error:
        raise InputFileError(
            f"{shown_url(url)}: {_shown_text(url, error)}; check the name, your access rights and the space for "
            "temporary files"
        ) from error


def _shown_text(url: str, error: BaseException) -> str:
    """Return what an error says of a URL, without what `shown_url` hides."""
    text = (str(error) or type(error).__name__).replace(url, shown_url(url))
    text = _ANY_URL.sub(lambda found: shown_url(found[0]) if is_url(found[0]) else "(a URL)", text)
    return _SECRET.sub(r"\1...", text)  # of what is no URL because of a blank in it


def _refusals() -> tuple[type[Exception], ...]:
    """Return OSError, and the errors of libraries behind fsspec that are none, of those that are loaded."""
    names = (
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("aiohttp", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
        ("azure.core.exceptions", "AzureError"),
    )
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return (OSError, *(kind for kind in found if kind is not None))
