"""Device models to model files: what ``twinloop fit`` and ``twinloop device new`` write.

Belongs here: a model as the text of a file, with as few keys as say it. Never: the keys (blocks.py), reading
(reading.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.profile import IDENTITY, QUANTILES, READ_MAX
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.file.datasheet.blocks import FORMAT
from twinloop.scenarios.file.manners_block import shown as shown_manners
from twinloop.scenarios.text.units import exact_duration

_DEFAULT = Signal()
_ONE_LINE = 1 << 20
"""characters of a line: a point has one, however long it is"""


def write_model(model: DeviceModel, like: str | None = None) -> str:
    """The file of a model, and the shipped one whose map it has; raises ValueError for one that moves by a
    process."""
    return _dumped(model_keys(model, like))


def file_text(data: Mapping[str, Any], reasons: Mapping[str, str] | None = None, head: str = "") -> str:
    """The file of these keys, a line a point. ``reasons``: point -> what stands behind it as a comment;
    ``head``: lines before the first key, as comments."""
    reasons = reasons or {}
    text = "".join(f"# {line}\n" for line in head.splitlines())
    for key, value in data.items():
        if key != "points":
            text += _dumped({key: value}, None if isinstance(value, dict | list) else False)
    text += "points:\n"
    for name, point in data["points"].items():
        key = yaml.safe_dump(name, width=_ONE_LINE, allow_unicode=True).splitlines()[0]
        flow = yaml.safe_dump(
            point, sort_keys=False, default_flow_style=True, width=_ONE_LINE, allow_unicode=True
        )
        text += f"  {key}: {flow.strip()}{f'  # {reasons[name]}' if name in reasons else ''}\n"
    return text


def _dumped(data: Mapping[str, Any], flow: bool | None = None) -> str:
    return str(
        yaml.safe_dump(dict(data), sort_keys=False, default_flow_style=flow, width=150, allow_unicode=True)
    )


def model_keys(model: DeviceModel, like: str | None = None) -> dict[str, Any]:
    """The keys of a model's file, and the shipped one whose map it has; raises ValueError for one that moves
    by a process."""
    if model.process is not None:
        raise ValueError(f"{model.name} moves by physics: it has no file")
    points = {point.name: _shown_point(point, model.step_ns) for point in model.points}
    data: dict[str, Any] = {
        "format": FORMAT,
        "title": model.title,
        "source": model.source,
        "step": exact_duration(model.step_ns),
    }
    data |= {} if like is None else {"like": like}
    data |= _shown_profile(model, like is None)
    if model.manners:
        data["manners"] = shown_manners(model.manners)
    if like is None and model.constants:
        data["constants"] = _shown_constants(model)
    data["points"] = points
    return data


def _shown_profile(model: DeviceModel, alone: bool) -> dict[str, Any]:
    profile = model.profile
    shown: dict[str, Any] = {}
    if profile.unit is not None:
        shown["unit"] = profile.unit
    if profile.response is not None:
        shown["response"] = {key: exact_duration(getattr(profile.response, f"{key}_ns")) for key in QUANTILES}
    elif alone and model.response_ns == model.serial_response_ns:
        shown["response"] = exact_duration(model.response_ns)
    if profile.functions:
        shown["functions"] = list(profile.functions)
    if profile.read_max != READ_MAX:
        shown["largest-read"] = profile.read_max
    if profile.holes:
        shown["holes"] = "refused"
    if profile.identity:
        shown["identity"] = {IDENTITY[number]: text for number, text in profile.identity}
    return shown


def _shown_constants(model: DeviceModel) -> dict[str, Any]:
    """Runs of registers as lists."""
    shown: dict[str, Any] = {}
    for (table, address), word in sorted(model.constants.items()):
        runs = shown.setdefault(table, {})
        last = max(runs, default=None)
        if last is not None and last + len(runs[last]) == address and len(runs[last]) < READ_MAX:
            runs[last].append(word)
        else:
            runs[address] = [word]
    return shown


def _shown_point(point: Point, step_ns: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"table": point.table, "address": point.address, "type": point.type}
    if point.bits is not None:
        first, count = point.bits
        shown["bits"] = f"{first}..{first + count - 1}" if count > 1 else first
    blank = Point("", point.table, point.address, point.type)
    for key in ("order", "unit", "scale", "offset", "low", "high", "writable"):
        if getattr(point, key) != getattr(blank, key):
            shown[key] = getattr(point, key)
    if not point.readable:
        shown.pop("writable", None)
        shown["access"] = "write-only"
    if point.power is not None:
        shown["scale-from"] = point.power.point
    if point.nan:
        shown["nan"] = list(point.nan)
    if point.text is not None:
        return shown | {"length": point.text.registers, "text": point.text.content}
    if point.view:
        return shown
    signal: dict[str, Any] = {"kind": point.signal.kind}
    for key, value in point.signal._asdict().items():
        if key == "kind" or value == getattr(_DEFAULT, key):
            continue
        signal[key] = exact_duration(value * step_ns) if key in ("period", "phase") else value
    if point.signal.kind in ("ramp", "sine", "square", "step"):
        signal["period"] = exact_duration(point.signal.period * step_ns)
    return shown | {"signal": signal}
