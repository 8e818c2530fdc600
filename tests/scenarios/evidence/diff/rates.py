"""How many alarms are too many, for tests that count them."""

from __future__ import annotations

import math


def most_of(reports: int, rate: float, doubt: float = 0.005) -> int:
    """The most alarms that so many independent reports of that rate have, but for a share ``doubt`` of such
    tests (the upper tail of the binomial distribution)."""
    tail, count = 1.0, -1
    while tail > doubt:
        count += 1
        tail -= math.comb(reports, count) * rate**count * (1 - rate) ** (reports - count)
    return count
