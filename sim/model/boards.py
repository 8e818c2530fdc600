"""The boards that gateways run on, and what a host program takes there for each call: figures with source and
band, and the prices that they come to.

Belongs here: what a figure is, how prices follow from a board, a host and a runtime. Never: the figures of
one board (scenarios/file/boards/library/), what a gateway has spent (machine/budget.py). A price is work
counted in instructions times the board's time for one of them, or units of fuel times the board's time for
one of those."""

from __future__ import annotations

from dataclasses import field, replace
from decimal import Context, Decimal
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from twinloop.records import dataclass


class Figure(NamedTuple):
    """A modelled number: its value, where it comes from (``ours``: derived here; ``unchecked``: nobody opened
    it), its band, when it was found."""

    value: int
    source: str
    band: float
    """90 % of cases lie within x/÷ this factor"""
    date: str = ""

    def times(self, factor: Figure, whole: int = 1) -> Figure:
        """Two figures that are multiplied, ``whole`` of the second being one; their bands come together as
        those of independent factors do."""
        return Figure(
            max(1, self.value * factor.value // whole),
            f"{self.source}; {factor.source}",
            together(self.band, factor.band),
            max(self.date, factor.date),
        )

    def at(self, end: End) -> Figure:
        """The figure at an end of its band."""
        if end is End.NOMINAL:
            return self
        many = round(self.band * 1000)
        value = self.value * 1000 // many if end is End.LOW else self.value * many // 1000
        return self._replace(value=max(1, value), band=1.0)


@cache
def together(one: float, other: float) -> float:
    """The band of two independent factors: their logarithms add up as the sides of a right angle do. In
    decimal numbers, whose results are the same on every machine."""
    exact = Context(prec=20)
    logs = [exact.ln(Decimal(str(band))) for band in (one, other)]
    apart = exact.sqrt(sum((exact.multiply(log, log) for log in logs), Decimal(0)))
    return float(round(exact.exp(apart), 2))


class End(StrEnum):
    """Of all bands together: every price at its least, as it stands, at its most."""

    LOW = "low"
    NOMINAL = "nominal"
    HIGH = "high"


class ComponentFuel(NamedTuple):
    """A unit of fuel of one component on one board, not metered and metered."""

    plain_ps: Figure
    metered_ps: Figure


@dataclass(frozen=True, slots=True)
class Board:
    """A board. Times of single things in picoseconds (``_ps``), of larger ones in nanoseconds."""

    name: str
    title: str
    cores: int
    clock_mhz: int
    memory_bytes: int
    isa: str
    """aarch64, armv7 or x86-64"""
    runtime: Runtime
    """what runs components on it unless the scenario says otherwise"""
    instruction_ps: Figure
    """an instruction of native code, as counted for aarch64"""
    fuel_ps: Figure
    """a unit of fuel of its ``runtime`` when nothing on the board is metered"""
    metered_fuel_ps: Figure
    """a unit of fuel when a component has a CPU limit: counting costs instructions too"""
    instantiate_ns: Figure
    """a new instance from compiled code"""
    flash_bytes_per_s: Figure
    """what its flash takes when written to steadily"""
    work_ns: dict[str, Figure] = field(default_factory=dict)
    """work outside WASM on the same cores: WORK"""
    va_bits: int = 48
    """user addresses of the usual kernel; 39 bits hold 126 default wasm32 memories"""
    va_source: str = "unchecked"
    money: str = ""
    """what it costs, in whatever money its file says; empty: not said"""
    calibrated: bool = False
    """were its figures measured on it (``twinloop calibrate``)?"""
    host_instruction_ps: dict[str, Figure] = field(default_factory=dict)
    """of host programs that were measured on it by themselves: an instruction that was counted for them"""
    component_fuel_ps: dict[str, ComponentFuel] = field(default_factory=dict)
    """of components that were measured on it, by the SHA-256 of their bytes; of others ``fuel_ps`` counts"""


WORK = {
    "publish": "a message sent to the cloud",
    "ack": "an acknowledgement of the cloud handled",
    "store": "a message written to the store",
    "commit": "a sync of the store",
    "tls_handshake": "a TLS handshake with the cloud",
    "verify": "an Ed25519 signature verified",
    "digest_kib": "a KiB hashed by SHA-256 without crypto extensions",
    "compile_kib": "a KiB of component compiled",
}
"""what a gateway does outside WASM, in words"""


@dataclass(frozen=True, slots=True)
class HostProgram:
    """The program around the runtime that calls components: thousandths of an aarch64 instruction for a call,
    an import, an exchange, a value, a byte."""

    name: str
    title: str
    call: Figure
    """one call into a component, whatever it does"""
    imported: Figure
    """one call from a component to the host that is answered at once, such as clock.now"""
    exchange: Figure
    """one that waits for something outside, such as fieldbus.transact; its bytes come on top"""
    value: Figure
    """one lifted or lowered value: a field of a record, such as a reading's"""
    byte: Figure
    """one lifted or lowered byte of a list<u8> or a string"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What executes WebAssembly. Factors in thousandths, against wasmtime's Cranelift without metering."""

    name: str
    title: str
    components: bool
    """does it know the component model?"""
    isas: tuple[str, ...]
    """it runs on these"""
    metered: bool
    """can it count fuel?"""
    reservation_bytes: int
    """addresses that it reserves for each wasm32 memory; 0: none of the kind"""
    fuel: Figure
    """time of guest code"""
    instance_bytes: int
    """the host's memory for one more instance, linear memory aside"""
    interpreter: bool = False
    """it checks each access anyway: what memories reserve has no price"""
    lacks: str = ""
    """what it hasn't got, in words; empty: nothing that matters here"""

    def reserves(self, isa: str) -> int:
        """Addresses that it reserves for each memory there; 0: RAM alone decides how many fit. On 32 bits
        nobody reserves gigabytes."""
        return 0 if isa == "armv7" else self.reservation_bytes

    def against(self, own: Runtime) -> Figure:
        """Time of its guest code against another's, in thousandths."""
        return Figure(
            max(1, self.fuel.value * _THOUSAND // own.fuel.value),
            self.fuel.source,
            together(self.fuel.band, own.fuel.band),
            max(self.fuel.date, own.fuel.date),
        )


RESERVATION_DEFAULT_BYTES = 4160 << 20
"""what wasmtime reserves for each wasm32 memory: 4 GiB and its guards"""
SMALL_RESERVATION_BYTES, SMALL_GUARDS_BYTES = 64 << 20, 64 << 10
"""of each memory, when addresses are scarce"""
MAPS_MAX, MAPS_PER_MEMORY = 65_530, 4
"""Linux's usual vm.max_map_count, and how many of them a memory takes (measured: an instance could not be
made from 16 357 on; this says 16 382)"""
SMALL_RESERVATION_FACTOR = Figure(
    1_700, "ours: A64 instructions with explicit bounds checks, in thousandths", 1.3, "2026-11-27"
)
"""fuel costs this much more (x1.3 to x2.2) when memories reserve 64 MiB only"""
_POOLING = "python -m benchmarks.pooling: 6 shipped components, 2 shared cores, x86-64; not on ARM"
POOL_NEW_FACTOR = Figure(1_080, _POOLING, 1.2, "2026-11-29")
"""a new instance in a memory of a pool that nobody has used yet, against one without a pool, in thousandths:
x1.01 to x1.20 in two measurements"""
POOL_USED_FACTOR = Figure(680, _POOLING, 1.3, "2026-11-29")
"""the same in a memory that an instance of the same component has left: x0.62 to x0.79 in two measurements"""
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Prices:
    """What work costs on one gateway: in picoseconds a unit of fuel, a call, an import, an exchange, a lifted
    or lowered value and byte; in nanoseconds a new instance and each of WORK; what its flash takes."""

    host: HostProgram
    metered: bool
    fuel_ps: Figure
    call_ps: Figure
    import_ps: Figure
    exchange_ps: Figure
    value_ps: Figure
    byte_ps: Figure
    instantiate_ns: Figure
    instantiate_again_ns: Figure
    """a new instance in a memory of a pool that an earlier one has left; without a pool, as any other"""
    flash_bytes_per_s: Figure
    work_ns: dict[str, Figure]
    component_fuel_ps: dict[str, Figure] = field(default_factory=dict)
    """of components that were measured on the board, by their SHA-256, in place of ``fuel_ps``"""
    end: End = End.NOMINAL

    def at(self, end: End) -> Prices:
        """All of them at an end of their bands; flash takes most at the low end."""
        if end is self.end:
            return self
        return replace(
            self,
            fuel_ps=self.fuel_ps.at(end),
            call_ps=self.call_ps.at(end),
            import_ps=self.import_ps.at(end),
            exchange_ps=self.exchange_ps.at(end),
            value_ps=self.value_ps.at(end),
            byte_ps=self.byte_ps.at(end),
            instantiate_ns=self.instantiate_ns.at(end),
            instantiate_again_ns=self.instantiate_again_ns.at(end),
            flash_bytes_per_s=self.flash_bytes_per_s.at(End.HIGH if end is End.LOW else End.LOW),
            work_ns={name: figure.at(end) for name, figure in self.work_ns.items()},
            component_fuel_ps={sha256: figure.at(end) for sha256, figure in self.component_fuel_ps.items()},
            end=end,
        )

    @property
    def band(self) -> float:
        """The widest band of what makes a call's time."""
        fuel = self.fuel_ps, *self.component_fuel_ps.values()
        crossings = self.call_ps, self.import_ps, self.exchange_ps, self.value_ps, self.byte_ps
        return max(one.band for one in (*fuel, *crossings))


def prices(
    board: Board,
    host: HostProgram,
    runtime: Runtime | None,
    metered: bool,
    small_reservation: bool,
    pooled: bool = False,
) -> Prices:
    """Of a board under a host program. ``runtime`` None: the board's own; ``metered`` when a component on it
    has a CPU limit, or may have; ``pooled``: memories come out of a pool."""
    other = runtime is not None and runtime is not board.runtime
    checks = small_reservation and not (runtime or board.runtime).interpreter

    def fuel(figure: Figure) -> Figure:
        if other and runtime is not None:
            figure = figure.times(runtime.against(board.runtime), _THOUSAND)
        return figure.times(SMALL_RESERVATION_FACTOR, _THOUSAND) if checks else figure

    new = again = board.instantiate_ns
    if pooled:
        new, again = new.times(POOL_NEW_FACTOR, _THOUSAND), new.times(POOL_USED_FACTOR, _THOUSAND)
    one = board.host_instruction_ps.get(host.name, board.instruction_ps)
    return Prices(
        host=host,
        metered=metered,
        fuel_ps=fuel(board.metered_fuel_ps if metered else board.fuel_ps),
        call_ps=one.times(host.call, _THOUSAND),
        import_ps=one.times(host.imported, _THOUSAND),
        exchange_ps=one.times(host.exchange, _THOUSAND),
        value_ps=one.times(host.value, _THOUSAND),
        byte_ps=one.times(host.byte, _THOUSAND),
        instantiate_ns=new,
        instantiate_again_ns=again,
        flash_bytes_per_s=board.flash_bytes_per_s,
        work_ns=board.work_ns,
        component_fuel_ps={
            sha256: fuel(one.metered_ps if metered else one.plain_ps)
            for sha256, one in board.component_fuel_ps.items()
        },
    )


def memories_that_fit(board: Board, reservation_bytes: int) -> int:
    """How many memories with so many reserved addresses each the board's user addresses and its kernel's maps
    hold; what reserves nothing is held by its RAM."""
    if reservation_bytes == 0:
        return board.memory_bytes // (1 << 16)
    return min((1 << board.va_bits) // reservation_bytes, MAPS_MAX // MAPS_PER_MEMORY)
