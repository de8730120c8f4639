"""Several trainings that make one head: a checkpoint for each, one progress for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from affectline.training.epochs import RunOptions, ignore_epochs


class Stages:
    """Run options for one stage after the other.

    Args:
        run: of the whole: where its last stage keeps its state, and whom it tells.
        total: frames of all epochs of all stages.
    """

    def __init__(self, run: RunOptions, total: int) -> None:
        self._run = run
        self._total = total
        self._before = 0
        self._kept: list[Path] = []

    def begin(self, frames: int) -> RunOptions:
        """Return the options of the next stage, which has a file of its own beside the last one's and tells no epochs.

        Args:
            frames: of all its epochs.
        """
        run, checkpoint = self._later(frames), self._run.checkpoint
        if checkpoint is not None:
            checkpoint = checkpoint.with_name(f"{checkpoint.name}.{len(self._kept) + 1}")
            self._kept.append(checkpoint)
        return replace(run, checkpoint=checkpoint, on_epoch=ignore_epochs)

    def last(self, frames: int) -> RunOptions:
        """Return the options of the last stage: the whole run's own."""
        return self._later(frames)

    def _later(self, frames: int) -> RunOptions:
        before, on_progress = self._before, self._run.on_progress
        self._before += frames

        def tell(done: int, _: int | None) -> None:
            on_progress(before + done, self._total)

        return replace(self._run, on_progress=tell)

    def forget(self) -> None:
        """Delete the state of all stages but the last one."""
        for path in self._kept:
            path.unlink(missing_ok=True)
