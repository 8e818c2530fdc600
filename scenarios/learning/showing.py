"""A device's map with what its registers hold at an instant, as data and as lines.

Belongs here: what ``twinloop device show`` tells. Never: how values lie there (devices/model/cell.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.points import BITS, Point
from twinloop.devices.model.profile import IDENTITY, QUANTILES, READ_MAX
from twinloop.scenarios.file.manners_block import shown as shown_manners
from twinloop.scenarios.text.units import show_duration, show_number
from twinloop.scenarios.text.words import number_of
from twinloop.sim.kernel.random import RandomStreams

_REGISTERS_SHOWN = 4
"""of a point, in the table; all of them in the JSON"""
_CONSTANTS_SHOWN = 12


def shown(model: DeviceModel, at_ns: int, seed: int) -> dict[str, Any]:
    """As device ``NAME/1`` of a scenario with that seed shows it at that instant."""
    device = Device(model, f"{model.name}/1", 1, RandomStreams(seed).key(f"device/{model.name}/1"))
    device.advance(at_ns)
    profile, response = model.profile, model.profile.response
    return {
        "device": model.name,
        "title": model.title,
        "source": model.source,
        "at_ns": at_ns,
        "seed": seed,
        "step_ns": model.step_ns,
        "points": [_point(device, i) for i in range(len(model.points))],
        "identity": {
            IDENTITY[number]: text
            for number, text in profile.identity or ((0, model.vendor), (1, model.name), (2, "1.0"))
        },
        "unit": profile.unit,
        "functions": list(profile.functions),
        "largest_read": profile.read_max,
        "holes": "refused" if profile.holes else "zero",
        "response_ns": {key: getattr(response, f"{key}_ns") for key in QUANTILES}
        if response is not None
        else {"network": model.response_ns, "serial": model.serial_response_ns},
        "constants": [
            {"table": table, "address": address, "register": word}
            for (table, address), word in sorted(model.constants.items())
        ],
        "manners": shown_manners(model.manners) if model.manners else {},
    }


def _point(device: Device, index: int) -> dict[str, Any]:
    point, image = device.model.points[index], device.image
    cell = image.cell(index)
    words: list[int] = []
    value: Any
    if cell is None:
        value = image.value(index)
        words = [int(value)]
    else:
        words = image.read_words(point.table, point.address, point.width, True) or []
        data = b"".join(word.to_bytes(2, "big") for word in words)
        if point.type == TEXT:
            value = cell.decode_text(data)
        else:
            value = None if cell.is_none(data) else image.value(index)
    if isinstance(value, float) and value - value != 0.0:
        value = None  # no number of its type
    return {
        "name": point.name,
        "table": point.table,
        "address": point.address,
        "registers": words,
        "type": "bit" if point.table in BITS else point.type,
        "order": point.order,
        "bits": None if point.bits is None else [point.bits[0], sum(point.bits) - 1],
        "scale": point.scale,
        "offset": point.offset,
        "scale_from": None if point.power is None else point.power.point,
        "value": value,
        "unit": point.unit,
        "low": point.low,
        "high": point.high,
        "access": _access(point),
        "nan": list(point.nan),
        "signal": "" if point.type == TEXT else "view" if point.view else point.output or point.signal.kind,
    }


def _access(point: Point) -> str:
    if not point.readable:
        return "write-only"
    return "read-write" if point.writable else "read-only"


# ---- lines ---------------------------------------------------------------------------------------
_HEADS = ("point", "table", "address", "hex", "registers", "type", "meaning", "value", "access", "no value")


def lines(found: dict[str, Any]) -> list[str]:
    """For people; a line a point, then how it answers."""
    at = show_duration(found["at_ns"])
    told = [
        f"{found['device']}: {found['title']}",
        f"  source   {found['source']}",
        f"  values   at {at}, seed {found['seed']}, a step of {show_duration(found['step_ns'])}",
        "",
    ]
    rows = [_HEADS, *(_cells(point) for point in found["points"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    told += [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [*told, "", *_answers(found)]


def _cells(point: dict[str, Any]) -> tuple[str, ...]:
    words = point["registers"]
    if point["table"] in BITS:
        held = str(words[0])
    else:
        held = " ".join(f"{word:04X}" for word in words[:_REGISTERS_SHOWN])
        held += f" and {len(words) - _REGISTERS_SHOWN} more" if len(words) > _REGISTERS_SHOWN else ""
    kind = point["type"]
    if kind == TEXT:
        kind += f" of {number_of(len(words), 'register')}"
    if kind != "bit" and point["order"] != "be":
        kind += f" {point['order']}"
    if point["bits"]:
        first, last = point["bits"]
        kind += f" bit {first}" if first == last else f" bits {first}..{last}"
    return (
        point["name"],
        point["table"],
        str(point["address"]),
        f"0x{point['address']:04X}",
        held,
        kind,
        _meaning(point),
        _value(point),
        point["access"],
        " ".join(f"{one:#x}" for one in point["nan"]),
    )


def _meaning(point: dict[str, Any]) -> str:
    parts = [] if point["scale"] == 1.0 else [f"x {show_number(point['scale'])}"]
    if point["scale_from"]:
        parts.append(f"x 10^{point['scale_from']}")
    if point["offset"]:
        parts.append(f"{'+' if point['offset'] > 0 else '-'} {show_number(abs(point['offset']))}")
    return " ".join(parts)


def _value(point: dict[str, Any]) -> str:
    value = point["value"]
    if value is None:
        return "none"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{show_number(value)} {point['unit']}".rstrip()


def _answers(found: dict[str, Any]) -> list[str]:
    """How it answers, in words."""
    times = found["response_ns"]
    if "network" in times:
        response = (
            f"{show_duration(times['network'])} on a network, {show_duration(times['serial'])} on a line"
        )
    else:
        response = ", ".join(f"{key} {show_duration(value)}" for key, value in times.items())
    functions = ", ".join(str(one) for one in found["functions"])
    most = found["largest_read"]
    told = [
        "identity   " + ", ".join(f"{key} {text}" for key, text in found["identity"].items()),
        "unit       " + (str(found["unit"]) if found["unit"] else "as the scenario says, else 1"),
        "functions  "
        + (f"{functions}; others are exception 01" if functions else "all that twinloop serves"),
        f"reads      {most} registers at once at most"
        + ("; more are exception 03" if most < READ_MAX else ", as the specification says"),
        "holes      "
        + (
            "registers that nothing describes don't exist: exception 02"
            if found["holes"] == "refused"
            else "registers that nothing describes read 0, between the first and the last that is described"
        ),
        f"response   {response}",
        f"constants  {_constants(found['constants'])}",
    ]
    manners = found["manners"]
    told.append("manners    " + (", ".join(f"{key}: {one}" for key, one in manners.items()) or "none"))
    return told


def _constants(found: list[dict[str, Any]]) -> str:
    if not found:
        return "none"
    first = [f"{one['table']} {one['address']}: 0x{one['register']:04X}" for one in found[:_CONSTANTS_SHOWN]]
    more = f" and {len(found) - _CONSTANTS_SHOWN} more" if len(found) > _CONSTANTS_SHOWN else ""
    return ", ".join(first) + more
