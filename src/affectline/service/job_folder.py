"""Where the files of one job lie: fixed names, so that nothing a client says becomes part of a path."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLE_FORMATS: Final = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
}
"""The formats of a timeline, with their media types."""


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The files of one job.

    Attributes:
        path: the folder; its name is the job's id, which the service made.
    """

    path: Path

    @property
    def upload(self) -> Path:
        """What the client sent; removed when the analysis has ended."""
        return self.path / "upload"

    @property
    def results(self) -> Path:
        """The output folder of `run_jobs`."""
        return self.path / "results"

    @property
    def result(self) -> Path:
        """The result folder of the upload in it."""
        return self.results / self.upload.stem

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.result / "report.html"

    @property
    def report_video(self) -> Path:
        """The video beside the report, if it was too large to be in it."""
        return self.result / "report_video.mp4"

    @property
    def is_named(self) -> Path:
        """Is there when the tables carry the client's name: what is left is the report."""
        return self.path / "named"

    @property
    def lock(self) -> Path:
        """Held by the worker."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """What children say on stderr."""
        return self.path / "log.txt"

    def timeline(self, suffix: str) -> Path:
        """Return the table in one of `TABLE_FORMATS`."""
        return self.result / f"timeline.{suffix}"

    def make(self) -> None:
        """Make the folder, for the owner only."""
        self.path.mkdir(mode=0o700, parents=True)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
