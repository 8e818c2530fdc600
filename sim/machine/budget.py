"""What a gateway has and what it has spent: CPU time by component, linear memory, breaches.

Belongs here: the prices of a board put together, meters, and the account. Never: what follows a breach
(supervisor.py). Time is kept in picoseconds with a carry, so that a component's CPU time is, to the
nanosecond, what the profile gives for its fuel, crossings, values and bytes: cpu_ns = (fuel * fuel_ps + calls
* call_ps + imports * import_ps + exchanges * exchange_ps + values * value_ps + bytes * byte_ps) // 1000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from twinloop.components.native.choice import CHOICE
from twinloop.records import dataclass
from twinloop.sim.field.files import Files
from twinloop.sim.machine.memories import Memories
from twinloop.sim.model.boards import Board, Prices

PS_PER_NS = 1000


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """Prices in picoseconds on one gateway: a unit of fuel, a call, an import, an exchange, a lifted or
    lowered value and byte."""

    fuel_ps: int
    call_ps: int
    import_ps: int
    exchange_ps: int
    value_ps: int
    byte_ps: int

    @classmethod
    def of(cls, prices: Prices) -> CpuProfile:
        """Of a board under a host program."""
        return cls(
            prices.fuel_ps.value,
            prices.call_ps.value,
            prices.import_ps.value,
            prices.exchange_ps.value,
            prices.value_ps.value,
            prices.byte_ps.value,
        )

    def slowed(self, ratio: float) -> CpuProfile:
        """The prices of a CPU that runs at ``ratio`` (over 0, at most 1) of its speed."""
        return CpuProfile(*(round(ps / ratio) for ps in astuple(self)))

    def fuel_for(self, time_ns: int) -> int:
        """How much fuel fits into ``time_ns``."""
        return time_ns * PS_PER_NS // self.fuel_ps

    def cpu_ns(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        """The time that these cost together; ``count``: bytes."""
        return (
            fuel * self.fuel_ps
            + calls * self.call_ps
            + imports * self.import_ps
            + exchanges * self.exchange_ps
            + values * self.value_ps
            + count * self.byte_ps
        ) // PS_PER_NS


class Charges:
    """What a component has used, and what that costs at the prices that hold. The compiled part
    (sim/native/accounts.c) has it by the same name."""

    __slots__ = (
        "_call_prices",
        "_prices",
        "_rest_ps",
        "bytes",
        "calls",
        "cpu_ns",
        "exchanges",
        "fuel",
        "imports",
        "values",
    )
    cpu_ns: int
    """CPU time of all its calls, without instantiation, rounded down"""
    _rest_ps: int
    """what was rounded off: less than a nanosecond"""
    fuel: int
    calls: int
    imports: int
    exchanges: int
    values: int
    bytes: int

    def _price(
        self, fuel_ps: int, call_ps: int, import_ps: int, exchange_ps: int, value_ps: int, byte_ps: int
    ) -> None:
        """From now on it costs that."""
        self._prices = fuel_ps, call_ps, import_ps, exchange_ps, value_ps, byte_ps
        self._call_prices = fuel_ps, call_ps, value_ps

    def charge(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        """Account for one segment, ``count`` bytes carried; returns its time in ns (the carry keeps the sum
        exact)."""
        fuel_ps, call_ps, import_ps, exchange_ps, value_ps, byte_ps = self._prices
        after = self._rest_ps + fuel * fuel_ps
        self.fuel += fuel
        # most segments have two or three of these, and to ask costs a fifth of adding nothing
        if calls:
            self.calls += calls
            after += calls * call_ps
        if imports:
            self.imports += imports
            after += imports * import_ps
        if exchanges:
            self.exchanges += exchanges
            after += exchanges * exchange_ps
        if values:
            self.values += values
            after += values * value_ps
        if count:
            self.bytes += count
            after += count * byte_ps
        time_ns = after // PS_PER_NS
        self._rest_ps = after - time_ns * PS_PER_NS
        self.cpu_ns += time_ns
        return time_ns

    def charge_call(self, fuel: int, values: int) -> int:
        """``charge`` for one whole call that crossed nothing but its own lists: most transforms and policies,
        twice in each poll."""
        fuel_ps, call_ps, value_ps = self._call_prices
        self.fuel += fuel
        self.calls += 1
        self.values += values
        after = self._rest_ps + fuel * fuel_ps + call_ps + values * value_ps
        time_ns = after // PS_PER_NS
        self._rest_ps = after - time_ns * PS_PER_NS
        self.cpu_ns += time_ns
        return time_ns


if TYPE_CHECKING or CHOICE.engine is None:
    _Charges = Charges
else:
    _Charges = CHOICE.engine.Charges


class Meter(_Charges):
    """What one component of a gateway has used: fuel, crossings, values, bytes, and the CPU time that
    follows."""

    __slots__ = (
        "_fuel_full_ps",
        "_fuel_priced",
        "_fuel_spent_ps",
        "_full_fuel_ps",
        "faults",
        "instantiate_ns",
        "profile",
        "start_fuel",
    )

    def __init__(self, profile: CpuProfile, full: CpuProfile | None = None) -> None:
        self.fuel = self._fuel_priced = self._fuel_spent_ps = self._fuel_full_ps = 0
        """units of fuel; how many of them, and what they have cost, is settled: prices were others then"""
        self.profile, self._full_fuel_ps = profile, (full or profile).fuel_ps
        self.reprice(profile, full)
        self.calls = self.imports = self.exchanges = self.values = self.bytes = 0
        self.start_fuel = self.instantiate_ns = 0
        """of start code; CPU time of new instances, their start code's included"""
        self.cpu_ns = self._rest_ps = 0
        self.faults: dict[str, int] = {}

    def reprice(self, profile: CpuProfile, full: CpuProfile | None = None) -> None:
        """Other prices from now on. ``full``: what they would be if the CPU weren't throttled; None: it
        isn't."""
        since = self.fuel - self._fuel_priced
        self._fuel_spent_ps += since * self.profile.fuel_ps
        self._fuel_full_ps += since * self._full_fuel_ps
        self._fuel_priced = self.fuel
        self.profile, self._full_fuel_ps = profile, (full or profile).fuel_ps
        self._price(*astuple(profile))

    def charge_start(
        self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int
    ) -> int:
        """The same for a segment of start code, which belongs to no call."""
        self.start_fuel += fuel
        time_ns = self.profile.cpu_ns(fuel, calls, imports, exchanges, values, count)
        self.instantiate_ns += time_ns
        return time_ns

    @property
    def spent_ps(self) -> int:
        """CPU time of all its calls, without instantiation, in picoseconds."""
        return self.cpu_ns * PS_PER_NS + self._rest_ps

    @property
    def fuel_ns(self) -> int:
        """The part of ``cpu_ns`` that is guest code, each unit at the price that it had then."""
        since = self.fuel - self._fuel_priced
        return (self._fuel_spent_ps + since * self.profile.fuel_ps) // PS_PER_NS

    @property
    def fuel_full_ps(self) -> int:
        """What its guest code would have cost, in picoseconds, had the CPU never been throttled."""
        return self._fuel_full_ps + (self.fuel - self._fuel_priced) * self._full_fuel_ps

    @property
    def crossings_ns(self) -> int:
        """The part of ``cpu_ns`` that the host takes for calls, imports, values and bytes."""
        return self.cpu_ns - self.fuel_ns


HOST_BYTES_PER_INSTANCE = 19 << 10
"""a live 8 KB instance with its store, measured; its linear memory comes on top"""


class Budget:
    """A gateway's account: a profile, a meter for each component, linear memory now and at its peak."""

    def __init__(
        self,
        board: Board,
        prices: Prices,
        files: int | None = None,
        memories: Memories | None = None,
        instance_bytes: int = HOST_BYTES_PER_INSTANCE,
    ) -> None:
        self.instance_bytes = instance_bytes
        """of the host's memory for each instance, linear memory aside"""
        self.board, self.prices, self.memories = board, prices, memories or Memories()
        self.files = Files(files)
        self.profile = self._full_speed = CpuProfile.of(prices)
        self._measured: dict[str, CpuProfile] = {
            sha256: replace(self.profile, fuel_ps=figure.value)
            for sha256, figure in prices.component_fuel_ps.items()
        }
        """of components that were measured on the board"""
        self._sha256: dict[str, str] = {}
        """component -> the bytes that its meter's prices are for"""
        self._throttles: list[float] = []
        self._squeezes: list[int] = []
        self.speed = 1.0
        """share of the CPU's speed that it has now"""
        self.meters: dict[str, Meter] = {}
        self.host_ns = 0
        """work outside WASM: boards.WORK"""
        self.memory_bytes = self.memory_peak_bytes = 0
        self.breaches: dict[str, int] = {}
        self.hits: dict[tuple[str, str, str], int] = {}
        """(component, its place, limit) -> how often that was hit there"""

    def meter(self, component: str, sha256: str = "") -> Meter:
        """The meter of a component, made on first use. ``sha256``: of its bytes; those that were measured on
        the board have a price of their own, and another release of the same name hasn't, from now on."""
        found = self.meters.get(component)
        if found is None:
            self._sha256[component] = sha256
            found = self.meters[component] = Meter(self._profile_of(sha256), self.full_speed(component))
        elif self._sha256[component] != sha256:
            self._sha256[component] = sha256
            found.reprice(self._profile_of(sha256), self.full_speed(component))
        return found

    def full_speed(self, component: str) -> CpuProfile:
        """The prices of a component's calls while the CPU isn't throttled."""
        return self._measured.get(self._sha256[component], self._full_speed)

    def _profile_of(self, sha256: str) -> CpuProfile:
        measured = self._measured.get(sha256)
        if measured is None or self.speed == 1.0:
            return measured or self.profile
        return measured.slowed(self.speed)

    def host(self, work: str) -> int:
        """The time of one piece of host work on this board, accounted for."""
        time_ns = self.prices.work_ns[work].value
        if self.speed != 1.0:
            time_ns = self.work_ns(time_ns)
        self.host_ns += time_ns
        return time_ns

    def host_many(self, work: str, count: int) -> int:
        """The same for ``count`` pieces."""
        time_ns = self.work_ns(count * self.prices.work_ns[work].value)
        self.host_ns += time_ns
        return time_ns

    def work_ns(self, time_ns: int) -> int:
        """What takes ``time_ns`` at full speed takes this long now."""
        return time_ns if self.speed == 1.0 else round(time_ns / self.speed)

    def throttle(self, ratio: float) -> Callable[[], None]:
        """The CPU runs at ``ratio`` of its speed (the lowest of all that hold); returns what ends it."""
        self._throttles.append(ratio)
        self._reprice()

        def end() -> None:
            self._throttles.remove(ratio)
            self._reprice()

        return end

    def _reprice(self) -> None:
        self.speed = min(self._throttles, default=1.0)
        self.profile = self._full_speed if self.speed == 1.0 else self._full_speed.slowed(self.speed)
        for component, meter in self.meters.items():
            meter.reprice(self._profile_of(self._sha256[component]), self.full_speed(component))

    def squeeze(self, left_bytes: int) -> Callable[[], None]:
        """Only ``left_bytes`` of RAM are left for instances (the least of all that hold); returns what ends
        it."""
        self._squeezes.append(left_bytes)
        return lambda: self._squeezes.remove(left_bytes)

    @property
    def limit_bytes(self) -> int:
        """RAM that instances may have now."""
        return min([self.board.memory_bytes, *self._squeezes])

    def hold_memory(self, change_bytes: int) -> bool:
        """Memory of instances comes or goes; False when the board's RAM is exceeded."""
        self.memory_bytes += change_bytes
        self.memory_peak_bytes = max(self.memory_peak_bytes, self.memory_bytes)
        return self.memory_bytes <= self.limit_bytes

    def hit(self, component: str, place: str, limit: str, count: int) -> None:
        """A component has hit a limit of its own so often more."""
        key = component, place, limit
        self.hits[key] = self.hits.get(key, 0) + count

    def breach(self, budget: str) -> None:
        """A limit was hit: counted by name."""
        self.breaches[budget] = self.breaches.get(budget, 0) + 1
