"""One task for each input on the machines of a Ray cluster; what a lost worker was doing is given to another."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from affectline import __version__
from affectline.errors import AffectlineError, InputError, MissingExtraError, OutputError

INSTALL: Final = "pip install 'affectline[ray]'"

LEAST_IN_FLIGHT: Final = 8
"""Tasks that wait or run at once on a small cluster; on a large one, two for each slot. A million would choke the
driver."""

LIMIT_FOR_S: Final = 10.0
"""So long the number of tasks that are given to the cluster holds; then its machines are counted again."""

STOP_WITHIN_S: Final = 5.0
"""A task that is told to stop has so long before its worker is ended."""

_LOGGER = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What one task gets of the cluster.

    Attributes:
        cpus: cores; networks get as many threads.
        gpus: GPUs, 1 where the networks run on one.
        retries: how often an input is begun again whose worker or machine was lost.

    Raises:
        InputError: a number is too small.
    """

    cpus: int = 1
    gpus: int = 0
    retries: int = 3

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0 or self.retries < 0:
            raise InputError(
                f"a task needs at least 1 core and no less than 0 GPUs and retries, got {self.cpus}, {self.gpus} and "
                f"{self.retries}"
            )


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """What came of one task.

    Attributes:
        number: position of its item.
        result: what the function gave; None where the worker was lost more often than it may be.
        losses: how often its worker was lost.
    """

    number: int
    result: Result | None
    losses: int


def run_tasks(
    function: Callable[[Item, bool], Result], items: Sequence[Item], options: ClusterOptions
) -> Generator[Done[Result], None, None]:
    """Run a function on each item in the workers of a Ray cluster and give the results as they come.

    The cluster is the one that `RAY_ADDRESS` or `ray.init` names, else the one that `ray start` began on this machine,
    else all cores of this machine, for as long as it lasts. Where the caller stops, running tasks are stopped.

    Args:
        function: gets an item, and whether an earlier worker was lost with it; workers must have affectline, too.
        items: what Ray can send.
        options: what a task gets.

    Raises:
        MissingExtraError: Ray is not installed.
        AffectlineError: what the function raises; the other tasks are stopped.
    """
    with _connected() as ray:
        remote = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(_run_task)
        shared = ray.put(function)  # sent once, not with every task

        def submit(item: Item, is_retry: bool) -> object:
            return remote.remote(shared, __version__, item, is_retry)

        yield from _Tasks(ray, submit, items, options.retries, _InFlight(ray, options)).run()


def _run_task(function: Callable[[Item, bool], Result], version: str, item: Item, is_retry: bool) -> Result:
    """Run the function, but not beside another affectline: results of two versions must not mix."""
    if version != __version__:
        raise InputError(
            f"{socket.gethostname()} has affectline {__version__}, the machine that began the work {version}; install "
            "the same version everywhere"
        )
    return function(item, is_retry)


class _Tasks(Generic[Item, Result]):
    def __init__(
        self,
        ray: Any,  # noqa: ANN401 - Ray is an extra
        submit: Callable[[Item, bool], object],
        items: Sequence[Item],
        retries: int,
        limit: Callable[[], int],
    ) -> None:
        self._ray = ray
        self._start = submit
        self._items = items
        self._retries = retries
        self._limit_of = limit
        self._limit, self._limit_s = 0, -LIMIT_FOR_S
        self._waiting = deque((number, 0) for number in range(len(items)))
        self._running: dict[object, tuple[int, int]] = {}

    def run(self) -> Iterator[Done[Result]]:
        try:
            while self._waiting or self._running:
                self._submit()
                (ready,), _ = self._ray.wait(list(self._running), num_returns=1)
                done = self._collect(ready)
                if done is not None:
                    yield done
        finally:
            self._stop()

    def _stop(self) -> None:
        """Stop what runs, but let it put away its temporary files first."""
        running = list(self._running)
        if running:
            self._cancel(running, force=False)
            _, running = self._ray.wait(running, num_returns=len(running), timeout=STOP_WITHIN_S)
            # Not those that have ended: Ray (2.60) ends this process where their answer comes behind the cancellation.
            self._cancel(running, force=True)

    def _cancel(self, running: Sequence[object], *, force: bool) -> None:
        for reference in running:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=force)

    def _submit(self) -> None:
        # Machines may join.
        if time.monotonic() - self._limit_s >= LIMIT_FOR_S:
            self._limit, self._limit_s = self._limit_of(), time.monotonic()
        while self._waiting and len(self._running) < self._limit:
            number, losses = self._waiting.popleft()
            self._running[self._start(self._items[number], losses > 0)] = number, losses

    def _collect(self, reference: object) -> Done[Result] | None:
        number, losses = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            return Done(number, self._ray.get(reference), losses)
        except errors.RayTaskError as error:
            # Ray's own puts the worker's whole trace into the message.
            raise error.cause if isinstance(error.cause, AffectlineError) else error from None
        except errors.RayError as error:
            _LOGGER.warning("a worker was lost (%s); attempt %d of %d", error, losses + 1, self._retries + 1)
        if losses == self._retries:
            return Done(number, None, losses + 1)
        self._waiting.appendleft((number, losses + 1))
        return None


class _InFlight:
    """How many tasks are given to the cluster as it is now."""

    def __init__(self, ray: Any, options: ClusterOptions) -> None:  # noqa: ANN401 - Ray is an extra
        self._ray = ray
        self._cpus = options.cpus
        self._has_warned = False

    def __call__(self) -> int:
        largest = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]), default=0)
        if largest < self._cpus and not self._has_warned:
            _LOGGER.warning(
                "a task asks for %d cores, but no machine of the cluster has more than %d: waiting for one that does",
                self._cpus,
                largest,
            )
            self._has_warned = True
        slots = self._ray.cluster_resources().get("CPU", 0) // self._cpus
        return max(LEAST_IN_FLIGHT, 2 * int(slots))


@contextmanager
def _connected() -> Iterator[Any]:
    """Connect to a cluster, or begin one for as long as the block lasts."""
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(f"--engine ray needs Ray: run `{INSTALL}` ({error})") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"cannot connect to a Ray cluster: {error}; check RAY_ADDRESS, and RAY_AUTH_TOKEN if the cluster wants it"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def shared_folder(folder: Path) -> Iterator[Callable[[], None]]:
    """Give a check for workers: it raises OutputError on a machine where a path leads to another folder than here.

    Args:
        folder: exists.
    """
    mark = folder.absolute() / f".shared-{secrets.token_hex(8)}"
    mark.touch()
    try:
        yield _SharedFolder(mark)
    finally:
        mark.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _SharedFolder:
    mark: Path

    def __call__(self) -> None:
        if not self.mark.exists():
            raise OutputError(
                f"{self.mark.parent} on {socket.gethostname()} is not the folder that the work was begun with; with "
                "--engine ray, --output must be one that all machines see under the same path (docs/scale.md)"
            )
