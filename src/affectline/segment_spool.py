"""Raw blocks of one segment of a video on disk, between the worker that made them and the process that links them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pyarrow as pa

from affectline.atomic_file import complete_file
from affectline.errors import InputError
from affectline.json_records import parse_object, read_record, to_json_object
from affectline.landmark_file import LandmarkWriter, landmark_entries
from affectline.part import PartWriter, opened_again, part_batches
from affectline.raw_blocks import RawBlock, Trail
from affectline.video import Segment, SegmentReport


@dataclass(frozen=True, slots=True)
class _Finished:
    """What says that a segment is whole."""

    settings: Mapping[str, str]
    segment: Segment
    report: SegmentReport


@dataclass(frozen=True, slots=True)
class SegmentSpool:
    """Where the blocks of one segment are kept: rows, landmarks if they are wanted, and at the end the report.

    Attributes:
        folder: for the segments of one input.
        segment: which part of the video.
        settings: everything that the rows depend on, as text by name.
        keeps_landmarks: landmarks are wanted.
    """

    folder: Path
    segment: Segment
    settings: Mapping[str, str]
    keeps_landmarks: bool

    def _path(self, suffix: str) -> Path:
        one = self.segment
        begin = "start" if one.from_s is None else f"{one.from_s:.3f}"
        begin = begin if one.after_frame is None else f"frame{one.after_frame}"
        return self.folder / f"{begin}-{'end' if one.to_s is None else f'{one.to_s:.3f}'}{suffix}"

    def write(self, blocks: Iterable[RawBlock], schema: pa.Schema) -> Iterator[RawBlock]:
        """Write the blocks and give each one when it is written; `finish` says that they are all.

        Raises:
            OutputError: a file cannot be written.
        """
        with ExitStack() as stack:
            rows = stack.enter_context(PartWriter(self._path(".arrow"), schema, self.settings))
            marks = LandmarkWriter(self._path(".landmarks.arrow")) if self.keeps_landmarks else None
            if marks is not None:
                stack.enter_context(marks)
            for block in blocks:
                rows.write(block.rows, block.trail.to_json())
                if marks is not None:
                    marks.write(block.landmarks)
                yield block
            if marks is not None:
                marks.finish()

    def finish(self, report: SegmentReport) -> None:
        """Say that the segment is whole."""
        with complete_file(self._path(".json")) as file:
            file.write(json.dumps(to_json_object(_Finished(self.settings, self.segment, report))).encode())

    def finished(self) -> SegmentReport | None:
        """Return what reading gave; None where nothing whole with the same settings is there."""
        try:
            text = self._path(".json").read_text(encoding="utf-8")
            found = read_record(_Finished, parse_object(text, "a segment"), "a segment")
        except (OSError, InputError):
            return None
        is_same = found.settings == self.settings and found.segment == self.segment
        has_files = self._path(".arrow").is_file()
        has_files = has_files and (not self.keeps_landmarks or self._path(".landmarks.arrow").is_file())
        return found.report if is_same and has_files else None

    def blocks(self) -> Iterator[RawBlock]:
        """Give the blocks.

        Raises:
            OutputError: a file is gone or damaged.
        """
        marks = self._landmark_batches() if self.keeps_landmarks else repeat(None)
        for (rows, trail), batch in zip(part_batches(self._path(".arrow")), marks):  # noqa: B905 - one is endless
            entries = () if batch is None else landmark_entries(batch)
            yield RawBlock(rows, Trail.from_json(trail), entries)

    def _landmark_batches(self) -> Iterator[pa.RecordBatch]:
        with opened_again(self._path(".landmarks.arrow")) as stream:
            yield from stream

    def remove(self) -> None:
        """Remove the files."""
        for suffix in (".json", ".arrow", ".landmarks.arrow"):
            self._path(suffix).unlink(missing_ok=True)
