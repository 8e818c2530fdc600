"""Addresses and ports of a capture: who is who.

Belongs here: the mapping, which is the same for every run of a scenario. Never: frames. A device has the
address by which a driver's own sockets reach it (sim/wasi/hosts.py).
"""

from __future__ import annotations

from twinloop.devices.model.protocols import MBAP
from twinloop.scenarios.export.frames import RTU_PORT, Host
from twinloop.sim.field.connection import Connection
from twinloop.sim.field.datagrams import Datagrams
from twinloop.sim.field.mqtt_site import MqttPort, Publisher
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.model.wasi import OWN_DEVICE
from twinloop.sim.north.uplink import Uplink
from twinloop.sim.wasi.hosts import GATEWAY, address_of
from twinloop.sim.world import World

MODBUS_PORT, MQTT_PORT = 502, 1883
FIRST_PORT, LAST_PORT = 32_768, 60_999
"""of whoever opens a connection, one after the other (Linux: ip_local_port_range)"""
CLOUD = bytes((172, 16, 0, 1))
_PER_BYTE = 254


def gateway_address(index: int) -> bytes:
    """In the network of its devices: 10.255.255.254, the next gateway's is one less."""
    return bytes(GATEWAY[:2]) + bytes((GATEWAY[2] - index // _PER_BYTE, GATEWAY[3] - index % _PER_BYTE))


def uplink_address(index: int) -> bytes:
    """Of a gateway in the network of the cloud: 172.16.1.1 and so on."""
    return bytes((172, 16, 1 + index // _PER_BYTE, 1 + index % _PER_BYTE))


def broker_address(link: int) -> bytes:
    """Of the broker on a link, by the link's number in the scenario: 10.255.0.1 and so on."""
    return bytes((10, 255, link // _PER_BYTE, 1 + link % _PER_BYTE))


def device_address(index: int) -> bytes:
    """Of a device, by its number in the scenario: 10.0.0.1 and so on."""
    return bytes(address_of(index))


class Pair:
    """Who speaks over a connection: ``near`` where it is captured, ``far`` at the other end. ``calls_out``:
    the near end opens it; ``device``: which device it is about, None of an uplink; ``gateway``: whose it is,
    None where a device speaks to its broker."""

    __slots__ = ("calls_out", "device", "far", "gateway", "near", "uplink")

    def __init__(
        self, near: Host, far: Host, *, device: int | None, gateway: int | None, calls_out: bool = True
    ) -> None:
        self.near, self.far, self.device, self.gateway = near, far, device, gateway
        self.calls_out, self.uplink = calls_out, device is None


class Addresses:
    """Of one world."""

    def __init__(self, world: World) -> None:
        spec = self._spec = world.spec
        self._links = {link.name: number for number, link in enumerate(spec.links)}
        self._gateways = {gateway.name: gateway.index for gateway in world.gateways}
        self._uplinks = {id(gateway.outbox.uplink): gateway.index for gateway in world.gateways}
        self._devices = world.device_index
        self._last: dict[bytes, int] = {}
        """address -> the last port that a connection was opened from there"""

    def names(self) -> dict[bytes, str]:
        """Every address that may occur."""
        spec = self._spec
        found = {device_address(index): device.name for index, device in enumerate(spec.devices)}
        for name, index in self._gateways.items():
            found[gateway_address(index)] = name
            found[uplink_address(index)] = f"{name}-uplink"
        for link in dict.fromkeys(device.link for device in spec.devices if device.speaks.publishes):
            found[broker_address(self._links[link])] = f"broker-of-{link}"
        found[CLOUD] = "cloud"
        return found

    def of(self, owner: object, link: str) -> Pair:
        """Of a new connection, by who has made it."""
        if isinstance(owner, Uplink):
            index = self._uplinks[id(owner)]
            near = self._own(uplink_address(index))
            return Pair(near, Host(CLOUD, MQTT_PORT), device=None, gateway=index)
        if isinstance(owner, Publisher):
            index = self._devices[owner.device.device.name]
            near = Host(broker_address(self._links[link]), MQTT_PORT)
            return Pair(near, self._own(device_address(index)), device=index, gateway=None, calls_out=False)
        if isinstance(owner, TcpPort):
            return self._of_driver(owner, owner.wiring())
        if isinstance(owner, Datagrams):
            return self._of_driver(owner, owner.wiring)
        raise InvariantError(f"a connection over {link} that no capture knows: {type(owner).__name__}")

    def _of_driver(self, owner: object, wiring: dict[str, object]) -> Pair:
        """A gateway's driver and its device, or the broker to which that speaks."""
        index, client = wiring["device"], wiring["client"]
        assert isinstance(index, int)
        gateway = self._gateways[client.name]  # type: ignore[attr-defined]  # a Client
        near = self._own(gateway_address(gateway))
        far = Host(device_address(index), self._port(owner, index, wiring))
        if isinstance(owner, MqttPort):
            far = Host(broker_address(self._links[self._spec.devices[index].link]), MQTT_PORT)
        return Pair(near, far, device=index, gateway=gateway)

    def _port(self, owner: object, index: int, wiring: dict[str, object]) -> int:
        """At which a device listens: that of its protocol, or the first one that its driver is granted."""
        at = wiring.get("at")
        if isinstance(at, tuple):
            return int(at[1])
        if isinstance(owner, Datagrams):
            return granted_port(self._spec, index, "udp")
        if isinstance(owner, Connection):
            return granted_port(self._spec, index, "tcp")
        return MODBUS_PORT if self._spec.devices[index].speaks.framing == MBAP else RTU_PORT

    def _own(self, address: bytes) -> Host:
        last = self._last.get(address, LAST_PORT)
        port = self._last[address] = FIRST_PORT if last >= LAST_PORT else last + 1
        return Host(address, port)


def granted_port(spec: WorldSpec, index: int, transport: str) -> int:
    """At which port of its device a driver may open its own sockets; the first one, of several."""
    device = spec.devices[index]
    component = next(one for one in spec.components if one.name == device.driver)
    for remote in component.wasi.remotes:
        if remote.host in (OWN_DEVICE, device.name) and remote.transport == transport:
            return remote.port
    return MODBUS_PORT
