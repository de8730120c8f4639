"""Running the stages of a chain of iterators side by side, in threads."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from threading import BoundedSemaphore
from typing import Any, Final, Generic, TypeVar

import cv2

from affectline.runtime import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Permit = AbstractContextManager[Any]
"""Held while a stage works, and not while it waits for others: a semaphore lets so many stages work at once."""


MAX_QUEUED_BYTES: Final = 64 * 2**20
"""Pictures that may wait between two stages; bounds memory on 8K video."""


def permit_for(cores: int) -> Permit:
    """Return the permit of stages that may use so many cores together."""
    return nullcontext() if cores >= usable_cores() else BoundedSemaphore(cores)


def queue_length(frame_bytes: int) -> int:
    """Return how many frames may wait between two stages; of pictures whose size is not known (0) one."""
    return min(max(MAX_QUEUED_BYTES // frame_bytes, 1), 16) if frame_bytes else 1


@contextmanager
def held(permit: Permit, cores: int) -> Iterator[None]:
    """Hold the permit for work that uses several cores at once."""
    with ExitStack() as stack:
        for _ in range(cores):
            stack.enter_context(permit)
        yield


class _End:
    """Travels through the queue behind the last item, with the error that ended the stage, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


_POLL_S: Final = 0.1


class _Stage(Generic[Item]):
    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="affectline-stage", daemon=True)
        self._thread.start()

    def _put(self, item: Item | _End) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _fill(self) -> None:
        error: BaseException | None = None
        iterator = iter(self._items)
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as caught:  # noqa: BLE001 - handed to the consumer, which raises it
            error = caught
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
        self._put(_End(error))

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def in_background(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item]]:
    """Give the items in order while a thread works up to `depth` of them ahead.

    An error raised by `items` is raised where the items are consumed, behind the items that came before it. On leaving
    the block the thread is stopped and joined, and a generator that was being read is closed.

    Args:
        items: read in the thread; nobody else may read it meanwhile.
        depth: how many items may wait, at least 1.
    """
    with closing(_Stage(items, depth)) as stage:
        yield iter(stage)


def drawn(items: Iterable[Item], permit: Permit) -> Iterator[Item]:
    """Give the items, making each under the permit; they must not wait for another stage."""
    iterator = iter(items)
    try:
        while True:
            with permit:
                item = next(iterator, _NONE)
            if isinstance(item, _End):
                return
            yield item
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


_NONE: Final = _End(None)


def applied(function: Callable[[Item], Result], items: Iterable[Item], permit: Permit) -> Iterator[Result]:
    """Give the result of the function for each item, computed under the permit."""
    for item in items:
        with permit:
            result = function(item)
        yield result


Submit = Callable[[Callable[[], Result]], "Future[Result]"]
"""Has some work done, now or later, here or in another thread."""


def at_once(work: Callable[[], Result]) -> Future[Result]:
    """Do the work here and now."""
    done: Future[Result] = Future()
    done.set_result(work())
    return done


NICE: Final = 10
"""How much nicer threads are that take what others leave, in the units of nice(1)."""


@contextmanager
def side_by_side(workers: int, permit: Permit, cores: int = 1, *, gives_way: bool = True) -> Iterator[Submit[Any]]:
    """Give a function that has work done by some threads; it waits while one piece more than there are threads is open.

    On leaving the block work that was not begun is dropped, and the threads are joined.

    Args:
        workers: how many threads.
        permit: held by each while it works, for each of its cores.
        cores: how many one piece of work uses; all workers together must not use more than the permit has.
        gives_way: the threads leave their core to the stages wherever these have something to do (on Linux). Otherwise
            each would get as much of a core as a stage, the work would be done before there is more, and cores would
            wait: a sixth of the time on two. Not so where several threads share a piece of work, of which only one
            could give way and the others would wait for it, and not where a GPU would.
    """
    opened: deque[Future[Any]] = deque()

    def permitted(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
        with held(permit, cores):
            return work()

    with ThreadPoolExecutor(workers, "affectline-work", _become_nicer if gives_way else None) as executor:

        def submit(work: Callable[[], Any]) -> Future[Any]:
            while len(opened) > workers:
                # An error is for whoever asks for the result.
                opened.popleft().exception()
            opened.append(executor.submit(permitted, work))
            return opened[-1]

        try:
            yield submit
        finally:
            executor.shutdown(cancel_futures=True)


def _become_nicer() -> None:
    """Lower the priority of the calling thread; it ends as such, for only the privileged may raise one again."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of this kind
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it; the work is the same
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


class _OneOpenCvThread:
    """OpenCV's number of threads is one for the whole process: it is 1 while anybody wants it so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted_by = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._wanted_by == 0:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._wanted_by += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted_by -= 1
            if self._wanted_by == 0:
                cv2.setNumThreads(self._before)


ONE_OPENCV_THREAD: Final = _OneOpenCvThread()
"""A context in which OpenCV computes in the calling thread. Its pool, woken for pictures of a few hundred pixels, spins
while it waits for more, on cores that other stages need."""
