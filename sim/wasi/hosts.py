"""Who can be reached over sockets from one driver's place: its own device, by its names and its address.

Belongs here: names, addresses, what of it is granted. Never: sockets (sockets.py), how bytes get there
(sim/field/connection.py, datagrams.py). A simulated device listens at the port that the grant names: it has
none of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.field.connection import Connection, End, connection
from twinloop.sim.field.datagrams import Datagrams
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.model.wasi import OWN_DEVICE, WasiSpec
from twinloop.sim.network.udp import Afoot, Receive

Address = tuple[int, int, int, int]

GATEWAY: Address = (10, 255, 255, 254)
"""of every gateway in the network of its devices"""
ANY: Address = (0, 0, 0, 0)


def address_of(index: int) -> Address:
    """Of a device, by its number in the scenario; never a network's or a broadcast address."""
    return 10, index // (254 * 256) % 255, index // 254 % 256, index % 254 + 1


class Hosts:
    """Of one driver's place. ``index`` and ``name``: its device's; ``port``: how `fieldbus` reaches it."""

    __slots__ = ("_afoot", "_index", "_port", "name")

    def __init__(self, index: int, name: str, port: TcpPort) -> None:
        self.name, self._index, self._port = name, index, port
        self._afoot: Afoot | None = None

    @property
    def address(self) -> Address:
        """Its address in the network of the gateway's devices."""
        return address_of(self._index)

    def known(self, name: str, spec: WasiSpec) -> bool:
        """Is that the name of a host that is granted? In a URL it has no room for its slash."""
        own = self.name.lower()
        return name.lower() in (OWN_DEVICE, own, own.replace("/", "-")) and bool(
            self.ports(spec, "tcp") or self.ports(spec, "udp")
        )

    def ports(self, spec: WasiSpec, transport: str) -> list[int]:
        """At which ports of it that transport is granted."""
        return [
            remote.port
            for remote in spec.remotes
            if remote.host in (OWN_DEVICE, self.name) and remote.transport == transport
        ]

    def connect(self, end: End) -> Connection:
        """A connection to the device, to be dialled."""
        return connection(self._port, end)

    def datagrams(self, came: Receive, full: Callable[[], None]) -> Datagrams:
        """A UDP socket's way to the device."""
        if self._afoot is None:
            self._afoot = Afoot()
        return Datagrams(self._port, came, full, self._afoot)
