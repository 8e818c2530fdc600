"""SunSpec models as register maps: which registers are points, which are constants, what scales what.

Belongs here: types, sentinels and scale factors of the published models. Never: what a value does
(sunspec_any.py, catalog.py), where a point of a model lies (sunspec_layout.py).
Layout: SunSpec Information Model Overview, "Device information model": "SunS" at 40000, common model 1, then
the model.
"""

from __future__ import annotations

from twinloop.devices.catalogue.sunspec_layout import Place, kebab, places
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.points import Point, Power, Text
from twinloop.devices.model.signal import Signal
from twinloop.records import dataclass

BASE = 40000
_COMMON_LENGTH = 66
MODEL_BASE = BASE + 2 + 2 + _COMMON_LENGTH
"""where the ID register of the first model after the common one lies"""
TYPES = {
    "uint16": "u16",
    "int16": "i16",
    "uint32": "u32",
    "int32": "i32",
    "uint64": "u64",
    "int64": "i64",
    "acc16": "u16",
    "acc32": "u32",
    "acc64": "u64",
    "enum16": "u16",
    "enum32": "u32",
    "bitfield16": "u16",
    "bitfield32": "u32",
    "bitfield64": "u64",
    "float32": "f32",
    "float64": "f64",
    "count": "u16",
}
"""SunSpec's types that hold a number -> ours"""
_NOT_IMPLEMENTED = {
    "uint16": 0xFFFF,
    "int16": 0x8000,
    "sunssf": 0x8000,
    "enum16": 0xFFFF,
    "bitfield16": 0xFFFF,
}
"""what an unimplemented point of one register reads as"""
_SENTINELS = {
    "int16": 0x8000,
    "uint16": 0xFFFF,
    "acc16": 0,
    "enum16": 0xFFFF,
    "bitfield16": 0xFFFF,
    "int32": 1 << 31,
    "uint32": 0xFFFF_FFFF,
    "acc32": 0,
    "enum32": 0xFFFF_FFFF,
    "bitfield32": 0xFFFF_FFFF,
    "int64": 1 << 63,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
    "acc64": 0,
    "bitfield64": 0xFFFF_FFFF_FFFF_FFFF,
}
"""SunSpec's type -> what its registers hold when there is no value (pysunspec2, sunspec2/mb.py,
SUNS_UNIMPL_*)"""


_COMMON_TEXTS = {
    "Mn": (4, 16, "twinloop"),
    "Md": (20, 16, "simulated"),
    "Opt": (36, 8, ""),
    "Vr": (44, 8, "1.0"),
    "SN": (52, 16, "0"),
}
"""of common model 1: (registers from "SunS" on, how many, what it is)"""
_FACTOR_PERIOD = 600
"""steps in which a scale factor that moves goes up by one and comes back"""


@dataclass(frozen=True, slots=True)
class SunSpecPoint:
    """One implemented point: its path in the model (``A``, ``Crv.1.Pt.2.V``), the scale factor's exponent,
    what it does."""

    name: str
    exponent: int
    signal: Signal
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    alias: str | None = None
    """our name for the point when SunSpec's reads badly in lower case"""
    text: str = ""
    """of a string: what it is"""


def sunspec_map(
    number: int,
    implemented: tuple[SunSpecPoint, ...],
    instances: tuple[int, ...] = (),
    held: dict[str, bytes] | None = None,
    live: bool = False,
) -> tuple[tuple[Point, ...], dict[tuple[str, int], int]]:
    """(points, constant registers) of a device with that model; unimplemented points read as SunSpec says.

    ``instances``: how many of each level of repeating groups, outermost first (``sunspec_layout.places``).
    ``held``: path -> what the registers of a point hold that is none of ours. ``live``: scale factors are
    points, too, and what they scale is scaled by what they are; one that neither scales what is written nor
    what counts changes between its exponent and the one above it, which no value is too large for.
    """
    found, end = places(number, MODEL_BASE, instances)
    wanted = {point.name: point for point in implemented}
    factors = _factors(found, wanted)
    at = {place.path: place.address for place in found}
    constants = _preamble()
    points: list[Point] = []
    for place in found:
        mine = wanted.pop(place.path, None)
        if place.path == "ID":
            constants["holding", place.address] = number
        elif place.path == "L":
            constants["holding", place.address] = end - MODEL_BASE - 2
        elif place.raw["type"] == "sunssf":
            users = factors.get(place.path)
            if live and users:
                points.append(_factor(place, users))
            else:
                exponent = users[0][1].exponent if users else -0x8000
                constants["holding", place.address] = exponent & 0xFFFF
        elif mine is not None:
            points.append(_point(place, mine, at.get(place.factor) if live else None))
        else:
            _hold(constants, place, (held or {}).get(place.path))
    if wanted:
        raise ValueError(f"SunSpec model {number} has no point {next(iter(wanted))!r}")
    constants["holding", end] = 0xFFFF  # end model
    constants["holding", end + 1] = 0
    return tuple(points), constants


def common_texts() -> tuple[Point, ...]:
    """The strings of common model 1 as points: what is a constant of ``sunspec_map``, a device may have as
    these instead."""
    return tuple(
        Point(f"common-{kebab(name)}", "holding", BASE + offset, TEXT, text=Text(size, text))
        for name, (offset, size, text) in _COMMON_TEXTS.items()
    )


def _factors(
    found: list[Place], wanted: dict[str, SunSpecPoint]
) -> dict[str, list[tuple[Place, SunSpecPoint]]]:
    """Path of a scale factor -> the implemented points that it scales, the last of the model first: its
    exponent is the one that holds."""
    users: dict[str, list[tuple[Place, SunSpecPoint]]] = {}
    for place in found:
        mine = wanted.get(place.path)
        if mine is not None and place.factor:
            users.setdefault(place.factor, []).insert(0, (place, mine))
    return users


def _factor(place: Place, users: list[tuple[Place, SunSpecPoint]]) -> Point:
    """A scale factor as a point."""
    exponent = float(users[0][1].exponent)
    still = any(
        user.raw.get("access") == "RW" or user.raw["type"][:3] == "acc" or mine.signal.kind == "counter"
        for user, mine in users
    )
    return Point(
        place.name,
        "holding",
        place.address,
        "i16",
        signal=Signal(level=exponent) if still else Signal("square", exponent, 1.0, _FACTOR_PERIOD),
        nan=(0x8000,),
    )


def _hold(constants: dict[tuple[str, int], int], place: Place, data: bytes | None) -> None:
    """The registers of a point that isn't ours."""
    for i in range(place.raw["size"]):
        constants["holding", place.address + i] = (
            _NOT_IMPLEMENTED.get(place.raw["type"], 0)
            if data is None
            else int.from_bytes(data[2 * i : 2 * i + 2].ljust(2, b"\0"), "big")
        )


def _point(place: Place, mine: SunSpecPoint, power_at: int | None) -> Point:
    raw = place.raw
    name = mine.alias or place.name
    writable = raw.get("access") == "RW"
    if raw["type"] == "string":
        return Point(
            name, "holding", place.address, TEXT, text=Text(raw["size"], mine.text), writable=writable
        )
    exponent = raw["sf"] if isinstance(raw.get("sf"), int) else mine.exponent
    scale = 10.0**exponent if exponent >= 0 else 1.0 / 10**-exponent
    return Point(
        name=name,
        table="holding",
        address=place.address,
        type=TYPES[raw["type"]],
        unit=mine.unit or raw.get("units") or "",
        scale=scale if power_at is None else 1.0,
        low=mine.low,
        high=mine.high,
        signal=mine.signal,
        writable=writable,
        nan=_nan(raw["type"], mine.signal),
        power=None if power_at is None else Power(place.factor_name, power_at),
    )


def _nan(kind: str, signal: Signal) -> tuple[int, ...]:
    """A type's sentinel; an accumulator that begins with 0 has none, because 0 is its first value."""
    if kind not in _SENTINELS or (kind[:3] == "acc" and not signal.level):
        return ()
    return (_SENTINELS[kind],)


def _preamble() -> dict[tuple[str, int], int]:
    constants: dict[tuple[str, int], int] = {("holding", BASE): 0x5375, ("holding", BASE + 1): 0x6E53}
    for offset in range(2, 4 + _COMMON_LENGTH):
        constants["holding", BASE + offset] = 0
    constants["holding", BASE + 2], constants["holding", BASE + 3] = 1, _COMMON_LENGTH
    for offset, _, value in _COMMON_TEXTS.values():
        raw = value.encode().ljust(len(value) + len(value) % 2, b"\0")
        for i in range(0, len(raw), 2):
            constants["holding", BASE + offset + i // 2] = int.from_bytes(raw[i : i + 2], "big")
    return constants
