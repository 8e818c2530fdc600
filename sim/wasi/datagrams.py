"""wasi:sockets/udp: a driver's own datagrams to its device.

Belongs here: UDP sockets by WASI's states, their functions. Never: their streams (datagram_streams.py), TCP
(sockets.py), who can be reached (hosts.py), what happens on the way (sim/field/datagrams.py). Nobody but the
driver's own device is sent to, so nobody else ever sends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.datagram_streams import Incoming, Mailbox, Outgoing
from twinloop.sim.wasi.guest import OK, Guest, Handler
from twinloop.sim.wasi.network import (
    NetworkHandle,
    Refuse,
    as_plain_address,
    as_socket_address,
    refused,
    wrong_local,
    wrong_remote,
)
from twinloop.sim.wasi.open_sockets import OpenSockets
from twinloop.sim.wasi.socket_streams import BUFFER_BYTES_MAX
from twinloop.sim.wasi.waiting import Pollable

CREATE_UDP = "sockets/udp-create-socket#create-udp-socket"
UDP = "sockets/udp#[method]udp-socket."
INCOMING = "sockets/udp#[method]incoming-datagram-stream."
OUTGOING = "sockets/udp#[method]outgoing-datagram-stream."
UDP_OPTIONS: dict[str, Any] = {
    "unicast-hop-limit": 64,
    "receive-buffer-size": BUFFER_BYTES_MAX,
    "send-buffer-size": BUFFER_BYTES_MAX,
}
"""what a driver sets is kept, and changes nothing"""


class DatagramSocket:
    """``state``: unbound, bind-in-progress, bound; ``remote``: whom it is connected to, if it is."""

    resource = resource_number("udp-socket")

    def __init__(self, box: Mailbox) -> None:
        self.box = box
        self.state = "unbound"
        self.local: Any = None
        self.remote: Any = None
        self.streams: tuple[Incoming, Outgoing] | None = None
        self.options = dict(UDP_OPTIONS)

    def dropped(self) -> None:
        """The guest has let it go; its streams may live on."""
        self.box.let_go()


class DatagramSockets:
    """Of one component's place."""

    def __init__(self, guest: Guest, spec: WasiSpec, refuse: Refuse, some: OpenSockets) -> None:
        self._guest, self._spec, self._refuse, self._some = guest, spec, refuse, some
        self._boxes: list[Mailbox] = []
        """of the sockets that aren't closed"""
        self.now: dict[str, Handler] = {
            CREATE_UDP: self._create,
            f"{UDP}start-bind": self._start_bind,
            f"{UDP}finish-bind": self._finish_bind,
            f"{UDP}stream": self._stream,
            f"{UDP}local-address": lambda socket: _known(socket.local),
            f"{UDP}remote-address": lambda socket: _known(socket.remote),
            f"{UDP}address-family": lambda socket: "ipv4",
            f"{UDP}subscribe": lambda socket: Pollable(),  # it is bound at once
            f"{INCOMING}receive": lambda stream, count: stream.receive(count),
            f"{INCOMING}subscribe": lambda stream: stream.pollable(),
            f"{OUTGOING}check-send": lambda stream: stream.check_send(),
            f"{OUTGOING}send": lambda stream, datagrams: stream.send(datagrams),
            f"{OUTGOING}subscribe": lambda stream: stream.pollable(),
        }
        for option in UDP_OPTIONS:
            self.now[f"{UDP}{option}"] = partial(_option, option)
            self.now[f"{UDP}set-{option}"] = partial(_set_option, option)
        self.later: dict[str, Callable[..., Any]] = {}

    def instance_gone(self) -> None:
        """What it had dropped in a segment that never ended is closed, too."""
        for box in list(self._boxes):
            box.close()

    def _closed(self, box: Mailbox) -> None:
        self._boxes.remove(box)
        self._some.give()

    def _reached(self) -> Any:
        """Where the driver may send to; None: nowhere."""
        hosts = self._guest.hosts
        ports = [] if hosts is None else hosts.ports(self._spec, "udp")
        return as_socket_address(hosts.address, ports[0]) if hosts is not None and ports else None

    def _reaches(self, remote: Any) -> bool:
        return bool(as_plain_address(remote) == self._reached())

    # ---- a socket --------------------------------------------------------------------------------
    def _create(self, family: str) -> Result:
        if family != "ipv4":
            return refused("not-supported")
        if self._reached() is None:
            return self._refuse(CREATE_UDP)
        if not self._some.take():
            return refused("new-socket-limit")
        box = Mailbox(self._guest, self._closed)
        self._boxes.append(box)
        return True, DatagramSocket(box)

    def _start_bind(self, socket: DatagramSocket, network: NetworkHandle, local: Any) -> Result:
        wrong = wrong_local(local)
        if wrong == "invalid-argument":
            return refused(wrong)
        if socket.state == "bind-in-progress":
            return refused("concurrency-conflict")
        if socket.state != "unbound":
            return refused("invalid-state")
        if wrong is not None:
            return refused(wrong)
        if local[1][0]:
            return self._refuse(f"{UDP}start-bind")
        socket.state = "bind-in-progress"
        return OK

    def _finish_bind(self, socket: DatagramSocket) -> Result:
        if socket.state != "bind-in-progress":
            return refused("not-in-progress")
        socket.state, socket.local = "bound", self._some.own_end()
        return OK

    def _stream(self, socket: DatagramSocket, remote: Any) -> Result:
        if socket.state != "bound":
            return refused("invalid-state")
        if socket.streams is not None and not all(stream.gone for stream in socket.streams):
            # WASI: "implementations may trap if the streams ... haven't been dropped yet"
            raise GuestEnded("contract", "a UDP socket was asked for streams while it still has some")
        if remote is not None and wrong_remote(remote):
            return refused("invalid-argument")
        hosts, own = self._guest.hosts, self._reached()
        if hosts is None or (remote is not None and not self._reaches(remote)):
            return self._refuse(f"{UDP}stream")
        box = socket.box
        if box.way is None:
            box.way = hosts.datagrams(box.came, box.full)
        box.holders += 2
        socket.remote = None if remote is None else own
        streams = (
            Incoming(box, own),
            Outgoing(box, socket.remote, self._reaches, lambda: self._refuse(f"{OUTGOING}send")),
        )
        socket.streams = streams
        return True, streams


def _known(address: Any) -> Result:
    return refused("invalid-state") if address is None else (True, address)


def _option(name: str, socket: DatagramSocket) -> Result:
    return True, socket.options[name]


def _set_option(name: str, socket: DatagramSocket, value: int) -> Result:
    if not value:
        return refused("invalid-argument")
    socket.options[name] = value
    return OK
