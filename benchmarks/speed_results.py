"""What `speed.py` measured, kept in one JSON file so that a run can be broken off and taken up again."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from affectline.atomic_file import complete_file


@dataclass(frozen=True)
class Run:
    """One process: which program, on which video, in which round, and what it said.

    Attributes:
        program: a key of `PROGRAMS`.
        video: a key of `VIDEOS`; empty for a network alone.
        round_number: from 1.
        figures: as the program printed them; empty where it failed or has not run.
        error: why it failed.
        other_cores: how many cores were busy with other work meanwhile (`machine.OtherWork`).
        began: seconds since 1970.
    """

    program: str
    video: str
    round_number: int
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    other_cores: float = 0.0
    began: float = 0.0

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from other runs."""
        return self.program, self.video, self.round_number

    @property
    def summary(self) -> str:
        """What came of it, in one line."""
        rate = self.figures.get("frames_per_s") or self.figures.get("faces_per_s") or 0
        return f"{self.program} {self.video} round {self.round_number}: " + (self.error or f"{rate:.1f} a second")

    def done(self, figures: Mapping[str, Any], other_cores: float, began: float) -> Run:
        """Return it with what was measured."""
        return replace(self, figures=figures, other_cores=other_cores, began=began)

    def failed(self, reason: str) -> Run:
        """Return it with the reason why nothing was measured."""
        return replace(self, error=reason)


class Results:
    """All runs of one machine."""

    def __init__(self, path: Path, machine: Mapping[str, str], times: int, runs: list[Run]) -> None:
        self._path = path
        self.machine = machine
        self.times = times
        self._runs = {run.key: run for run in runs}

    @classmethod
    def open(cls, path: Path, machine: Mapping[str, str], times: int) -> Results:
        """Return what the file holds, or nothing where there is none.

        Raises:
            SystemExit: the file is of another machine, or of clips of another length.
        """
        if not path.exists():
            return cls(path, machine, times, [])
        results = cls.read(path)
        if results.machine != machine or results.times != times:
            raise SystemExit(f"{path} was measured on another machine, or with another --times; give another --out")
        return results

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what the file holds."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, stored["machine"], stored["times"], [Run(**run) for run in stored["runs"]])

    @property
    def latest(self) -> list[Run]:
        """Every run, as it came out last."""
        return list(self._runs.values())

    def has(self, run: Run) -> bool:
        """Return whether it was measured, and did not fail."""
        return run.key in self._runs and not self._runs[run.key].error

    def add(self, run: Run) -> None:
        """Keep a run, in the file too."""
        self._runs[run.key] = run
        content = {"machine": self.machine, "times": self.times, "runs": [asdict(run) for run in self._runs.values()]}
        with complete_file(self._path) as file:
            file.write(json.dumps(content, indent=1).encode())

    def median(self, program: str, video: str) -> dict[str, float]:
        """Return the median of each figure over the rounds; empty where nothing was measured."""
        found = [run.figures for run in self._of(program, video) if run.figures]
        # Who was stopped in one round only says so in that one.
        numbers = [{name for name, value in figures.items() if isinstance(value, int | float)} for figures in found]
        names = set.intersection(*numbers) if numbers else set()
        return {name: statistics.median(figures[name] for figures in found) for name in names}

    def rounds(self, program: str, video: str) -> int:
        """Return how many rounds the median is of."""
        return sum(bool(run.figures) for run in self._of(program, video))

    def versions(self) -> dict[str, str]:
        """Return the versions of all that was measured."""
        runs = self._runs.values()
        return {name: version for run in runs for name, version in run.figures.get("versions", {}).items()}

    def _of(self, program: str, video: str) -> list[Run]:
        return [run for run in self._runs.values() if (run.program, run.video) == (program, video)]
