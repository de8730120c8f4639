"""What the service is told when it starts: where it listens, where it keeps things, and what it lets in."""

from __future__ import annotations

import ipaddress
import math
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from affectline.errors import InputError
from affectline.faces.registry import DEFAULT_DETECTOR
from affectline.options import AnalyzeOptions
from affectline.postprocess.smoothing import Smoothing, SmoothingChoice
from affectline.runtime import Device, Precision

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
SHORTEST_TOKEN: Final = 16
MOST_FRAMES_PER_SECOND: Final = 120
"""A video with more frames a second than this, over its whole allowed length, is a bomb and no recording."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Limits:
    """How large what comes in may be, and what working on it may cost.

    Attributes:
        max_mb: megabytes (10^6 bytes) of one upload.
        max_minutes: length of a video.
        max_megapixels: 10^6 pixels of one picture.
        memory_mb: mebibytes of address space for each child process (POSIX only).
        job_minutes: time for one analysis; it is stopped then.
    """

    max_mb: float = 500.0
    max_minutes: float = 30.0
    max_megapixels: float = 16.8
    memory_mb: int = 4096
    job_minutes: float = 120.0

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_minutes", "max_megapixels", "memory_mb", "job_minutes"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a number above 0, got {value}")

    @property
    def max_bytes(self) -> int:
        """The size of one upload, in bytes."""
        return int(self.max_mb * 1e6)

    @property
    def max_seconds(self) -> float:
        """The length of a video, in seconds."""
        return 60 * self.max_minutes

    @property
    def max_pixels(self) -> int:
        """The size of one picture, in pixels."""
        return int(self.max_megapixels * 1e6)

    @property
    def max_frames(self) -> int:
        """How many frames a video may have."""
        return max(1, math.ceil(self.max_seconds * MOST_FRAMES_PER_SECOND))


@dataclass(frozen=True, slots=True)
class AnalysisChoice:
    """What every analysis of the service looks for; a record that can be written as JSON.

    Attributes:
        backbones: names or files; empty for what the heads need, else the default.
        heads: files.
        detector: name of the face detector.
        max_faces: follow the N largest faces only; None follows all.
        action_units: estimate action units of uploads; in live mode the viewer chooses.
        device: what runs the backbones, as in `AnalyzeOptions`.
        precision: what they compute with.
        threads: how many cores a backbone may use; None for all.
        offline: never use the network.

    Raises:
        InputError: no such device or precision, the one cannot compute in the other, or a number is below 1.
    """

    backbones: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    detector: str = DEFAULT_DETECTOR
    max_faces: int | None = None
    action_units: bool = True
    device: str = Device.CPU.value
    precision: str = Precision.FP32.value
    threads: int | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        self.options()  # refuses what does not go together when the service starts, not when the first video comes

    def options(self) -> AnalyzeOptions:
        """Return the options of an analysis of an upload."""
        return self._options(self.action_units, SmoothingChoice())

    def live_options(self, action_units: bool) -> AnalyzeOptions:
        """Return the options of live mode: smoothed over the past only."""
        return self._options(action_units, Smoothing(mode="causal"))

    def _options(self, action_units: bool, smoothing: Smoothing | SmoothingChoice) -> AnalyzeOptions:
        return AnalyzeOptions(
            backbone=self.backbones or None,
            heads=tuple(map(Path, self.heads)),
            detector=self.detector,
            max_faces=self.max_faces,
            action_units=action_units,
            smoothing=smoothing,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            offline=self.offline,
        )

    def memory_mb(self, limits: Limits) -> int | None:
        """Return the address space that the child of an analysis may have; None where a GPU runs the networks.

        Drivers of GPUs reserve many times what they use.
        """
        return None if Device(self.device).is_gpu else limits.memory_mb


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """All that the service is told when it starts.

    Attributes:
        folder: uploads, results and the list of analyses are kept here, and nowhere else.
        host: the address to listen on.
        port: 0 takes a free one.
        allowed_hosts: names, besides those of this machine's loopback, by which browsers may reach the service.
        token: what clients must show; None lets everybody in who can reach the address.
        workers: analyses at a time.
        queue: uploads that may wait for a worker; more are refused.
        limits: how large what comes in may be.
        keep_hours: results older than this are removed; 0 keeps them.
        live_sessions: cameras at a time.
        analysis: what every analysis looks for.

    Raises:
        InputError: a value is out of range, or the address can be reached from elsewhere and there is no token.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    workers: int = 1
    queue: int = 16
    limits: Limits = field(default_factory=Limits)
    keep_hours: float = 168.0
    live_sessions: int = 2
    analysis: AnalysisChoice = field(default_factory=AnalysisChoice)

    def __post_init__(self) -> None:
        for name in ("workers", "queue", "live_sessions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.port <= _LARGEST_PORT:
            raise InputError(f"port must lie from 0 to {_LARGEST_PORT}, got {self.port}")
        if not (math.isfinite(self.keep_hours) and self.keep_hours >= 0):
            raise InputError(f"keep_hours must be a number from 0 up, got {self.keep_hours}")
        _check_token(self.token)
        if self.token is None and not is_loopback(self.host):
            raise InputError(
                f"{self.host} can be reached from other machines, and there is no token: anybody there could see and "
                "upload videos; add --token-file FILE (or --token new, which makes one), or listen on 127.0.0.1"
            )

    def allows_host(self, name: str) -> bool:
        """Return whether a request may name this host, without a port and in lower case.

        A name that the service does not know may be an attacker's that was pointed at this address (DNS rebinding).
        Addresses cannot be pointed elsewhere: where the service listens on all of them, each is allowed.
        """
        if name in LOOPBACK_NAMES or name == self.host.lower() or name in self.allowed_hosts:
            return True
        return self.token is not None and self.is_on_all_addresses and _is_address(name)

    @property
    def is_on_all_addresses(self) -> bool:
        """Whether the service listens on every address of the machine, as with 0.0.0.0 or ::."""
        return _is_unspecified(self.host)

    def url(self, port: int) -> str:
        """Return where a browser on this machine finds the service, which listens on this port."""
        host = ("::1" if ":" in self.host else "127.0.0.1") if self.is_on_all_addresses else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def read_token(path: Path) -> str:
    """Return the token in the first line of a file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the token cannot be read ({error}); give a text file with the token") from error
    return lines[0].strip() if lines else ""


def _check_token(token: str | None) -> None:
    if token is None:
        return
    if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        raise InputError(
            f"a token needs at least {SHORTEST_TOKEN} characters, each a letter, a digit or one of . _ ~ - (got "
            f"{len(token)} characters); `--token new` makes one"
        )


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
