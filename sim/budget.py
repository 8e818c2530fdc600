"""What a gateway has and what it has spent: CPU time by component, linear memory, breaches.

Belongs here: the prices of a board put together, meters, and the account. Never: what follows a breach (supervisor.py).
Time is kept in picoseconds with a carry, so that a component's CPU time is, to the nanosecond, what the profile gives
for its fuel, crossings and values: cpu_ns = (fuel * fuel_ps + calls * call_ps + imports * import_ps + values * value_ps) // 1000.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.boards import SMALL_RESERVATION_FACTOR, Board

PS_PER_NS = 1000


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """Prices in picoseconds on one gateway: a unit of fuel, a call, an import, a lifted or lowered value."""

    fuel_ps: int
    call_ps: int
    import_ps: int
    value_ps: int
    band: float
    metered: bool

    @classmethod
    def of(cls, board: Board, metered: bool, small_reservation: bool) -> CpuProfile:
        """The prices of a board; ``metered`` when any component on it has a CPU limit."""
        fuel = board.metered_fuel_ps if metered else board.fuel_ps
        fuel_ps, band = fuel.value, board.band()
        if small_reservation and board.runtime == "cranelift":
            fuel_ps = fuel_ps * SMALL_RESERVATION_FACTOR.value // 1000
            band *= SMALL_RESERVATION_FACTOR.band
        return cls(fuel_ps, board.call_ps.value, board.import_ps.value, board.value_ps.value, band, metered)

    def fuel_for(self, time_ns: int) -> int:
        """How much fuel fits into ``time_ns``."""
        return time_ns * PS_PER_NS // self.fuel_ps

    def cpu_ns(self, fuel: int, calls: int, imports: int, values: int) -> int:
        """The time that these cost together."""
        return (fuel * self.fuel_ps + calls * self.call_ps + imports * self.import_ps + values * self.value_ps) // PS_PER_NS


class Meter:
    """What one component of a gateway has used: fuel, crossings, values, and the CPU time that follows."""

    __slots__ = ("_prices", "calls", "faults", "fuel", "imports", "instantiate_ns", "profile", "spent_ps", "values")

    def __init__(self, profile: CpuProfile) -> None:
        self.profile = profile
        self._prices = profile.fuel_ps, profile.call_ps, profile.import_ps, profile.value_ps
        self.fuel = self.calls = self.imports = self.values = self.spent_ps = self.instantiate_ns = 0
        self.faults: dict[str, int] = {}

    def charge(self, fuel: int, calls: int, imports: int, values: int) -> int:
        """Account for one segment; returns its time in ns (the carry keeps the sum exact)."""
        self.fuel += fuel
        self.calls += calls
        self.imports += imports
        self.values += values
        fuel_ps, call_ps, import_ps, value_ps = self._prices
        before = self.spent_ps
        after = self.spent_ps = before + fuel * fuel_ps + calls * call_ps + imports * import_ps + values * value_ps
        return after // PS_PER_NS - before // PS_PER_NS

    @property
    def cpu_ns(self) -> int:
        """CPU time of all its calls, without instantiation."""
        return self.spent_ps // PS_PER_NS

    @property
    def fuel_ns(self) -> int:
        """The part of ``cpu_ns`` that is guest code."""
        return self.fuel * self.profile.fuel_ps // PS_PER_NS


HOST_BYTES_PER_INSTANCE = 19 << 10
"""a live 8 KB instance with its store, measured; its linear memory comes on top"""


class Budget:
    """A gateway's account: a profile, a meter for each component, linear memory now and at its peak."""

    def __init__(self, board: Board, metered: bool, small_reservation: bool) -> None:
        self.board = board
        self.profile = CpuProfile.of(board, metered, small_reservation)
        self.meters: dict[str, Meter] = {}
        self.host_ns = 0
        """work outside WASM: publish, ack, store, commit, TLS"""
        self.memory_bytes = self.memory_peak_bytes = 0
        self.breaches: dict[str, int] = {}

    def meter(self, component: str) -> Meter:
        """The meter of a component, made on first use."""
        found = self.meters.get(component)
        if found is None:
            found = self.meters[component] = Meter(self.profile)
        return found

    def host(self, work: str) -> int:
        """The time of one piece of host work on this board, accounted for."""
        time_ns = self.board.host_ns[work].value
        self.host_ns += time_ns
        return time_ns

    def hold_memory(self, change_bytes: int) -> bool:
        """Memory of instances comes or goes; False when the board's RAM is exceeded."""
        self.memory_bytes += change_bytes
        self.memory_peak_bytes = max(self.memory_peak_bytes, self.memory_bytes)
        return self.memory_bytes <= self.board.memory_bytes

    def breach(self, budget: str) -> None:
        """A limit was hit: counted by name."""
        self.breaches[budget] = self.breaches.get(budget, 0) + 1
