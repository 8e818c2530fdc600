"""A plan for the screens: names, addresses, what can be done to what.

Belongs here: that copy. Never: anything that changes while it runs.
"""

from __future__ import annotations

from twinloop.components.host.outcome import Cause
from twinloop.devices.model import misbehaviour, overlay
from twinloop.devices.model.nodes import node_id
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.mqtt.device import member
from twinloop.scenarios.file.deeds import GRAMMAR
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.expressions import Expectation
from twinloop.scenarios.planning.upgrades import components_of
from twinloop.scenarios.report.console import band_text
from twinloop.scenarios.report.result import band
from twinloop.scenarios.text.errors import shown_path
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.model.spec import DeviceSpec, WorldSpec
from twinloop.sim.network.presets import PRESETS
from twinloop.sim.world import World
from twinloop.tui.engine.messages import DeviceInfo, GatewayInfo, KeyInfo, Ready, VerbInfo

EXAMPLES = {
    "way": "up", "leg": "presses/1", "gateway": "gw", "down": "1 s", "up": "4 s", "to": "loss: 2 %", "speed": "50 %", "leave": "8 MiB", "by": "-2 s",
    "skew": "+50 ppm", "cause": "trap", "kind": "slow", "point": "pressure", "value": "4.5", "share": "50 %", "delay": "200 ms", "code": "4",
    "status": "BadNoCommunication", "poll": "2 s", "version": "1.1.0", "for": "20 s",
}  # fmt: skip
"""key -> a value as a file has it"""


def ready(loaded: Loaded, world: World, expectations: list[Expectation], kinds: list[str]) -> Ready:
    """All that doesn't change while it runs."""
    spec = world.spec
    coming = sorted((action.at_ns, f"{action.verb} {action.target}") for action in spec.timeline)
    reactions = tuple(f"{one.action.verb} {one.action.target} {_delay(one.delay_ns)}after {one.event}" for one in spec.reactions)
    bounds = [one for one in expectations if one.metric == "latency.gateway" and one.operator in ("<", "<=") and one.unit == "ns"]
    budget_ns, budget = min(((int(one.bound), one.text) for one in bounds), default=(0, ""))
    gateways = tuple(
        GatewayInfo(
            g.name, g.board.name, g.board.cores, g.board.memory_bytes, g.uplink.link, "" if g.standby is None else g.standby.of,
            0 if g.store is None else g.store.capacity_bytes, _band(gateway),
        ) for g, gateway in zip(spec.gateways, world.gateways, strict=True)
    )  # fmt: skip
    return Ready(
        loaded.scenario.name, shown_path(loaded.file), spec.seed, spec.duration_ns, tuple(_device(spec, device) for device in spec.devices), gateways,
        _verbs(loaded, spec), tuple(coming), reactions, tuple(kinds), budget_ns, budget,
    )  # fmt: skip


def _device(spec: WorldSpec, device: DeviceSpec) -> DeviceInfo:
    def where(i: int) -> str:
        point = device.model.points[i]
        return node_id(point) if device.protocol == "opcua" else member(point.name) if device.protocol == "mqtt" else point.address_text()

    points = tuple((point.name, where(i), point.unit) for i, point in enumerate(device.model.points))
    return DeviceInfo(device.name, spec.fleets[device.fleet], device.protocol, device.link, device.gateway, device.poll_ns, points)


def _delay(delay_ns: int) -> str:
    return f"{show_duration(delay_ns)} " if delay_ns else ""


def _band(gateway: Gateway) -> str:
    found = band(gateway)
    return f"{band_text(found)}; {found['source']}"


def _verbs(loaded: Loaded, spec: WorldSpec) -> tuple[VerbInfo, ...]:
    choices = _choices(spec)
    targets = _targets(loaded, spec)
    gateways = tuple(gateway.name for gateway in spec.gateways)
    out = []
    for name, verb in GRAMMAR.items():
        keys = tuple(KeyInfo(key, key in verb.needed, EXAMPLES[key], choices.get((name, key), choices.get(("", key), ()))) for key in verb.allowed)
        keys += (KeyInfo("for", name == "flap", EXAMPLES["for"]),) if verb.lasts else ()
        out.append(VerbInfo(name, verb.meaning, keys, targets.get(name, gateways)))
    return tuple(out)


def _targets(loaded: Loaded, spec: WorldSpec) -> dict[str, tuple[str, ...]]:
    """Verb -> what it can be done to; of those that aren't here gateways."""
    links, gateways = tuple(link.name for link in spec.links), tuple(gateway.name for gateway in spec.gateways)
    devices = (*spec.fleets, *(device.name for device in spec.devices))
    slots = tuple(f"{name}/{slot}" for name in gateways for slot in ("transform", "policy"))
    slots += tuple(f"{device.gateway}/driver/{device.name}" for device in spec.devices)
    pairs = tuple(gateway.name for gateway in spec.gateways if gateway.standby is not None)
    pairs += tuple(gateway.standby.of for gateway in spec.gateways if gateway.standby is not None)
    upgraded = tuple(f"{name}/{component}" for name in gateways for component in components_of(loaded.scenario, name))
    return {
        "cut": links, "flap": links, "degrade": links, "partition": pairs, "inject": slots, "upgrade": upgraded, "fault": devices,
        "repoll": devices, "write": tuple(device.name for device in spec.devices),
    }  # fmt: skip


def _choices(spec: WorldSpec) -> dict[tuple[str, str], tuple[str, ...]]:
    """(verb or "" for any, key) -> what there is."""
    points = tuple(dict.fromkeys(point.name for device in spec.devices for point in device.model.points))
    writable = tuple(dict.fromkeys(point.name for device in spec.devices for point in device.model.points if point.writable))
    legs = (*(device.name for device in spec.devices), *(gateway.name for gateway in spec.gateways))
    return {
        ("", "way"): ("up", "down"), ("", "leg"): legs, ("", "gateway"): tuple(gateway.name for gateway in spec.gateways),
        ("", "to"): tuple(f"preset: {name}" for name in PRESETS), ("", "cause"): tuple(cause.value for cause in Cause),
        ("", "kind"): (*overlay.KINDS, *misbehaviour.KINDS), ("fault", "point"): points, ("write", "point"): writable,
        ("", "status"): tuple(STATUS_CODES),
        ("", "version"): tuple(dict.fromkeys(str(offer.release.version) for offer in spec.offers)),
    }  # fmt: skip
