"""A connection that a driver has opened itself: the way to its device, with bytes as they come and go.

Belongs here: what a socket needs of the field: dial, bytes, an end at either side. Never: framing and
timeouts (the driver has its own; ports have them for `fieldbus`), sockets themselves (sim/wasi/). It is made
beside the port through which `fieldbus` reaches the same device, so that both have one link, one far end, one
witness. Its retransmissions end when Linux's do: nobody has set another time for it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from twinloop.devices.modbus.server import ModbusServer
from twinloop.sim.field.files import Files
from twinloop.sim.field.real_port import AttachedPort, OnExchange
from twinloop.sim.field.tcp_port import END, TcpPort
from twinloop.sim.kernel.clock import MS, S

SYN_USER_TIMEOUT_NS = 127 * S
"""a connection that nobody answers is given up (tcp(7): tcp_syn_retries = 6)"""
USER_TIMEOUT_NS = 924_600 * MS
"""one that stands, but lets nothing through (Linux, ip-sysctl: tcp_retries2 = 15)"""
LINGER_NS = 100 * S
"""one whose near end is closed, with bytes that haven't got through (tcp(7): tcp_orphan_retries = 8)"""


class End(Protocol):
    """Who has dialled, and is told at instants of the run."""

    def opened(self) -> None:
        """The connection stands."""
        ...

    def came(self, data: bytes) -> None:
        """From the device."""
        ...

    def sent(self, size_bytes: int) -> None:
        """So many bytes have got through to the device."""
        ...

    def ended(self) -> None:
        """The device has closed its side."""
        ...

    def lost(self, why: str) -> None:
        """It is over: ``connection-refused``, ``connection-reset`` or ``timeout``."""
        ...


class Connection(TcpPort):
    """One connection; dialled once. (It has a port's wiring and far end, and none of its exchanges.)"""

    def __init__(self, end: End, **wiring: Any) -> None:
        client = wiring["client"]
        # its open file is the socket's
        wiring["client"] = client._replace(files=Files(None), take_file=lambda: True)
        super().__init__(**wiring)
        self._end: End | None = end
        self._stands = self._far_done = False
        self._request = b""
        self.heard: OnExchange = lambda request, reply: None
        """told of what a real device is asked and says"""

    # ---- asked by the socket ---------------------------------------------------------------------
    def dial(self) -> None:
        """``opened`` or ``lost`` says what has become of it."""
        self._connect()
        if self._stream is not None:
            self._stream.user_timeout_ns = SYN_USER_TIMEOUT_NS

    def put(self, data: bytes) -> None:
        """Hand bytes to a connection that stands; a device that has closed its side answers with a reset."""
        stream = self._stream
        if stream is None:
            return
        self._request = data
        if self._far_done:
            stream.break_off()
        else:
            stream.send_up(data, len(data))

    def finish(self) -> None:
        """Nothing more will be sent: the device learns of it behind what was."""
        if self._stream is not None and not self._far_done:
            self._stream.send_up(END, 0)

    def close(self) -> None:
        """Nobody is told any more; what was sent still gets through, then the device learns of the end."""
        self._end = None
        stream = self._stream
        if stream is None or not stream.up.flight:
            self.reset()
        else:
            stream.user_timeout_ns = LINGER_NS
            self.finish()

    def reset(self) -> None:
        """It is gone at once, with what is on its way."""
        self._end = None
        super().reset()
        self._leave_server()

    # ---- told by the stream ----------------------------------------------------------------------
    def _opened(self) -> None:
        super()._opened()
        if self._stream is not None:
            self._stands = True
            self._stream.user_timeout_ns = USER_TIMEOUT_NS
            if self._end is not None:
                self._end.opened()

    def _asked(self, data: Any) -> None:
        if data is not END:
            super()._asked(data)
            if self._end is not None:
                self._end.sent(len(data))
        elif self._end is None:
            self.reset()
        elif self._stream is not None:  # a device has nothing to say to somebody who has said all
            self._stream.send_down(END, 0, self._response_ns)

    def _arrived(self, data: Any) -> None:
        if data is END:
            self._far_done = True
        if self._end is None:
            return
        if data is END:
            self._end.ended()
        else:
            self.heard(self._request, data)
            self._end.came(data)

    def _lost(self) -> None:
        stream, end = self._stream, self._end
        why = "connection-reset" if self._stands else "connection-refused"
        if stream is not None:
            oldest = [half.flight[0].first_ns for half in (stream.up, stream.down) if half.flight]
            if not stream.open or any(self._env.now - at >= stream.user_timeout_ns for at in oldest):
                why = "timeout"
        self._end = None
        super()._lost()
        self._leave_server()
        if end is not None:
            end.lost(why)

    def _leave_server(self) -> None:
        if isinstance(self.server, ModbusServer):
            self.server.leave()
            self.server = None


@cache
def _kind(port: Any) -> type[Connection]:
    """A connection whose far end is that kind of port's."""
    return Connection if port is TcpPort else type("Connection", (Connection, port), {})


def connection(port: TcpPort, end: End) -> Connection:
    """A new one beside a port: of its client, to its device."""
    wiring, served = port.wiring(), port.server
    if isinstance(served, ModbusServer):
        wiring["server"] = beside = served.beside()
        beside.witnesses = served.witnesses
    kind: Any = type(port)
    made = _kind(kind)(end, **wiring)
    if isinstance(port, AttachedPort):
        made.heard = port.on_exchange
    return made
