"""The shape of a board file, and of the shipped files of host programs and runtimes.

Belongs here: keys, what one value may look like. Never: what they come to (reading.py, sim/model/boards.py).
Every figure has a source, a date and a band.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from twinloop.scenarios.file.block import Block
from twinloop.scenarios.text import units
from twinloop.scenarios.text.quantities import ByteRate, PositiveDuration, PositiveSize, Size

FORMAT = 1
BAND_MAX = 100.0
_FINE = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9}
_CLOCKS = {"MHz": 1, "GHz": 1000}
_DATE = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def _over_zero(what: str, example: str, of: dict[str, int]) -> Any:
    def validate(value: Any) -> Any:
        try:
            found = units.parse(value, of, what, example)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error
        if found <= 0:
            raise PydanticCustomError(
                "quantity", 'expected {what} over 0, got "{got}"', {"what": what, "got": value}
            )
        return found

    pattern = rf"^\s*[0-9]*\.?[0-9]+\s*({'|'.join(of)})\s*$"
    return BeforeValidator(validate), WithJsonSchema(
        {"type": "string", "examples": [example], "pattern": pattern}
    )


Picoseconds = Annotated[int, *_over_zero("a time", "0.19 ns", _FINE)]
Megahertz = Annotated[int, *_over_zero("a clock", "1.8 GHz", _CLOCKS)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


def _dated(value: Any) -> Any:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise PydanticCustomError(
            "date", "expected a date such as 2026-11-27, got {got}", {"got": repr(value)}
        )
    return value


Date = Annotated[
    str, BeforeValidator(_dated), WithJsonSchema({"type": "string", "pattern": f"^{_DATE.pattern}$"})
]
Band = Annotated[float, Field(ge=1, le=BAND_MAX, allow_inf_nan=False)]


class Sourced(Block):
    """What every figure says of itself."""

    source: Text
    """Where it comes from: something that was opened, `ours` with the method, or `unchecked`."""
    date: Date
    """When it was found."""
    band: Band = 1.0
    """90 % of cases lie between the value divided by this and multiplied by it. Left out: it is exact."""


class Time(Sourced):
    """A time of one thing."""

    value: Picoseconds
    """How long it takes, for example `0.19 ns`."""


class LongTime(Sourced):
    """A time that is told in whole nanoseconds."""

    value: PositiveDuration
    """How long it takes, for example `70 us`."""


class Flash(Sourced):
    """What flash takes."""

    value: ByteRate
    """Bytes per second when it is written to steadily, for example `10 MB/s`."""


class AddressBits(Sourced):
    """User addresses."""

    value: Annotated[int, Field(ge=20, le=64)]
    """How many bits they have under the usual kernel."""


class Money(Block):
    """What a board costs."""

    value: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    """So much of `currency`."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """Three letters, for example EUR."""
    source: Text
    """Where the price was seen."""
    date: Date
    """When."""


class Work(Block):
    """What a gateway does outside WASM, on the same cores."""

    publish: LongTime
    """A message sent to the cloud."""
    ack: LongTime
    """An acknowledgement of the cloud handled."""
    store: LongTime
    """A message written to the store."""
    commit: LongTime
    """A sync of the store."""
    tls_handshake: LongTime = Field(alias="tls-handshake")
    """A TLS handshake with the cloud."""
    verify: LongTime
    """An Ed25519 signature verified."""
    digest_kib: LongTime = Field(alias="digest-kib")
    """A KiB hashed by SHA-256."""
    compile_kib: LongTime = Field(alias="compile-kib")
    """A KiB of component compiled to native code, or prepared for an interpreter."""


class ComponentBlock(Block):
    """A component that was measured on the board."""

    component: Text
    """Its name, for people."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Of its bytes: another build isn't the same component, and gets the board's own figures."""
    fuel: Time
    """A unit of its fuel where no component has a CPU limit."""
    metered_fuel: Time = Field(alias="metered-fuel")
    """A unit of its fuel where one has."""


class BoardFile(Block):
    """A board file."""

    format: Literal[1]
    """1: the format that this page is about."""
    title: Text
    """What the board is, in a line."""
    isa: Literal["aarch64", "armv7", "x86-64"]
    """Its instruction set."""
    cores: Annotated[int, Field(ge=1, le=256)]
    """How many cores gateways get."""
    clock: Megahertz
    """Its clock, for example `1.8 GHz`. For people; the times below are what counts."""
    memory: PositiveSize
    """RAM that components may use."""
    address_bits: AddressBits = Field(alias="address-bits")
    """They limit how many memories fit."""
    runtime: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
    """What runs components unless the scenario says otherwise (`twinloop boards --runtimes`); `fuel` is of
    it."""
    instruction: Time
    """An instruction of native code. What a host program does is counted in aarch64 instructions."""
    fuel: Time
    """A unit of fuel where no component has a CPU limit."""
    metered_fuel: Time = Field(alias="metered-fuel")
    """A unit of fuel where one has: counting fuel takes time, too."""
    instantiate: LongTime
    """A new instance from compiled code."""
    flash: Flash
    """What its flash takes."""
    work: Work
    """Work outside WASM."""
    hosts: dict[str, Time] = Field(default_factory=dict)
    """Host programs that were measured by themselves: an instruction that was counted for them. Of others
    `instruction` counts."""
    components: list[ComponentBlock] = Field(default_factory=list)
    """Components that were measured, in place of `fuel` and `metered-fuel`."""
    price: Money | None = None
    """What it costs. Left out: nothing is said of money."""
    calibrated: bool = False
    """Were the figures measured on the board itself? `twinloop calibrate` writes true."""


class Factor(Block):
    """Guest code against wasmtime's Cranelift without metering."""

    value: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]
    """So many times as long: the geometric mean over kernels."""
    low: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]
    """Of the kernel that loses least."""
    high: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]
    """Of the kernel that loses most."""
    source: Text
    date: Date


class RuntimeBlock(Block):
    """What executes WebAssembly."""

    title: Text
    components: bool
    isas: list[Literal["aarch64", "armv7", "x86-64"]]
    metered: bool
    reservation: Size
    fuel: Factor
    instance: PositiveSize
    interpreter: bool = False
    lacks: str = ""


class RuntimesFile(Block):
    """The shipped runtimes."""

    format: Literal[1]
    runtimes: dict[str, RuntimeBlock]


class Count(Sourced):
    """So many aarch64 instructions."""

    value: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    """Counted, or fitted to counted points; thousandths are kept."""


class HostBlock(Block):
    """A host program: what calls components."""

    title: Text
    call: Count
    imported: Count = Field(alias="import")
    exchange: Count
    value: Count
    byte: Count


class HostsFile(Block):
    """The shipped host programs."""

    format: Literal[1]
    default: str
    """taken where a scenario says nothing"""
    doubt: str
    """under which a verdict has to hold, too, then"""
    hosts: dict[str, HostBlock]
