"""What a serving process tells (JSON of format 1, docs/wire.md) as the plan and the views of the screens.

Belongs here: reading, with every type looked at. Never: asking for it (feed.py), drawing (panes.py). What
isn't known over there stays unknown: None, or a column that no pane of this room shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from twinloop.sim.snapshot import DeviceColumns, Snapshot
from twinloop.tui.engine.explored import CloserView, DeviceView, Frame
from twinloop.tui.engine.messages import (
    DeviceInfo,
    EntriesView,
    GatewayInfo,
    LiveVerdict,
    LogLine,
    Ready,
    Span,
    View,
)

FORMAT = 1
YOURS = "your gateway"
"""what stands for the gateway that is read by, and that nobody here sees into"""
TEXT_MAX = 400
"""letters of one text"""


class NotUnderstood(ValueError):
    """It isn't format 1, and where it isn't."""


@dataclass(frozen=True, slots=True)
class Row:
    """One device as it is served. None: nobody knows from over there."""

    connections: int | None
    requests: int | None
    answers: int
    exceptions: int | None
    asked_ns: int | None
    faults: tuple[str, ...]
    value: float | None = None
    """of its first point"""


@dataclass(frozen=True, slots=True)
class Samples:
    """Points as the judge counts them; ``cloud_ns``: p50, p95, p99, -1 unknown."""

    due: int
    open: int
    delivered: int
    missed: int
    lost: int
    duplicates: int
    misordered: int
    messages: int
    strange: int
    cloud_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan(Ready):
    """A plan of what is served; ``urls`` by device, ``judged``: with --judge."""

    urls: tuple[str, ...] = ()
    judged: bool = False
    ends_ns: int = -1
    """-1: when somebody stops it"""


@dataclass(frozen=True, slots=True)
class Seen(View):
    """A view of what is served. ``lost``: why nothing newer is known; ``per_s``: requests a second over time,
    the youngest last; ``carried_per_s`` are those of each fleet."""

    served: tuple[Row, ...] = ()
    samples: Samples | None = None
    clients: int = 0
    requests: int = 0
    limits: tuple[tuple[str, int], ...] = ()
    late_ns: tuple[int, int] = (-1, -1)
    per_s: tuple[tuple[int, float], ...] = ()
    """(instant, requests a second until then)"""
    lost: str = ""


# ---- types ---------------------------------------------------------------------------------------
def _of(data: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise NotUnderstood(f"{key} is missing")
    value = data[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise NotUnderstood(f"{key}: {str(value)[:40]!r}")
    return value


def _text(data: Any, key: str) -> str:
    return clean(_of(data, key, str))


def clean(text: str) -> str:
    """Without what a terminal would take as a command."""
    return "".join(one if one.isprintable() else "?" for one in text[:TEXT_MAX])


def _count(data: Any, key: str) -> int:
    value: int = _of(data, key, int)
    if not -(1 << 63) <= value < 1 << 63:
        raise NotUnderstood(f"{key}: {value}")
    return value


def _maybe(data: Any, key: str) -> int | None:
    return None if _of(data, key, (int, type(None))) is None else _count(data, key)


def _number(value: Any) -> float | None:
    """A reading: NaN and infinities are words."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if value in ("NaN", "inf", "-inf"):
        return float(value)
    raise NotUnderstood(f"value: {str(value)[:40]!r}")


def _span(data: Any) -> Span:
    until = _maybe(data, "until_ns")
    return Span(
        _count(data, "at_ns"), -1 if until is None else until, _text(data, "verb"), _text(data, "target")
    )


# ---- the plan ------------------------------------------------------------------------------------
def plan_of(data: Any, url: str) -> Plan:
    """Raises NotUnderstood."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        said = data.get("format") if isinstance(data, dict) else None
        raise NotUnderstood(f"it tells format {str(said)[:20]}, this twinloop reads {FORMAT}")
    devices = tuple(_device(one) for one in _of(data, "devices", list))
    if not devices:
        raise NotUnderstood("devices: there are none")
    spans = tuple(_span(one) for one in _of(data, "timeline", list))
    ends = _maybe(data, "ends_ns")
    return Plan(
        name=_text(data, "name"),
        file=url,
        seed=_count(data, "seed"),
        duration_ns=_count(data, "duration_ns"),
        devices=devices,
        gateways=(GatewayInfo(YOURS, "", 1, 0, ""),),
        verbs=(),
        coming=tuple(sorted((span.at_ns, f"{span.verb} {span.target}") for span in spans)),
        reactions=tuple(
            f"{_text(one, 'verb')} {_text(one, 'target')} after {_text(one, 'after')}"
            for one in _of(data, "reactions", list)
        ),
        kinds=(),
        spans=spans,
        urls=tuple(_text(one, "url") for one in data["devices"]),
        judged=_of(data, "judged", bool),
        ends_ns=-1 if ends is None else ends,
    )


def _device(data: Any) -> DeviceInfo:
    points = tuple(
        (_text(one, "name"), _text(one, "at"), _text(one, "unit")) for one in _of(data, "points", list)
    )
    if not points:
        raise NotUnderstood("points: there are none")
    return DeviceInfo(
        _text(data, "name"),
        _text(data, "fleet"),
        _text(data, "protocol"),
        _text(data, "link"),
        YOURS,
        0,  # how often it is asked is the gateway's affair
        points,
    )


# ---- a view --------------------------------------------------------------------------------------
def seen(plan: Plan, data: Any) -> Seen:
    """Raises NotUnderstood. Rates, history and what is lost are the feed's to add."""
    now = _count(_of(data, "clock", dict), "now_ns")
    served = tuple(_row(one) for one in _of(data, "devices", list))
    if len(served) != len(plan.devices):
        raise NotUnderstood(f"devices: {len(served)}, the plan has {len(plan.devices)}")
    over, verdict = _of(data, "over", bool), _of(data, "verdict", (str, type(None)))
    samples = _of(data, "samples", (dict, type(None)))
    begun = tuple(_span(one) for one in _of(data, "begun", list))
    due = tuple(_span(one) for one in _of(data, "due", list))
    counts = None if samples is None else _samples(samples)
    columns = _columns(plan, None if samples is None else samples)
    late = data["clock"]
    return Seen(
        snapshot=_snapshot(plan, data, now, counts, columns),
        mode="over" if over else "playing",
        speed=1.0,
        lag_ns=_maybe(late, "late_p99_ns") or 0,
        verdicts=tuple(
            LiveVerdict(_text(one, "text"), _text(one, "verdict"), _text(one, "measured"))
            for one in _of(data, "expectations", (list, type(None))) or ()
        ),
        log=tuple(
            LogLine(_count(one, "number"), _count(one, "at_ns"), _text(one, "kind"), _text(one, "text"))
            for one in _of(data, "log", list)
        ),
        carried_per_s=(),
        delivered_per_s=(),
        restarts=(),
        rows=(),
        latency=(),
        slowest=(),
        instances=(),
        entries=EntriesView(
            stamped=(),
            happened=tuple((one.at_ns, f"{one.verb} {one.target}") for one in begun),
            due=tuple((one.at_ns, f"{one.verb} {one.target}") for one in due),
            spans=(*begun, *due),
            left=_left(plan, _of(data, "waiting", list)),
        ),
        closer=CloserView(_details(plan, _of(data, "device", (dict, type(None))))),
        verdict=clean(verdict or ""),
        served=served,
        samples=counts,
        clients=_count(data, "clients"),
        requests=_count(data, "requests"),
        limits=tuple((clean(str(name)), _count(data["limits"], name)) for name in _of(data, "limits", dict)),
        late_ns=(_or(_maybe(late, "late_p50_ns")), _or(_maybe(late, "late_p99_ns"))),
    )


def _or(value: int | None) -> int:
    return -1 if value is None else value


def _left(plan: Plan, counts: list[Any]) -> tuple[int, ...]:
    if len(counts) != len(plan.reactions) or not all(isinstance(one, int) for one in counts):
        raise NotUnderstood("waiting: not the plan's reactions")
    return tuple(counts)


def _row(data: Any) -> Row:
    return Row(
        _maybe(data, "connections"),
        _maybe(data, "requests"),
        _count(data, "answers"),
        _maybe(data, "exceptions"),
        _maybe(data, "asked_ns"),
        tuple(clean(str(one)) for one in _of(data, "faults", list)),
        _number(data["value"]),
    )


def _samples(data: Any) -> Samples:
    names = ("due", "open", "delivered", "missed", "lost", "duplicates", "misordered", "messages", "strange")
    cloud = _of(data, "cloud_ns", list)
    if len(cloud) != 3 or not all(one is None or isinstance(one, int) for one in cloud):
        raise NotUnderstood("cloud_ns")
    return Samples(**{name: _count(data, name) for name in names}, cloud_ns=tuple(_or(one) for one in cloud))


def _columns(plan: Plan, samples: Any) -> DeviceColumns:
    """By device; zeros where there is no judge, which no pane shows then."""
    count = len(plan.devices)
    found = {name: np.zeros(count, np.int64) for name in ("due", "delivered", "missed", "lost")}
    if samples is not None:
        for name in found:
            column = _of(_of(samples, "by_device", dict), name, list)
            if len(column) != count or not all(isinstance(one, int) for one in column):
                raise NotUnderstood(f"by_device: {name}")
            found[name] = np.array(column, np.int64)
    return DeviceColumns(
        tuple(one.name for one in plan.devices),
        tuple(one.fleet for one in plan.devices),
        found["due"], found["delivered"], found["missed"], found["lost"],
        np.zeros(count, np.int64),
        np.full(count, 2, np.int8),
    )  # fmt: skip


def _snapshot(plan: Plan, data: Any, now: int, counts: Samples | None, columns: DeviceColumns) -> Snapshot:
    nothing = (-1, -1, -1)
    return Snapshot(
        now_ns=now,
        duration_ns=plan.duration_ns,
        events=0,
        due=0 if counts is None else counts.due,
        open=0 if counts is None else counts.open,
        ends=(),
        quality=(),
        latency=(("gateway", nothing), ("cloud", nothing if counts is None else counts.cloud_ns)),
        devices=columns,
        gateways=(),
        lines=(),
        links=tuple((clean(str(name)), _of(data["links"], name, bool)) for name in _of(data, "links", dict)),
    )


def _details(plan: Plan, data: Any) -> DeviceView | None:
    if data is None:
        return None
    index = _count(data, "index")
    if not 0 <= index < len(plan.devices):
        raise NotUnderstood(f"device: {index}")
    values = _of(data, "values", list)
    if len(values) != len(plan.devices[index].points):
        raise NotUnderstood("values: not the device's points")
    return DeviceView(
        index,
        tuple(_value(one) for one in values),
        tuple(clean(str(one)) for one in _of(data, "faults", list)),
        tuple(_frame(one) for one in _of(data, "frames", list)),
        (),
    )


def _value(data: Any) -> tuple[float | str | None, int]:
    if not isinstance(data, list) or len(data) != 2 or not isinstance(data[1], int):
        raise NotUnderstood(f"values: {str(data)[:40]}")
    value = data[0]
    if isinstance(value, str) and value not in ("NaN", "inf", "-inf"):
        return clean(value), data[1]
    return _number(value), data[1]


def _frame(data: Any) -> Frame:
    if not isinstance(data, list) or len(data) != 3 or data[1] not in ("<", ">"):
        raise NotUnderstood(f"frames: {str(data)[:40]}")
    at, way, hexed = data
    if not isinstance(at, int) or not isinstance(hexed, str):
        raise NotUnderstood(f"frames: {str(data)[:40]}")
    try:
        return Frame(at, way, bytes.fromhex(hexed))
    except ValueError as error:
        raise NotUnderstood(f"frames: {error}") from error
