"""Mending a finished result: two tracks that are one face become one in every file of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from affectline.job_index import record_counts, recorded_input
from affectline.jobs import (
    LANDMARKS_NAME,
    VIDEO_NAME,
    Reporter,
    draw_picture,
    draw_report,
    draw_video,
    table_formats,
)
from affectline.landmark_file import rename_track
from affectline.report.page import REPORT_NAME, check_video, require_extra
from affectline.result_files import read_result
from affectline.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of merging two tracks.

    Attributes:
        timeline: the new one.
        stale: names of files that still show two tracks, since the video that they are made from is not there.
    """

    timeline: Timeline
    stale: tuple[str, ...]


def merge_tracks(folder: Path, keep: int, other: int, reporter: Reporter, video: Path | None = None) -> Merged:
    """Make two tracks one in all files of an analysed input's folder.

    Args:
        folder: of one analysed input.
        keep: the track that stays.
        other: the track that becomes part of it.
        reporter: told how many frames of the report's preview and of the annotated video are done.
        video: what was analysed; if it is left out, the file that the index.csv beside the folder names is taken, as
            long as it is what it was.

    Raises:
        InputFileError: the folder has no table to start from, or the video cannot be read.
        UnknownNameError: there is no such track.
        InputError: both tracks were observed in one frame, or the video is shorter than the result.
        MissingExtraError: there is a report, and what it is made with is not installed.
        OutputError: a file cannot be written.
    """
    before = Timeline(*read_result(folder))
    merged = before.merge_tracks(keep, other)
    if video is None:
        video = _known_source(folder, before)
    else:
        check_video(video, before.table, before.provenance.size_bytes)
    if video is not None and (folder / REPORT_NAME).is_file():
        require_extra()
    merged.write(folder, table_formats(folder))
    if (folder / LANDMARKS_NAME).is_file():
        rename_track(folder / LANDMARKS_NAME, other, keep)
    draw_picture(merged, folder)
    record_counts(folder, rows=len(merged), tracks=len(merged.track_ids))
    pictures = [name for name in (REPORT_NAME, VIDEO_NAME) if (folder / name).is_file()]
    if video is None:
        return Merged(merged, tuple(pictures))
    if REPORT_NAME in pictures:
        draw_report(folder, video, reporter)
    if VIDEO_NAME in pictures:
        draw_video(merged, folder, video, reporter)
    return Merged(merged, ())


def _known_source(folder: Path, timeline: Timeline) -> Path | None:
    """Return what was analysed, if index.csv names it and it is still there as it was."""
    place = recorded_input(folder)
    path = None if place is None else Path(place)
    if path is None or not path.exists():
        return None
    is_same = path.is_dir() or path.stat().st_size == timeline.provenance.size_bytes
    return path if is_same else None
