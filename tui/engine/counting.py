"""Samples that have come to the gateway's verdict, or to the cloud: told one by one, counted many together.

Belongs here: keeping what is told until somebody looks, and counting it: percentiles by window, points a
second by fleet. Never: what is done with a single sample at its instant (watch.py). Counted together a sample
costs a tenth of what it costs alone, so figures are those of the last ``count``. Points a second are over the
last whole stretches of simulated time: the same figures at the same instant, however it was come to.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from twinloop.tui.engine.over_time import Percentiles

SPAN_NS = 10_000_000_000
"""over which a rate is taken, at least"""
STRETCHES = 10
TOGETHER = 2048
"""samples that wait to be counted, unless somebody looks before"""
Column = np.ndarray[Any, Any]
"""one int64 for each"""
Rows = np.ndarray[Any, Any]
"""(n, 4) int64: device, points, latency, when it was due"""


class Rates:
    """Of ``count`` things. ``longest_ns``: between two events of one of them as a rule."""

    def __init__(self, count: int, longest_ns: int) -> None:
        self._count = count
        self.stretch_ns = max(SPAN_NS, 2 * longest_ns) // STRETCHES
        self._none = np.zeros(count, np.int64)
        self._stretches: dict[int, Column] = {}

    def came(self, index: Column, at_ns: Column, points: Column) -> None:
        """So many points of each ``index``, in the order of instants."""
        stretches = at_ns // self.stretch_ns
        first, last = int(stretches[0]), int(stretches[-1])
        if first == last:
            self._add(first, index, points)
            return
        for stretch in range(max(first, last - STRETCHES), last + 1):
            mine = stretches == stretch
            if mine.any():
                self._add(stretch, index[mine], points[mine])

    def _add(self, stretch: int, index: Column, points: Column) -> None:
        counts = self._stretches.get(stretch)
        if counts is None:
            counts = self._stretches[stretch] = np.zeros(self._count, np.int64)
            for old in [known for known in self._stretches if known < stretch - STRETCHES]:
                del self._stretches[old]
        if self._count == 1:
            counts[0] += points.sum()
        else:
            np.add.at(counts, index, points)

    def per_s(self, now_ns: int) -> tuple[float, ...]:
        """Of each, over the whole stretches before the one that ``now_ns`` is in; before there is one, of
        what has come."""
        last = now_ns // self.stretch_ns
        known = min(STRETCHES, last)
        if known <= 0:
            points, took_ns = self._stretches.get(0, self._none), max(1, now_ns)
        else:
            found = [self._stretches[i] for i in range(last - known, last) if i in self._stretches]
            points, took_ns = sum(found, self._none), known * self.stretch_ns
        return tuple(count * 1e9 / took_ns for count in points.tolist())


class Samples:
    """Of one of the two ways. ``fleet_of``: a device's fleet by number."""

    def __init__(self, percentiles: Percentiles, rates: Rates, fleet_of: list[int]) -> None:
        self.percentiles, self.rates = percentiles, rates
        self._fleet_of = np.array(fleet_of, np.int64)
        self._rows: list[tuple[int, ...]] = []
        self.keep = self._rows.append
        """a row (device, points, latency, when it was due), in the order in which the world tells them"""

    def came(self, *row: int) -> None:
        """A sample: device, points, latency, when it was due."""
        self.keep(row)

    @property
    def many(self) -> bool:
        """Is it time to count?"""
        return len(self._rows) >= TOGETHER

    def count(self) -> Rows | None:
        """Count what waits; returns it, None where nothing does."""
        count = len(self._rows)
        if not count:
            return None
        rows = np.fromiter(chain.from_iterable(self._rows), np.int64, 4 * count).reshape(count, 4)
        self._rows.clear()
        device, points, took_ns, due_ns = rows.T
        self.percentiles.came(due_ns, took_ns, points)
        self.rates.came(self._fleet_of[device], due_ns + took_ns, points)
        return rows
