"""The end of the service: what would wait for a client ends at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from affectline.service.problems import ProblemError

Result = TypeVar("Result")


class Stopping:
    """Cuts short what may take long when the service stops: the server itself would wait for it."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Cut short what goes on, and what begins from now on."""
        self._begun.set()

    async def cuts(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what some work comes to, if it is done before the service stops.

        Raises:
            ProblemError: the service stops; the work was cancelled and has cleaned up.
        """
        task = asyncio.create_task(work)
        begun = asyncio.create_task(self._begun.wait())
        try:
            await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
            task.cancel()  # does nothing to what is done
            await asyncio.wait({task, begun})
        if task.cancelled():
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "stopping", "The service stops; try again when it runs again."
            )
        return task.result()
