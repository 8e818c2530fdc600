"""What a connected socket has: its two streams, what has arrived, what is still to go, who waits for either.

Belongs here: buffers and readiness. Never: WASI's states of a socket (sockets.py), links
(sim/field/connection.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.sim.field.connection import Connection
from twinloop.sim.kernel.clock import Steps
from twinloop.sim.wasi.guest import OK, Guest
from twinloop.sim.wasi.network import NetworkError
from twinloop.sim.wasi.streams import CLOSED, Input, Output
from twinloop.sim.wasi.waiting import Pollable

BUFFER_BYTES_MAX = 64 << 10
"""of a socket, each way. What is written and hasn't got through counts as unsent; a device that has sent more
than the driver reads is cut off (limit ``socket-buffer``), for the window that would stop it isn't
simulated"""


class Wire:
    """A connection as its socket and streams share it. ``state``: dialling, up, over; ``holders``: those of
    the three that the guest still has; ``closed``: told when it is closed, after it has none."""

    def __init__(self, guest: Guest, closed: Callable[[Wire], None]) -> None:
        self.guest, self._closed = guest, closed
        self._epoch = guest.machine.epoch
        self.connection: Connection | None = None
        self.state, self.why, self.holders = "dialling", "", 1
        self.stood = False
        self.arrived = bytearray()
        self.unsent = bytearray()
        """written in the segment under way"""
        self.afoot = 0
        """bytes that are handed over, and not at the device yet"""
        self.no_more_in = self.no_more_out = False
        self.untold = ""
        """why it is over, which no stream has said yet"""
        self._waiting: list[Callable[[], None]] = []

    # ---- done when the CPU time has passed -------------------------------------------------------
    def dial(self) -> None:
        """The first segment goes out."""
        if self.connection is not None and self.state == "dialling":
            self.connection.dial()

    def hand_over(self) -> None:
        """What was written goes out."""
        if self.unsent and self.state == "up" and self.connection is not None:
            data, self.unsent = bytes(self.unsent), bytearray()
            self.afoot += len(data)
            self.connection.put(data)

    def _finish(self) -> None:
        if self.connection is not None and self.state == "up":
            self.connection.finish()

    def hang_up(self) -> None:
        """The gateway's end is closed."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self._closed(self)
        self.state = "over"
        if self.guest.machine.epoch == self._epoch:
            connection.close()
        else:
            connection.reset()
        self.guest.machine.env.call_in(0, self._changed)  # who waits learns of it in turn

    # ---- asked by socket and streams -------------------------------------------------------------
    def let_go(self) -> None:
        """One of the three is dropped; the last one closes the connection."""
        self.holders -= 1
        if not self.holders:
            self.guest.after(self.hang_up)

    def stop_receiving(self) -> None:
        """What has come is discarded, and so is what comes."""
        self.no_more_in = True
        self.arrived.clear()

    def stop_sending(self) -> None:
        """What was written still goes out, then the end."""
        if not self.no_more_out:
            self.no_more_out = True
            self.guest.after(self._finish)

    def room(self) -> int:
        """How many bytes more may be written now."""
        return max(0, BUFFER_BYTES_MAX - len(self.unsent) - self.afoot)

    def over(self) -> Result:
        """What a stream says of a connection that has ended: why, once; then that it is closed."""
        why, self.untold = self.untold, ""
        return (False, ("last-operation-failed", NetworkError(why))) if why else CLOSED

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call ``told`` at each change; returns what ends that."""
        self._waiting.append(told)
        return lambda: self._waiting.remove(told)

    def _changed(self) -> None:
        for told in list(self._waiting):
            told()

    # ---- told by the connection ------------------------------------------------------------------
    def opened(self) -> None:
        """It stands."""
        self.state, self.stood = "up", True
        self._changed()

    def came(self, data: bytes) -> None:
        """Bytes of the device's."""
        if self.no_more_in:
            return
        self.arrived += data
        if len(self.arrived) > BUFFER_BYTES_MAX:
            self.arrived.clear()
            self.guest.limit("socket-buffer", 1)
            if self.connection is not None:
                self.connection.reset()
            self.lost("connection-aborted")
            return
        self._changed()

    def sent(self, size_bytes: int) -> None:
        """The device has them."""
        self.afoot -= size_bytes
        self._changed()

    def ended(self) -> None:
        """The device has closed its side."""
        self.no_more_in = True
        self._changed()

    def lost(self, why: str) -> None:
        """It is over."""
        self.state, self.why, self.untold, self.afoot = "over", why, why, 0
        self.unsent.clear()
        self._changed()


class Changing(Protocol):
    """What somebody waits for."""

    def hand_over(self) -> None:
        """What was written goes out."""
        ...

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call ``told`` at each change; returns what ends that."""
        ...


class SocketPollable(Pollable):
    """Ready when ``test`` says so; ``wire``: whose changes may change it."""

    outside = True

    def __init__(self, test: Callable[[], bool], wire: Callable[[], Changing | None]) -> None:
        self._test, self._wire = test, wire

    def ready(self, instant_ns: int) -> bool:
        """As far as it has come."""
        return self._test()

    def due_ns(self, instant_ns: int) -> int | None:
        """Nobody knows when something comes."""
        return instant_ns if self._test() else None

    def on_change(self, told: Callable[[], None]) -> Callable[[], None]:
        """Who waits has computed: what was written goes out."""
        wire = self._wire()
        if wire is None:
            return lambda: None
        wire.hand_over()
        return wire.watch(told)


class Received(Input):
    """What has come from the device."""

    outside = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def read(self, count: int) -> Result:
        """What is there; nothing while the device may still send, then the end."""
        wire = self._wire
        if wire.arrived:
            data = bytes(wire.arrived[:count])
            del wire.arrived[:count]
            return True, data
        if wire.state == "over":
            return wire.over()
        return CLOSED if wire.no_more_in else (True, b"")

    def pollable(self) -> Pollable:
        """Ready when there is something, or nothing will come."""
        wire = self._wire
        return SocketPollable(
            lambda: bool(wire.arrived) or wire.no_more_in or wire.state == "over", lambda: wire
        )

    def dropped(self) -> None:
        """The guest has let it go."""
        self._wire.let_go()


class SentOff(Output):
    """What goes to the device."""

    outside = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def room(self) -> Result:
        """Less than a buffer while bytes haven't got through."""
        wire = self._wire
        if wire.state == "over":
            return wire.over()
        return CLOSED if wire.no_more_out else (True, wire.room())

    def write(self, data: bytes) -> Result:
        """They go out when the CPU time has passed that led to them."""
        wire = self._wire
        if wire.state == "over":
            return wire.over()
        if wire.no_more_out:
            return CLOSED
        if len(data) > wire.room():  # WASI: "Otherwise, this function will trap"
            raise GuestEnded(
                "contract", f"{len(data)} bytes written to a socket, {wire.room()} are permitted"
            )
        wire.guest.carried(len(data))
        if not wire.unsent:
            wire.guest.after(wire.hand_over)
        wire.unsent += data
        return OK

    def flush(self, until_ns: int) -> Steps:
        """A socket has nothing to wait for once its bytes are handed over."""
        self._wire.hand_over()
        yield from ()
        return self._wire.over() if self._wire.state == "over" else OK

    def pollable(self) -> Pollable:
        """Ready when it takes something, or nothing any more."""
        wire = self._wire
        return SocketPollable(
            lambda: bool(wire.room()) or wire.no_more_out or wire.state == "over", lambda: wire
        )

    def dropped(self) -> None:
        """The guest has let it go."""
        self._wire.let_go()
