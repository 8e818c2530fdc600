"""A plan for the screens: names, addresses, what can be done to what.

Belongs here: that copy. Never: a world.
"""

from __future__ import annotations

from devices.mqtt_device import member
from devices.nodes import node_id
from scenarios.deeds import GRAMMAR
from scenarios.errors import shown_path
from scenarios.load import Loaded
from sim.spec import DeviceSpec, LinkSpec, WorldSpec
from tui.messages import DeviceInfo, GatewayInfo, Ready, VerbInfo


def ready(loaded: Loaded, spec: WorldSpec, kinds: list[str]) -> Ready:
    """All that doesn't change while it runs."""
    coming = sorted((action.at_ns, f"{action.verb} {action.target}") for action in spec.timeline)
    return Ready(
        loaded.scenario.name, shown_path(loaded.file), spec.seed, spec.duration_ns, tuple(_device(spec, device) for device in spec.devices),
        tuple(GatewayInfo(g.name, g.board.name, g.board.cores, g.board.memory_bytes, g.uplink.link, "" if g.standby is None else g.standby.of)
              for g in spec.gateways),
        tuple((link.name, _link(link)) for link in spec.links), _verbs(spec), tuple(coming), tuple(kinds),
    )  # fmt: skip


def _device(spec: WorldSpec, device: DeviceSpec) -> DeviceInfo:
    def where(i: int) -> str:
        point = device.model.points[i]
        return node_id(point) if device.protocol == "opcua" else member(point.name) if device.protocol == "mqtt" else point.address_text()

    points = tuple((point.name, where(i), point.unit) for i, point in enumerate(device.model.points))
    return DeviceInfo(device.name, spec.fleets[device.fleet], device.protocol, device.link, device.gateway, device.poll_ns, points)


def _link(link: LinkSpec) -> str:
    if link.serial_bd is not None:
        return f"{link.lines} serial lines of {link.serial_bd} Bd"
    model = link.model
    text = f"{model.delay_ns / 1e6:g} ms +- {model.jitter_ns / 1e6:g} ms"
    return text + (f", loss {100 * model.loss:g} %" if model.loss else "") + (", bursts" if model.bursts else "")


def _verbs(spec: WorldSpec) -> tuple[VerbInfo, ...]:
    links, gateways = tuple(link.name for link in spec.links), tuple(gateway.name for gateway in spec.gateways)
    devices = (*spec.fleets, *(device.name for device in spec.devices))
    slots = tuple(f"{name}/{slot}" for name in gateways for slot in ("transform", "policy"))
    slots += tuple(f"{device.gateway}/driver/{device.name}" for device in spec.devices)
    pairs = tuple(gateway.name for gateway in spec.gateways if gateway.standby is not None)
    pairs += tuple(gateway.standby.of for gateway in spec.gateways if gateway.standby is not None)
    upgraded = tuple(f"{name}/{component.name}" for name in gateways for component in spec.components)
    targets = {
        "cut": links, "flap": links, "degrade": links, "partition": pairs, "inject": slots, "upgrade": upgraded, "fault": devices,
        "repoll": devices, "write": tuple(device.name for device in spec.devices),
    }  # fmt: skip
    return tuple(
        VerbInfo(name, verb.meaning, verb.allowed, verb.needed, verb.lasts, targets.get(name, gateways)) for name, verb in GRAMMAR.items()
    )  # fmt: skip
