"""What a unit of fuel takes here, for each of the probe kernels, and a step through memory beyond the caches.

Belongs here: their samples. Never: the guests (components/probes), what follows (board.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twinloop.components.probes.kernels import CHASES, KERNELS_WASM, Guest, chase
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
    module = KERNELS_WASM.read_bytes()
    plain, metered = Guest(module, False), Guest(module, True)
    often = {name: often_enough(plain.run(name)) for name in plain.names}
    fuel = {name: metered.fuel_of(name, count) / count for name, count in often.items()}
    least: dict[tuple[str, bool], float] = {}
    for number in range(rounds):
        say(f"kernels: round {number + 1} of {rounds}")
        for name, count in often.items():
            for counts, guest in ((False, plain), (True, metered)):
                took = cpu_ns(guest.run(name), count) / count
                least[name, counts] = min(took, least.get((name, counts), took))
    return [Kernel(name, fuel[name], least[name, False], least[name, True]) for name in often]


def chased(rounds: int) -> dict[str, float]:
    """Nanoseconds of a step through so much memory; the smallest of ``rounds``."""
    found = {}
    for size, bits in CHASES.items():
        walk = chase(bits)
        found[size] = min(cpu_ns(walk, _CHASE_STEPS) for _ in range(rounds)) / _CHASE_STEPS
    return found
