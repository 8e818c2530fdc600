"""Axes: where a value lies between two ends, and at which round values there are lines.

Belongs here: numbers and their labels. Never: HTML or SVG (charts.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinloop.scenarios.text.units import show_duration, show_number, show_ratio, show_size

TICKS = 6
"""about so many of an axis"""
LOG_FROM = 50
"""largest by smallest of some times, from which their axis is logarithmic"""
_TIMES_NS = (
    *(step * 10**power for power in range(9) for step in (1, 2, 5)),
    *(seconds * 10**9 for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(hours * 3600 * 10**9 for hours in (1, 2, 3, 6, 12, 24, 48, 120, 240, 480, 960, 2400)),
)
"""steps of times"""


@dataclass(frozen=True)
class Scale:
    """One axis in a picture: ``low`` lies at ``at_low``, ``high`` at ``at_high``. ``log``: distances are
    ratios, and ``low`` is over 0."""

    low: float
    high: float
    at_low: float
    at_high: float
    unit: str
    log: bool = False

    def at(self, value: float) -> float:
        """Where it lies; what is beyond an end lies at that end."""
        value = min(self.high, max(self.low, value))
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.at_low + share * (self.at_high - self.at_low)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        if self.log:
            return _decades(self.low, self.high)
        step = _step((self.high - self.low) / TICKS, self.unit)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def upright(values: list[float], unit: str, at_low: float, at_high: float) -> Scale:
    """The axis of some measured values: from 0, or logarithmic where times lie far apart."""
    positive = [value for value in values if value > 0]
    high = max(positive, default=1.0)
    if unit == "ns" and positive and high / min(positive) >= LOG_FROM:
        return Scale(min(positive) / 1.2, high * 1.2, at_low, at_high, unit, log=True)
    return Scale(0.0, high * 1.08, at_low, at_high, unit)


def label(value: float, unit: str) -> str:
    """A value with its unit, for people."""
    if unit == "ns":
        return _clock(value)
    if unit == "bytes":
        return show_size(value)
    return show_ratio(value) if unit == "ratio" else show_number(value)


def _clock(value_ns: float) -> str:
    """A time on an axis: whole hours and minutes as such, all else in the unit that fits."""
    for word, scale in (("h", 3600 * 10**9), ("min", 60 * 10**9)):
        if value_ns >= 2 * scale and value_ns % scale == 0:
            return f"{value_ns // scale:.0f} {word}"
    if value_ns >= 10**9:
        return f"{value_ns / 10**9:.6g} s"
    return show_duration(value_ns)


def _step(at_least: float, unit: str) -> float:
    """The next round step."""
    if unit == "ns":
        return next((step for step in _TIMES_NS if step >= at_least), at_least)
    if unit == "bytes":
        return float(2 ** max(0, math.ceil(math.log2(at_least))))
    power = 10.0 ** math.floor(math.log10(at_least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= at_least * (1 - 1e-9))
    return max(1.0, step) if unit == "count" else step


def _decades(low: float, high: float) -> list[float]:
    """1, 10, 100 ...; where these are few, what lies between as well."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    found = [step * 10.0**power for power in powers for step in steps]
    return [value for value in found if low <= value <= high]
