from __future__ import annotations

import numpy as np
import pytest

from affectline.errors import InputError
from affectline.records import Frame
from affectline.stride import Stride, mark_last

STRETCH = 48
PIXEL = np.zeros((1, 1, 3), np.uint8)


def frame(index: int, time_s: float | None, *, is_corrupt: bool = False) -> Frame:
    return Frame(index, time_s, PIXEL, is_corrupt)


def seen(stride_s: float | None, times_s: list[float], corrupt: frozenset[int] = frozenset()) -> list[int]:
    stride = Stride(stride_s)
    return [
        number
        for number, time_s in enumerate(times_s)
        if stride.takes(frame(number, time_s, is_corrupt=number in corrupt), begins_stretch=number % STRETCH == 0)
    ]


def constant_rate(fps: float, number: int, start_s: float = 0.0) -> list[float]:
    return [round(start_s + index / fps, 6) for index in range(number)]


def test_without_a_stride_every_frame_is_seen() -> None:
    assert seen(None, constant_rate(25, 7), frozenset({3})) == [0, 1, 2, 3, 4, 5, 6]


def test_a_fifth_of_a_second_is_every_fifth_frame_and_each_stretch_begins_anew() -> None:
    assert seen(0.2, constant_rate(25, 60)) == [*range(0, 48, 5), 48, 53, 58]


def test_rounded_times_do_not_shift_the_grid() -> None:
    assert seen(0.1, constant_rate(30, 13, start_s=1 / 3)) == [0, 3, 6, 9, 12]


def test_a_stride_below_the_frame_interval_sees_every_frame() -> None:
    assert seen(0.001, constant_rate(25, 5)) == [0, 1, 2, 3, 4]


def test_time_counts_where_the_rate_varies() -> None:
    assert seen(0.5, [0.0, 0.1, 0.49, 0.6, 0.7, 1.9, 2.0, 2.4, 2.5]) == [0, 3, 5, 6, 8]


def test_a_corrupt_frame_is_passed_over_for_the_one_behind_it() -> None:
    assert seen(0.2, constant_rate(25, 12), frozenset({0, 5, 6})) == [1, 7, 10]


def test_where_an_analysis_begins_does_not_matter_at_a_stretch() -> None:
    times_s = constant_rate(24000 / 1001, 3 * STRETCH)
    whole = seen(0.3, times_s)
    assert [STRETCH + number for number in seen(0.3, times_s[STRETCH:])] == [
        number for number in whole if number >= STRETCH
    ]


def test_independent_images_have_nothing_between_them() -> None:
    with pytest.raises(InputError, match="independent images have no times"):
        Stride(0.2).takes(frame(0, None), begins_stretch=True)


def test_the_last_frame_is_known_as_such() -> None:
    frames = [frame(number, number / 25) for number in range(3)]
    assert [(one.index, is_last) for one, is_last in mark_last(frames)] == [(0, False), (1, False), (2, True)]
    assert list(mark_last([])) == []
