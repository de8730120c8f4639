from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectline.errors import InputError
from affectline.postprocess.gaps import TIME_TOLERANCE_S
from affectline.postprocess.smoothing import (
    Smoothing,
    SmoothingChoice,
    box_filter,
    causal_filter,
    gaussian_filter,
    lay_apart,
)


def naive(times_s, values, radius_s, interval_s, looks_ahead):
    """Average by the definition, one row after the other."""
    result = np.full(values.shape, np.nan)
    for i, column in np.ndindex(values.shape):
        window = [
            values[j, column]
            for j in range(len(times_s))
            if abs(times_s[j] - times_s[i]) <= radius_s + interval_s / 2 + TIME_TOLERANCE_S
            and (looks_ahead or j <= i)
            and not np.isnan(values[j, column])
        ]
        if not np.isnan(values[i, column]):
            result[i, column] = np.mean(window)
    return result


@pytest.mark.parametrize("fps", [25, 30, 60, 24000 / 1001, 12.5])
def test_the_window_holds_the_frames_within_the_radius_and_half_an_interval(fps):
    times_s = np.round(np.arange(200) / fps, 6)
    impulse = np.zeros((200, 1))
    impulse[100] = 1
    spread = box_filter(times_s, impulse, 0.1, 1 / fps)[:, 0]
    k = int(0.1 * fps + 0.5 + 1e-9)
    assert np.flatnonzero(spread).tolist() == list(range(100 - k, 100 + k + 1))
    assert spread[100] == pytest.approx(1 / (2 * k + 1))


def test_a_radius_of_k_frames_averages_2k_plus_1():
    values = np.arange(9.0)[:, None] ** 2
    smoothed = box_filter(np.arange(9) / 30, values, 2 / 30, 1 / 30)[:, 0]
    assert smoothed[4] == pytest.approx((4 + 9 + 16 + 25 + 36) / 5)
    assert smoothed[0] == pytest.approx((0 + 1 + 4) / 3)


def test_the_causal_window_looks_back_only():
    values = np.arange(9.0)[:, None] ** 2
    smoothed = causal_filter(np.arange(9) / 30, values, 2 / 30, 1 / 30)[:, 0]
    assert smoothed[[0, 1, 4]] == pytest.approx([0, 0.5, (4 + 9 + 16) / 3])


@pytest.mark.parametrize("means", [box_filter, causal_filter])
def test_a_radius_of_0_changes_nothing_however_close_the_frames_are(means):
    values = np.array([[1.0], [2.0], [5.0]])
    assert means(np.array([0, 0.001, 0.1]), values, 0.0, 0.05).tolist() == values.tolist()


@pytest.mark.parametrize("means", [box_filter, causal_filter])
def test_nan_is_left_out_and_stays(means):
    smoothed = means(np.arange(3) / 10, np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 4.0]]), 0.2, 0.1)
    assert np.isnan(smoothed).tolist() == [[False, True], [True, True], [False, False]]
    assert smoothed[2].tolist() == [2, 4]


@pytest.mark.parametrize("means", [box_filter, causal_filter])
def test_no_rows_give_no_rows(means):
    assert means(np.empty(0), np.empty((0, 3)), 0.5, 0.04).shape == (0, 3)


@given(st.data(), st.booleans(), st.integers(0, 60), st.integers(0, 20))
def test_filters_agree_with_the_definition(data, looks_ahead, radius_ms, interval_ms):
    steps_ms = data.draw(st.lists(st.integers(0, 40), max_size=40))
    times_s = np.cumsum(steps_ms) / 1000
    elements = st.floats(-1, 1) | st.just(np.nan)
    values = data.draw(arrays(float, (len(steps_ms), 2), elements=elements))
    means = box_filter if looks_ahead else causal_filter
    expected = naive(times_s, values, radius_ms / 1000, interval_ms / 1000, looks_ahead) if radius_ms else values
    np.testing.assert_allclose(means(times_s, values, radius_ms / 1000, interval_ms / 1000), expected, atol=1e-9)


def test_running_sums_stay_exact_over_hours():
    n = 200_000
    times_s = np.arange(n) / 30
    values = np.random.default_rng(5).uniform(0.4, 1, (n, 1))
    smoothed = box_filter(times_s, values, 25 / 30, 1 / 30)[:, 0]
    for i in (n // 2, n - 30):
        assert smoothed[i] == pytest.approx(values[i - 25 : i + 26].mean(), abs=1e-9)


def test_stretches_laid_apart_do_not_see_each_other():
    times_s = np.array([0.0, 0.1, 0.05, 0.15])
    apart = lay_apart(times_s, np.array([0, 0, 1, 1]), 5.0)
    assert apart == pytest.approx([0, 0.1, 5.1, 5.2])
    assert lay_apart(np.empty(0), np.empty(0, np.intp), 5.0).shape == (0,)


class TestSmoothing:
    def test_defaults_are_the_radii_of_the_paper_at_30_fps(self):
        smoothing = Smoothing()
        assert [smoothing.va_s * 30, smoothing.expr_s * 30, smoothing.au_s * 30] == pytest.approx([25, 50, 3])
        assert smoothing.longest_s == pytest.approx(50 / 30)

    def test_the_mode_is_known(self):
        with pytest.raises(InputError, match="no smoothing mode 'both'; known modes: centred, gaussian, causal"):
            Smoothing(mode="both")


class TestSmoothingChoice:
    def test_parse_reads_radii_and_leaves_the_rest_open(self):
        assert SmoothingChoice.parse("va=0.83, expr=1.67,au=0.10") == SmoothingChoice(0.83, 1.67, 0.10)
        assert SmoothingChoice.parse("au=0") == SmoothingChoice(au_s=0.0)
        assert SmoothingChoice.parse(" off ", "causal") == SmoothingChoice(0, 0, 0, "causal")

    def test_what_is_open_comes_from_the_base(self):
        base = Smoothing(1.0, 2.0, 3.0, "gaussian")
        assert SmoothingChoice().over(base) == base
        assert SmoothingChoice(expr_s=0.5, mode="causal").over(base) == Smoothing(1.0, 0.5, 3.0, "causal")

    @pytest.mark.parametrize("text", ["", "va", "va=", "va=fast", "mouth=1", "va=1,va=2", "va=1;au=2", "on"])
    def test_parse_says_how_to_write_it(self, text):
        with pytest.raises(InputError, match=r"not understood; write `off`, or radii .* va=0\.83,expr=1\.67,au=0\.10"):
            SmoothingChoice.parse(text)

    @pytest.mark.parametrize("text", ["va=-1", "va=nan", "va=inf"])
    def test_a_radius_is_a_finite_number_from_0_up(self, text):
        with pytest.raises(InputError, match=r"radius va=.* is not a number of seconds from 0 up"):
            SmoothingChoice.parse(text)


class TestGaussianFilter:
    def test_is_the_weighted_mean_of_the_window(self):
        times = np.array([0.0, 0.1, 0.25, 0.3, 0.9])
        values = np.array([[1.0], [2.0], [np.nan], [4.0], [8.0]])
        radius, interval = 0.2, 0.1
        expected = []
        for i, t in enumerate(times):
            near = [j for j, u in enumerate(times) if abs(u - t) <= radius + interval / 2 + 1e-5 and j != 2]
            weights = [np.exp(-0.5 * ((times[j] - t) / (radius / 2)) ** 2) for j in near]
            expected.append(np.nan if i == 2 else np.average([values[j, 0] for j in near], weights=weights))
        np.testing.assert_allclose(gaussian_filter(times, values, radius, interval)[:, 0], expected, rtol=1e-12)

    def test_one_row_and_none_stay_as_they_are(self):
        assert gaussian_filter(np.array([3.0]), np.array([[5.0]]), 1.0, 0.1).tolist() == [[5.0]]
        assert gaussian_filter(np.empty(0), np.empty((0, 2)), 1.0, 0.1).shape == (0, 2)
