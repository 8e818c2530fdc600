"""Where a sample's time went: stages that add up to its latency, to the nanosecond, and who is to blame
beyond a bound.

Belongs here: histograms per fleet (and per device where an expectation asks), blame. Never: bounds' meaning
(thresholds).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

import numpy as np

from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import ComponentSpec

STAGES = ("queue", "driver", "bus", "transform", "policy", "uplink")
"""queue = waiting for a core or for an instance that serves another call; the others are the work itself"""
QUEUE, DRIVER, BUS, TRANSFORM, POLICY, UPLINK = range(6)


class Blame:
    """Over the samples beyond one bound: time by stage, and what the queue waited for."""

    __slots__ = ("bound_ns", "devices", "samples", "spent_ns", "waited_ns", "when")

    def __init__(
        self, bound_ns: int, devices: dict[int, None] | None, when: Callable[[int], bool] | None
    ) -> None:
        self.bound_ns, self.devices, self.when = bound_ns, devices, when
        self.samples = 0
        self.spent_ns = [0] * len(STAGES)
        self.waited_ns: dict[str, int] = {}

    def stage(self) -> str | None:
        """The stage with the largest share of the time, None when no sample was beyond the bound."""
        return STAGES[max(range(len(STAGES)), key=lambda i: self.spent_ns[i])] if self.samples else None

    def share(self) -> float:
        """That stage's share of all the time of those samples, 0 to 1."""
        total = sum(self.spent_ns)
        return max(self.spent_ns) / total if total else 0.0

    def waited_for(self) -> str | None:
        """What most of the queueing waited for: ``core`` or an instance, e.g. ``gw/transform``."""
        return max(self.waited_ns, key=lambda name: (self.waited_ns[name], name)) if self.waited_ns else None


class StageTimes:
    """One sample on its way: ns by stage, what it queued for, and where the batch lies that the last call
    returned."""

    __slots__ = ("at_work", "lists", "outside_ns", "spent_ns", "waited_ns")
    at_work: dict[str, ComponentSpec]
    """who worked on it, by role; set where somebody watches stages"""
    outside_ns: int
    """of the queue: what wasn't waiting for modelled CPU time; there once something was waited for"""

    def __init__(self) -> None:
        self.lists: tuple[int, int, int, int, int, int, int] | None = None
        self.spent_ns = [0, 0, 0, 0, 0, 0]
        self.waited_ns: dict[str, int] | None = None

    def behind(self, time_ns: int, before: StageTimes | None, what: str) -> None:
        """Time in the queue behind a poll of the same driver: of that the bus has had its share, and what
        that waited for outside."""
        self.waited(time_ns, what)
        outside_ns = time_ns
        if before is not None and any(before.spent_ns):
            outside_ns = time_ns * (before.spent_ns[BUS] + before.outside) // sum(before.spent_ns)
        self.outside_ns += outside_ns

    @property
    def outside(self) -> int:
        """``outside_ns``, 0 while nothing was waited for."""
        return 0 if self.waited_ns is None else self.outside_ns

    def waited(self, time_ns: int, what: str) -> None:
        """Time in the queue for ``what``."""
        self.spent_ns[QUEUE] += time_ns
        if self.waited_ns is None:
            self.waited_ns, self.outside_ns = {}, 0
        self.waited_ns[what] = self.waited_ns.get(what, 0) + time_ns


_FOLD = 2048
"""samples that wait to be counted together: 1 us each instead of 8"""
_CARRIED, _CLOUD = Struct(f"={2 + len(STAGES)}q"), Struct("=2q")
"""a row of each: points, ns in all, ns by stage"""
_carried_row, _cloud_row = _CARRIED.pack, _CLOUD.pack


class Latency:
    """Histograms of one fleet, and of one device when watched. ``fold`` before reading."""

    __slots__ = ("_carried", "_cloud", "cloud", "gateway", "outside", "stages")

    def __init__(self) -> None:
        self.gateway, self.cloud = Histogram(), Histogram()
        self.stages = [Histogram() for _ in STAGES]
        self.outside = Histogram()
        """of the samples whose queue was (in part) for something else than CPU time: that part"""
        self._carried, self._cloud = bytearray(), bytearray()
        """row behind row, as words: thousands of ints that live until they are counted would lie all over the
        heap, and push out of the caches what the next poll needs"""

    def add_carried(self, points: int, total_ns: int, spent_ns: list[int]) -> None:
        """A verdict for ``points`` points."""
        self._carried += _carried_row(points, total_ns, *spent_ns)
        if len(self._carried) >= _FOLD * _CARRIED.size:
            self.fold()

    def add_cloud(self, points: int, total_ns: int) -> None:
        """An acknowledgement for ``points`` points."""
        self._cloud += _cloud_row(points, total_ns)
        if len(self._cloud) >= _FOLD * _CLOUD.size:
            self.fold()

    def fold(self) -> None:
        """Count what waits."""
        if self._carried:
            rows = np.frombuffer(self._carried, np.int64).reshape(-1, _CARRIED.size // 8)
            self._carried = bytearray()
            for column, histogram in enumerate([self.gateway, *self.stages]):
                histogram.add_many(rows[:, column + 1], rows[:, 0])
        if self._cloud:
            rows = np.frombuffer(self._cloud, np.int64).reshape(-1, _CLOUD.size // 8)
            self._cloud = bytearray()
            self.cloud.add_many(rows[:, 1], rows[:, 0])

    def merge(self, other: Latency) -> None:
        """Add everything that ``other`` counted."""
        other.fold()
        self.gateway.merge(other.gateway)
        self.cloud.merge(other.cloud)
        for mine, theirs in zip(self.stages, other.stages, strict=True):
            mine.merge(theirs)
        self.outside.merge(other.outside)


class Latencies:
    """All latencies of a run. ``fleet_of[d]`` is device d's fleet index."""

    def __init__(self, fleet_of: list[int], fleets: int) -> None:
        self._fleet_of = fleet_of
        self.fleets = [Latency() for _ in range(fleets)]
        self.devices: dict[int, Latency] = {}
        self.blames: list[Blame] = []
        self.stages_watched: list[Callable[[int, int, StageTimes, int], None]] = []
        self._windows: list[
            tuple[bool, Callable[[int, int, int, int], None], Callable[[int, int, int], None]]
        ] = []

    def watch_windows(
        self, cloud: bool, see: Callable[[int, int, int, int], None], never: Callable[[int, int, int], None]
    ) -> None:
        """Tell ``see(device, points, total_ns, due_ns)`` and ``never(device, points, due_ns)`` of each
        sample, gateway or cloud."""
        self._windows.append((cloud, see, never))

    def watch_stages(self, see: Callable[[int, int, StageTimes, int], None]) -> None:
        """Tell ``see(device, points, times, due_ns)`` of each verdict."""
        self.stages_watched.append(see)

    def of(self, devices: dict[int, None] | None = None, fleets: list[int] | None = None) -> Latency:
        """A merged copy: of all, of some fleets, or of watched devices."""
        total = Latency()
        if devices is not None:
            parts = [self.devices[d] for d in devices]
        else:
            parts = self.fleets if fleets is None else [self.fleets[f] for f in fleets]
        for part in parts:
            total.merge(part)
        return total

    def watch(self, device: int) -> None:
        """Keep histograms of this device of its own."""
        self.devices.setdefault(device, Latency())

    def blame(
        self, bound_ns: int, devices: dict[int, None] | None, when: Callable[[int], bool] | None = None
    ) -> Blame:
        """Account for gateway latencies beyond a bound, over some devices (None: all) and due instants; ask
        it when the run has ended."""
        blame = Blame(bound_ns, devices, when)
        self.blames.append(blame)
        return blame

    def carried(self, device: int, points: int, total_ns: int, due_ns: int, times: StageTimes) -> None:
        """``points`` of a device have got their verdict after ``total_ns``; the stages must add up to it."""
        spent = times.spent_ns
        if sum(spent) != total_ns:
            raise InvariantError(
                f"stages {dict(zip(STAGES, spent, strict=True))} add up to {sum(spent)} ns, the latency is "
                f"{total_ns} ns"
            )
        self.fleets[self._fleet_of[device]].add_carried(points, total_ns, spent)
        if device in self.devices:
            self.devices[device].add_carried(points, total_ns, spent)
        if times.waited_ns is not None and times.outside_ns:
            for latency in (
                self.fleets[self._fleet_of[device]],
                *([self.devices[device]] if device in self.devices else []),
            ):
                latency.outside.add(times.outside_ns, points)
        for cloud, see, _ in self._windows:
            if not cloud:
                see(device, points, total_ns, due_ns)
        for look in self.stages_watched:
            look(device, points, times, due_ns)
        for blame in self.blames:
            if (
                total_ns > blame.bound_ns
                and (blame.devices is None or device in blame.devices)
                and (blame.when is None or blame.when(due_ns))
            ):
                blame.samples += points
                for i, time_ns in enumerate(spent):
                    blame.spent_ns[i] += time_ns * points
                if times.waited_ns:
                    for what, time_ns in times.waited_ns.items():
                        blame.waited_ns[what] = blame.waited_ns.get(what, 0) + time_ns * points

    def accepted(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        """``points`` of a device were acknowledged by the cloud ``total_ns`` after they were due."""
        self.fleets[self._fleet_of[device]].add_cloud(points, total_ns)
        if device in self.devices:
            self.devices[device].add_cloud(points, total_ns)
        for cloud, see, _ in self._windows:
            if cloud:
                see(device, points, total_ns, due_ns)

    def never_carried(self, device: int, points: int, due_ns: int) -> None:
        """``points`` will never get a verdict: later than any bound."""
        self.fleets[self._fleet_of[device]].gateway.never += points
        if device in self.devices:
            self.devices[device].gateway.never += points
        for cloud, _, never in self._windows:
            if not cloud:
                never(device, points, due_ns)

    def never_accepted(self, device: int, points: int, due_ns: int) -> None:
        """``points`` will never reach the cloud."""
        self.fleets[self._fleet_of[device]].cloud.never += points
        if device in self.devices:
            self.devices[device].cloud.never += points
        for cloud, _, never in self._windows:
            if cloud:
                never(device, points, due_ns)
