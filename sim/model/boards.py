"""The boards that gateways run on: what a call, a unit of fuel and a byte cost there, each with its source
and band.

Belongs here: figures about hardware. Never: what a gateway has spent (budget.py). Nothing here was run on a
board: the method is fuel (exact) x ARM64 instructions per fuel (counted on real ARM64 code) x cycles per
instruction (from published CoreMark) / clock; one scalar predicts the time of a gateway's code within x/÷2 at
90 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Figure(NamedTuple):
    """A modelled number: its value, where it comes from (``ours``: derived here; ``unchecked``: nobody opened
    it), its band."""

    value: int
    source: str
    band: float
    """90 % of cases lie within x/÷ this factor"""


@dataclass(frozen=True, slots=True)
class Board:
    """A board. Times of single things in picoseconds (``_ps``), of larger ones in nanoseconds."""

    name: str
    title: str
    cores: int
    clock_mhz: int
    memory_bytes: int
    runtime: str
    """cranelift (native code) or pulley (wasmtime's interpreter: no Cranelift for 32-bit ARM)"""
    fuel_ps: Figure
    """a unit of fuel when nothing on the board is metered"""
    metered_fuel_ps: Figure
    """a unit of fuel when a component has a CPU limit: counting costs instructions too"""
    call_ps: Figure
    """one call into a component, whatever it does"""
    import_ps: Figure
    """one call from a component to the host"""
    value_ps: Figure
    """one lifted or lowered value: a byte of a list<u8>, a field of a reading"""
    instantiate_ns: Figure
    """a new instance from compiled code"""
    flash_bytes_per_s: Figure
    """what its flash takes when written to steadily"""
    host_ns: dict[str, Figure] = field(default_factory=dict)
    """work outside WASM on the same cores: publish, ack, store, commit, tls_handshake; an Ed25519 signature
    verified, a KiB hashed (SHA-256 without crypto extensions), a KiB of component compiled"""
    va_bits: int = 48
    """user addresses of the usual kernel; 39 bits hold 125 default wasm32 memories"""
    va_source: str = "unchecked"

    def band(self) -> float:
        """The widest band of the figures that make a call's time."""
        return max(self.fuel_ps.band, self.metered_fuel_ps.band, self.call_ps.band, self.value_ps.band)


_COREMARK = "kreier/benchmark@8e53957 CoreMark/README.md; EntityFX/anybench@e2ff88b results"
_RECIPE = "fuel x cycles per fuel (CoreMark per MHz, A64 instructions per fuel counted under qemu)"
_DERIVED = "ours: x86 measurement scaled by CoreMark"
_METERING = 1.7
"""range of the price of counting fuel: x1.1 to x1.7"""


def _cranelift(per_mhz: str, plain_ps: int, metered_ps: int) -> tuple[Figure, Figure]:
    source = f"ours: {_RECIPE}; {per_mhz} ({_COREMARK})"
    return Figure(plain_ps, source, 2.0), Figure(metered_ps, f"{source}; metered x1.52", 2.0)


def _pulley(per_mhz: str, fuel_ps: int) -> tuple[Figure, Figure]:
    source = f"ours: Pulley's A64 instructions per fuel x1.2 for 32 bits; {per_mhz}; no dispatch mispredicts"
    return Figure(fuel_ps, source, 2.5), Figure(fuel_ps, f"{source}; metering not known apart", 2.5)


def _call(call_ps: int) -> tuple[Figure, Figure, Figure]:
    """(call, import, value): 11 190 A64 instructions a component call and 190 a list byte through the dynamic
    C API."""
    source = "ours: A64 instructions counted under qemu, dynamic C API"
    return (
        Figure(call_ps, source, 2.0),
        Figure(call_ps, f"{source}; an import is taken to cost what a call costs", 2.0),
        Figure(call_ps * 190 // 11_190, source, 2.0),
    )


def _host(scale: float) -> dict[str, Figure]:
    """Raspberry Pi 4 estimates times ``scale``: none was measured on a board."""
    pi4 = {
        "publish": 40_000, "ack": 12_000, "store": 50_000, "commit": 400_000, "tls_handshake": 6_000_000,
        "verify": 320_000, "digest_kib": 10_000, "compile_kib": 4_000_000,
    }  # fmt: skip
    return {name: Figure(int(ns * scale), _DERIVED, 3.0) for name, ns in pi4.items()}


def _board(
    name: str,
    title: str,
    figures: tuple[Figure, Figure],
    call_ps: int,
    instantiate_ns: int,
    scale: float,
    **rest: object,
) -> Board:
    plain, metered = figures
    call, imported, value = _call(call_ps)
    instantiate = Figure(instantiate_ns, "ours: 35 061 A64 instructions counted, kernel work guessed", 2.0)
    return Board(
        name,
        title,
        fuel_ps=plain,
        metered_fuel_ps=metered,
        call_ps=call,
        import_ps=imported,
        value_ps=value,
        instantiate_ns=instantiate,
        host_ns=_host(scale),
        flash_bytes_per_s=_CARD,
        **rest,  # type: ignore[arg-type]  # checked by the dataclass
    )


_CARD = Figure(
    10_000_000, "SD card of class A1: at least 10 MB/s sustained (ADMIN magazine 76/2023, table 1)", 2.0
)
_GIB = 1 << 30
_VA39 = "raspberrypi/linux issue 6261: 4 KB-page kernels have 39 bits"
BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        _board(
            "raspberry-pi-4",
            "Raspberry Pi 4, 4 x Cortex-A72 at 1.8 GHz, 4 GB",
            _cranelift("A72 5.50", 190, 280),
            3_700_000,
            70_000,
            1.0,
            cores=4,
            clock_mhz=1800,
            memory_bytes=4 * _GIB,
            runtime="cranelift",
            va_bits=39,
            va_source=_VA39,
        ),
        _board(
            "raspberry-pi-3",
            "Raspberry Pi 3B, 4 x Cortex-A53 at 1.2 GHz, 1 GB",
            _cranelift("A53 3.03", 550, 830),
            10_000_000,
            190_000,
            2.8,
            cores=4,
            clock_mhz=1200,
            memory_bytes=1 * _GIB,
            runtime="cranelift",
            va_bits=39,
            va_source=_VA39,
        ),
        _board(
            "imx8m-mini",
            "NXP i.MX8M Mini, 4 x Cortex-A53 at 1.6 GHz, 2 GB",
            _cranelift("A53 3.03", 410, 620),
            7_500_000,
            140_000,
            2.1,
            cores=4,
            clock_mhz=1600,
            memory_bytes=2 * _GIB,
            runtime="cranelift",
            va_bits=48,
            va_source="unchecked",
        ),
        _board(
            "beaglebone-black",
            "BeagleBone Black, 1 x Cortex-A8 at 1.0 GHz, 512 MB",
            _pulley("A8 2.49 (BeagleBone Black 1 GHz)", 33_000),
            15_000_000,
            290_000,
            4.0,
            cores=1,
            clock_mhz=1000,
            memory_bytes=_GIB // 2,
            runtime="pulley",
            va_bits=31,
            va_source="ours: 32-bit user space; Pulley needs no reservation",
        ),
    )
}
"""by name; user addresses, clocks and memory of the i.MX8M Mini are unchecked"""

RESERVATION_DEFAULT_BYTES = 4160 << 20
"""what wasmtime reserves for each wasm32 memory: 4 GiB and its guards"""
SMALL_RESERVATION_FACTOR = Figure(
    1_700, "ours: A64 instructions with explicit bounds checks, in thousandths", 1.3
)
"""fuel costs this much more (x1.3 to x2.2) when memories reserve 64 MiB only"""


def instances_that_fit(board: Board) -> int:
    """How many default wasm32 memories the board's user addresses hold; interpreters reserve nothing of the
    kind."""
    if board.runtime == "pulley":
        return board.memory_bytes // (1 << 16)
    return (1 << board.va_bits) // RESERVATION_DEFAULT_BYTES
