"""What a unit of fuel takes here, for each of the probe kernels, and a step through memory beyond the caches.

Belongs here: their samples. Never: the guests (components/probes), what follows (board.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from twinloop.components.probes.kernels import CHASES, MODULES, Guest, chase
from twinloop.scenarios.calibration.timing import cpu_ns, often_enough

_CHASE_STEPS = 1 << 18


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: fuel of a time, CPU time of it in nanoseconds, not metered and metered."""

    name: str
    fuel: float
    plain_ns: float
    metered_ns: float

    @property
    def plain(self) -> float:
        """Nanoseconds a unit of fuel when nothing is metered."""
        return self.plain_ns / self.fuel

    @property
    def metered(self) -> float:
        """The same when fuel is counted."""
        return self.metered_ns / self.fuel


def measured(rounds: int, say: Callable[[str], None]) -> list[Kernel]:
    """Each kernel; of ``rounds`` samples, taken in turns, the smallest counts."""
    modules = [module.read_bytes() for module in MODULES]
    plain, metered = (
        {name: guest for module in modules for guest in [Guest(module, counts)] for name in guest.names}
        for counts in (False, True)
    )
    often = {name: often_enough(guest.run(name)) for name, guest in plain.items()}
    fuel = {name: metered[name].fuel_of(name, count) / count for name, count in often.items()}
    least: dict[tuple[str, bool], float] = {}
    for number in range(rounds):
        say(f"kernels: round {number + 1} of {rounds}")
        for name, count in often.items():
            for counts, guests in ((False, plain), (True, metered)):
                took = cpu_ns(guests[name].run(name), count) / count
                least[name, counts] = min(took, least.get((name, counts), took))
    return [Kernel(name, fuel[name], least[name, False], least[name, True]) for name in often]


def quickest(some: list[Kernel], others: list[Kernel]) -> list[Kernel]:
    """Of the same kernels, measured twice, the quicker times; ``some`` may be empty."""
    known = {one.name: one for one in some}
    return [
        replace(
            one,
            plain_ns=min(one.plain_ns, known.get(one.name, one).plain_ns),
            metered_ns=min(one.metered_ns, known.get(one.name, one).metered_ns),
        )
        for one in others
    ]


def chased(rounds: int) -> dict[str, float]:
    """Nanoseconds of a step through so much memory; the smallest of ``rounds``."""
    found = {}
    for size, bits in CHASES.items():
        walk = chase(bits)
        found[size] = min(cpu_ns(walk, _CHASE_STEPS) for _ in range(rounds)) / _CHASE_STEPS
    return found
