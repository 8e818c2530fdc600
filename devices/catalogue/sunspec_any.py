"""Any published SunSpec model by its number, with every number in it implemented: ``device: sunspec/103``.

Belongs here: what such a name asks for, and what a point does that nobody has described (ours, by its unit).
Never: addresses (sunspec_layout.py), types (sunspec.py).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

from twinloop.devices.catalogue.sunspec import (
    MODEL_BASE,
    TYPES,
    SunSpecPoint,
    common_texts,
    sunspec_map,
)
from twinloop.devices.catalogue.sunspec_layout import (
    DEFAULT_INSTANCES,
    Place,
    counters,
    kebab,
    levels,
    load_model,
    places,
    published,
    size,
)
from twinloop.devices.model.cell import scaled
from twinloop.devices.model.device import POINTS_MAX, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS, TEXT_REGISTERS_MAX
from twinloop.devices.model.protocols import EVERY, PROTOCOLS
from twinloop.devices.model.signal import Signal

PREFIX = "sunspec/"
OPTIONS = {
    "live": "scale factors are points, and those that may do so change",
    "texts": "strings are points, which only Modbus carries",
}
"""what may stand behind a model's number and its instances"""
SYNTAX = r"^sunspec/[0-9]+(:[0-9]{1,5}(x[0-9]{1,5})*)?(:(live|texts))*$"
"""all names, for editors"""
_INSTANCES = re.compile(r"[0-9]{1,5}(x[0-9]{1,5})*", re.ASCII)
_REGISTERS_MAX = 65_536 - MODEL_BASE - 2
"""of one model: behind it lies the end model"""
_BY_UNIT: dict[str, tuple[int, Signal]] = {
    "V": (-1, Signal("reversion", 230.0, 0.4, duty=0.1)),
    "A": (-2, Signal("reversion", 9.0, 0.05, duty=0.05)),
    "W": (0, Signal("sine", 2000.0, 400.0, 1800, noise=12.0)),
    "VA": (0, Signal("sine", 2080.0, 400.0, 1800, noise=12.0)),
    "var": (0, Signal("reversion", 180.0, 4.0, duty=0.05)),
    "Hz": (-2, Signal("reversion", 50.0, 0.01, duty=0.1)),
    "Wh": (0, Signal("counter", 1_000_000.0, 0.5)),
    "VAh": (0, Signal("counter", 1_000_000.0, 0.5)),
    "varh": (0, Signal("counter", 20_000.0, 0.05)),
    "Ah": (0, Signal("counter", 4000.0, 0.002)),
    "C": (-1, Signal("reversion", 38.0, 0.05, duty=0.01)),
    "Pct": (-1, Signal("reversion", 60.0, 0.2, duty=0.02)),
    "%": (-1, Signal("reversion", 60.0, 0.2, duty=0.02)),
    "PF": (-3, Signal("reversion", 0.95, 0.001, duty=0.05)),
    "cos()": (-3, Signal("reversion", 0.95, 0.001, duty=0.05)),
    "W/m2": (0, Signal("sine", 600.0, 200.0, 1800, noise=5.0)),
    "Secs": (0, Signal("counter", 0.0, 1.0)),
}
_OTHER = (0, Signal("reversion", 10.0, 0.2, duty=0.05))
_CONSTANT = (0, Signal("constant", 0.0))
_TEXTS = {
    "Addr": "192.0.2.10",
    "Msk": "255.255.255.0",
    "CIDR": "24",
    "Gw": "192.0.2.1",
    "DNS1": "192.0.2.2",
    "DNS2": "192.0.2.3",
    "NTP1": "192.0.2.4",
    "NTP2": "192.0.2.5",
    "DomNam": "example",
    "HostNam": "device.example",
    "Date": "20250101",
    "DtLoc": "20250101",
    "Tm": "120000.000Z",
    "TmLoc": "120000",
    "Loc": "test bench",
    "Num": "0",
    "Pin": "0000",
    "SN": "0",
    "Mn": "twinloop",
    "Md": "simulated",
    "Vr": "1.0",
}
"""strings by SunSpec's name; addresses are those that RFC 5737 keeps for documents"""
_HELD = {
    "ipaddr": bytes((192, 0, 2, 10)),
    "ipv6addr": bytes.fromhex("20010db8") + bytes(11) + b"\x10",
    "eui48": bytes.fromhex("0000020000000010"),
}
"""types that are neither numbers nor texts -> their registers: addresses that RFC 5737 and RFC 3849 keep for
documents, and a MAC address that is administered locally, behind two bytes that are always 0"""
_CHOICES = ("ActCrv", "ActIndx", "AdptCrvReq", "RvrtCrv", "AdptCtlReq", "RvrtCtl")
"""points that say which curve, entry or control is meant: the first"""
_SLOTS = {"NPt": 20.0, "NPts": 10.0}
"""how many points a curve, or a schedule, of the models 126 to 144 has registers for"""


def _does(raw: dict[str, Any]) -> tuple[int, Signal]:
    """(exponent of its scale factor, what it does)."""
    kind = raw["type"]
    if kind.startswith("enum"):
        symbols = raw.get("symbols") or [{"value": 1}]
        return 0, Signal("constant", float(symbols[min(3, len(symbols) - 1)]["value"]))
    if kind.startswith("bitfield") or kind == "count" or raw["name"] == "N":
        return _CONSTANT
    if kind.startswith("acc") and raw.get("units") not in _BY_UNIT:
        return 0, Signal("counter", 1000.0, 0.1)
    return _BY_UNIT.get(raw.get("units", ""), _OTHER)


def _counts(place: Place, numbers: dict[str, int], chosen: tuple[int, ...]) -> float | None:
    """What a point is that says how many there are of something, or which of them; None for any other.
    ``numbers``: ``sunspec_layout.counters`` of its model."""
    leaf = place.raw["name"]
    if not chosen or place.raw["type"] not in ("uint16", "count"):
        return None
    if place.path in numbers:
        return float(chosen[numbers[place.path]])
    if leaf in _SLOTS:
        return _SLOTS[leaf]
    if leaf in ("ActPt", "ActPts"):
        return float(chosen[numbers["NPt"]]) if "NPt" in numbers else 2.0
    if leaf in _CHOICES:
        return min(1.0, float(chosen[0]))
    if leaf in ("NStrCon", "NModCon"):
        return float(chosen[0])
    if leaf == "ID":  # of an instance: its number
        return float(place.path.split(".")[-2])
    return None


def _text(raw: dict[str, Any]) -> str:
    """What a string says: its own name, if nothing better is known."""
    return _TEXTS.get(raw["name"], kebab(raw["name"]))[: 2 * raw["size"]]


def _implemented(
    number: int, instances: tuple[int, ...], texts: bool
) -> tuple[tuple[SunSpecPoint, ...], dict[str, bytes]]:
    """(the points of a model, path -> what the registers of all others hold)."""
    numbers, chosen = counters(number), _filled(number, instances)
    exponents: dict[str, int] = {}
    held: dict[str, bytes] = {}
    implemented: list[tuple[Place, SunSpecPoint]] = []
    for place in places(number, MODEL_BASE, instances)[0]:
        raw, kind = place.raw, place.raw["type"]
        if place.path in ("ID", "L"):
            continue
        if kind == "string":
            text = _text(raw)
            if texts and raw["size"] <= TEXT_REGISTERS_MAX:
                implemented.append((place, SunSpecPoint(place.path, 0, Signal(), text=text)))
            else:
                held[place.path] = text.encode()
        elif kind in _HELD:
            held[place.path] = _HELD[kind]
        elif kind in TYPES:
            exponent, signal = _does(raw)
            count = _counts(place, numbers, chosen)
            signal = _lasting(kind, signal if count is None else Signal("constant", count))
            if place.factor:  # points share a factor's exponent: the first one's, or one that all fit into
                exponent = exponents.setdefault(place.factor, exponent)
                while not _fits(kind, signal, exponents[place.factor]):
                    exponents[place.factor] += 1
            else:
                exponent = raw["sf"] if isinstance(raw.get("sf"), int) else 0
                while not _fits(kind, signal, exponent):
                    signal = signal._replace(level=signal.level / 10, swing=signal.swing / 10)
            implemented.append((place, SunSpecPoint(place.path, exponent, signal)))
    return tuple(
        replace(point, exponent=exponents.get(place.factor, point.exponent)) for place, point in implemented
    ), held


def _lasting(kind: str, signal: Signal) -> Signal:
    """A signal whose numbers don't run out of a type: 16 bits are no counter's, but an accumulator's, which
    begins anew."""
    if signal.kind != "counter" or ENCODINGS[TYPES[kind]].registers > 1:
        return signal
    if kind == "acc16":
        return signal._replace(level=signal.level % 65_536, rollover=65_536.0)
    return Signal("constant", signal.level)


def _fits(kind: str, signal: Signal, exponent: int) -> bool:
    """Has a type's raw number room for all values of a signal, and is none of them its sentinel, which is its
    largest or smallest number? A counter has half of it to grow."""
    encoding = ENCODINGS[TYPES[kind]]
    if encoding.floating or signal.rollover:
        return True
    grows = 2.0 if signal.kind == "counter" else 1.0
    most = grows * abs(signal.level) + 4.0 * (abs(signal.swing) + signal.noise)
    return scaled(most, -exponent) < encoding.high


def _filled(number: int, instances: tuple[int, ...]) -> tuple[int, ...]:
    """The instances of all levels."""
    return instances + (DEFAULT_INSTANCES,) * (len(levels(number)) - len(instances))


# ---- names ---------------------------------------------------------------------------------------
class UnknownOption(ValueError):
    """An option that there isn't: ``args`` are the option and the model's number."""


def sunspec_named(name: str) -> DeviceModel:
    """The device model of a name: ``sunspec/103``, ``sunspec/160:3`` (three instances of its repeating
    group), ``sunspec/705:2x4`` (two curves of four points each), any of them with ``:live`` or ``:texts``.

    Raises:
        KeyError: for a number that isn't published.
        UnknownOption: for an option that there isn't.
        ValueError: for instances that the model can't have; for a model without any number.
    """
    number, *options = name.removeprefix(PREFIX).split(":")
    if not (number.isascii() and number.isdigit() and len(number) < 9 and int(number) in published()):
        raise KeyError(number)
    instances: tuple[int, ...] = ()
    if options and _INSTANCES.fullmatch(options[0]):
        instances = tuple(int(one) for one in options.pop(0).split("x"))
    for option in options:
        if option not in OPTIONS:
            raise UnknownOption(option, number)
    return sunspec_model(int(number), instances, "live" in options, "texts" in options)


@cache
def sunspec_model(
    number: int, instances: tuple[int, ...] = (), live: bool = False, texts: bool = False
) -> DeviceModel:
    """The device model with that SunSpec model. ``instances``: of each level of repeating groups, outermost
    first, two where nothing is said. ``live``: scale factors are points. ``texts``: strings are.

    Raises:
        KeyError: for a number that isn't published.
        ValueError: for instances that the model can't have; for a model without any number.
    """
    if number not in published():
        raise KeyError(number)
    name = _name(number, instances, live, texts)
    _check_instances(number, instances, live, texts)
    group = load_model(number)["group"]
    implemented, held = _implemented(number, instances, texts)
    if not implemented:
        raise ValueError(
            f"{name}: SunSpec model {number} has no numbers in its fixed block, only in its repeating groups"
        )
    points, constants = sunspec_map(number, implemented, instances, held, live)
    if texts:
        common = common_texts()
        points += common
        for point in common:
            for i in range(point.width):
                del constants[point.table, point.address + i]
    source = f"SunSpec model {number} ({group.get('label', '')}), JSON shipped by pysunspec2; values ours"
    title = group.get("label") or f"SunSpec model {number}"
    protocols = _OF_MODBUS if texts else EVERY
    return DeviceModel(name, title, source, protocols, points, constants, vendor="SunSpec sample")


_OF_MODBUS = tuple(name for name, protocol in PROTOCOLS.items() if protocol.registers)


def _name(number: int, instances: tuple[int, ...], live: bool, texts: bool) -> str:
    chosen = ["x".join(str(one) for one in instances)] if instances else []
    options = [option for option, asked in zip(OPTIONS, (live, texts), strict=True) if asked]
    return PREFIX + ":".join([str(number), *chosen, *options])


def _check_instances(number: int, instances: tuple[int, ...], live: bool, texts: bool) -> None:
    """Raises ValueError for what the model has no place for."""
    there, name = levels(number), _name(number, instances, live, texts)
    if instances and not there:
        raise ValueError(f"{name}: SunSpec model {number} has no repeating groups, so it has no instances")
    if len(instances) > len(there):
        groups = " of ".join(", ".join(names) for names in reversed(there))
        levels_there = "1 level" if len(there) == 1 else f"{len(there)} levels"
        raise ValueError(
            f"{name}: SunSpec model {number} has {levels_there} of repeating groups ({groups}), and "
            f"instances of {len(instances)} were given"
        )
    if 0 in instances[1:]:  # SunSpec's own client takes 0 of an inner group for as many as have room
        raise ValueError(
            f"{name}: a group within another has at least one instance; only the outermost may have 0"
        )
    factors = {place.factor.split(".")[-1] for place in places(number, 0)[0]}

    def counts(raw: dict[str, Any]) -> bool:
        kind = raw["type"]
        if kind == "string":
            return texts and raw["size"] <= TEXT_REGISTERS_MAX
        return kind in TYPES or (live and kind == "sunssf" and raw["name"] in factors)

    common = len(common_texts()) if texts else 0

    def sized(first: int) -> tuple[int, int]:
        points, registers = size(number, (first, *filled[1:]), counts)
        return points + common, registers

    def fits(first: int) -> bool:
        points, registers = sized(first)
        return points <= POINTS_MAX and registers <= _REGISTERS_MAX

    filled = _filled(number, instances) or (1,)
    if fits(filled[0]):
        return
    points, registers = sized(filled[0])
    most, too_many = 0, filled[0]
    while too_many - most > 1:
        middle = (most + too_many) // 2
        most, too_many = (middle, too_many) if fits(middle) else (most, middle)
    cure = f"at most {_name(number, (most, *filled[1:]), live, texts)}" if most else "choose fewer of each"
    raise ValueError(
        f"{name} has {points} points in {registers} registers; a device has at most {POINTS_MAX} points, and "
        f"a model at most {_REGISTERS_MAX} registers: {cure}"
    )
