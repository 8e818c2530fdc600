"""What an entry of the timeline may say: for each verb its keys, its target, and the action that it becomes.

Belongs here: the grammar of verbs. Never: when something happens (timeline.py, random_trouble.py) or what it does (sim/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twinloop.components.host.outcome import Cause
from twinloop.devices.model import misbehaviour, overlay
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.links import idle_keys, link_model, model_changes, not_on_a_line
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.field.mqtt_site import BROKER_LEG
from twinloop.sim.model.spec import Action
from twinloop.sim.model.store_presets import STORE_PRESETS
from twinloop.sim.network.presets import PRESETS

Check = Callable[[Loaded, schema.Deed, str, Location], None]


@dataclass(frozen=True)
class Verb:
    """One verb: what it means, keys that may and that must stand beside it, whether it lasts (``for``), how its target is checked."""

    meaning: str
    allowed: tuple[str, ...]
    needed: tuple[str, ...]
    lasts: bool
    check: Check


def find(loaded: Loaded, deed: schema.Deed, at: Location) -> tuple[str, str]:
    """(verb, target) of a deed, with its keys checked against GRAMMAR; raises ScenarioError."""
    verbs = [verb for verb in schema.VERBS if value_of(deed, verb) is not None]
    if len(verbs) != 1:
        got = " and ".join(verbs) if verbs else "none"
        raise loaded.document.error(at, f"expected exactly one of {', '.join(schema.VERBS)}, got {got}")
    verb = verbs[0]
    grammar, target = GRAMMAR[verb], str(value_of(deed, verb))
    for key in _KEYS:
        given = value_of(deed, key) is not None
        if given and key not in grammar.allowed:
            goes = ", ".join(grammar.allowed) or "nothing"
            raise loaded.document.error((*at, key), f'"{key}" does not go with {verb} (with it go: {goes})')
        if not given and key in grammar.needed:
            raise loaded.document.error(at, f'{verb} needs "{key}"')
    grammar.check(loaded, deed, target, at)
    return verb, target


def check_span(loaded: Loaded, verb: str, for_ns: int | None, at: Location) -> None:
    """Does that verb last, if it is to, and does one that must? Raises ScenarioError."""
    if for_ns is not None and not GRAMMAR[verb].lasts:
        raise loaded.document.error((*at, "for"), f'"for" does not go with {verb}: it has no end')
    if verb == "flap" and for_ns is None:
        raise loaded.document.error(at or ("flap",), 'flap needs "for"')


def value_of(deed: schema.Deed, key: str) -> Any:
    """The value of a key as the file spells it."""
    return getattr(deed, key.replace("-", "_"))


_KEYS = (
    "way", "leg", "gateway", "down", "up", "to", "speed", "leave", "by", "skew", "cause", "kind", "point", "value", "share", "delay", "code",
    "status", "poll",
    "version",
)  # fmt: skip


def action(deed: schema.Deed, verb: str, target: str, at_ns: int, for_ns: int | None) -> Action:
    """The action of a checked deed."""
    return Action(
        at_ns=at_ns, verb=verb, target=target, until_ns=None if for_ns is None else at_ns + for_ns,
        changes=() if deed.to is None else tuple(changes(deed.to).items()), point=deed.point or "", value=float(deed.value or 0.0),
        kind=deed.kind or deed.cause or ("unreachable" if verb == "inject" else ""), up=None if deed.way is None else deed.way == "up",
        leg=deed.leg or "", via=deed.gateway or "", down_ns=deed.down or 0, up_ns=deed.up or 0, amount=1.0 if deed.speed is None else deed.speed,
        share=1.0 if deed.share is None else deed.share, size_bytes=deed.leave or 0, shift_ns=deed.by or 0, ppb=deed.skew or 0,
        lasts_ns=deed.poll or deed.delay or 0, code=deed.code or STATUS_CODES.get(deed.status or "", 0), version=deed.version or "",
    )  # fmt: skip


def changes(to: schema.Change) -> dict[str, Any]:
    """Fields of LinkModel: those of the preset, if there is one, then its own."""
    if to.preset is None:
        return model_changes(to)
    model = PRESETS[to.preset].model
    fields = {name: getattr(model, name) for name in _MODEL_FIELDS}
    return {**fields, **model_changes(to)}


_MODEL_FIELDS = ("delay_ns", "jitter_ns", "loss", "correlation", "bursts", "duplicate", "reorder", "corrupt", "rate_bps", "queue_bytes")


# ---- targets --------------------------------------------------------------------------------------------------------
def _link(loaded: Loaded, deed: schema.Deed, name: str, at: Location) -> None:
    error, scenario = loaded.document.error, loaded.scenario
    if name not in scenario.links:
        raise error(at, unknown("link", name, scenario.links))
    link = scenario.links[name]
    if link.serial is not None and (deed.way or deed.leg or deed.gateway):
        key = "way" if deed.way else "leg" if deed.leg else "gateway"
        raise error((*at, key), f'"{name}" is a serial line: one pair of wires, it is cut for all and both ways')
    if deed.leg is not None:
        legs = [f"{fleet}/{i + 1}" for fleet, block in scenario.fleets.items() if block.link == name for i in range(block.count)]
        legs += [gateway for gateway, block in scenario.gateways.items() if block.uplink.link == name]
        legs += [gateway for gateway, block in scenario.gateways.items() if block.standby is not None and block.standby.heartbeat.link == name]
        if any(block.link == name and block.protocol == "mqtt" for block in scenario.fleets.values()):
            legs.append(BROKER_LEG)
        if deed.leg not in legs:
            raise error((*at, "leg"), unknown(f"leg of {name}", deed.leg, legs))
    if deed.gateway is not None:
        fields = [fleet.gateway for fleet in scenario.fleets.values() if fleet.link == name]
        ports = [gateway for gateway, block in scenario.gateways.items() if (block.standby.of if block.standby else gateway) in fields]
        if deed.gateway not in ports:
            raise error((*at, "gateway"), unknown(f"gateway that polls over {name}", deed.gateway, ports))
    if deed.to is not None:
        _degradation(loaded, link, deed.to, (*at, "to"))


def _degradation(loaded: Loaded, link: schema.Link, to: schema.Change, at: Location) -> None:
    error = loaded.document.error
    if to.preset is not None and to.preset not in PRESETS:
        raise error((*at, "preset"), unknown("preset", to.preset, PRESETS))
    if link.serial is not None:
        for key in [*(["preset"] if to.preset else []), *not_on_a_line(to)]:
            raise error((*at, key), f"a serial line has no {key}; only loss, correlation, bursts and corrupt apply")
    changed = changes(to)
    if not changed:
        raise error(at, "expected at least one figure that changes, e.g. to: {loss: 2 %}")
    if link.serial is None and (link.preset is None or link.preset in PRESETS):
        model = replace(link_model(link), **changed)
        if model.jitter_ns > model.delay_ns:
            raise error(at, f"jitter {model.jitter_ns} ns is larger than the delay of {model.delay_ns} ns")
        for key, why in idle_keys(to, model):
            raise error((*at, key), why)


def _gateway(loaded: Loaded, deed: schema.Deed, name: str, at: Location) -> None:
    if name not in loaded.scenario.gateways:
        raise loaded.document.error(at, unknown("gateway", name, loaded.scenario.gateways))
    if deed.fill is not None:
        store = loaded.scenario.gateways[name].store
        preset = None if store is None or store.preset not in STORE_PRESETS else STORE_PRESETS[store.preset].spec
        in_memory = store is not None and (store.medium == "memory" or (store.medium is None and preset is not None and preset.volatile))
        if store is None or in_memory:
            raise loaded.document.error(at, f"gateway {name} has no store on flash: nothing of it can be filled")


def _partition(loaded: Loaded, deed: schema.Deed, name: str, at: Location) -> None:
    gateways = loaded.scenario.gateways
    pairs = [one for gateway, block in gateways.items() if block.standby is not None for one in (block.standby.of, gateway)]
    if name not in pairs:
        text = unknown("gateway of a pair", name, pairs) if pairs else f'"{name}" is no gateway of a pair; the scenario has no standby'
        raise loaded.document.error((*at, "partition"), text)


def _slot(loaded: Loaded, deed: schema.Deed, target: str, at: Location) -> None:
    error = loaded.document.error
    gateway, _, rest = target.partition("/")
    _gateway(loaded, deed, gateway, (*at, "inject"))
    if rest.startswith("driver/"):
        device = rest.removeprefix("driver/")
        fleet, _ = device_fleet(loaded, device, (*at, "inject"))
        standby = loaded.scenario.gateways[gateway].standby
        if fleet.gateway not in (gateway, None if standby is None else standby.of):
            raise error((*at, "inject"), f'{device} is polled by "{fleet.gateway}", not by "{gateway}"')
    if deed.cause is not None and deed.cause not in _INJECTABLE:
        raise error((*at, "cause"), unknown("cause", deed.cause, _INJECTABLE))


_INJECTABLE = tuple(cause.value for cause in Cause)


def device_fleet(loaded: Loaded, target: str, at: Location) -> tuple[schema.Fleet, DeviceModel]:
    """The fleet and the model of a device, a fleet or ``fleet/any``; raises ScenarioError for one that doesn't exist."""
    name, slash, number = target.partition("/")
    fleets = loaded.scenario.fleets
    if name not in fleets:
        raise loaded.document.error(at, unknown("fleet", name, fleets))
    fleet = fleets[name]
    if slash and number != "any" and not 1 <= int(number) <= fleet.count:
        raise loaded.document.error(at, f'unknown device "{target}"; known: {name}/1 to {name}/{fleet.count}')
    return fleet, loaded.models.of(fleet.device, ("fleets", name, "device"))


def _point(loaded: Loaded, deed: schema.Deed, model: DeviceModel, at: Location) -> int:
    index = model.index(str(deed.point))
    if index is None:
        raise loaded.document.error((*at, "point"), unknown(f"point of {model.name}", str(deed.point), [p.name for p in model.points]))
    return index


def _write(loaded: Loaded, deed: schema.Deed, target: str, at: Location) -> None:
    if "/" not in target:
        raise loaded.document.error((*at, "write"), f'expected one device, e.g. "{target}/1" or "{target}/any", got the whole fleet')
    _, model = device_fleet(loaded, target, (*at, "write"))
    point = model.points[_point(loaded, deed, model, at)]
    if not point.writable:
        writable = [point.name for point in model.points if point.writable]
        text = f"{deed.point} of {model.name} can't be written; writable: {', '.join(writable) or 'none'}"
        raise loaded.document.error((*at, "point"), text)


def _repoll(loaded: Loaded, deed: schema.Deed, target: str, at: Location) -> None:
    device_fleet(loaded, target, (*at, "repoll"))


def keys_of_fault(kind: str) -> dict[str, bool]:
    """Key -> whether that kind of fault needs it; one that it doesn't need doesn't go with it."""
    return {
        "point": kind in overlay.KINDS, "value": kind in overlay.NEEDS_AMOUNT, "delay": kind == "slow", "code": kind == "exception",
        "status": kind in ("bad-status", "service-fault"),
    }  # fmt: skip


def _fault(loaded: Loaded, deed: schema.Deed, target: str, at: Location) -> None:
    error, kind = loaded.document.error, str(deed.kind)
    fleet, model = device_fleet(loaded, target, (*at, "fault"))
    known = [*overlay.KINDS, *misbehaviour.KINDS]
    if kind not in known:
        raise error((*at, "kind"), unknown("fault", kind, known))
    spoken = ("opcua",) if kind in overlay.ONLY_NODES else misbehaviour.SPOKEN.get(kind)
    if spoken is not None and fleet.protocol not in spoken:
        raise error((*at, "kind"), f"{kind} is a fault of {' and '.join(spoken)}, {target} speaks {fleet.protocol}")
    if deed.status is not None and deed.status not in STATUS_CODES:
        raise error((*at, "status"), unknown("StatusCode", deed.status, STATUS_CODES))
    for key, needs in keys_of_fault(kind).items():
        given = getattr(deed, key) is not None
        if needs and not given:
            raise error(at, f'fault {kind} needs "{key}"')
        if given and not needs:
            raise error((*at, key), f'"{key}" does not go with fault {kind}')
    if kind in overlay.KINDS:
        point = model.points[_point(loaded, deed, model, at)]
        if kind in overlay.NOT_ON_A_COIL and point.table in ("coil", "discrete"):
            raise error((*at, "kind"), f"{point.name} of {model.name} is a {point.table}: it can't {kind}")


GRAMMAR: dict[str, Verb] = {
    "cut": Verb("a link carries nothing", ("way", "leg", "gateway"), (), True, _link),
    "flap": Verb("a link is cut and whole in turns", ("down", "up", "way", "leg", "gateway"), ("down", "up"), True, _link),
    "partition": Verb("the two gateways of a pair don't hear each other", ("way",), (), True, _partition),
    "degrade": Verb("a link has other figures, or a preset's", ("to",), ("to",), True, _link),
    "crash": Verb("a gateway's process dies; its files stay", (), (), True, _gateway),
    "shutdown": Verb("a gateway stops in an orderly way", (), (), True, _gateway),
    "power-cut": Verb("a gateway loses power, and what was written since the last sync", (), (), True, _gateway),
    "restart": Verb("a gateway crashes and boots", (), (), False, _gateway),
    "throttle": Verb("a gateway's CPU slows down", ("speed",), ("speed",), True, _gateway),
    "squeeze": Verb("a gateway's RAM shrinks to what is left", ("leave",), ("leave",), True, _gateway),
    "fill": Verb("a gateway's flash has only so much room left", ("leave",), ("leave",), True, _gateway),
    "clock-step": Verb("a gateway's wall clock jumps", ("by",), ("by",), True, _gateway),
    "clock-skew": Verb("a gateway's clocks run fast or slow", ("skew",), ("skew",), True, _gateway),
    "inject": Verb("a component's instance (gw/transform, gw/policy, gw/driver/presses/3) dies of a cause", ("cause",), (), False, _slot),
    "upgrade": Verb("the cloud orders a gateway to install another version of a component", ("version",), ("version",), False, upgrades.check_deed),
    "fault": Verb(
        "a device or a fleet has a fault (kinds below)", ("kind", "point", "value", "share", "delay", "code", "status"), ("kind",), True, _fault
    ),
    "repoll": Verb("a device or a fleet is polled at another period", ("poll",), ("poll",), True, _repoll),
    "write": Verb("the cloud writes a value to a device", ("point", "value"), ("point", "value"), False, _write),
}
"""verb -> its grammar"""
BOOTS = ("crash", "shutdown", "power-cut")
"""verbs whose end is a boot: the event ``restart GATEWAY``"""
