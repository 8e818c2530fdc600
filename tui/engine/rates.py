"""Points a second, over the last whole stretches of simulated time: the same figures at the same instant,
however it was come to.

Belongs here: counting by stretches. Never: what is counted.
"""

from __future__ import annotations

SPAN_NS = 10_000_000_000
"""over which a rate is taken, at least"""
STRETCHES = 10


class Rates:
    """Of ``count`` things. ``longest_ns``: between two events of one of them as a rule."""

    def __init__(self, count: int, longest_ns: int) -> None:
        self._count = count
        self.stretch_ns = max(SPAN_NS, 2 * longest_ns) // STRETCHES
        self._stretches: dict[int, list[int]] = {}

    def add(self, index: int, at_ns: int, points: int) -> None:
        """So many points of one of them."""
        stretch = at_ns // self.stretch_ns
        counts = self._stretches.get(stretch)
        if counts is None:
            counts = self._stretches[stretch] = [0] * self._count
            for old in [known for known in self._stretches if known < stretch - STRETCHES]:
                del self._stretches[old]
        counts[index] += points

    def per_s(self, now_ns: int) -> tuple[float, ...]:
        """Of each, over the whole stretches before the one that ``now_ns`` is in; before there is one, of
        what has come."""
        last = now_ns // self.stretch_ns
        known = min(STRETCHES, last)
        if known <= 0:
            return tuple(
                points * 1e9 / max(1, now_ns) for points in self._stretches.get(0, [0] * self._count)
            )
        sums = [0] * self._count
        for stretch in range(last - known, last):
            for index, points in enumerate(self._stretches.get(stretch, ())):
                sums[index] += points
        return tuple(points * 1e9 / (known * self.stretch_ns) for points in sums)
