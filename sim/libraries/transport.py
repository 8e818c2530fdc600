"""An in-memory network for asyncio: hosts, listeners and transports over sim/network/tcp, with a link's
delays, losses and cuts.

Belongs here: bytes between two protocols. Never: what they mean, or the loop (event_loop.py).
A star, as everywhere: each host has a leg of a link to the hub; a connection is between the hub and a host.
Modelled as sim/network/tcp models it; a close is heard in order after what was written before it, a reset at
once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

from twinloop.sim.kernel.clock import Environment
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import USER_TIMEOUT_NS, TcpStream


class SimulatedLoop(Protocol):
    """What a network needs of a loop whose handles lie on the simulated timeline."""

    env: Environment

    def create_future(self) -> Any:
        """As asyncio's."""
        ...

    def call_soon(
        self, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> Any:
        """As asyncio's."""
        ...


HUB = ""
"""the host that has no leg: the gateway, or whoever sits in the middle"""
HERE: ContextVar[str] = ContextVar("host", default=HUB)
"""the host on which a task runs; tasks that it starts inherit it"""
FIRST_PORT, LAST_PORT = 32_768, 60_999
"""of those that a client, or a listener that doesn't care, is given (Linux: ip_local_port_range)"""
WRITE_HIGH_BYTES, WRITE_LOW_BYTES = 64 << 10, 16 << 10
"""not yet at the other end: beyond the one a protocol is asked to pause, below the other to go on (asyncio's
own defaults)"""
WRITE_BYTES_MAX = 16 << 20
"""written and not yet read at the other end; more breaks the connection (an OSError that says so)"""
_END = object()


class SimulatedListener(asyncio.AbstractServer):
    """A host's port that is listened on."""

    def __init__(
        self, network: Network, loop: SimulatedLoop, factory: Callable[[], Any], host: str, port: int
    ) -> None:
        self._network, self.loop, self.factory, self.host, self.port = network, loop, factory, host, port
        self.sockets = (_Name(host, port),)
        self.context = copy_context()
        """in which connections are accepted: on its host"""
        self._over = loop.create_future()

    def close(self) -> None:
        """Nobody can connect any more; connections stay."""
        if self.is_serving():
            del self._network.listeners[self.host, self.port]
        if not self._over.done():
            self._over.set_result(None)

    async def wait_closed(self) -> None:
        """At once."""

    async def start_serving(self) -> None:
        """It does already."""

    async def serve_forever(self) -> None:
        """Until it is closed or cancelled."""
        try:
            await asyncio.shield(self._over)
        finally:
            self.close()

    def is_serving(self) -> bool:
        """Can somebody connect?"""
        return self._network.listeners.get((self.host, self.port)) is self

    def get_loop(self) -> Any:
        """Its loop."""
        return self.loop


class _Name:
    """What stands for a socket: it only has a name."""

    def __init__(self, host: str, port: int) -> None:
        self._name = host, port

    def getsockname(self) -> tuple[str, int]:
        """(host, port)."""
        return self._name


class Network:
    """Hosts on legs of links; ``user_timeout_ns``: how long a segment may stay unacknowledged."""

    def __init__(self, env: Environment, user_timeout_ns: int = USER_TIMEOUT_NS) -> None:
        self._env, self._user_timeout_ns = env, user_timeout_ns
        self._legs: dict[str, tuple[Link, str]] = {}
        self.listeners: dict[tuple[str, int], SimulatedListener] = {}
        self.connections: dict[SimulatedConnection, None] = {}
        self._ports = FIRST_PORT

    def attach(self, host: str, link: Link, leg: str = "") -> None:
        """A host sits at the end of a leg of a link."""
        self._legs[host] = link, leg or host

    def listen(
        self, loop: SimulatedLoop, factory: Callable[[], Any], host: str | None, port: int
    ) -> SimulatedListener:
        """Raises OSError when the port is taken; port 0 is any that is free; no host, or any address, is the
        host on which the caller runs."""
        where = HERE.get() if host in (None, "", "0.0.0.0", "::") else str(host)  # noqa: S104  # a name in the simulation
        if not port:
            port = self.next_port()
        if (where, port) in self.listeners:
            raise OSError(98, f"address already in use: {where or '*'}:{port}")
        listener = self.listeners[where, port] = SimulatedListener(self, loop, factory, where, port)
        return listener

    def next_port(self) -> int:
        """One for somebody who doesn't care which."""
        self._ports = FIRST_PORT if self._ports >= LAST_PORT else self._ports + 1
        return self._ports

    async def connect(
        self, loop: SimulatedLoop, factory: Callable[[], Any], host: str, port: int
    ) -> Transport:
        """The transport at the client's end, connected; raises ConnectionRefusedError or TimeoutError."""
        here = HERE.get()
        outer = host if host in self._legs else here
        if outer not in self._legs or (host in self._legs and here in self._legs):
            why = (
                ""
                if outer not in self._legs
                else f": {here} and {host} both sit on a leg, and only the hub is between"
            )
            raise OSError(113, f"no route to host {host}{why}")
        link, leg = self._legs[outer]
        opened = loop.create_future()
        connection = SimulatedConnection(self, loop, link, leg, self._user_timeout_ns)
        connection.lost = lambda error: opened.done() or opened.set_exception(error)
        connection.stream.connect(lambda: opened.done() or opened.set_result(None))
        try:
            await opened
        except asyncio.CancelledError:
            connection.stream.close()
            raise
        listener = self.listeners.get((host, port)) or (
            None if host in self._legs else self.listeners.get((HUB, port))
        )
        if listener is None:
            connection.stream.close()
            raise ConnectionRefusedError(111, f"connection refused by {host}:{port}")
        client, server = connection.ends if outer == host else reversed(connection.ends)
        mine = here, self.next_port()
        self.connections[connection] = None
        connection.lost = connection.both_lost
        server.begin(listener.factory, (host, port), mine, listener.context)
        client.begin(factory, mine, (host, port), copy_context())
        await client.made
        return client

    def close(self) -> None:
        """Every connection is forgotten; nobody is told."""
        for connection in list(self.connections):
            connection.stream.close()
        self.connections.clear()
        self.listeners.clear()


class SimulatedConnection:
    """A stream and its two ends: ``ends[0]`` at the hub, ``ends[1]`` at the host."""

    def __init__(
        self, network: Network, loop: SimulatedLoop, link: Link, leg: str, user_timeout_ns: int
    ) -> None:
        self.network = network
        self.ends = Transport(loop, self, True), Transport(loop, self, False)
        self.lost: Callable[[Exception], Any] = self.both_lost
        self.stream = TcpStream(
            env=loop.env,
            link=link,
            leg=leg,
            near=self.ends[0].arrived,
            far=self.ends[1].arrived,
            lost=lambda: self.lost(TimeoutError(110, "connection timed out")),
            user_timeout_ns=user_timeout_ns,
        )

    def both_lost(self, error: Exception | None) -> None:
        """Both ends learn that it is over."""
        self.stream.close()
        self.network.connections.pop(self, None)
        for end in self.ends:
            end.gone(error)

    def over(self) -> None:
        """Both ends have closed."""
        if all(end.is_closing() for end in self.ends):
            self.network.connections.pop(self, None)


class Transport(asyncio.Transport):
    """One end. Reading and writing can be paused; ``close`` is in order, ``abort`` is a reset."""

    def __init__(self, loop: SimulatedLoop, connection: SimulatedConnection, hub: bool) -> None:
        super().__init__()
        self._loop, self._connection, self._hub = loop, connection, hub
        self._protocol: Any = None
        self._context = copy_context()
        self.made = loop.create_future()
        """done when its protocol has been told that the connection stands"""
        self._inbox: deque[Any] = deque()
        self._flight_bytes = 0
        self._closing = self._gone = self._paused = self._full = False

    def begin(
        self, factory: Callable[[], Any], name: tuple[str, int], peer: tuple[str, int], context: Context
    ) -> None:
        """The connection stands: make who speaks here, on its host (``context``), and tell it, in turn."""
        self._context = context
        self._extra = {"sockname": name, "peername": peer}
        self._soon(self._made, factory)

    def _soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """The protocol is told on its own host, with its loop running."""
        self._loop.call_soon(callback, *arguments, context=self._context)

    def _made(self, factory: Callable[[], Any]) -> None:
        self._protocol = factory()
        self._protocol.connection_made(self)
        self.made.set_result(None)
        self._read()

    @property
    def _peer(self) -> Transport:
        return self._connection.ends[self._hub]

    # ---- asyncio's face --------------------------------------------------------------------------
    def get_protocol(self) -> Any:
        """Who speaks here."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Somebody else speaks here now."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Closed, or about to be."""
        return self._closing or self._gone

    def is_reading(self) -> bool:
        """Not paused."""
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        """Let it wait in the inbox."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on, with what waits first."""
        self._paused = False
        self._soon(self._read)

    def get_write_buffer_size(self) -> int:
        """Bytes not yet at the other end."""
        return self._flight_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are as they are."""

    def can_write_eof(self) -> bool:
        """Half a connection can't be closed."""
        return False

    def write(self, data: Any) -> None:
        """To the other end, in order."""
        if self.is_closing() or not data:
            return
        content = bytes(data)
        self._flight_bytes += len(content)
        if self._flight_bytes > WRITE_BYTES_MAX:
            self._connection.both_lost(
                OSError(105, f"more than {WRITE_BYTES_MAX} bytes are written and not read")
            )
            return
        self._send(content, len(content))
        if self._flight_bytes > WRITE_HIGH_BYTES and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def _send(self, content: Any, size_bytes: int) -> None:
        stream = self._connection.stream
        if self._hub:
            stream.send_up(content, size_bytes)
        else:
            stream.send_down(content, size_bytes)

    def close(self) -> None:
        """What was written is delivered, then the other end hears of it."""
        if not self.is_closing():
            self._closing = True
            self._inbox.clear()
            self._send(_END, 0)
            self.gone(None)

    def abort(self) -> None:
        """At once, at both ends."""
        if not self._gone:
            self._closing = True
            self._inbox.clear()
            self._connection.stream.close()
            self._peer.gone(ConnectionResetError(104, "connection reset by peer"))
            self.gone(None)

    # ---- what the network does -------------------------------------------------------------------
    def arrived(self, content: Any) -> None:
        """Bytes, or the other end's close."""
        if self.is_closing():
            return
        self._inbox.append(content)
        self._soon(self._read)

    def read_there(self, size_bytes: int) -> None:
        """The other end has read these bytes."""
        self._flight_bytes -= size_bytes
        if self._full and self._flight_bytes < WRITE_LOW_BYTES:
            self._soon(self._resume)

    def _resume(self) -> None:
        if self._full and self._flight_bytes < WRITE_LOW_BYTES and not self.is_closing():
            self._full = False
            self._protocol.resume_writing()

    def _read(self) -> None:
        while self._inbox and self._protocol is not None and not self._paused and not self.is_closing():
            content = self._inbox.popleft()
            if content is _END:
                self._ended()
            else:
                self._peer.read_there(len(content))
                self._protocol.data_received(content)

    def _ended(self) -> None:
        """The other end has closed: so do we, unless the protocol wants to go on writing, which nobody would
        read."""
        self._protocol.eof_received()
        self._closing = True
        self.gone(None)

    def gone(self, error: Exception | None) -> None:
        """The protocol learns that it is over, in turn; once."""
        if not self._gone:
            self._gone = True
            self._inbox.clear()
            self._soon(self._told, error)
            self._connection.over()

    def _told(self, error: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(error)
