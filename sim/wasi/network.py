"""wasi:sockets without its sockets: the network, names and addresses, a network's errors.

Belongs here: instance-network, ip-name-lookup, network, and what sockets say of addresses. Never: connections
(sockets.py), who is there (hosts.py). Names are looked up on the gateway itself, so an answer is there at
once. There is only IPv4.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.guest import Guest, Handler
from twinloop.sim.wasi.hosts import ANY, GATEWAY, Address
from twinloop.sim.wasi.streams import StreamError
from twinloop.sim.wasi.waiting import Pollable

NAME_BYTES_MAX = 253
"""of a host's name (RFC 1035 section 2.3.4, as text)"""
LOOKUP = "sockets/ip-name-lookup#resolve-addresses"
Refuse = Callable[[str], Result]
"""denies a function's call, which is counted, and returns its error ``access-denied``"""


def refused(code: str) -> Result:
    """WASI's error-code of sockets."""
    return False, code


class NetworkError(StreamError):
    """The end of a connection. ``network``: sockets' error-code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the connection is over: {code}")
        self.network = code


class NetworkHandle:
    """The one network that there is."""

    resource = resource_number("network")

    def dropped(self) -> None:
        """It held nothing."""


class Addresses:
    """What a lookup has found."""

    resource = resource_number("resolve-address-stream")

    def __init__(self, found: list[tuple[str, Any]]) -> None:
        self.found = found

    def dropped(self) -> None:
        """Whoever looked has seen enough."""


def wrong_remote(remote: Any) -> bool:
    """Is it no address that an IPv4 socket can connect to? (WASI: ``invalid-argument``)"""
    if remote[0] != "ipv4":
        return True
    port, address = remote[1]
    return not port or tuple(address) == ANY or address[0] >= 224


def wrong_local(local: Any) -> str | None:
    """Why a socket can't be bound to that address; None: it can. (That a port can't be chosen is for whoever
    asks: a denial.)"""
    if local[0] != "ipv4" or local[1][1][0] >= 224:
        return "invalid-argument"
    return None if tuple(local[1][1]) in (ANY, GATEWAY) else "address-not-bindable"


def as_socket_address(address: Address, port: int) -> tuple[str, tuple[int, Address]]:
    """``ip-socket-address``."""
    return "ipv4", (port, address)


def as_plain_address(remote: Any) -> tuple[str, tuple[int, Address]]:
    """What came from a guest, as ``as_socket_address`` has it."""
    port, address = remote[1]
    first, second, third, fourth = address
    return as_socket_address((first, second, third, fourth), port)


def _literal(name: str) -> tuple[str, tuple[int, ...]] | None:
    """``ip-address`` of a text that is one."""
    try:
        address = ip_address(name)
    except ValueError:
        return None
    if address.version == 4:
        return "ipv4", tuple(address.packed)
    return "ipv6", tuple(int.from_bytes(address.packed[at : at + 2], "big") for at in range(0, 16, 2))


class Network:
    """Of one component's place."""

    def __init__(self, guest: Guest, spec: WasiSpec, refuse: Refuse) -> None:
        self._guest, self._spec, self._refuse = guest, spec, refuse
        one = "sockets/ip-name-lookup#[method]resolve-address-stream."
        self.now: dict[str, Handler] = {
            "sockets/instance-network#instance-network": NetworkHandle,
            "sockets/network#network-error-code": lambda error: getattr(error, "network", None),
            LOOKUP: self._look_up,
            f"{one}resolve-next-address": self._next,
            f"{one}subscribe": lambda stream: Pollable(),
        }
        self.later: dict[str, Callable[..., Any]] = {}

    def _look_up(self, network: NetworkHandle, name: str) -> Result:
        literal = _literal(name)
        if literal is not None:
            return True, Addresses([literal])
        if not 0 < len(name.encode()) <= NAME_BYTES_MAX or not name.isprintable() or " " in name:
            return refused("invalid-argument")
        hosts = self._guest.hosts
        if hosts is None or not hosts.known(name, self._spec):
            return self._refuse(LOOKUP)
        return True, Addresses([("ipv4", hosts.address)])

    @staticmethod
    def _next(stream: Addresses) -> Result:
        return True, stream.found.pop(0) if stream.found else None
