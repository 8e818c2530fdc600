"""Where the real devices of a run are, and what of its scenario can't be done with them.

Belongs here: URLs of places. Never: sockets (sockets.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from twinloop.devices.model.nodes import node_address
from twinloop.devices.model.protocols import PROTOCOLS, DeviceProtocol
from twinloop.records import dataclass
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.model.spec import DeviceSpec, PlaceSpec, WorldSpec

SCHEMES = {speaks.scheme: speaks for speaks in PROTOCOLS.values() if speaks.scheme}
"""scheme of a place -> what the device speaks that may be there"""
UNITS, UNITS_OF_TCP = range(1, 248), range(256)
"""unit ids of a line (MODBUS over Serial Line V1.02 section 2.2), and what fits into a header over TCP, where
0 and 255 are a device itself (MODBUS Messaging on TCP/IP V1.0b section 4.4.2.3)"""
NODES_NAMED = 3
"""of those that a server lacks"""
_FORMS = (
    "tcp://host[:port][/unit], rtu:///dev/ttyX[?unit=N], ascii:///dev/ttyX[?unit=N], "
    "rtu+tcp://host:port[/unit] or opc.tcp://host[:port][/path]"
)


def places(given: list[str], map_file: Path | None) -> dict[str, str]:
    """device -> URL, of ``DEVICE=URL`` pairs and of a map that ``twinloop serve`` has written; raises
    ScenarioError."""
    found = {} if map_file is None else _of_map(map_file, "url")
    named: dict[str, None] = {}
    for pair in given:
        device, equals, url = pair.partition("=")
        if not equals or not device or not url:
            raise ScenarioError("--device", None, "", f'expected DEVICE=URL, got "{pair}"')
        if device in named:
            raise ScenarioError("--device", None, "", f'"{device}" is given twice')
        named[device] = None
        found[device] = url
    if not found:
        raise ScenarioError(
            "--device", None, "", f"nothing is attached: say --device presses/3={_FORMS}, or --map FILE"
        )
    return found


def shown_at(given: list[str], map_file: Path | None) -> dict[str, str]:
    """device -> where the process that serves it tells what it shows: of a map's devices, but for those that
    a pair puts elsewhere."""
    elsewhere = [pair.partition("=")[0] for pair in given]
    told = {} if map_file is None else _of_map(map_file, "shown")
    found = {device: url for device, url in told.items() if url and device not in elsewhere}
    for device, url in found.items():
        try:
            parts = urlsplit(url)
            right = parts.scheme == "tcp" and bool(parts.hostname) and bool(parts.port)
        except ValueError:
            right = False
        if not right:
            raise ScenarioError(
                "--map", None, "", f'{map_file}: {device}: shown: expected tcp://host:port, got "{url}"'
            )
    return found


def _of_map(file: Path, key: str) -> dict[str, str]:
    """device -> what the map says of it under that key, empty where it says nothing."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        real = [name for name, speaks in PROTOCOLS.items() if speaks.scheme]
        found = {str(device): entry for device, entry in data.items() if entry["protocol"] in real}
        return {
            device: str(entry["url"] if key == "url" else entry.get(key, ""))
            for device, entry in found.items()
        }
    except OSError as error:
        raise ScenarioError("--map", None, "", f"{file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ScenarioError("--map", None, "", f"{file}: no map that twinloop serve has written") from error


def attached(spec: WorldSpec, found: dict[str, str], elsewhere: bool = False) -> tuple[WorldSpec, list[str]]:
    """The scenario with these devices in their places, and what that changes, in words; raises ScenarioError.

    ``elsewhere``: whoever is there does to them what the timeline says.
    """
    known = {device.name: i for i, device in enumerate(spec.devices)}
    devices: list[DeviceSpec] = list(spec.devices)
    notes: list[str] = []
    taken: dict[tuple[int, str, int, str], DeviceSpec] = {}
    for name, url in found.items():
        if name not in known:
            raise ScenarioError("--device", None, "", unknown("device", name, known))
        device = spec.devices[known[name]]
        unit, place = _place(device, url)
        where = unit, place.host, place.port, place.path
        if where in taken and _address(taken[where]) != _address(device):  # the file may want just that
            raise ScenarioError(
                "--device", None, "", f'"{name}" and "{taken[where].name}" are in one place: {url}'
            )
        taken[where] = device
        if device.subscribed is not None:
            notes.append(
                f"{name} is polled, not subscribed to: what of a real device will be news can't be foreseen"
            )
        devices[known[name]] = replace(
            device, unit_id=unit, place=place, subscribed=None, model=device.table, believed=None
        )
    spec = replace(spec, devices=tuple(devices))
    return spec, notes + ([] if elsewhere else _untouched(spec))


def require_tcp(spec: WorldSpec, option: str, served: Collection[str]) -> None:
    """Raises ScenarioError for devices that another twinloop serves and a driver may ask over UDP: what is
    served listens for TCP."""
    sends = {
        one.name for one in spec.components if any(remote.transport == "udp" for remote in one.wasi.remotes)
    }
    for device in spec.devices:
        if device.name in served and device.driver in sends:
            raise ScenarioError(
                option,
                None,
                "",
                f"{device.driver} may ask {device.name} over UDP, and twinloop serve answers over TCP only; "
                f"grant it tcp:// alone, or run without {option}",
            )


def _address(device: DeviceSpec) -> tuple[str, int, int] | str:
    """Where it is in the file: on a line two devices may have one unit id there, and behind a converter."""
    on_line = device.speaks.serial or device.behind
    return (device.wires, device.line, device.unit_id) if on_line else device.name


def _untouched(spec: WorldSpec) -> list[str]:
    """What the timeline can't do to real devices, in words."""
    notes = []
    links = {device.link for device in spec.devices if device.place is not None}
    entries = [(action, f"at {show_duration(action.at_ns)}") for action in spec.timeline]
    for action, when in entries + [
        (reaction.action, f"after {reaction.event}") for reaction in spec.reactions
    ]:
        real = [
            d.name
            for d in spec.devices
            if d.place is not None and action.target in (d.name, spec.fleets[d.fleet])
        ]
        if action.verb == "device-fault" and real:
            notes.append(
                f"device-fault {action.target} {when}: nothing happens to "
                f"{', '.join(real[:5])}{', ...' if real[5:] else ''}: real devices"
            )
        elif action.verb == "degrade" and action.target in links:
            notes.append(
                f"degrade {action.target} {when}: nothing happens to real devices, which have a network of "
                f"their own"
            )
    return notes


def require_nodes(spec: WorldSpec) -> None:
    """Raises ScenarioError when a real OPC UA server hasn't the nodes of the device that it stands for."""
    servers: dict[str, tuple[str, tuple[str, ...]]] = {}
    for device in spec.devices:
        if device.place is not None and device.protocol == "opcua":
            servers[device.name] = (
                device.place.url,
                tuple(node_address(point) for point in device.model.points),
            )
    if not servers:
        return
    from twinloop.devices.live.opcua_nodes import missing  # asyncua isn't for runs without it

    for name, lacking in missing(servers).items():
        url, addresses = servers[name]
        named = ", ".join(lacking[:NODES_NAMED]) + (
            f" and {len(lacking) - NODES_NAMED} more" if len(lacking) > NODES_NAMED else ""
        )
        text = (
            f"{name}: the server at {url} has {len(addresses) - len(lacking)} of {len(addresses)} nodes; it "
            f"doesn't know {named}"
        )
        raise ScenarioError(
            "--device",
            None,
            "",
            f"{text}. Give the device a model with the nodes that are there, e.g. its NodeSet2 file",
        )


@dataclass(frozen=True, slots=True)
class Where:
    """What a place's URL says. ``unit``: None where it says none."""

    speaks: DeviceProtocol
    unit: int | None
    place: PlaceSpec


def where(flag: str, url: str, name: str = "") -> Where:
    """A place without a scenario; raises ScenarioError. ``name``: of the device that is there."""

    def wrong(text: str) -> ScenarioError:
        return ScenarioError(flag, None, "", f"{name}={url}: {text}" if name else f"{url}: {text}")

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong(str(error)) from error
    if parts.scheme not in SCHEMES:
        raise wrong(f"expected {_FORMS}")
    speaks = SCHEMES[parts.scheme]
    if parts.username is not None or parts.fragment:
        raise wrong(f"expected {_FORMS}, without user or fragment")
    if speaks.serial:
        asked = parse_qs(parts.query, keep_blank_values=True)
        if host or not parts.path.strip("/") or [*asked] not in ([], ["unit"]):
            raise wrong(f"expected {_FORMS}")
        if "\0" in parts.path:
            raise wrong(f"expected {_FORMS}")
        unit = _unit(asked["unit"][0], wrong) if asked else None
        return Where(speaks, unit, PlaceSpec(url, path=os.path.realpath(parts.path)))
    if not host or parts.query or port == 0:
        raise wrong(f"expected {_FORMS}")
    if port is None and not speaks.port:
        raise wrong(f"expected a port: {speaks.name} has no registered one; {_FORMS}")
    said = parts.path.strip("/") if speaks.registers else ""
    unit = _unit(said, wrong, UNITS_OF_TCP if parts.scheme == "tcp" else UNITS) if said else None
    return Where(speaks, unit, PlaceSpec(url, host, port or speaks.port))


def _place(device: DeviceSpec, url: str) -> tuple[int, PlaceSpec]:
    """(unit id, place); raises ScenarioError."""
    found = where("--device", url, device.name)
    if found.speaks is not device.speaks:
        raise ScenarioError(
            "--device",
            None,
            "",
            f"{device.name}={url}: {device.name} speaks {device.protocol}, not {found.speaks.name}",
        )
    return device.unit_id if found.unit is None else found.unit, found.place


def _unit(text: str, wrong: Callable[[str], ScenarioError], known: range = UNITS) -> int:
    if not text.isascii() or not text.isdigit() or int(text) not in known:
        raise wrong(f'unit "{text}": expected {known[0]} to {known[-1]}')
    return int(text)
