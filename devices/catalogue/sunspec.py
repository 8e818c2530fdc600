"""SunSpec models as register maps, read from the JSON that the package pysunspec2 ships.

Belongs here: addresses, types and scale-factor registers from the published models. Never: what a value does.
Layout: SunSpec Information Model Overview, "Device information model": "SunS" at 40000, common model 1, then
the model.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal

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


@dataclass(frozen=True, slots=True)
class SunSpecPoint:
    """One implemented point: SunSpec's name, the scale factor's exponent, what it does."""

    name: str
    exponent: int
    signal: Signal
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    alias: str | None = None
    """our name for the point when SunSpec's reads badly in lower case"""


def _folder() -> Path:
    spec = importlib.util.find_spec("sunspec2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pysunspec2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "models" / "json"


def published() -> list[int]:
    """The numbers of all models that SunSpec published."""
    return sorted(int(path.stem.removeprefix("model_")) for path in _folder().glob("model_*.json"))


@cache
def load_model(number: int) -> dict[str, Any]:
    """SunSpec's own JSON of a model; raises FileNotFoundError for a number that SunSpec didn't publish."""
    found: dict[str, Any] = json.loads((_folder() / f"model_{number}.json").read_text())
    return found


def sunspec_map(
    number: int, implemented: tuple[SunSpecPoint, ...]
) -> tuple[tuple[Point, ...], dict[tuple[str, int], int]]:
    """(points, constant registers) of a device with that model; unimplemented points read as SunSpec says."""
    group = load_model(number)["group"]
    wanted = {point.name: point for point in implemented}
    constants = _preamble()
    points: list[Point] = []
    exponents: dict[str, int] = {}
    offsets: list[tuple[dict[str, Any], int]] = []
    at = MODEL_BASE
    for raw in group["points"]:
        offsets.append((raw, at))
        at += raw["size"]
        mine = wanted.get(raw["name"])
        if mine is not None and isinstance(raw.get("sf"), str):
            exponents[raw["sf"]] = mine.exponent
    for raw, address in offsets:
        mine = wanted.pop(raw["name"], None)
        if raw["name"] == "ID":
            constants["holding", address] = number
        elif raw["name"] == "L":
            constants["holding", address] = at - MODEL_BASE - 2
        elif raw["type"] == "sunssf":
            constants["holding", address] = exponents.get(raw["name"], -0x8000) & 0xFFFF
        elif mine is not None:
            points.append(_point(raw, address, mine))
        else:
            for i in range(raw["size"]):
                constants["holding", address + i] = _NOT_IMPLEMENTED.get(raw["type"], 0)
    if wanted:
        raise ValueError(f"SunSpec model {number} has no point {next(iter(wanted))!r}")
    constants["holding", at] = 0xFFFF  # end model
    constants["holding", at + 1] = 0
    return tuple(points), constants


def _point(raw: dict[str, Any], address: int, mine: SunSpecPoint) -> Point:
    exponent = raw["sf"] if isinstance(raw.get("sf"), int) else mine.exponent
    scale = 10.0**exponent if exponent >= 0 else 1.0 / 10**-exponent
    return Point(
        name=mine.alias or _kebab(raw["name"]),
        table="holding",
        address=address,
        type=TYPES[raw["type"]],
        unit=mine.unit or raw.get("units") or "",
        scale=scale,
        low=mine.low,
        high=mine.high,
        signal=mine.signal,
        writable=raw.get("access") == "RW",
        nan=()
        if raw["type"] not in _SENTINELS or (raw["type"][:3] == "acc" and not mine.signal.level)
        else (_SENTINELS[raw["type"]],),
    )


def _kebab(name: str) -> str:
    """SunSpec's ``PhVphA`` as a name of ours: ``ph-vph-a``."""
    out = ""
    for i, letter in enumerate(name):
        if letter == "_":
            out += "-"
        elif letter.isupper() and i and not name[i - 1].isupper() and out[-1] != "-":
            out += f"-{letter.lower()}"
        else:
            out += letter.lower()
    return out


def _preamble() -> dict[tuple[str, int], int]:
    constants: dict[tuple[str, int], int] = {("holding", BASE): 0x5375, ("holding", BASE + 1): 0x6E53}
    text = {4: "twinloop", 20: "simulated", 36: "", 44: "1.0", 52: "0"}
    for offset in range(2, 4 + _COMMON_LENGTH):
        constants["holding", BASE + offset] = 0
    constants["holding", BASE + 2], constants["holding", BASE + 3] = 1, _COMMON_LENGTH
    for offset, value in text.items():
        raw = value.encode().ljust(len(value) + len(value) % 2, b"\0")
        for i in range(0, len(raw), 2):
            constants["holding", BASE + offset + i // 2] = int.from_bytes(raw[i : i + 2], "big")
    return constants
