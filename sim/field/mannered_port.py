"""A TCP port to a device with manners: who is let in, who is dropped, who is hung up on.

Belongs here: the connection's manners in simulated time. Never: manners that requests decide
(devices/modbus/mannered.py). A refused connection is broken off when it would stand, as by a reset; one that
is dropped or idle likewise, at both ends at once.
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.modbus.mannered import ManneredServer
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.network.tcp import TcpStream


class ManneredTcpPort(TcpPort):
    """As TcpPort; ``server`` is a ManneredServer."""

    __slots__ = ("_asked_ns",)

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._asked_ns = 0
        """when the last request came, or the connection stood"""

    def _opened(self) -> None:
        stream, server = self._stream, self.server
        if stream is None:
            return
        assert isinstance(server, ManneredServer)
        bite = server.doors.enter(self)
        if bite:
            server.bitten(bite)
        if bite == "refused":
            stream.break_off()
            return
        self._asked_ns = self._env.now
        server.connected(self._env.now)
        if server.manners.idle_ns:
            self._watch(stream)
        super()._opened()

    def _watch(self, stream: TcpStream) -> None:
        """Is this connection idle by now?"""
        if stream is not self._stream or stream.broken:
            return
        ends_ns = self._asked_ns + self.server.manners.idle_ns
        if self._env.now < ends_ns:
            self._env.call_at(ends_ns, self._watch, stream)
            return
        self.server.bitten("idle")
        stream.break_off()

    def hung_up(self) -> None:
        """Another connection was let in for this one."""
        if self._stream is not None:
            self._stream.break_off()

    def _asked(self, data: Any) -> None:
        self._asked_ns = self._env.now
        super()._asked(data)

    def _drop(self) -> None:
        self._left()
        super()._drop()

    def _lost(self) -> None:
        self._left()
        super()._lost()

    def _left(self) -> None:
        if self.server is not None:
            self.server.doors.leave(self)
