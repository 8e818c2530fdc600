"""Device models as files: ``device: model/press.yaml``, in a folder ``model`` beside the scenario. ``twinloop
fit`` writes them.

Belongs here: the file's shape, reading and writing. Never: what signals do (devices/model/signal.py). Times
of a signal are durations in the file and whole steps in the model; its other figures are those of
devices/model/signal.Signal, a step each.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.packages import PackageError
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import WIDTHS, Point
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.file.load_errors import translated
from twinloop.scenarios.file.schema import Block, Exact
from twinloop.scenarios.text.document import Document, parse_document
from twinloop.scenarios.text.errors import unknown
from twinloop.scenarios.text.quantities import Duration, PositiveDuration
from twinloop.scenarios.text.units import exact_duration

FORMAT = 1
_HEX = re.compile(r"0[xX][0-9A-Fa-f]{1,16}")


def _hexadecimal(value: Any) -> Any:
    """``0xFFFF``, as a device's map prints it, is a number; YAML 1.2 knows it, our reader leaves it as
    text."""
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else value


class SignalBlock(Block):
    """What a point does; see devices/model/signal.Signal."""

    kind: Literal["constant", "ramp", "sine", "square", "step", "walk", "reversion", "counter"] = "constant"
    level: Exact = 0.0
    swing: Exact = 0.0
    period: PositiveDuration | None = None
    duty: Annotated[float, Field(ge=0, le=1)] = 0.5
    noise: Annotated[float, Field(ge=0)] = 0.0
    limit: Annotated[float, Field(ge=0)] = 0.0
    drift: float = 0.0
    phase: Duration | None = None
    start: float | None = None


class PointBlock(Block):
    """A register and its signal."""

    table: Literal["coil", "discrete", "holding", "input"] = "holding"
    address: Annotated[int, Field(ge=0, le=65_535)]
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"] = "f64"
    order: Literal["be", "sw", "bs", "le"] = "be"
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    writable: bool = False
    nan: tuple[Annotated[int, BeforeValidator(_hexadecimal), Field(ge=-(1 << 63), lt=1 << 64)], ...] = Field(
        default=(), strict=False
    )
    """its sentinels: integers of its type, or bit patterns of its registers, that mean that there is no
    value"""
    signal: SignalBlock = SignalBlock()


class ModelFile(Block):
    """A device model."""

    format: Literal[1]
    title: str
    source: str
    step: PositiveDuration
    like: str | None = None
    """a shipped model, whose constant registers, vendor and response time it has"""
    points: Annotated[dict[str, PointBlock], Field(min_length=1)]


def read_model(text: str, file: Path, name: str) -> DeviceModel:
    """Raises ScenarioError with the place in the file."""
    document = parse_document(text, file)
    try:
        found = ModelFile.model_validate(document.data)
    except ValidationError as error:
        raise translated(document, error) from error
    points = tuple(_point(document, point, block, found.step) for point, block in found.points.items())
    try:
        if found.like is None:
            return DeviceModel(name, found.title, found.source, EVERY, points, step_ns=found.step)
        return replace(
            _like(document, found.like),
            name=name,
            title=found.title,
            source=found.source,
            points=points,
            step_ns=found.step,
        )
    except ValueError as error:
        raise document.error(("points",), str(error)) from error


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


def _point(document: Document, name: str, block: PointBlock, step_ns: int) -> Point:
    given = block.signal
    width = 1 if block.table in ("coil", "discrete") else WIDTHS[block.type]
    fields: dict[str, Any] = {key: value for key, value in block if key not in ("signal", "nan")}
    blank = Point(name, **fields)
    whole = given.kind in ("constant", "step", "counter") and not (given.noise or given.drift)
    level, swing = (blank.whole(one) if whole else float(one) for one in (given.level, given.swing))
    for key in ("period", "phase"):
        if (getattr(given, key) or 0) % step_ns:
            raise document.error(("points", name, "signal", key), f"expected whole steps of {step_ns} ns")
    period = given.period // step_ns if given.period else Signal().period
    phase = -1 if given.phase is None else given.phase // step_ns
    if phase >= period:
        raise document.error(("points", name, "signal", "phase"), "expected less than the period")
    signal = Signal(
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
    )
    sentinels = tuple(
        one + (1 << 16 * width) if one < 0 and block.type[0] == "i" else one for one in block.nan
    )
    point = replace(blank, signal=signal, nan=sentinels)
    try:
        point.check()
    except ValueError as error:
        raise document.error(("points", name), str(error)) from error
    return point


_DEFAULT = Signal()


def write_model(model: DeviceModel, like: str | None = None) -> str:
    """The file of a model, and the shipped one whose map it has; raises ValueError for one that moves by a
    process."""
    if model.process is not None:
        raise ValueError(f"{model.name} moves by physics: it has no file")
    points = {point.name: _shown_point(point, model.step_ns) for point in model.points}
    data: dict[str, Any] = {
        "format": FORMAT,
        "title": model.title,
        "source": model.source,
        "step": exact_duration(model.step_ns),
    }
    data |= ({} if like is None else {"like": like}) | {"points": points}
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=150, allow_unicode=True)


def _shown_point(point: Point, step_ns: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"table": point.table, "address": point.address, "type": point.type}
    blank = Point("", point.table, point.address, point.type)
    for key in ("order", "unit", "scale", "offset", "low", "high", "writable"):
        if getattr(point, key) != getattr(blank, key):
            shown[key] = getattr(point, key)
    if point.nan:
        shown["nan"] = list(point.nan)
    signal: dict[str, Any] = {"kind": point.signal.kind}
    for key, value in point.signal._asdict().items():
        if key == "kind" or value == getattr(_DEFAULT, key):
            continue
        signal[key] = exact_duration(value * step_ns) if key in ("period", "phase") else value
    if point.signal.kind in ("ramp", "sine", "square", "step"):
        signal["period"] = exact_duration(point.signal.period * step_ns)
    return shown | {"signal": signal}
