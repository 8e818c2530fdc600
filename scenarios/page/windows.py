"""Windows of time: into how many a run is cut, and where each begins.

Belongs here: instants and numbers of windows. Never: what is counted in one.
"""

from __future__ import annotations

from dataclasses import dataclass

from twinloop.sim.model.spec import WorldSpec

WINDOWS_MAX = 300
"""of a whole run, however long it is"""
SETTLING_MAX = 60
"""of them at most so many after the duration: what happens later still is counted in the last one"""
SHORTEST_NS = 100_000_000
"""of a window"""
FEW = 20
"""so many windows there are at least, even if devices are polled less often than that"""
_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Windows:
    """Equal stretches from t = 0 on, each ``size_ns`` long."""

    size_ns: int
    duration_ns: int

    @classmethod
    def of(cls, spec: WorldSpec) -> Windows:
        """For a run: long enough that a device that is polled has a sample in each, and few enough for a
        picture."""
        polls = [device.poll_ns for device in spec.devices if device.poll_ns]
        wanted = min(min(polls, default=SHORTEST_NS), spec.duration_ns // FEW)
        wanted = max(wanted, -(-spec.duration_ns // (WINDOWS_MAX - SETTLING_MAX)), SHORTEST_NS)
        return cls(_round_number(wanted), spec.duration_ns)

    @property
    def in_duration(self) -> int:
        """How many begin before the duration is over."""
        return max(1, -(-self.duration_ns // self.size_ns))

    def number(self, at_ns: int) -> int:
        """Of the window in which an instant lies; what is before t = 0 counts as the first."""
        return max(0, min(at_ns // self.size_ns, self.in_duration + SETTLING_MAX - 1))

    def begins_ns(self, number: int) -> int:
        """When a window begins."""
        return number * self.size_ns


def _round_number(at_least: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale >= at_least:
                return step * scale
        scale *= 10
