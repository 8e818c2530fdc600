"""A driver's own datagrams to its device, and back.

Belongs here: what a UDP socket needs of the field: send, receive, an end. Never: framing and retries (the
driver has its own), sockets themselves (sim/wasi/). It is made beside the port through which `fieldbus`
reaches the same device, so that both have one link, one server, one witness.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.modbus.server import ModbusServer
from twinloop.sim.field.real_port import AttachedPort, OnExchange, Peer, RealWorld
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.model.spec import PlaceSpec
from twinloop.sim.network.udp import Afoot, Receive, UdpPath

ASKED_MAX = 64
"""requests that are remembered, to know which one a real device's answer is to; the oldest is forgotten (its
answer counts as not seen by whoever compares)"""
TRANSACTION_BYTES = 2
"""with which a Modbus request and its answer begin"""


class Datagrams:
    """Of one socket. ``came``: told of what the device sends, at instants of the run; ``full``: of what is
    dropped because too many are on their way, which ``afoot`` counts for all sockets of its driver."""

    def __init__(self, port: TcpPort, came: Receive, full: Callable[[], None], afoot: Afoot) -> None:
        wiring = self.wiring = port.wiring()
        client = wiring["client"]
        self._came, self._closed = came, False
        self._response_ns: int = wiring["response_ns"]
        self._far: _RealFar | None = None
        self._server: ModbusServer | None = None
        if isinstance(port, AttachedPort):
            self._far = _RealFar(wiring["outside"], wiring["place"], self._answered, port.on_exchange)
        else:
            assert isinstance(port.server, ModbusServer)
            self._server = port.server
        self._path = UdpPath(
            env=wiring["env"],
            link=wiring["link"],
            leg=wiring["leg"],
            near=self._arrived,
            far=self._asked,
            full=full,
            afoot=afoot,
            via=client.name,
            second=client.second,
        )

    def send(self, data: bytes) -> None:
        """One leaves, now."""
        self._path.send_up(data)

    def close(self) -> None:
        """Nobody is told any more; what was sent still gets there."""
        self._closed = True
        if self._far is not None:
            self._far.close()

    def _asked(self, data: bytes) -> None:
        """At the device."""
        if self._far is not None:
            self._far.ask(data)
            return
        server = self._server
        assert server is not None
        answer = server.respond_udp(data, self._path.now)
        if answer is not None:
            self._path.send_down(answer, self._response_ns + server.slow_ns)

    def _answered(self, data: bytes) -> None:
        """A real device has sent one."""
        self._path.send_down(data)

    def _arrived(self, data: bytes) -> None:
        """At the gateway: nobody is at the port of a socket that is closed."""
        if not self._closed:
            if self._far is not None:
                self._far.heard(data)
            self._came(data)


class _RealFar:
    """A real device's end: a socket of this machine's, opened with the first datagram; and which request an
    answer is to, for the witness."""

    def __init__(self, outside: RealWorld, place: PlaceSpec, came: Receive, told: OnExchange) -> None:
        self._outside, self._place, self._came, self._told = outside, place, came, told
        self._peer: Peer | None = None
        self._requests: dict[bytes, bytes] = {}

    def ask(self, data: bytes) -> None:
        """To the device."""
        if self._peer is None:
            self._peer = self._outside.datagrams(self._place, self._came)
        asked, key = self._requests, data[:TRANSACTION_BYTES]
        asked.pop(key, None)
        asked[key] = data
        if len(asked) > ASKED_MAX:
            del asked[next(iter(asked))]
        self._peer.write(data)

    def heard(self, data: bytes) -> None:
        """Its driver gets this."""
        request = self._requests.get(data[:TRANSACTION_BYTES])
        if request is not None:
            self._told(request, data)

    def close(self) -> None:
        """Nothing is sent any more."""
        if self._peer is not None:
            self._peer.hang_up()
