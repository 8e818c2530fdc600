"""A series of readings, and figures of one with their errors.

Belongs here: what every shape is fitted with. Never: a shape (shapes.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from twinloop.devices.model.signal import PERIOD_MAX

Array = np.ndarray[Any, Any]
"""float64, one value a reading"""
SPIKE_SIGMA, SPIKES_MAX = 6.0, 0.01
"""from which a reading is a spike (Hampel 1974: deviations from a running median of 5, by their own median);
the share that may be left out"""
_TINY = 1e-9


class Estimate(NamedTuple):
    """A figure and two of its standard errors, in the unit of its name's ending, else in the point's."""

    value: float
    error: float


class Series(NamedTuple):
    """Readings of one point: ``t_s`` from the first on, rising."""

    t_s: Array
    y: Array
    step_s: float

    @property
    def quantum(self) -> float:
        """The smallest difference of two readings that differ: how finely it is read."""
        steps = np.diff(np.unique(self.y))
        return float(steps.min()) if len(steps) else 0.0

    def criterion(self, rss: float, parameters: int) -> float:
        """Of a shape with that sum of squares."""
        n = len(self.y)
        floor = max(self.quantum**2 / 12.0, (_TINY * (1.0 + float(np.abs(self.y).max()))) ** 2)
        return float(n * np.log(max(rss / n, floor)) + parameters * np.log(n))

    def noise(self, rss: float, parameters: int) -> Estimate:
        """What is left, without the part that comes from reading in quanta."""
        n = len(self.y)
        variance = max(0.0, rss / max(1, n - parameters) - self.quantum**2 / 12.0)
        deviation = float(np.sqrt(variance))
        if deviation < 0.25 * self.quantum:
            return Estimate(0.0, 0.5 * self.quantum)
        return Estimate(deviation, 2.0 * deviation / float(np.sqrt(2.0 * n)) + 0.05 * self.quantum)

    def steps(self, seconds: float) -> int:
        """A duration in steps of the model, at least one."""
        return min(PERIOD_MAX, max(1, round(seconds / self.step_s)))


def least_squares(columns: list[Array], y: Array) -> tuple[Array, Array, float]:
    """(coefficients, their standard errors, sum of squares)."""
    x = np.column_stack(columns)
    scale = np.abs(x).max(axis=0)
    scale[scale == 0.0] = 1.0
    found, *_ = np.linalg.lstsq(x / scale, y, rcond=None)
    rest = y - x / scale @ found
    rss = float(rest @ rest)
    inverse = np.linalg.pinv((x / scale).T @ (x / scale))
    variance = rss / max(1, len(y) - x.shape[1])
    return found / scale, np.sqrt(np.maximum(0.0, np.diag(inverse)) * variance) / scale, rss


def without_spikes(series: Series) -> tuple[Series, int]:
    """The readings without those of which one or two in a row leave and come back, and how many those were;
    all, when they are many."""
    y = series.y
    if len(y) < 20:
        return series, 0
    padded = np.concatenate([y[:2][::-1], y, y[-2:][::-1]])
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    off = np.abs(y - middle)
    scale = 1.4826 * float(np.median(off[off > 0.0])) if np.any(off > 0.0) else 0.0
    spikes = off > max(SPIKE_SIGMA * scale, 1.5 * series.quantum)
    count = int(spikes.sum())
    if not count or count > SPIKES_MAX * len(y):
        return series, 0
    return Series(series.t_s[~spikes], y[~spikes], series.step_s), count
