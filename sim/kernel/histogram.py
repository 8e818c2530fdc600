"""Log-linear histogram of integers: fixed memory, percentiles by nearest rank within 0.1 %.

Belongs here: counting and ranks. Never: units or bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from twinloop.sim.kernel.clock import NEVER_NS

_LINEAR_BITS = 11
"""values below 2**11 are exact; above, buckets are 2**-10 of the value wide, so the middle is within 0.05
%"""

NEVER = NEVER_NS
"""stands for a sample that never came: later than any bound"""


class Histogram:
    """Counts of non-negative ints. ``never`` counts samples without a value; they rank above all others."""

    __slots__ = ("_buckets", "count", "max", "min", "never", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = self.total = self.max = self.never = 0
        self.min = NEVER

    def add(self, value: int, times: int = 1) -> None:
        """Count ``value`` (0 or more) ``times`` times."""
        shift = value.bit_length() - _LINEAR_BITS
        key = value if shift <= 0 else (shift << _LINEAR_BITS) + (value >> shift)
        buckets = self._buckets
        buckets[key] = buckets.get(key, 0) + times
        self.count += times
        self.total += value * times
        if value > self.max:
            self.max = value
        if value < self.min:
            self.min = value

    def add_many(self, values: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> None:
        """``add`` for arrays: values (n,) int64 from 0 to 2**53, times (n,) int64. frexp only takes an
        exponent: exact everywhere."""
        if not len(values):
            return
        least, most = int(values.min()), int(values.max())
        if least == most:
            self.add(least, int(times.sum()))
            return
        exponent = np.frexp(values.astype(np.float64))[1].astype(np.int64)
        shift = np.maximum(exponent - _LINEAR_BITS, 0)
        keys = (shift << _LINEAR_BITS) * (shift > 0) + (values >> shift)
        order = keys.argsort()
        keys = keys[order]
        begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        sums = np.add.reduceat(times[order], begins)
        buckets = self._buckets
        for key, count in zip(keys[begins].tolist(), sums.tolist(), strict=True):
            buckets[key] = buckets.get(key, 0) + count
        self.count += int(times.sum())
        self.total += int((values * times).sum())
        self.max = max(self.max, most)
        self.min = min(self.min, least)

    def merge(self, other: Histogram) -> None:
        """Add everything that ``other`` counted."""
        if self._buckets:
            for key, times in other._buckets.items():
                self._buckets[key] = self._buckets.get(key, 0) + times
        else:
            self._buckets.update(other._buckets)
        self.count += other.count
        self.total += other.total
        self.never += other.never
        self.max = max(self.max, other.max)
        self.min = min(self.min, other.min)

    def percentile(self, permille: int) -> int | None:
        """Nearest rank, e.g. 990 for p99: NEVER when that rank is a sample that never came, None without
        samples."""
        return self.percentiles((permille,))[0]

    def percentiles(self, permilles: Sequence[int]) -> list[int | None]:
        """``percentile`` of each, which looks through what was counted only once."""
        samples = self.count + self.never
        if not samples:
            return [None] * len(permilles)
        keys = sorted(self._buckets)
        seen = list(accumulate(map(self._buckets.__getitem__, keys)))
        found: list[int | None] = []
        for permille in permilles:
            rank = max(1, -(-samples * permille // 1000))
            if rank > self.count:
                found.append(NEVER)
            else:
                place = bisect_left(seen, rank)
                found.append(self._value(keys[place]) if place < len(keys) else self.max)
        return found

    def _value(self, key: int) -> int:
        shift = key >> _LINEAR_BITS
        if not shift:
            return key
        low = (key & ((1 << _LINEAR_BITS) - 1)) << shift
        return max(self.min, min(self.max, low + (1 << shift >> 1)))

    def values(self) -> list[tuple[int, int]]:
        """(value, how often), in order; values as precise as percentiles are. Samples that never came are not
        in it."""
        return [(self._value(key), self._buckets[key]) for key in sorted(self._buckets)]

    def mean(self) -> int | None:
        """Rounded down; None without values. Samples that never came are not in it."""
        return self.total // self.count if self.count else None
