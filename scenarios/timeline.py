"""The timeline of a scenario file to single actions in time: repetition written out, targets and values checked.

Belongs here: the grammar of entries. Never: what a verb does (sim/timeline.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from devices import catalog
from scenarios import schema
from scenarios.document import Location
from scenarios.errors import unknown
from scenarios.links import link_model, model_changes, not_on_a_line
from scenarios.load import Loaded
from sim.presets import PRESETS
from sim.spec import Action

OCCURRENCES_MAX = 1_000_000
"""of one entry"""


def actions(loaded: Loaded) -> list[Action]:
    """All occurrences of all entries, in the order of the file; raises ScenarioError."""
    out: list[Action] = []
    for index, entry in enumerate(loaded.scenario.timeline):
        at: Location = ("timeline", index)
        verb = _verb(loaded, entry, at)
        _check_keys(loaded, entry, verb, at)
        target = getattr(entry, verb)
        _TARGETS[verb](loaded, entry, (*at, verb))
        for instant in _instants(loaded, entry, at):
            out.append(Action(
                at_ns=instant, verb=verb, target=target, until_ns=None if entry.for_ is None else instant + entry.for_,
                changes=tuple(_changes(entry).items()), point=entry.point or "", value=float(entry.value or 0.0),
            ))  # fmt: skip
    return out


def _verb(loaded: Loaded, entry: schema.Entry, at: Location) -> str:
    verbs = [verb for verb in schema.VERBS if getattr(entry, verb) is not None]
    if len(verbs) != 1:
        got = f"{' and '.join(verbs)}" if verbs else "none"
        raise loaded.document.error(at, f"expected exactly one of {', '.join(schema.VERBS)}, got {got}")
    return verbs[0]


_ALLOWED = {"cut": ("for_",), "degrade": ("to", "for_"), "write": ("point", "value"), "crash": ("for_",), "restart": ()}
_NEEDED = {"cut": (), "degrade": ("to",), "write": ("point", "value"), "crash": (), "restart": ()}


def _check_keys(loaded: Loaded, entry: schema.Entry, verb: str, at: Location) -> None:
    for key in ("to", "for_", "point", "value"):
        name = key.rstrip("_")
        if getattr(entry, key) is not None and key not in _ALLOWED[verb]:
            raise loaded.document.error((*at, name), f'"{name}" does not go with {verb}')
        if getattr(entry, key) is None and key in _NEEDED[verb]:
            raise loaded.document.error(at, f'{verb} needs "{name}"')


def _instants(loaded: Loaded, entry: schema.Entry, at: Location) -> Iterator[int]:
    error = loaded.document.error
    if (entry.at is None) == (entry.every is None):
        raise error(at, 'expected "at", or "every" (with "after" and "times")')
    if entry.at is not None:
        for key in ("after", "times"):
            if getattr(entry, key) is not None:
                raise error((*at, key), f'"{key}" goes with "every", not with "at"')
        if entry.at > loaded.scenario.duration + loaded.scenario.settle:
            raise error((*at, "at"), "lies after the end of the run")
        yield entry.at
        return
    assert entry.every is not None
    first = entry.every if entry.after is None else entry.after
    times = entry.times or max(0, (loaded.scenario.duration - first) // entry.every + 1)
    if times > OCCURRENCES_MAX:
        raise error((*at, "every"), f"happens {times} times; at most {OCCURRENCES_MAX} are allowed")
    if entry.times is not None and first + (times - 1) * entry.every > loaded.scenario.duration + loaded.scenario.settle:
        raise error((*at, "times"), f"the last of {times} lies after the end of the run")
    if first > loaded.scenario.duration:
        raise error((*at, "after" if entry.after is not None else "every"), "lies after the end of the run")
    for i in range(times):
        yield first + i * entry.every


def _changes(entry: schema.Entry) -> dict[str, Any]:
    return {} if entry.to is None else model_changes(entry.to)


def _link_target(loaded: Loaded, entry: schema.Entry, at: Location) -> None:
    name, error = str(entry.cut or entry.degrade), loaded.document.error
    if name not in loaded.scenario.links:
        raise error(at, unknown("link", name, loaded.scenario.links))
    if entry.to is None:
        return
    link, changes = loaded.scenario.links[name], _changes(entry)
    if not changes:
        raise error((*at[:-1], "to"), "expected at least one figure that changes, e.g. to: {loss: 2 %}")
    if link.serial is not None:
        for key in not_on_a_line(entry.to):
            raise error((*at[:-1], "to", key), f"a serial line has no {key}; only loss, correlation, bursts and corrupt apply")
    elif link.preset is None or link.preset in PRESETS:
        model = replace(link_model(link), **changes)
        if model.jitter_ns > model.delay_ns:
            raise error((*at[:-1], "to"), f"jitter {model.jitter_ns} ns is larger than the delay of {model.delay_ns} ns")


def _gateway_target(loaded: Loaded, entry: schema.Entry, at: Location) -> None:
    name = entry.crash or entry.restart
    if name not in loaded.scenario.gateways:
        raise loaded.document.error(at, unknown("gateway", str(name), loaded.scenario.gateways))


def _write_target(loaded: Loaded, entry: schema.Entry, at: Location) -> None:
    fleet = device_fleet(loaded, str(entry.write), at)
    model = catalog.model(fleet.device)
    index = model.index(str(entry.point))
    if index is None:
        raise loaded.document.error((*at[:-1], "point"), unknown(f"point of {fleet.device}", str(entry.point), [p.name for p in model.points]))
    if not model.points[index].writable:
        writable = [point.name for point in model.points if point.writable]
        text = f"{entry.point} of {fleet.device} can't be written; writable: {', '.join(writable) or 'none'}"
        raise loaded.document.error((*at[:-1], "point"), text)


def device_fleet(loaded: Loaded, device: str, at: Location) -> schema.Fleet:
    """The fleet of ``fleet/n``; raises ScenarioError for a device that doesn't exist."""
    name, _, number = device.partition("/")
    fleets = loaded.scenario.fleets
    if name not in fleets:
        raise loaded.document.error(at, unknown("fleet", name, fleets))
    fleet = fleets[name]
    if not number.isdigit() or not 1 <= int(number) <= fleet.count:
        raise loaded.document.error(at, f'unknown device "{device}"; known: {name}/1 to {name}/{fleet.count}')
    if fleet.device not in catalog.names():
        raise loaded.document.error(("fleets", name, "device"), unknown("device", fleet.device, catalog.names()))
    return fleet


_TARGETS = {
    "cut": _link_target, "degrade": _link_target, "write": _write_target, "crash": _gateway_target, "restart": _gateway_target,
}  # fmt: skip
