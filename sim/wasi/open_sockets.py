"""The sockets of one component's place that are open, TCP and UDP together, and the ports they get.

Belongs here: the count and its limit. Never: what a socket does (sockets.py, datagrams.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.sim.wasi.guest import Guest
from twinloop.sim.wasi.hosts import GATEWAY
from twinloop.sim.wasi.network import as_socket_address

OPEN_SOCKETS_MAX = 10
"""that one component may have open at once; one more is refused with ``new-socket-limit`` (limit
``open-sockets``)"""
PORT_FIRST, PORTS = 49152, 16384
"""of the gateway's own ends, dynamic ports (RFC 6335 section 6)"""


class OpenSockets:
    """Each is an open file of the gateway's process, too."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._open = self._last_port = 0

    def take(self) -> bool:
        """One more; False when there is none left."""
        if self._open >= OPEN_SOCKETS_MAX:
            self._guest.limit("open-sockets", OPEN_SOCKETS_MAX)
            return False
        if not self._guest.machine.take_file():
            return False
        self._open += 1
        return True

    def give(self) -> None:
        """One fewer is open."""
        self._open -= 1
        self._guest.machine.budget.files.give()

    def own_end(self) -> Any:
        """The next address of the gateway's own."""
        self._last_port = (self._last_port + 1) % PORTS
        return as_socket_address(GATEWAY, PORT_FIRST + self._last_port)
