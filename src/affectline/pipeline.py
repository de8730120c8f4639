"""Running one stage of a chain of iterators in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")


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
