"""TCP listeners for whoever comes: bytes to a caller and back, with limits.

Belongs here: asyncio's protocols. Never: what the bytes mean, or when something happens. Each listener takes
at most ``CONNECTIONS_MAX`` clients at a time; one that doesn't read what it asked for is cut off at
``UNREAD_BYTES_MAX``; one that asks too much isn't read from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

CONNECTIONS_MAX = 512
"""of one listener: two for each of 247 units; one more is closed at once (limit ``connections``)"""
UNREAD_BYTES_MAX = 256 << 10
"""written and not read by the client; more ends its connection (limit ``client-unread``)"""


class TcpCaller(Protocol):
    """Who stands behind a connection."""

    on_room: Callable[[], None]
    full: bool
    """read no more for now; ``on_room`` is called when there is room"""

    def received(self, data: bytes) -> None:
        """Bytes of the client, now."""
        ...

    def go_on(self) -> None:
        """There is room again, now."""
        ...

    def lost(self) -> None:
        """The client is gone."""
        ...


Accept = Callable[["TcpConnection"], TcpCaller]
Enter = Callable[..., None]
"""runs a call at this instant of the served plant's time"""


class TcpConnection(asyncio.Protocol):
    """One client, or a server that we have called. ``write`` and ``hang_up`` are for its caller."""

    def __init__(self, listener: TcpListener | Dialer) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._caller: TcpCaller | None = None
        self._read_bytes = 0
        """read and not yet its caller's: the plant is behind"""
        self.peer = self.name = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        # None: it is gone already
        self.peer, self.name = (
            (transport.get_extra_info(which) or ("", 0))[:2] for which in ("peername", "sockname")
        )
        listener = self._listener
        if len(listener.connections) >= CONNECTIONS_MAX:
            listener.on_limit("connections")
            self._transport.abort()
            return
        listener.connections[self] = None
        listener.enter(self._meet)

    def _meet(self) -> None:
        self._caller = self._listener.accept(self)
        self._caller.on_room = self._room

    def data_received(self, data: bytes) -> None:
        """It has sent something: its caller gets that in turn, which may not be now."""
        self._read_bytes += len(data)
        self._listener.enter(self._deliver, data)
        if (
            self._read_bytes or (self._caller is not None and self._caller.full)
        ) and self._transport is not None:
            self._transport.pause_reading()

    def _deliver(self, data: bytes) -> None:
        self._read_bytes -= len(data)
        if self._caller is not None:
            self._caller.received(data)
            self._resume()

    def _room(self) -> None:
        asyncio.get_running_loop().call_soon(self._listener.enter, self._go_on)

    def _go_on(self) -> None:
        if self._caller is not None:
            self._caller.go_on()
            self._resume()

    def _resume(self) -> None:
        transport, caller = self._transport, self._caller
        if (
            caller is not None
            and not caller.full
            and not self._read_bytes
            and transport is not None
            and not transport.is_closing()
        ):
            transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone: its caller hears of that after what it has sent."""
        self._transport = None
        if self in self._listener.connections:  # else it was one too many
            del self._listener.connections[self]
            self._listener.enter(self._leave)

    def _leave(self) -> None:
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.lost()

    def write(self, data: bytes) -> None:
        """To the client."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self._listener.on_limit("client-unread")
            transport.abort()

    def hang_up(self) -> None:
        """After what was written."""
        if self._transport is not None:
            self._transport.close()


class TcpListener:
    """A port that is listened on. ``enter`` runs what a client sets off, ``met`` is told of limits."""

    def __init__(self, accept: Accept, enter: Enter, on_limit: Callable[[str], None]) -> None:
        self.accept, self.enter, self.on_limit = accept, enter, on_limit
        self.connections: dict[TcpConnection, None] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Returns the port (0: any that is free); raises OSError when it is taken, or the host isn't ours."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpConnection(self), host, port)
        bound: Any = self._server.sockets[0].getsockname()
        return int(bound[1])

    async def close(self) -> None:
        """Nobody can connect any more, and who has is cut off."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            if connection._transport is not None:
                connection._transport.abort()
        if self._server is not None:
            await self._server.wait_closed()


class Dialer:
    """Who connects to one server: a listener, the other way round. ``refused`` is told when nobody is there.
    ``loop`` None: the running one."""

    def __init__(
        self,
        accept: Accept,
        refused: Callable[[], None],
        enter: Enter,
        on_limit: Callable[[str], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.accept, self.enter, self.on_limit = accept, enter, on_limit
        self._refused = refused
        self._loop = loop or asyncio.get_running_loop()
        self.connections: dict[TcpConnection, None] = {}
        self._dialling: asyncio.Task[None] | None = None

    def dial(self, host: str, port: int) -> None:
        """Connect, unless that is being done."""
        if self._dialling is None or self._dialling.done():
            self._dialling = self._loop.create_task(self._dial(host, port))

    async def _dial(self, host: str, port: int) -> None:
        try:
            await self._loop.create_connection(lambda: TcpConnection(self), host, port)
        except (OSError, ValueError):  # nobody there; a name that can't be one
            self.enter(self._refused)

    def hang_up(self) -> None:
        """Whether or not the server has answered."""
        if self._dialling is not None:
            self._dialling.cancel()
        for connection in list(self.connections):
            connection.hang_up()

    async def close(self) -> None:
        """It is hung up."""
        self.hang_up()


class Call:
    """One connection to a server, as whoever has asked for it sees it: written to at once, even before it
    stands.

    ``heard`` gets what comes, ``lost`` is told when nobody is there, or no more.
    """

    on_room: Callable[[], None] = staticmethod(lambda: None)
    full = False

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        at: tuple[str, int],
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
        enter: Enter,
        on_limit: Callable[[str], None],
    ) -> None:
        self._heard, self._lost = heard, lost
        self._connection: TcpConnection | None = None
        self._unsent: list[bytes] = []
        self._over = False
        self._dialer = Dialer(self._accepted, self.lost, enter, on_limit, loop)
        self._dialer.dial(*at)

    def _accepted(self, connection: TcpConnection) -> Call:
        if self._over:
            connection.hang_up()
            return self
        self._connection = connection
        for data in self._unsent:
            connection.write(data)
        self._unsent.clear()
        return self

    def write(self, data: bytes) -> None:
        """To the server."""
        if self._connection is None:
            self._unsent.append(data)
        else:
            self._connection.write(data)

    def hang_up(self) -> None:
        """After what was written; neither ``heard`` nor ``lost`` are told anything any more."""
        self._over = True
        self._dialer.hang_up()

    def received(self, data: bytes) -> None:
        """Bytes of the server."""
        if not self._over:
            self._heard(data)

    def go_on(self) -> None:
        """It is always read from."""

    def lost(self) -> None:
        """It has gone, or was never there."""
        if not self._over:
            self._over = True
            self._lost()


FAREWELL_S = 2.0


async def say(host: str, port: int, data: bytes) -> None:
    """Connect, write, wait for an answer or FAREWELL_S, and leave; nobody there is no matter."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(data)
            await reader.read(64)
            writer.close()
    except (OSError, ValueError, TimeoutError):
        return
