"""A stage in a thread gives the same items, hands on errors and stops when nobody listens any more."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectline.pipeline import NICE, held, in_background, permit_for, side_by_side


@given(items=st.lists(st.integers()), depth=st.integers(1, 5))
def test_gives_the_items_in_order(items: list[int], depth: int) -> None:
    with in_background(items, depth) as given_items:
        assert list(given_items) == items


def test_stages_chain() -> None:
    with in_background(range(100), 2) as first, in_background((item * 2 for item in first), 3) as second:
        assert list(second) == list(range(0, 200, 2))


def broken() -> Iterator[int]:
    yield 1
    yield 2
    raise ValueError("the third item is broken")


def test_an_error_comes_behind_the_items_before_it() -> None:
    with in_background(broken(), 8) as items:
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(ValueError, match="third item"):
            next(items)


def test_leaving_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    before = threading.active_count()
    with in_background(endless(), 2) as items:
        assert next(items) == 0
    assert closed.is_set()
    assert threading.active_count() == before


def test_no_more_than_depth_items_wait() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with in_background(source(), 3) as items:
        next(items)
        threading.Event().wait(0.2)
        # One was taken, three wait in the queue, one is in the hand of the thread.
        assert len(made) <= 5


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux does a thread have a priority of its own")
@pytest.mark.parametrize(("gives_way", "nicer"), [(True, NICE), (False, 0)])
def test_work_gives_way_to_the_stages(gives_way: bool, nicer: int) -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with side_by_side(2, permit_for(2), gives_way=gives_way) as submit:
        niceness = submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert niceness == min(before + nicer, 19)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux does a thread have a priority of its own")
def test_work_is_done_where_priorities_must_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    with side_by_side(1, permit_for(1)) as submit:
        assert submit(lambda: 3).result() == 3


def test_work_of_several_cores_holds_the_permit_for_each() -> None:
    permit = threading.BoundedSemaphore(3)
    with held(permit, 2):
        assert permit.acquire(blocking=False)
        assert not permit.acquire(blocking=False)
        permit.release()
    with held(permit, 3):
        assert not permit.acquire(blocking=False)
