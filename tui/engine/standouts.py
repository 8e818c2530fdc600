"""Samples that stand out in each window of time: the slowest of each fleet, some that never came, and why.

Belongs here: keeping few of many. Never: listening (watch.py), what is behind one of them (exploring.py). A
sample that doesn't stand out costs three comparisons.
"""

from __future__ import annotations

from collections.abc import Container
from heapq import heappush, heapreplace

from twinloop.sim.accounts.latency import STAGES
from twinloop.tui.engine.explored import SAMPLES_MAX, Gone, Known, SamplesView, Slow

SLOWEST_MAX = 30
"""of the whole run"""
SLOW_MAX = 3
"""of a fleet in a window"""
GONE_MAX = 3
"""of a fleet, an end and a cause in a window"""
KEPT_MAX = 40_000
"""samples in all; what comes after that isn't kept"""
NAMED_MAX = 100
"""devices that expectations name, of which each has counts of its own"""


def grid_ns(window_ns: int, page_ns: int) -> int:
    """How wide the windows are in which it is counted: whole ones fit into ``page_ns``, a window of an
    expectation's curve, or what is counted in it would be more than its value; and they are no wider than
    ``window_ns``, those of latency over time."""
    return next((page_ns // n for n in (1, 2, 5, 10) if page_ns // n <= window_ns), page_ns)


class StandOuts:
    """Of one run. ``fleet_of``: a device's fleet by number."""

    def __init__(self, window_ns: int, fleet_of: list[int], fleets: tuple[str, ...]) -> None:
        self.window_ns, self.fleet_of, self._fleets = window_ns, fleet_of, fleets
        self.count = len(fleets)
        self.least: dict[int, int] = {}
        """window * fleets + fleet -> the latency that a sample must exceed to be kept"""
        self._slow: dict[int, list[tuple[int, int, Slow]]] = {}
        self._gone: dict[tuple[int, int, str, str], list[Gone]] = {}
        self._counts: dict[tuple[int, int, str, str], int] = {}
        """(window, fleet, end, cause) -> points"""
        self.named: dict[int, str] = {}
        """devices that are counted one by one, too, and their names; at most NAMED_MAX"""
        self._own: dict[tuple[int, int, str, str], int] = {}
        """(window, device, end, cause) -> points, of those"""
        self._kept = 0
        self.longest: list[Slow | None] = [None] * len(STAGES)
        """of those that were kept, by stage the one that was longest in it"""
        self._slowest: list[tuple[int, int, Slow]] = []
        self._order = 0
        self.bars = [-1] * self.count
        """of each fleet the latency up to which no sample stands out that was due from ``from_ns`` on"""
        self.from_ns = self.until_ns = 0
        """so long as it isn't ``until_ns`` yet"""

    def takes(self, device: int, total_ns: int, due_ns: int) -> bool:
        """Does a sample stand out, in its window or in the whole run?"""
        slowest = self._slowest
        return (
            len(slowest) < SLOWEST_MAX
            or total_ns > slowest[0][0]
            or total_ns > self.least.get(self._key(device, due_ns), -1)
        )

    def _key(self, device: int, at_ns: int) -> int:
        return at_ns // self.window_ns * self.count + self.fleet_of[device]

    def add(self, slow: Slow) -> None:
        """One that does. Of two that took equally long the earlier one is kept."""
        slowest, total_ns, key = self._slowest, slow.total_ns, self._key(slow.device, slow.due_ns)
        self._order += 1
        if total_ns > self.least.get(key, -1):
            self.keep(key, slow)
        if len(slowest) < SLOWEST_MAX:
            heappush(slowest, (total_ns, self._order, slow))
        elif total_ns > slowest[0][0]:
            heapreplace(slowest, (total_ns, self._order, slow))

    def look(self, device: int, now_ns: int, until_ns: int) -> None:
        """Which samples of a device's fleet stand out from now on, until that instant at the latest: a sample
        that doesn't costs three comparisons with what is said here."""
        window, slowest = now_ns // self.window_ns, self._slowest
        if now_ns >= self.until_ns:
            self.bars = [-1] * self.count
            self.from_ns = window * self.window_ns
        self.until_ns = min(until_ns, self.from_ns + self.window_ns)
        least = self.least.get(self._key(device, now_ns), -1)
        self.bars[self.fleet_of[device]] = min(least, slowest[0][0]) if len(slowest) >= SLOWEST_MAX else -1

    def keep(self, key: int, slow: Slow) -> None:
        """One that exceeds ``least`` at ``key``. Of two that took equally long the earlier one is kept."""
        for stage, spent_ns in enumerate(slow.spent_ns):
            longest = self.longest[stage]
            if spent_ns and (longest is None or spent_ns > longest.spent_ns[stage]):
                self.longest[stage] = slow
        heap = self._slow.setdefault(key, [])
        entry = slow.total_ns, -slow.due_ns, slow
        if len(heap) >= SLOW_MAX:
            heapreplace(heap, entry)
        elif self._kept < KEPT_MAX:
            self._kept += 1
            heappush(heap, entry)
        if len(heap) >= SLOW_MAX or self._kept >= KEPT_MAX:
            self.least[key] = heap[0][0] if heap else 1 << 62

    def gone(self, gone: Gone) -> None:
        """One of which points were missed, lost or evicted."""
        if gone.device in self.named:
            mine = gone.at_ns // self.window_ns, gone.device, gone.end, gone.cause
            self._own[mine] = self._own.get(mine, 0) + gone.points
        key = gone.at_ns // self.window_ns, self.fleet_of[gone.device], gone.end, gone.cause
        self._counts[key] = self._counts.get(key, 0) + gone.points
        known = self._gone.setdefault(key, [])
        if len(known) < GONE_MAX and self._kept < KEPT_MAX:
            self._kept += 1
            known.append(gone)

    # ---- telling ---------------------------------------------------------------------------------
    def slowest(self) -> tuple[Slow, ...]:
        """Of the whole run, the slowest first."""
        return tuple(slow for _, _, slow in sorted(self._slowest, reverse=True))

    def samples(self, from_ns: int, to_ns: int, devices: Container[int] | None) -> SamplesView:
        """Those that were due, or went, then, of some devices (None: all); the slowest first."""
        fleets = self.count

        def mine(one: Slow | Gone) -> bool:
            at_ns = one.due_ns if isinstance(one, Slow) else one.at_ns
            return from_ns <= at_ns < to_ns and (devices is None or one.device in devices)

        first, last = from_ns // self.window_ns, (to_ns - 1) // self.window_ns
        slow = [
            one
            for key, heap in self._slow.items()
            if first <= key // fleets <= last
            for _, _, one in heap
            if mine(one)
        ]
        slow.sort(key=lambda one: (-one.total_ns, one.due_ns, one.device))
        keys = [key for key in self._gone if first <= key[0] <= last]
        gone = [one for key in keys for one in self._gone[key] if mine(one)]
        gone.sort(key=lambda one: (one.at_ns, one.due_ns, one.device))
        return SamplesView(
            from_ns, to_ns, tuple(slow[:SAMPLES_MAX]), tuple(gone[:SAMPLES_MAX]),
            self._counted(first, last, devices),
        )  # fmt: skip

    def knows(self, sample: Known) -> bool:
        """Is it one of those that were kept?"""
        fleet = self.fleet_of[sample.device]
        if isinstance(sample, Gone):
            key = sample.at_ns // self.window_ns, fleet, sample.end, sample.cause
            return sample in self._gone.get(key, ())
        near = self._slow.get(self._key(sample.device, sample.due_ns), ())
        return any(slow == sample for _, _, slow in [*near, *self._slowest])

    def _counted(
        self, first: int, last: int, devices: Container[int] | None
    ) -> tuple[tuple[str, str, str, int], ...]:
        """(end, cause, fleet, points) of windows, the most first; of a device that is meant without its fleet
        its own, under its name."""
        meant, some = set(range(self.count)), set[int]()
        if devices is not None:
            some = {self.fleet_of[device] for device in self.named if device in devices}
            some = {fleet for fleet in some if not self._whole(fleet, devices)}
            meant = {fleet for device, fleet in enumerate(self.fleet_of) if device in devices} - some
        sums: dict[tuple[str, str, str], int] = {}
        for (window, fleet, end, cause), points in self._counts.items():
            if first <= window <= last and fleet in meant:
                key = end, cause, self._fleets[fleet]
                sums[key] = sums.get(key, 0) + points
        for (window, device, end, cause), points in self._own.items() if some else ():
            if first <= window <= last and devices is not None and device in devices:
                key = end, cause, self.named[device]
                sums[key] = sums.get(key, 0) + points
        return tuple(
            (*key, points) for key, points in sorted(sums.items(), key=lambda one: (-one[1], one[0]))
        )

    def _whole(self, fleet: int, devices: Container[int]) -> bool:
        return all(device in devices for device, its in enumerate(self.fleet_of) if its == fleet)
