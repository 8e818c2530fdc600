"""Figures from samples: prices by least squares of logarithms, bands by leaving out.

Belongs here: arithmetic. Never: clocks, files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

QUANTILE = 0.9
"""of cases that a band holds"""
BAND_LEAST = 1.05
"""no figure is known better: two measurements of the same differ by as much"""
_STEPS, _CLOSE = 200, 1e-10


def least_missed(shapes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The prices, none negative, by which ``counts`` (one a row of ``shapes``) are missed least: the sum of
    the squared logarithms of price / count (Levenberg-Marquardt from one start: the same counts give the same
    prices). So a call of 4 000 instructions weighs as much as one of 900 000."""
    at, damping = np.log(counts.min() / np.median(np.maximum(shapes, 1), axis=0)), 1.0

    def misses(logs: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.log(shapes @ np.exp(logs) / counts)
        return found

    now = misses(at)
    for _ in range(_STEPS):
        parts = shapes * np.exp(at)
        slopes = parts / parts.sum(axis=1, keepdims=True)
        step = np.linalg.solve(slopes.T @ slopes + damping * np.eye(len(at)), -slopes.T @ now)
        further = at + np.clip(step, -2, 2)
        found = misses(further)
        if found @ found < now @ now:
            at, now, damping = further, found, damping / 3
        elif np.abs(step).max() < _CLOSE:
            break
        else:
            damping *= 3
    prices: np.ndarray = np.exp(at)
    return prices


@dataclass(frozen=True, slots=True)
class Level:
    """A scale that is known up to a factor: 90 % of cases lie between ``value / band`` and ``value *
    band``."""

    value: float
    band: float
    points: int = 0
    """that it was found from"""

    @property
    def low(self) -> float:
        """The lower end."""
        return self.value / self.band

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value * self.band

    def times(self, other: Level) -> Level:
        """Multiplied; the logarithms of independent factors add up as the sides of a right angle do."""
        apart = math.hypot(math.log(self.band), math.log(other.band))
        return Level(self.value * other.value, math.exp(apart), self.points)


def level(ratios: Sequence[float]) -> Level:
    """The geometric mean of ratios over 0, and its band: each is predicted by the mean of the others, and
    90 % of those misses lie within it."""
    logs = np.log(np.array(ratios, float))
    mean = float(logs.mean())
    if len(logs) < 2:
        return Level(math.exp(mean), BAND_LEAST, len(logs))
    others = (logs.sum() - logs) / (len(logs) - 1)
    miss = float(np.quantile(np.abs(logs - others), QUANTILE))
    return Level(math.exp(mean), max(BAND_LEAST, math.exp(miss)), len(logs))
