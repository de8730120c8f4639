"""Means over a window of time, in seconds, so that 60 fps, 25 fps and variable-rate video are smoothed alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectline.errors import InputError
from affectline.postprocess.gaps import TIME_TOLERANCE_S

SmoothingMode = Literal["centred", "gaussian", "causal"]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How far each kind of score is smoothed; a radius of 0 leaves it as it is.

    The defaults are the paper's box filters at 30 fps (VA 25 frames, EXPR 50, AU 3 to each side), in seconds.

    Attributes:
        va_s: radius for valence and arousal, seconds.
        expr_s: radius for the expression probabilities, seconds.
        au_s: radius for the action units, seconds.
        mode: `centred` is the mean of a window that looks as far ahead as back; `gaussian` weights the same window by a
            Gaussian with half the radius as its standard deviation; `causal` is the mean of the past only.
    """

    va_s: float = 25 / 30
    expr_s: float = 50 / 30
    au_s: float = 3 / 30
    mode: SmoothingMode = "centred"

    def __post_init__(self) -> None:
        for name, radius in (("va", self.va_s), ("expr", self.expr_s), ("au", self.au_s)):
            if not (math.isfinite(radius) and radius >= 0):
                raise InputError(f"the smoothing radius {name}={radius} is not a number of seconds from 0 up")
        if self.mode not in get_args(SmoothingMode):
            raise InputError(f"no smoothing mode {self.mode!r}; known modes: {', '.join(get_args(SmoothingMode))}")

    @property
    def looks_ahead(self) -> bool:
        """Whether frames to come take part, and gaps can be filled."""
        return self.mode != "causal"

    @property
    def longest_s(self) -> float:
        """The longest of the three radii, seconds."""
        return max(self.va_s, self.expr_s, self.au_s)

    @classmethod
    def off(cls) -> Smoothing:
        """Return settings that leave every score as it is."""
        return cls(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SmoothingChoice:
    """What a user says of smoothing; None leaves it to the heads, or to the defaults of `Smoothing`.

    Attributes:
        va_s: radius for valence and arousal, seconds.
        expr_s: radius for the expression probabilities, seconds.
        au_s: radius for the action units, seconds.
        mode: which filter.
    """

    va_s: float | None = None
    expr_s: float | None = None
    au_s: float | None = None
    mode: SmoothingMode | None = None

    def over(self, base: Smoothing) -> Smoothing:
        """Return the settings with what was left open taken from `base`."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(base, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def parse(cls, text: str, mode: SmoothingMode | None = None) -> SmoothingChoice:
        """Read `off`, or radii in seconds such as `va=0.83,expr=1.67,au=0.10`; what is not named stays open.

        Raises:
            InputError: the text says something else, or a radius is negative.
        """
        if text.strip() == "off":
            return cls(0.0, 0.0, 0.0, mode)
        parsed: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = (piece.strip() for piece in part.partition("="))
            if name not in {"va", "expr", "au"} or f"{name}_s" in parsed:
                raise InputError(_how_to_write(text))
            try:
                parsed[f"{name}_s"] = float(number)
            except ValueError as error:
                raise InputError(_how_to_write(text)) from error
        choice = cls(**parsed, mode=mode)
        choice.over(Smoothing())  # checks the numbers
        return choice


def _how_to_write(text: str) -> str:
    return (
        f"smoothing {text!r} is not understood; write `off`, or radii in seconds for any of va, expr and au, "
        "each once: va=0.83,expr=1.67,au=0.10"
    )


def reach_s(radius_s: float, interval_s: float) -> float:
    """Return how far a window reaches, seconds: the radius and half a frame interval.

    The half interval makes the window hold the same whole number of frames everywhere in a constant-rate video:
    `2k + 1` of them for a radius of k frames.
    """
    return radius_s + interval_s / 2 + TIME_TOLERANCE_S


def box_filter(
    times_s: NDArray[np.float64], values: NDArray[np.float64], radius_s: float, interval_s: float
) -> NDArray[np.float64]:
    """Return for each row i the mean of the rows j with `abs(t_j - t_i) <= radius_s + interval_s / 2`.

    NaN values are left out of the means, and stay NaN themselves: smoothing invents nothing.

    Args:
        times_s: shape (n,), seconds, never decreasing.
        values: shape (n, d).
        radius_s: seconds; 0 returns the values as they are.
        interval_s: the median frame interval, seconds.
    """
    if radius_s == 0:
        return values
    reach = reach_s(radius_s, interval_s)
    first = np.searchsorted(times_s, times_s - reach, side="left")
    end = np.searchsorted(times_s, times_s + reach, side="right")
    return _window_means(values, first, end)


def causal_filter(
    times_s: NDArray[np.float64], values: NDArray[np.float64], radius_s: float, interval_s: float
) -> NDArray[np.float64]:
    """Return for each row i the mean of the rows j <= i with `t_i - t_j <= radius_s + interval_s / 2`.

    The window trails: it is as long as the radius and looks ahead nowhere. Arguments and NaN as in `box_filter`.
    """
    if radius_s == 0:
        return values
    first = np.searchsorted(times_s, times_s - reach_s(radius_s, interval_s), side="left")
    return _window_means(values, first, np.arange(1, len(times_s) + 1))


def gaussian_filter(
    times_s: NDArray[np.float64], values: NDArray[np.float64], radius_s: float, interval_s: float
) -> NDArray[np.float64]:
    """Return the means over the window of `box_filter`, weighted by a Gaussian of the distance in time.

    Arguments and NaN as in `box_filter`.
    """
    if radius_s == 0:
        return values
    reach = reach_s(radius_s, interval_s)
    n = len(times_s)
    widest = int(np.max(np.searchsorted(times_s, times_s + reach, side="right") - np.arange(n), initial=1)) - 1
    is_number = np.isfinite(values)
    known = np.where(is_number, values, 0.0)
    sums, weights = known.copy(), is_number.astype(np.float64)
    # One step of the loop for each distance in rows, both ways at once.
    for step in range(1, min(widest, n - 1) + 1):
        apart_s = times_s[step:] - times_s[:-step]
        weight = np.where(apart_s <= reach, gaussian_weight(apart_s, radius_s), 0.0)[:, None]
        sums[step:] += weight * known[:-step]
        weights[step:] += weight * is_number[:-step]
        sums[:-step] += weight * known[step:]
        weights[:-step] += weight * is_number[step:]
    means = np.divide(sums, weights, out=np.full(values.shape, np.nan), where=weights > 0)
    return np.where(is_number, means, np.nan)


def gaussian_weight(distance: NDArray[np.floating] | NDArray[np.integer], radius: float) -> NDArray[np.float64]:
    """Return `exp(-d^2 / (2 s^2))` with `s = radius / 2`; distance and radius in the same unit."""
    return np.asarray(np.exp(-2.0 * (np.asarray(distance, np.float64) / radius) ** 2))


FILTERS = {"centred": box_filter, "gaussian": gaussian_filter, "causal": causal_filter}
"""The filter of each mode."""


def _window_means(values: NDArray[np.float64], first: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the means over rows first[i] to end[i] - 1, shape (n, d), by differences of running sums."""
    is_number = np.isfinite(values)
    sums = _running_sums(np.where(is_number, values, 0.0))
    counts = _running_sums(is_number.astype(np.float64))
    counted = counts[end] - counts[first]
    means = np.divide(sums[end] - sums[first], counted, out=np.full(values.shape, np.nan), where=counted > 0)
    return np.where(is_number, means, np.nan)


def _running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def lay_apart(times_s: NDArray[np.float64], stretches: NDArray[np.intp], apart_s: float) -> NDArray[np.float64]:
    """Return times in which each stretch starts `apart_s` after the end of the one before it.

    So one call of a filter smooths all stretches, and none sees another.

    Args:
        times_s: shape (n,), seconds, never decreasing inside a stretch.
        stretches: shape (n,), from `gaps.stretch_numbers`.
        apart_s: seconds, longer than the filter reaches.
    """
    steps_s = np.diff(times_s, prepend=times_s[:1])
    steps_s[1:][np.diff(stretches) != 0] = apart_s
    return np.cumsum(steps_s)
