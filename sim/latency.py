"""Where a sample's time went: stages that add up to its latency, to the nanosecond, and who is to blame beyond a bound.

Belongs here: histograms per fleet (and per device where an expectation asks), blame. Never: bounds' meaning (thresholds).
"""

from __future__ import annotations

from sim.faults import InvariantError
from sim.histogram import Histogram

STAGES = ("queue", "driver", "bus", "transform", "policy", "uplink")
"""queue = waiting for a core or for an instance that serves another call; the others are the work itself"""
QUEUE, DRIVER, BUS, TRANSFORM, POLICY, UPLINK = range(6)


class Blame:
    """Over the samples beyond one bound: time by stage, and what the queue waited for."""

    __slots__ = ("bound_ns", "devices", "samples", "spent_ns", "waited_ns")

    def __init__(self, bound_ns: int, devices: dict[int, None] | None) -> None:
        self.bound_ns, self.devices = bound_ns, devices
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


class Clockwork:
    """The stages of one sample on its way: ns by stage, and what it queued for."""

    __slots__ = ("spent_ns", "waited_ns")

    def __init__(self) -> None:
        self.spent_ns = [0, 0, 0, 0, 0, 0]
        self.waited_ns: dict[str, int] | None = None

    def waited(self, time_ns: int, what: str) -> None:
        """Time in the queue for ``what``."""
        self.spent_ns[QUEUE] += time_ns
        if self.waited_ns is None:
            self.waited_ns = {}
        self.waited_ns[what] = self.waited_ns.get(what, 0) + time_ns


class Latency:
    """Histograms of one fleet, and of one device when watched."""

    __slots__ = ("cloud", "gateway", "stages")

    def __init__(self) -> None:
        self.gateway, self.cloud = Histogram(), Histogram()
        self.stages = [Histogram() for _ in STAGES]

    def merge(self, other: Latency) -> None:
        """Add everything that ``other`` counted."""
        self.gateway.merge(other.gateway)
        self.cloud.merge(other.cloud)
        for mine, theirs in zip(self.stages, other.stages, strict=True):
            mine.merge(theirs)


class Latencies:
    """All latencies of a run. ``fleet_of[d]`` is device d's fleet index."""

    def __init__(self, fleet_of: list[int], fleets: int) -> None:
        self._fleet_of = fleet_of
        self.fleets = [Latency() for _ in range(fleets)]
        self.devices: dict[int, Latency] = {}
        self.blames: list[Blame] = []

    def watch(self, device: int) -> None:
        """Keep histograms of this device of its own."""
        self.devices.setdefault(device, Latency())

    def blame(self, bound_ns: int, devices: dict[int, None] | None) -> Blame:
        """Account for gateway latencies beyond a bound, over some devices (None: all); ask it when the run has ended."""
        blame = Blame(bound_ns, devices)
        self.blames.append(blame)
        return blame

    def carried(self, device: int, points: int, total_ns: int, clockwork: Clockwork) -> None:
        """``points`` of a device have got their verdict after ``total_ns``; the stages must add up to it."""
        spent = clockwork.spent_ns
        if sum(spent) != total_ns:
            raise InvariantError(f"stages {dict(zip(STAGES, spent, strict=True))} add up to {sum(spent)} ns, the latency is {total_ns} ns")
        latency = self.fleets[self._fleet_of[device]]
        latency.gateway.add(total_ns, points)
        for histogram, time_ns in zip(latency.stages, spent, strict=True):
            histogram.add(time_ns, points)
        if device in self.devices:
            own = self.devices[device]
            own.gateway.add(total_ns, points)
            for histogram, time_ns in zip(own.stages, spent, strict=True):
                histogram.add(time_ns, points)
        for blame in self.blames:
            if total_ns > blame.bound_ns and (blame.devices is None or device in blame.devices):
                blame.samples += points
                for i, time_ns in enumerate(spent):
                    blame.spent_ns[i] += time_ns * points
                if clockwork.waited_ns:
                    for what, time_ns in clockwork.waited_ns.items():
                        blame.waited_ns[what] = blame.waited_ns.get(what, 0) + time_ns * points

    def accepted(self, device: int, points: int, total_ns: int) -> None:
        """``points`` of a device were acknowledged by the cloud ``total_ns`` after they were due."""
        self.fleets[self._fleet_of[device]].cloud.add(total_ns, points)
        if device in self.devices:
            self.devices[device].cloud.add(total_ns, points)

    def never_carried(self, device: int, points: int) -> None:
        """``points`` will never get a verdict: later than any bound."""
        self.fleets[self._fleet_of[device]].gateway.never += points
        if device in self.devices:
            self.devices[device].gateway.never += points

    def never_accepted(self, device: int, points: int) -> None:
        """``points`` will never reach the cloud."""
        self.fleets[self._fleet_of[device]].cloud.never += points
        if device in self.devices:
            self.devices[device].cloud.never += points
