"""Grants of sockets: to which hosts a driver may connect, held against the devices that it reads.

Belongs here: what `wasi:sockets` says. Never: addresses, connections (sim/wasi/).
"""

from __future__ import annotations

import re

from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.component_blocks import REMOTE
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.sim.model.wasi import OWN_DEVICE, Remote


def remotes(
    loaded: Loaded,
    name: str,
    grant: schema.SocketsGrant,
    role: str,
    at: Location,
    before: tuple[Remote, ...],
) -> tuple[Remote, ...]:
    """Of one component, with those of its grants ``before``; raises ScenarioError."""
    error = loaded.document.error
    if role != "driver":
        raise error(at, f"a {role} can't be granted wasi:sockets: only a driver has a device to connect to")
    fleets = _fleets(loaded.scenario, name)
    for fleet_name in fleets:
        fleet = loaded.scenario.fleets[fleet_name]
        speaks = PROTOCOLS[fleet.protocol]
        why = (
            "its devices share a serial line"
            if speaks.serial
            else "its devices speak to a broker"
            if speaks.publishes
            else "its devices are subscribed to"
            if fleet.sampling is not None
            else ""
        )
        if why:
            raise error(
                at,
                f"{name} can't be granted wasi:sockets: it reads fleet {fleet_name}, and {why}; "
                "sockets reach devices that are polled over a network",
            )
    found = [*before]
    for index, text in enumerate(grant.remotes):
        place = (*at, "wasi:sockets", index)
        match = re.fullmatch(REMOTE, text)
        assert match is not None
        remote = Remote(match[2], int(match[3]), match[1])
        for fleet_name in fleets if remote.transport == "udp" else ():
            _over_udp(loaded, name, fleet_name, remote, place)
        if remote.host != OWN_DEVICE and remote.host not in _devices(loaded.scenario, name, fleets):
            raise error(
                place,
                f'"{remote.host}" is no device that {name} reads; a driver connects to its own device, '
                f"which each knows as {OWN_DEVICE}: {remote.transport}://{OWN_DEVICE}:{remote.port}",
            )
        for other in found:
            if remote.port != other.port and (
                remote.host == other.host or OWN_DEVICE in (remote.host, other.host)
            ):
                raise error(
                    place, f"a simulated device listens at one port: {other.port} or {remote.port}, not both"
                )
        found.append(remote)
    return tuple(found)


def _over_udp(loaded: Loaded, driver: str, fleet: str, remote: Remote, at: Location) -> None:
    """Raises ScenarioError when a fleet's devices don't answer over UDP."""
    speaks = PROTOCOLS[loaded.scenario.fleets[fleet].protocol]
    if loaded.scenario.fleets[fleet].behind and remote.host in (
        OWN_DEVICE,
        *_devices(loaded.scenario, driver, [fleet]),
    ):
        raise loaded.document.error(
            at,
            f"{driver} can't be granted udp://{remote.host}:{remote.port}: it reads fleet {fleet} behind a "
            f"converter, which answers over TCP only: tcp://{remote.host}:{remote.port}",
        )
    if not speaks.datagrams and remote.host in (OWN_DEVICE, *_devices(loaded.scenario, driver, [fleet])):
        fine = " or ".join(name for name, one in PROTOCOLS.items() if one.datagrams)
        raise loaded.document.error(
            at,
            f"{driver} can't be granted udp://{remote.host}:{remote.port}: it reads fleet {fleet}, whose "
            f"devices speak {speaks.name}, and only {fine} devices answer over UDP; what reaches these is "
            f"tcp://{remote.host}:{remote.port}",
        )


def _fleets(scenario: schema.Scenario, driver: str) -> list[str]:
    """Those of which it reads a device."""
    own = [device.rpartition("/")[0] for device, one in scenario.overrides.items() if one.driver == driver]
    return [name for name, fleet in scenario.fleets.items() if fleet.driver == driver or name in own]


def _devices(scenario: schema.Scenario, driver: str, fleets: list[str]) -> list[str]:
    found = []
    for fleet in fleets:
        for number in range(1, scenario.fleets[fleet].count + 1):
            override = scenario.overrides.get(f"{fleet}/{number}")
            own = None if override is None else override.driver
            if driver == (own or scenario.fleets[fleet].driver):
                found.append(f"{fleet}/{number}")
    return found
