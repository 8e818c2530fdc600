"""Cores that tell who held them: they stand in the place of a gateway's cores when a trace is asked for.

Belongs here: seeing a core taken and given back, and by whose call. Never: another order or another time than
the plain ones have. Calls of components have taking and giving back written out (``free -= 1``, ``busy_ns +=
cost``), so it is these two numbers that are watched; plain cores know nothing of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.machine.budget import CpuProfile, Meter
from twinloop.sim.machine.cores import Cores
from twinloop.sim.machine.machine import Machine

Held = Callable[[int, int, int, str | None], None]
"""told of (core, from ns, until ns, component), the component None for the host's own work"""


class WatchedCores(Cores):
    """As Cores, and ``held`` is told of each time that a core was held, when it is over. A core that is held
    when its gateway dies isn't told of: that time is in nobody's account."""

    __slots__ = ("_busy_ns", "_free", "_idle", "_taken", "charged", "held")

    def __init__(self, env: Environment, count: int, held: Held) -> None:
        self._free = self._busy_ns = 0
        self._idle = list(range(count))
        heapify(self._idle)
        self._taken: list[tuple[int, int]] = []
        """(core, since when) of those that are held, in order"""
        self.charged: dict[int, deque[str]] = {}
        """time of a segment -> the components that hold a core for so long, in order"""
        self.held = held
        super().__init__(env, count)

    @property
    def free(self) -> int:
        """How many nobody holds."""
        return self._free

    @free.setter
    def free(self, free: int) -> None:
        if free < self._free and self.alive:
            self._taken.append((heappop(self._idle), self.env.now))
        self._free = free

    @property
    def busy_ns(self) -> int:
        """The integral of cores in use."""
        return self._busy_ns

    @busy_ns.setter
    def busy_ns(self, busy_ns: int) -> None:
        held_ns, self._busy_ns = busy_ns - self._busy_ns, busy_ns
        if self._taken and self.alive:
            self._given_back(held_ns)

    def anew(self) -> WatchedCores:
        """Of the next life, which tells the same one."""
        return WatchedCores(self.env, self.count, self.held)

    def charge(self, component: str, time_ns: int) -> None:
        """A component's segment has run, and a core is held for that time now."""
        if time_ns:
            self.charged.setdefault(time_ns, deque()).append(component)

    def _given_back(self, held_ns: int) -> None:
        """A core was held for so long until now. Of two that were taken at one instant it doesn't matter
        which is which: until now they were the same."""
        now = self.env.now
        since_ns = now - held_ns
        for place, (_, taken_ns) in enumerate(self._taken):
            if taken_ns == since_ns:
                core, _ = self._taken.pop(place)
                break
        else:
            raise InvariantError(f"a core was held for {held_ns} ns until {now} ns, and nobody had taken it")
        if held_ns:
            self.held(core, since_ns, now, self._whose(held_ns))
        if self.waiters:
            self._taken.append((core, now))  # handed over at this instant
        else:
            heappush(self._idle, core)

    def _whose(self, held_ns: int) -> str | None:
        """What began first and lasted as long ends first."""
        waiting = self.charged.get(held_ns)
        if waiting is None:
            return None
        component = waiting.popleft()
        if not waiting:
            del self.charged[held_ns]
        return component


class TellingMeter(Meter):
    """As Meter, and tells what it charges."""

    __slots__ = ("_told",)

    def __init__(self, profile: CpuProfile, told: Callable[[int], None]) -> None:
        super().__init__(profile)
        self._told = told

    def charge(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        """Account for one segment; returns its time in ns."""
        time_ns = super().charge(fuel, calls, imports, exchanges, values, count)
        self._told(time_ns)
        return time_ns

    def charge_call(self, fuel: int, values: int) -> int:
        """The same for a whole call in one segment."""
        time_ns = super().charge_call(fuel, values)
        self._told(time_ns)
        return time_ns

    def charge_start(
        self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int
    ) -> int:
        """The same for a segment of start code."""
        time_ns = super().charge_start(fuel, calls, imports, exchanges, values, count)
        self._told(time_ns)
        return time_ns


def watch(machine: Machine, held: Held) -> dict[str, Meter]:
    """Put watched cores and telling meters under a gateway that hasn't booted yet; returns the meters by
    component, for its slots."""
    machine.cores = WatchedCores(machine.env, machine.board.cores, held)

    def telling(component: str) -> Callable[[int], None]:
        def told(time_ns: int) -> None:
            cores = machine.cores
            if isinstance(cores, WatchedCores):
                cores.charge(component, time_ns)

        return told

    meters = machine.budget.meters
    for component, meter in list(meters.items()):
        meters[component] = TellingMeter(meter.profile, telling(component))
    return meters


def works(machine: Machine) -> dict[int, str]:
    """Time -> which of the host's works takes that long on this board, at the speed that it has now."""
    budget = machine.budget
    prices = {name: figure.value for name, figure in budget.prices.work_ns.items()}
    found = {budget.work_ns(price_ns): name.replace("_", " ") for name, price_ns in prices.items()}
    for price in (budget.prices.instantiate_ns, budget.prices.instantiate_again_ns):
        found[budget.work_ns(price.value)] = "new instance"
    return found
