"""Stationary Gaussian processes that are periodic over a video, so that Bayes' rule has a closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectline.records import FloatArray


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The covariance of a process: a sum of parts, each with a variance and a time scale.

    Attributes:
        slow: pairs of variance and time constant in frames; the covariance of a part at a lag of d frames is
            `variance * exp(-(d / constant)^2 / 2)`, with the lag counted around the circle.
        white: variance of what is new at every frame.
        constant: variance of what stays the same over the video.
    """

    slow: tuple[tuple[float, float], ...] = ()
    white: float = 0.0
    constant: float = 0.0

    @property
    def variance(self) -> float:
        """The variance at any frame."""
        return sum(variance for variance, _ in self.slow) + self.white + self.constant

    def __add__(self, other: Spectrum) -> Spectrum:
        """Return the covariance of the sum of two independent processes."""
        return Spectrum(self.slow + other.slow, self.white + other.white, self.constant + other.constant)

    def eigenvalues(self, n_frames: int) -> NDArray[np.float64]:
        """Return the variance of each Fourier coefficient (orthonormal transform), shape (n_frames // 2 + 1,)."""
        frames = np.arange(n_frames)
        lag = np.minimum(frames, n_frames - frames)
        total = np.full(n_frames // 2 + 1, self.white)
        total[0] += n_frames * self.constant
        for variance, scale in self.slow:
            values = np.maximum(np.fft.rfft(np.exp(-0.5 * (lag / scale) ** 2)).real, 0.0)
            # Cutting tiny negative values off changes the variance a little; this puts it back.
            total += variance * values * n_frames / _trace(values, n_frames)
        return total

    def draw(self, n_frames: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return n independent paths, shape (n_frames, n)."""
        noise = rng.standard_normal((n_frames, n))
        coefficients = np.fft.rfft(noise, axis=0) * np.sqrt(self.eigenvalues(n_frames))[:, None]
        return np.fft.irfft(coefficients, n_frames, axis=0)


def _trace(values: NDArray[np.float64], n_frames: int) -> float:
    """Return the sum over all Fourier coefficients, of which `rfft` gives half."""
    return float(2 * values.sum() - values[0] - (values[-1] if n_frames % 2 == 0 else 0.0))


def wiener(observed: NDArray[np.floating], signal: Spectrum, noise: Spectrum) -> tuple[NDArray[np.float64], float]:
    """Return mean and variance of a signal given itself plus noise at every frame of the video.

    The smoother of Wiener: each Fourier coefficient is multiplied by `S / (S + N)`. For periodic Gaussian processes it
    is the exact posterior.

    Args:
        observed: shape (T, n): n independent signals with the same spectra.
        signal: of what is asked.
        noise: of what was added.

    Returns:
        The mean, shape (T, n), and the variance, the same for every frame and signal.
    """
    n_frames = len(observed)
    s, n = signal.eigenvalues(n_frames), noise.eigenvalues(n_frames)
    total = np.maximum(s + n, 1e-300)
    mean = np.fft.irfft(np.fft.rfft(observed, axis=0) * (s / total)[:, None], n_frames, axis=0)
    return mean, _trace(s * n / total, n_frames) / n_frames


def as_float32(values: NDArray[np.float64]) -> FloatArray:
    """Return the numbers as the files hold them."""
    return values.astype(np.float32)
