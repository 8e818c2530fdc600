"""wasi:sockets/tcp: a driver's own connections to its device.

Belongs here: TCP sockets by WASI's states, their functions. Never: their streams (socket_streams.py), UDP
(datagrams.py), who can be reached (hosts.py), what happens on the way (sim/field/connection.py). A gateway
only dials: nobody connects to it, so a socket that would listen is refused.
What a call does outside, it does when the CPU time has passed that led to it (``Guest.after``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.guest import OK, Guest, Handler
from twinloop.sim.wasi.network import (
    NetworkHandle,
    Refuse,
    as_socket_address,
    refused,
    wrong_local,
    wrong_remote,
)
from twinloop.sim.wasi.open_sockets import OpenSockets
from twinloop.sim.wasi.socket_streams import (
    BUFFER_BYTES_MAX,
    Received,
    SentOff,
    SocketPollable,
    Wire,
)

TCP = "sockets/tcp#[method]tcp-socket."
CREATE = "sockets/tcp-create-socket#create-tcp-socket"
OPTIONS: dict[str, Any] = {
    "keep-alive-enabled": False,
    "keep-alive-idle-time": 7200 * S,
    "keep-alive-interval": 75 * S,
    "keep-alive-count": 9,
    "hop-limit": 64,
    "receive-buffer-size": BUFFER_BYTES_MAX,
    "send-buffer-size": BUFFER_BYTES_MAX,
}
"""with Linux's defaults (tcp(7), ip(7)); what a driver sets is kept, and changes nothing"""


class Socket:
    """A TCP socket. ``state``: WASI's, without those of who listens; ``remote``: whom it has dialled."""

    resource = resource_number("tcp-socket")

    def __init__(self, some: OpenSockets) -> None:
        self._some = some
        self.state = "unbound"
        self.local: Any = None
        self.remote: Any = None
        self.wire: Wire | None = None
        self.options = dict(OPTIONS)

    def settled(self) -> bool:
        """Is nothing in progress, or has it come to an end?"""
        return self.state != "connect-in-progress" or self.wire is None or self.wire.state != "dialling"

    def dropped(self) -> None:
        """The guest has let it go; its streams may live on."""
        if self.wire is not None:
            self.wire.let_go()
        else:
            self._some.give()


class Sockets:
    """Of one component's place."""

    def __init__(self, guest: Guest, spec: WasiSpec, refuse: Refuse, some: OpenSockets) -> None:
        self._guest, self._spec, self._refuse, self._some = guest, spec, refuse, some
        self._wires: list[Wire] = []
        """connections that were begun and aren't closed"""
        self.now: dict[str, Handler] = {
            CREATE: self._create,
            f"{TCP}start-bind": self._start_bind,
            f"{TCP}finish-bind": self._finish_bind,
            f"{TCP}start-connect": self._start_connect,
            f"{TCP}finish-connect": self._finish_connect,
            f"{TCP}start-listen": self._start_listen,
            f"{TCP}finish-listen": lambda socket: refused("not-in-progress"),
            f"{TCP}accept": lambda socket: refused("invalid-state"),
            f"{TCP}local-address": lambda socket: (
                refused("invalid-state") if socket.local is None else (True, socket.local)
            ),
            f"{TCP}remote-address": lambda socket: (
                (True, socket.remote) if socket.state == "connected" else refused("invalid-state")
            ),
            f"{TCP}is-listening": lambda socket: False,
            f"{TCP}address-family": lambda socket: "ipv4",
            f"{TCP}set-listen-backlog-size": self._set_backlog,
            f"{TCP}subscribe": self._subscribe,
            f"{TCP}shutdown": self._shutdown,
        }
        for option in OPTIONS:
            self.now[f"{TCP}{option}"] = partial(self._option, option)
            self.now[f"{TCP}set-{option}"] = partial(self._set_option, option)
        self.later: dict[str, Callable[..., Any]] = {}

    def instance_gone(self) -> None:
        """What it had dropped in a segment that never ended is closed, too."""
        for wire in list(self._wires):
            wire.hang_up()

    def _hung_up(self, wire: Wire) -> None:
        self._wires.remove(wire)
        self._some.give()

    # ---- a socket --------------------------------------------------------------------------------
    def _create(self, family: str) -> Result:
        if family != "ipv4":
            return refused("not-supported")
        return (True, Socket(self._some)) if self._some.take() else refused("new-socket-limit")

    def _option(self, name: str, socket: Socket) -> Result:
        return True, socket.options[name]

    def _set_option(self, name: str, socket: Socket, value: Any) -> Result:
        if type(value) is int and not value:
            return refused("invalid-argument")
        socket.options[name] = value
        return OK

    @staticmethod
    def _set_backlog(socket: Socket, value: int) -> Result:
        if socket.state in ("connect-in-progress", "connected", "closed"):
            return refused("invalid-state")
        return OK if value else refused("invalid-argument")

    def _subscribe(self, socket: Socket) -> SocketPollable:
        return SocketPollable(socket.settled, lambda: socket.wire)

    # ---- its own end -----------------------------------------------------------------------------
    def _start_bind(self, socket: Socket, network: NetworkHandle, local: Any) -> Result:
        wrong = wrong_local(local)
        if wrong == "invalid-argument":
            return refused(wrong)
        if socket.state.endswith("in-progress"):
            return refused("concurrency-conflict")
        if socket.state != "unbound":
            return refused("invalid-state")
        if wrong is not None:
            return refused(wrong)
        if local[1][0]:
            return self._refuse(f"{TCP}start-bind")
        socket.state = "bind-in-progress"
        return OK

    def _finish_bind(self, socket: Socket) -> Result:
        if socket.state != "bind-in-progress":
            return refused("not-in-progress")
        socket.state, socket.local = "bound", self._some.own_end()
        return OK

    def _start_listen(self, socket: Socket) -> Result:
        if socket.state.endswith("in-progress"):
            return refused("concurrency-conflict")
        return self._refuse(f"{TCP}start-listen") if socket.state == "bound" else refused("invalid-state")

    # ---- the connection --------------------------------------------------------------------------
    def _start_connect(self, socket: Socket, network: NetworkHandle, remote: Any) -> Result:
        if wrong_remote(remote):
            return refused("invalid-argument")
        if socket.state.endswith("in-progress"):
            return refused("concurrency-conflict")
        if socket.state not in ("unbound", "bound"):
            return refused("invalid-state")
        hosts = self._guest.hosts
        port, address = remote[1]
        if hosts is None or tuple(address) != hosts.address or port not in hosts.ports(self._spec, "tcp"):
            return self._refuse(f"{TCP}start-connect")
        socket.state = "connect-in-progress"
        socket.remote = as_socket_address(hosts.address, port)
        if socket.local is None:
            socket.local = self._some.own_end()
        wire = socket.wire = Wire(self._guest, self._hung_up)
        wire.connection = hosts.connect(wire)
        self._wires.append(wire)
        self._guest.after(wire.dial)
        return OK

    def _finish_connect(self, socket: Socket) -> Result:
        wire = socket.wire
        if socket.state != "connect-in-progress" or wire is None:
            return refused("not-in-progress")
        if wire.state == "dialling":
            return refused("would-block")
        if wire.state != "up" and not wire.stood:
            socket.state = "closed"
            return refused(wire.why)
        socket.state = "connected"
        wire.holders += 2
        return True, (Received(wire), SentOff(wire))

    def _shutdown(self, socket: Socket, how: str) -> Result:
        if socket.state != "connected" or socket.wire is None:
            return refused("invalid-state")
        if how != "send":
            socket.wire.stop_receiving()
        if how != "receive":
            socket.wire.stop_sending()
        return OK
