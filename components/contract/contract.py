"""The contract as the host checks it: each interface's functions with their types, and Python's mirror of the
records.

Belongs here: a transcription of components/wit (and of wit-0.1, which is served beside it) that tests compare
with the WIT itself (tests/test_wit.py), and the structural text by which a component's exports are held
against it. Never: calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from wasmtime import component as wc

PACKAGE = "twinloop:gateway"
VERSION = "0.2.0"


def interface(name: str, version: str = VERSION) -> str:
    """The full name of one of the contract's interfaces: ``twinloop:gateway/driver@0.2.0``."""
    return f"{PACKAGE}/{name}@{version}"


Result = tuple[bool, Any]
"""a WIT result as a host function answers it: (is it ok, the value or the error)"""
Framing = tuple[str, Any]
"""a WIT framing: (case, its payload): where a reply ends"""
Verdict = tuple[str, Any]
"""a WIT verdict: (case, its payload): a lane, or a text"""
Integer = tuple[str, int]
"""a WIT integer: (signed or unsigned, its value)"""
Written = tuple[str, Any]
"""what is written to a point, a WIT written: (real, a float), (integer, an Integer) or (text, a string)"""


def as_written(value: float) -> Written:
    """A number as write-register takes it: an int exactly."""
    if type(value) is not int:
        return "real", float(value)
    return "integer", as_integer(value)


def as_integer(value: int) -> Integer:
    """An int from -2^63 to 2^64 - 1 as the WIT has it."""
    return ("signed" if value < 0 else "unsigned"), value


class PointConfig(NamedTuple):
    """One point as a guest sees it; value = raw * scale + offset, ``low`` and ``high`` in the driver's
    unit. ``sentinels``: bits of raw values that mean that there is no value."""

    id: int
    name: str
    address: str
    unit: str
    scale: float
    offset: float
    low: float | None
    high: float | None
    sentinels: Sequence[int] = ()


class Settings(NamedTuple):
    """What ``configure`` is given. ``device`` is empty when one instance serves a whole gateway."""

    device: str
    points: list[PointConfig]
    options: list[tuple[str, str]]

    def of(self, contract: Contract) -> tuple[Any, ...]:
        """As a component of that contract takes them: in 0.1 a point had no sentinels but in its address,
        where only modbus-driver looked for them."""
        if contract is not CONTRACTS["0.1"]:
            return self
        points = [(*point[:2], _with_sentinels(point), *point[3:8]) for point in self.points]
        return self.device, points, self.options


def _with_sentinels(point: PointConfig) -> str:
    return point.address + "".join(f":nan={one:#x}" for one in point.sentinels)


class Reading(NamedTuple):
    """One value of one point. ``status`` is an OPC UA StatusCode; ``measured`` ns since 1970."""

    point: int
    value: float
    status: int
    measured: int


class TextReading(NamedTuple):
    """A value that is no number."""

    point: int
    value: str
    status: int
    measured: int


class IntegerReading(NamedTuple):
    """A whole number from -2^63 to 2^64 - 1, exact."""

    point: int
    value: Integer
    status: int
    measured: int


class WitBatch(NamedTuple):
    """At most one reading a point."""

    readings: list[Reading]
    texts: list[TextReading]
    integers: list[IntegerReading]


class Origin(NamedTuple):
    """Whose sample a batch is: ``sequence`` counts the device's due samples from 0."""

    device: str
    sequence: int


class LinkState(NamedTuple):
    """The uplink as the gateway believes it to be; ``since`` and ``round_trip`` in ns, ``store_used`` 0 to
    1."""

    up: bool
    since: int
    backlog: int
    round_trip: int
    store_used: float


class DriverStatus(NamedTuple):
    """``health`` is ok, degraded or failed."""

    health: str
    polls: int
    errors: int
    detail: str


_INTEGER = "variant{signed(s64),unsigned(u64)}"
_READING = "point:u16,value:{},status:u32,measured:u64"
_LISTS = ",".join(
    f"{name}:list<record{{{_READING.format(value)}}}>"
    for name, value in (("readings", "f64"), ("texts", "string"))
)
_BATCH = f"record{{{_LISTS},integers:list<record{{{_READING.format(_INTEGER)}}}>}}"
_POINT = "id:u16,name:string,address:string,unit:string,scale:f64,offset:f64,low:option<f64>,high:option<f64>"
_SETTINGS = (
    f"record{{device:string,points:list<record{{{_POINT},sentinels:list<u64>}}>,"
    "options:list<tuple<string,string>>}"
)
_WRITTEN = f"variant{{real(f64),integer({_INTEGER}),text(string)}}"
_CONFIG_ERROR = (
    "variant{unknown-option(string),bad-option(string),bad-address(string),"
    "too-many-points(u32),other(string)}"
)
_BUS_ERROR = "variant{timeout,disconnected,too-long(u32),other(string)}"
_DRIVER_ERROR = (
    f"variant{{not-configured,bus({_BUS_ERROR}),rejected(u32),malformed(string),"
    "no-such-point(u16),other(string)}"
)
_STAGE_ERROR = "variant{not-configured,bad-input(string),other(string)}"
_ORIGIN = "record{device:string,sequence:u64}"
_VERDICT = "variant{forward(u8),cache(u8),alert(string),drop(string),other(string)}"
_FRAMING = (
    "variant{silence,length-field(record{offset:u8,size:u8,big-endian:bool,adjust:s32}),"
    "exactly(u32),some(u32),until(list<u8>)}"
)
_CONFIGURE = f"func(settings:{_SETTINGS})->result<_,{_CONFIG_ERROR}>"

EXPORTS: dict[str, dict[str, str]] = {
    "driver": {
        "configure": _CONFIGURE,
        "read-sensor": f"func()->result<{_BATCH},{_DRIVER_ERROR}>",
        "write-register": f"func(point:u16,value:{_WRITTEN})->result<_,{_DRIVER_ERROR}>",
        "get-status": "func()->record{health:enum{ok,degraded,failed},polls:u64,errors:u64,detail:string}",
    },
    "transform": {
        "configure": _CONFIGURE,
        "transform-readings": f"func(source:{_ORIGIN},input:{_BATCH})->result<{_BATCH},{_STAGE_ERROR}>",
    },
    "policy": {
        "configure": _CONFIGURE,
        "decide": f"func(source:{_ORIGIN},input:{_BATCH},"
        "uplink:record{up:bool,since:u64,backlog:u32,round-trip:u64,store-used:f32})"
        f"->result<record{{verdict:{_VERDICT},except:list<record{{point:u16,verdict:{_VERDICT}}}>}},{_STAGE_ERROR}>",
    },
}
"""role -> function -> its type, written by ``describe``"""

IMPORTS: dict[str, dict[str, str]] = {
    "fieldbus": {
        "transact": f"func(request:list<u8>,reply:{_FRAMING},timeout:u64)->result<list<u8>,{_BUS_ERROR}>",
        "send": f"func(data:list<u8>,timeout:u64)->result<_,{_BUS_ERROR}>",
        "receive": f"func(frame:{_FRAMING},timeout:u64)->result<list<u8>,{_BUS_ERROR}>",
        "reset": "func()",
    },
    "clock": {"now": "func()->u64", "monotonic": "func()->u64", "sleep": "func(time:u64)"},
    "log": {"log": "func(level:enum{trace,debug,info,warn,error},message:string)"},
    "state": {
        "get": "func(key:string)->option<list<u8>>",
        "set": "func(key:string,value:list<u8>)->"
        "result<_,variant{quota-exceeded(u64),key-too-long(u32),other(string)}>",
        "delete": "func(key:string)",
        "keys": "func()->list<string>",
    },
}
"""capability -> function -> its type"""

PARKING = (
    "fieldbus.transact",
    "fieldbus.send",
    "fieldbus.receive",
    "fieldbus.reset",
    "clock.sleep",
    "state.set",
    "state.delete",
)
"""imports that act on the world outside the instance: the guest is parked and they act after the CPU time
that led to them; the others answer at once. A tuple, not a set: nothing here may depend on hash order."""

GRANTABLE: dict[str, tuple[str, ...]] = {
    "driver": ("fieldbus", "clock", "log", "state"),
    "transform": ("clock", "log", "state"),
    "policy": ("clock", "log", "state"),
}
"""role -> what its world may be granted"""


class Contract(NamedTuple):
    """One version of it that is served. ``track``: 0.1 or 0.2: components of any 0.1.x fit the first;
    ``exports`` and ``imports`` as EXPORTS and IMPORTS."""

    track: str
    exports: dict[str, dict[str, str]]
    imports: dict[str, dict[str, str]]


_SINCE_01 = (
    (_BATCH, f"record{{{_LISTS}}}"),
    (",sentinels:list<u64>", ""),
    (f"value:{_WRITTEN}", "value:f64"),
    (",until(list<u8>)", ""),
)
"""what is otherwise in 0.1: (a type's text, its text there)"""


def _as_in_01(table: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    def told(text: str) -> str:
        for new, old in _SINCE_01:
            text = text.replace(new, old)
        return text

    return {name: {item: told(text) for item, text in items.items()} for name, items in table.items()}


CONTRACTS = {
    "0.2": Contract("0.2", EXPORTS, IMPORTS),
    "0.1": Contract("0.1", _as_in_01(EXPORTS), _as_in_01(IMPORTS)),
}
"""track -> contract, the newest first"""
CHANGES = {
    "0.2": "0.2.0 has integers of 64 bits beside readings (batch.integers), sentinels in a point-config, a "
    "variant as what write-register is given, and replies that end with bytes (framing until)",
}
"""track -> what is new in it"""
_NAME = re.compile(rf"{PACKAGE}/([a-z][a-z0-9-]*)@(\d+\.\d+)\.\d+")


def contract_interface(full_name: str) -> tuple[str, Contract] | None:
    """Its short name and its contract, when that is one of ours in a version that is served."""
    match = _NAME.fullmatch(full_name)
    if match is None or match[2] not in CONTRACTS:
        return None
    return match[1], CONTRACTS[match[2]]


_SCALAR_NAMES = {
    wc.Bool: "bool",
    wc.S8: "s8",
    wc.U8: "u8",
    wc.S16: "s16",
    wc.U16: "u16",
    wc.S32: "s32",
    wc.U32: "u32",
    wc.S64: "s64",
    wc.U64: "u64",
    wc.F32: "f32",
    wc.F64: "f64",
    wc.Char: "char",
    wc.String: "string",
}


def describe(wit: Any) -> str:
    """A WIT type as text, by structure: names of types are gone, names of fields, cases and parameters
    stay."""
    kind = type(wit)
    if kind in _SCALAR_NAMES:
        return _SCALAR_NAMES[kind]
    if kind is wc.ListType:
        return f"list<{describe(wit.element)}>"
    if kind is wc.OptionType:
        return f"option<{describe(wit.payload)}>"
    if kind is wc.ResultType:
        sides = [describe(side) if side else "_" for side in (wit.ok, wit.err)]
        return f"result<{','.join(sides)}>"
    if kind is wc.TupleType:
        return f"tuple<{','.join(describe(element) for element in wit.elements)}>"
    if kind is wc.RecordType:
        return f"record{{{','.join(f'{name}:{describe(field)}' for name, field in wit.fields)}}}"
    if kind is wc.VariantType:
        cases = [f"{name}({describe(payload)})" if payload else name for name, payload in wit.cases]
        return f"variant{{{','.join(cases)}}}"
    if kind in (wc.EnumType, wc.FlagsType):
        return f"{'enum' if kind is wc.EnumType else 'flags'}{{{','.join(wit.names)}}}"
    if kind in (wc.OwnType, wc.BorrowType):
        return "own" if kind is wc.OwnType else "borrow"  # of what, wasmtime checks by the resource itself
    return kind.__name__


def describe_function(function: Any) -> str:
    """A function type as text: ``func(name:type)->type``."""
    parameters = ",".join(f"{name}:{describe(wit)}" for name, wit in function.params)
    return f"func({parameters})" + (f"->{describe(function.result)}" if function.result else "")
