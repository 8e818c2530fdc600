"""What a replayed call gave, held against what the recorded one gave.

Belongs here: equal, differs, or failed then and doesn't now; and in which words. Never: calls. A call that
failed by itself in the field (a fault; an error that is the driver's own doing) and gives a value now is
``mended``. A value in the place of what the device or the bus refused is a difference: the replay can't know
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinloop.components.contract.values import differs
from twinloop.components.host.outcome import Cause
from twinloop.devices.model.statuses import status_name
from twinloop.scenarios.exchanges.lines import Call

EQUAL, DIFFERS, MENDED, SKIPPED, GAVE = "equal", "differs", "mended", "skipped", "gave"
"""``skipped``: the recorded call isn't whole; ``gave``: nothing was recorded to hold it against"""
OF_THE_DRIVER = ("malformed", "other", "no-such-point", "not-configured")
"""errors of a driver that no device has caused by itself"""
_LISTS = ("readings", "texts", "integers")
COUNTERS = ("polls", "errors", "detail")
"""of get-status: what a driver counts is its own affair"""


@dataclass
class Came:
    """What a call came to in the replay: ``gives`` as a file has it, or a fault; ``then``: a fault that the
    gateway would make of what it gives; ``clocks``: what it was told the time is."""

    gives: Any = None
    fault: dict[str, Any] | None = None
    then: dict[str, Any] | None = None
    clocks: list[int] = field(default_factory=list)


@dataclass
class Compared:
    """``texts``: each difference; ``aside``: what is otherwise, and isn't held against the driver."""

    verdict: str
    texts: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)


def compared(call: Call, came: Came, names: Mapping[int, str], same: bool) -> Compared:
    """``names`` of points by id; ``same``: the replayed component is the recorded one."""
    if call.cut:
        return Compared(SKIPPED, [call.cut])
    now = failure(came.fault, came.then, None)
    if not call.compared:
        own = failure(came.fault, came.then, came.gives)
        return Compared(DIFFERS if own else GAVE, [own] if own else [])
    before = failure(call.fault, call.then, None)
    if before and now:
        if before == now or _same_then(call, came):
            return Compared(EQUAL)
        return Compared(DIFFERS, [f"failed with {before}; now with {now}"])
    if now:
        return Compared(DIFFERS, [f"gave {told(call.gives)}; now it fails: {now}"])
    if before:
        return Compared(MENDED, [f"failed in the field ({before}); now it gives {told(came.gives)}"])
    if _own_error(call.gives) and _error(came.gives) is None:
        why = f"the error {told(call.gives)}"
        return Compared(MENDED, [f"failed in the field ({why}); now it gives {told(came.gives)}"])
    return _values(call, came, names, same)


def _same_then(call: Call, came: Came) -> bool:
    """Has the gateway made the same fault of the same value?"""
    both = call.then is not None and came.then is not None and call.then["cause"] == came.then["cause"]
    return both and call.gives == came.gives


def failure(fault: dict[str, Any] | None, then: dict[str, Any] | None, gives: Any) -> str:
    """A fault, or an error of the driver's if ``gives`` is asked, in words; empty for none."""
    found = fault or then
    if found is not None:
        return f"{found['cause']}: {found['message']}"
    error = _error(gives)
    return "" if error is None else f"the error {told(gives)}"


def refused(export: str, gives: Any, known: Mapping[int, str]) -> dict[str, Any] | None:
    """The fault that a gateway makes of what a finished call gave: of a batch with a point that is unknown or
    comes twice, a refused configuration, a driver that says that it has failed."""
    text, cause = "", Cause.CONTRACT
    if export == "configure" and _error(gives) is not None:
        text = f"configure: {told(gives)}"
    elif export == "get-status" and gives["health"] == "failed":
        text, cause = f"get-status: {gives['detail']}", Cause.UNHEALTHY
    elif export == "read-sensor" and _error(gives) is None:
        points = [one["point"] for kind in _LISTS for one in gives["ok"].get(kind, ())]
        if len(dict.fromkeys(points)) < len(points) or any(point not in known for point in points):
            text = f"a batch with an unknown or double point: {points[:8]}"
    return {"cause": cause.value, "message": text, "functions": []} if text else None


def _error(gives: Any) -> Any:
    return gives["err"] if isinstance(gives, dict) and "err" in gives else None


def _own_error(gives: Any) -> bool:
    error = _error(gives)
    case = next(iter(error)) if isinstance(error, dict) and error else error
    return case in OF_THE_DRIVER


def told(gives: Any) -> str:
    """What a call gave, in a few words."""
    error = _error(gives)
    if error is not None:
        return str(error) if isinstance(error, str) else ": ".join(_flat(error))
    if not isinstance(gives, dict) or gives.get("ok") is None:
        return "nothing" if gives is None else "ok" if "ok" in gives else f"health {gives.get('health')}"
    readings = [one for kind in _LISTS for one in gives["ok"].get(kind, ())]
    good = sum(not one["status"] for one in readings)
    return (
        f"{len(readings)} readings"
        if good == len(readings)
        else f"{len(readings)} readings, {good} of them Good"
    )


def _flat(error: Any) -> list[str]:
    if isinstance(error, dict) and len(error) == 1:
        ((case, payload),) = error.items()
        return [str(case), *_flat(payload)]
    return [str(error)]


def _values(call: Call, came: Came, names: Mapping[int, str], same: bool) -> Compared:
    if call.export == "start":
        return Compared(EQUAL)
    if call.export == "get-status":
        return _statuses(call, came, same)
    if call.export != "read-sensor" or _error(call.gives) is not None or _error(came.gives) is not None:
        plain = differs(call.gives, came.gives, "gives") or differs(came.gives, call.gives, "gives")
        if not plain:
            return Compared(EQUAL)
        return Compared(DIFFERS, [f"gave {told(call.gives)}; now {told(came.gives)}"])
    before, now = _points(call.gives), _points(came.gives)
    then_clocks = [value for name in ("clock.now",) for value in call.given.get(name, ())]
    texts = []
    for point in {**before, **now}:
        name = names.get(point, f"{point}")
        if point not in now:
            texts.append(f"point {name}: gave {_shown(before[point])}; now it isn't among the readings")
        elif point not in before:
            texts.append(f"point {name}: wasn't among the readings; now {_shown(now[point])}")
        else:
            text = _reading(before[point], now[point], then_clocks, came.clocks)
            texts += [f"point {name}: {text}"] if text else []
    return Compared(DIFFERS if texts else EQUAL, texts)


def _points(gives: Any) -> dict[int, Any]:
    return {one["point"]: one for kind in _LISTS for one in gives["ok"].get(kind, ())}


def _reading(before: Any, now: Any, then_clocks: Sequence[int], clocks: Sequence[int]) -> str:
    """How one reading is otherwise. A value isn't looked at where its status is Bad, as in the contract; both
    times may be the moment of reading, which needn't be one instant."""
    if before["status"] != now["status"] or (
        before["status"] < 0x80000000 and _number(before["value"]) != _number(now["value"])
    ):
        return f"gave {_shown(before)}; now {_shown(now)}"
    if before["measured"] == now["measured"]:
        return ""
    if before["measured"] in then_clocks and now["measured"] in clocks:
        return ""
    return f"measured at {before['measured']} ns; now at {now['measured']} ns"


def _number(value: Any) -> Any:
    """An integer is the same in either case of its variant."""
    return next(iter(value.values())) if isinstance(value, dict) else value


def _shown(reading: Any) -> str:
    status = reading["status"]
    name = status_name(status)
    return f"{_number(reading['value'])!r} {name}" if status < 0x80000000 else name


def _statuses(call: Call, came: Came, same: bool) -> Compared:
    found = [
        (key, f"{key} was {call.gives[key]!r}; now {came.gives[key]!r}")
        for key in ("health", *COUNTERS)
        if call.gives.get(key) != came.gives.get(key)
    ]
    held = [text for key, text in found if same or key not in COUNTERS]
    return Compared(DIFFERS if held else EQUAL, held, [text for _, text in found if text not in held])
