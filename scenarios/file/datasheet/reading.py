"""Model files to device models: ``device: model/press.yaml``, in a folder ``model`` beside the scenario.

Belongs here: what a file's keys come to. Never: the keys (blocks.py), writing a file (writing.py), what
signals do (devices/model/signal.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.packages import PackageError
from twinloop.devices.model.cell import masked
from twinloop.devices.model.device import DeviceModel, own_bits
from twinloop.devices.model.encodings import ENCODINGS, TEXT, TYPES
from twinloop.devices.model.manners import NONE
from twinloop.devices.model.points import BITS, CONSTANT, Point, Power, Text
from twinloop.devices.model.profile import IDENTITY, IDENTITY_BYTES_MAX, PLAIN, Profile, Response
from twinloop.devices.model.protocols import EVERY, PROTOCOLS
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.file.datasheet.blocks import ModelFile, PointBlock
from twinloop.scenarios.file.load_errors import shaped
from twinloop.scenarios.file.manners_block import idle_key
from twinloop.scenarios.text.document import Document, Location, parse_document
from twinloop.scenarios.text.errors import unknown

_OF_MODBUS = tuple(name for name, protocol in PROTOCOLS.items() if protocol.registers)
"""protocols that carry registers"""


def read_model(text: str, file: Path, name: str) -> DeviceModel:
    """Raises ScenarioError with the place in the file."""
    document = parse_document(text, file)
    found = shaped(document, ModelFile)
    points = tuple(_point(document, point, block, found) for point, block in found.points.items())
    points = _views(document, points, found)
    constants = _constants(document, found)
    profile = _profile(document, found)
    like = None if found.like is None else _like(document, found.like)
    manners = found.manners.over(NONE if like is None else like.manners)
    missing = idle_key(manners)
    if missing is not None:
        raise document.error(("manners", missing[0]), f'"{missing[0]}" does nothing without "{missing[1]}"')
    try:
        model = DeviceModel(
            name,
            found.title,
            found.source,
            _OF_MODBUS if any(point.type == TEXT or not point.readable for point in points) else EVERY,
            points,
            constants,
            step_ns=found.step,
            profile=profile,
            manners=manners,
        )
        if found.identity is not None:
            model = replace(model, vendor=found.identity.vendor)
        if like is not None:
            model = replace(
                model,
                constants={**like.constants, **constants},
                response_ns=like.response_ns,
                serial_response_ns=like.serial_response_ns,
                vendor=like.vendor if found.identity is None else model.vendor,
            )
        if profile.response is not None:
            model = replace(
                model, response_ns=profile.response.min_ns, serial_response_ns=profile.response.min_ns
            )
        return _settled(model)
    except ValueError as error:
        raise document.error(("points",), str(error)) from error


def _settled(model: DeviceModel) -> DeviceModel:
    """A response time that is always the same is no distribution."""
    response = model.profile.response
    if response is not None and response.min_ns == response.max_ns:
        return replace(model, profile=replace(model.profile, response=None))
    return model


def _like(document: Document, name: str) -> DeviceModel:
    """The model that a file's is like; raises ScenarioError."""
    try:
        found = catalog.model(name) if name in catalog.names() else None
    except PackageError as error:
        raise document.error(("like",), str(error)) from error
    if found is None or found.process is not None:
        known = [model.name for model in catalog.usable()[0] if model.process is None]
        raise document.error(("like",), unknown("device", name, known))
    return found


# ---- beside the points ---------------------------------------------------------------------------
def _profile(document: Document, found: ModelFile) -> Profile:
    response: Response | None = None
    if found.response is not None:
        block = found.response
        most = block.max
        times = [most] * 5
        for i, one in reversed(list(enumerate((block.min, block.p50, block.p95, block.p99)))):
            times[i] = times[i + 1] if one is None else one
        response = Response(*times)
        try:
            response.check()
        except ValueError as error:
            raise document.error(("response",), str(error)) from error
    identity: tuple[tuple[int, str], ...] = ()
    if found.identity is not None:
        for number, key in enumerate(IDENTITY):
            text = getattr(found.identity, key.replace("-", "_"))
            if text is None:
                continue
            if not text.isascii() or not 1 <= len(text) <= IDENTITY_BYTES_MAX:
                raise document.error(
                    ("identity", key), f"expected 1 to {IDENTITY_BYTES_MAX} ASCII characters, got {text!r}"
                )
            identity = (*identity, (number, text))
    return replace(
        PLAIN,
        holes=found.holes == "refused",
        functions=found.functions,
        read_max=found.largest_read,
        identity=identity,
        unit=found.unit,
        response=response,
    )


def _constants(document: Document, found: ModelFile) -> dict[tuple[str, int], int]:
    """(table, address) -> register."""
    out: dict[tuple[str, int], int] = {}
    for table, words in found.constants.items():
        for address, given in words.items():
            at: Location = ("constants", table, address)
            first = address - found.addresses_from
            if isinstance(given, str):
                data = given.encode() + b"\0" * (len(given.encode()) % 2)
                given = [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
            if table in BITS and any(word > 1 for word in given):
                raise document.error(at, f"a {table} is 0 or 1, got {given[0] if len(given) == 1 else given}")
            if not 0 <= first <= 65_536 - len(given):
                raise document.error(at, f"expected addresses from {found.addresses_from} on, of 65536")
            for i, word in enumerate(given):
                if out.setdefault((table, first + i), word) is not word:
                    raise document.error(at, f"{table} {address + i} has two constants")
    return out


# ---- points --------------------------------------------------------------------------------------
def _point(document: Document, name: str, block: PointBlock, file: ModelFile) -> Point:
    at: Location = ("points", name)
    fields: dict[str, Any] = {
        key: getattr(block, key)
        for key in ("table", "type", "order", "unit", "scale", "offset", "low", "high", "bits")
    }
    fields["address"] = block.address - file.addresses_from
    if block.scale_from is not None:
        power = file.points.get(block.scale_from)
        if power is None:
            raise document.error((*at, "scale-from"), unknown("point", block.scale_from, file.points))
        fields["power"] = Power(block.scale_from, power.address - file.addresses_from)
    fields |= _access(document, at, block)
    if block.type == TEXT:
        if block.signal is not None:
            raise document.error((*at, "signal"), 'a text has no signal: what it is, "text" says')
        fields["text"] = Text(block.length or 0, block.text or "")
        if not block.length:
            raise document.error(at, 'a text needs a "length": its registers, two characters each')
    elif block.text is not None or block.length is not None:
        key = "text" if block.text is not None else "length"
        raise document.error((*at, key), f'"{key}" goes with type: text only, this is {block.type}')
    blank = Point(name, **fields)
    if fields["address"] < 0:
        raise document.error((*at, "address"), "addresses of this file count from 1")
    signal = CONSTANT if block.signal is None else _signal(document, at, block, blank, file.step)
    try:
        blank.check()
        point = replace(blank, signal=signal, nan=_sentinels(blank, block))
        point.check()
    except ValueError as error:
        raise document.error(at, str(error)) from error
    return point


def _access(document: Document, at: Location, block: PointBlock) -> dict[str, bool]:
    if block.access is not None and block.writable is not None:
        raise document.error((*at, "writable"), '"access" says that already')
    if block.access is None:
        return {"writable": bool(block.writable)}
    return {"writable": block.access != "read-only", "readable": block.access != "write-only"}


def _sentinels(point: Point, block: PointBlock) -> tuple[int, ...]:
    """As bits of its registers."""
    if not block.nan:
        return ()
    bits = point.field[1] if point.field else 16 * point.width
    signed = block.type in ENCODINGS and ENCODINGS[block.type].signed
    return tuple(one + (1 << bits) if one < 0 and signed else one for one in block.nan)


def _signal(document: Document, at: Location, block: PointBlock, blank: Point, step_ns: int) -> Signal:
    given = block.signal
    assert given is not None
    whole = given.kind in ("constant", "step", "counter") and not (given.noise or given.drift)
    level, swing, rollover = (
        blank.whole(one) if whole else float(one) for one in (given.level, given.swing, given.rollover or 0)
    )
    for key in ("period", "phase"):
        if (getattr(given, key) or 0) % step_ns:
            raise document.error((*at, "signal", key), f"expected whole steps of {step_ns} ns")
    if given.rollover is not None and given.kind != "counter":
        raise document.error((*at, "signal", "rollover"), f"only a counter begins anew, not a {given.kind}")
    period = given.period // step_ns if given.period else Signal().period
    phase = -1 if given.phase is None else given.phase // step_ns
    if phase >= period:
        raise document.error((*at, "signal", "phase"), "expected less than the period")
    return Signal(
        given.kind,
        level,
        swing,
        period,
        given.duty,
        given.noise,
        given.limit,
        given.drift,
        phase,
        given.start,
        rollover,
    )


def _views(document: Document, points: tuple[Point, ...], file: ModelFile) -> tuple[Point, ...]:
    """Points without a signal that lie where others lie show what those make of the registers."""
    free = {name for name, block in file.points.items() if block.signal is None and block.type in TYPES[:-1]}
    moved: dict[tuple[str, int], list[tuple[str, bytes]]] = {}
    for point in points:
        for register, bits in _bits_of(point) if point.name not in free else ():
            moved.setdefault(register, []).append((point.name, bits))
    out = []
    for point in points:
        there = [
            other
            for register, bits in _bits_of(point)
            for other, theirs in moved.get(register, ())
            if other != point.name and masked(bits, theirs).strip(b"\0")
        ]
        if point.name not in free or not there:
            out.append(point)
            continue
        if point.writable:
            raise document.error(
                ("points", point.name),
                f"{there[0]} lies there, too, and has a signal: such a point can't be written",
            )
        out.append(replace(point, view=True))
    return tuple(out)


def _bits_of(point: Point) -> list[tuple[tuple[str, int], bytes]]:
    """Its registers (or its coil), each with the bits of it that are its own."""
    mask = own_bits(point)
    return [((point.table, point.address + i), mask[2 * i : 2 * i + 2]) for i in range(point.width)]
