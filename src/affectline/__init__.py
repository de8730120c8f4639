"""affectline: from a video to a timeline of affect."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affectline.analysis import Analyzer, analyze
    from affectline.errors import AffectlineError
    from affectline.options import AnalyzeOptions
    from affectline.postprocess.smoothing import Smoothing
    from affectline.records import Frame
    from affectline.timeline import Timeline
    from affectline.video import Sampling, probe, read_frames

__version__ = "0.1.0"

__all__ = [
    "AffectlineError",
    "AnalyzeOptions",
    "Analyzer",
    "Frame",
    "Sampling",
    "Smoothing",
    "Timeline",
    "__version__",
    "analyze",
    "probe",
    "read_frames",
]

_HOME = {
    "AffectlineError": "affectline.errors",
    "AnalyzeOptions": "affectline.options",
    "Analyzer": "affectline.analysis",
    "Frame": "affectline.records",
    "Sampling": "affectline.video",
    "Smoothing": "affectline.postprocess.smoothing",
    "Timeline": "affectline.timeline",
    "analyze": "affectline.analysis",
    "probe": "affectline.video",
    "read_frames": "affectline.video",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'affectline' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
