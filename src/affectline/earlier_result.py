"""The result that an earlier run left in a folder: does it stand for the input as it is now?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from affectline.errors import AffectlineError
from affectline.images import image_files
from affectline.provenance import Provenance
from affectline.result_files import read_result
from affectline.timeline import Timeline
from affectline.video import FrameSource

_OUTCOME: Final = (
    *("created", "duration_s", "container_frames", "decoded_frames", "is_complete", "problem"),
    "asked_faces",
)
"""What is known only when an analysis has ended."""

SUMMARY_NAME: Final = "summary.json"


def earlier_timeline(folder: Path, names: Iterable[str], wanted: Provenance) -> Timeline | None:
    """Return the timeline of an earlier run with the same settings, if all its files are there.

    Args:
        folder: of the result.
        names: of the files that must be there.
        wanted: what a run now would say, but for its outcome.
    """
    if not all((folder / name).is_file() for name in (*names, SUMMARY_NAME)):
        return None
    try:
        timeline = Timeline(*read_result(folder))
    except AffectlineError:
        return None
    there = timeline.provenance
    return timeline if there == replace(wanted, **{name: getattr(there, name) for name in _OUTCOME}) else None


def shows_these_pictures(folder: Path, there: Timeline, source: FrameSource) -> bool:
    """Return whether no picture came, went or was changed since a result was made; of a video, its size says so.

    Args:
        folder: of the result.
        there: the result.
        source: the input as it is now.
    """
    pictures, names = source.info.path, source.names
    if source.info.kind == "video":
        return True
    if there.provenance.container_frames != source.info.frame_count:
        return False
    if names is not None and set(there.column("source").tolist()) != set(names):
        return False
    if not pictures.is_dir():
        return True
    made_ns = (folder / SUMMARY_NAME).stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= made_ns for path in (pictures, *image_files(pictures)))
