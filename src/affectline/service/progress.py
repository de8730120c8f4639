"""How far a job is, and how long the rest may take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from affectline.json_records import JsonValue, read_record


@dataclass(frozen=True, slots=True)
class Step:
    """What a worker tells: a stage, and how many frames of it are done."""

    stage: str
    done: int
    total: int | None


@dataclass(eq=False, slots=True)
class Progress:
    """How far a running job is.

    Attributes:
        step: what the worker said last.
    """

    step: Step = field(default_factory=lambda: Step("networks", 0, None))
    _since_s: float = field(default_factory=time.monotonic)
    _from: int = 0

    def tell(self, step: JsonValue) -> None:
        """Take what a worker says.

        Raises:
            InputError: it is no such record.
        """
        told = read_record(Step, step, "the progress of a worker")
        if told.stage != self.step.stage:
            # A job that was resumed begins behind the frames that an earlier run did.
            self._since_s, self._from = time.monotonic(), told.done
        self.step = told

    def rest_s(self, total: int | None) -> float | None:
        """Return how many seconds the rest of the stage may take; None where nobody knows.

        Args:
            total: how many frames there are, if it is known.
        """
        done = self.step.done - self._from
        if not total or done <= 0:
            return None
        return (time.monotonic() - self._since_s) / done * max(total - self.step.done, 0)
