"""Finding, fetching and verifying assets."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from affectline.assets.registry import ASSETS, AssetSpec, Digest
from affectline.assets.sources import bring
from affectline.errors import AssetError, UnknownNameError
from affectline.progress import ProgressHook, ignore_progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AssetState:
    """What lies on this machine of one asset.

    Attributes:
        spec: what the asset is: name, kind, licence, training data, source page.
        path: the file; None where there is none yet.
        size_bytes: of the file, or as the publisher states; None where neither is known.
        verified: the file's digest is right; None where it was not looked at or there is no file.
    """

    spec: AssetSpec
    path: Path | None
    size_bytes: int | None
    verified: bool | None


def cache_folder() -> Path:
    """Return where fetched assets are kept: `AFFECTLINE_HOME`, else the platform's cache folder."""
    home = os.environ.get("AFFECTLINE_HOME")
    return Path(home).expanduser().absolute() if home else platformdirs.user_cache_path("affectline")


def asset_spec(name: str) -> AssetSpec:
    """Return the asset of that name.

    Raises:
        UnknownNameError: there is none.
    """
    try:
        return ASSETS[name]
    except KeyError as error:
        raise UnknownNameError(f"no asset is named {name!r}; there are {', '.join(sorted(ASSETS))}") from error


def fetch(
    name: str,
    *,
    offline: bool = False,
    explicit: Path | None = None,
    on_progress: ProgressHook = ignore_progress,
) -> Path:
    """Return the path of an asset's verified file: `explicit`, else the cache's, else fetched into the cache.

    Safe to call from several processes at once: each writes a file of its own and moves it into place.

    Args:
        name: a name in `ASSETS`.
        offline: use no network; what is not here is an error.
        explicit: the user's own copy of the file.
        on_progress: told the bytes that have arrived over https.

    Raises:
        UnknownNameError: no asset has that name.
        AssetError: no source holds the file, or what was found has another digest.
    """
    spec = asset_spec(name)
    here = explicit or _local_path(spec)
    problem = _problem(here, spec)
    if problem is None:
        return here
    if explicit or spec.embedded:
        raise AssetError(f"{problem}; {_remedy(spec)}")
    if offline:
        raise AssetError(f"{problem}, and --offline forbids fetching {name}; {_remedy(spec)}")
    _log.info("%s", problem)
    return _fetch_into(here, spec, on_progress)


def list_assets() -> tuple[AssetState, ...]:
    """Return what is here of every asset, without looking into the files."""
    return tuple(_state(spec, verify=False) for spec in ASSETS.values())


def verify_assets(names: Sequence[str] = ()) -> tuple[AssetState, ...]:
    """Return what is here of the named assets, or of all, with the digest of each file checked.

    Raises:
        UnknownNameError: no asset has one of the names.
    """
    return tuple(_state(asset_spec(name), verify=True) for name in names or ASSETS)


def file_digest(path: Path, like: Digest) -> Digest:
    """Return the digest of a file by the algorithm of another digest.

    Raises:
        AssetError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error.strerror}") from error
    if like.algorithm == "sha256":
        return Digest("sha256", hashlib.sha256(content).hexdigest())
    header = b"blob %d\0" % len(content)
    return Digest("git-blob", hashlib.sha1(header + content, usedforsecurity=False).hexdigest())


def _problem(path: Path, spec: AssetSpec) -> str | None:
    """Say why `path` is not the asset, or return None if it is."""
    if not path.is_file():
        return f"there is no file {path}"
    found = file_digest(path, spec.digest)
    return None if found == spec.digest else f"{path} is damaged or another version: {_mismatch(found, spec.digest)}"


def _state(spec: AssetSpec, *, verify: bool) -> AssetState:
    path = _local_path(spec)
    if not path.is_file():
        return AssetState(spec, None, spec.size_bytes, None)
    verified = file_digest(path, spec.digest) == spec.digest if verify else None
    return AssetState(spec, path, path.stat().st_size, verified)


def _local_path(spec: AssetSpec) -> Path:
    if spec.embedded:
        return Path(__file__).parents[1] / spec.embedded
    return cache_folder() / spec.file_name


def _mismatch(found: Digest, expected: Digest) -> str:
    return f"its digest is {found}, expected {expected}"


def _remedy(spec: AssetSpec) -> str:
    if spec.embedded:
        return "it comes with affectline: install affectline again"
    return f"run `affectline models pull {spec.name}` with a network"


def _fetch_into(target: Path, spec: AssetSpec, on_progress: ProgressHook) -> Path:
    """Try the sources in their order and move the first file with the right digest to `target`."""
    problems = []
    with _workplace(target.parent) as folder:
        for number, source in enumerate(spec.sources):
            place = folder / f"{number}-{target.name}"
            _log.info("fetching %s from %s", spec.name, source)
            try:
                bring(source, place, on_progress)
                found = file_digest(place, spec.digest)
            except AssetError as error:
                problems.append(str(error))
                continue
            if found == spec.digest:
                return _move(place, target, spec)
            problems.append(f"{source}: {_mismatch(found, spec.digest)}")
    raise AssetError(
        f"could not fetch {spec.name}: {'; '.join(problems)}. Check the network and run "
        f"`affectline models pull {spec.name}`, or put the file there yourself: {target} (see {spec.source_page})"
    )


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """Give a folder inside the cache, so that moving a file out of it is atomic, and remove it afterwards."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache)
    except OSError as error:
        raise AssetError(
            f"cannot write to the cache folder {cache}: {error.strerror}; set AFFECTLINE_HOME to a folder that can be"
        ) from error
    with folder as path:
        yield Path(path)


def _move(place: Path, target: Path, spec: AssetSpec) -> Path:
    try:
        place.replace(target)
    except OSError as error:
        # Windows refuses to replace a file that another process has open; if that file is whole, all is well.
        if not (target.is_file() and file_digest(target, spec.digest) == spec.digest):
            raise AssetError(f"cannot move {spec.name} to {target}: {error.strerror}") from error
    return target
