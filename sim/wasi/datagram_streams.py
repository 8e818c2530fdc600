"""What a UDP socket has once it is bound: its two streams, what has come, what is still to go, who waits for
either.

Belongs here: queues and readiness. Never: WASI's states of a socket (datagrams.py), links
(sim/field/datagrams.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.field.datagrams import Datagrams
from twinloop.sim.network.udp import DATAGRAM_BYTES_MAX, IP_BYTES, UDP_BYTES
from twinloop.sim.wasi.guest import Guest
from twinloop.sim.wasi.network import as_plain_address, refused, wrong_remote
from twinloop.sim.wasi.socket_streams import BUFFER_BYTES_MAX, SocketPollable
from twinloop.sim.wasi.waiting import Pollable

HEADER_BYTES = IP_BYTES + UDP_BYTES
"""that each datagram takes of the queue beside its content, so that empty ones aren't endless"""
SEND_MAX = 16
"""datagrams that may be sent in one segment of CPU time; ``check-send`` says how many are left of them (as
wasmtime has it)"""
ADDRESS_VALUES = 6
"""that a datagram's address adds to the bytes that are carried: its family, a port, four numbers"""


class Mailbox:
    """A socket's datagrams, as it and its streams share them. ``holders``: those of the three that the guest
    still has; ``closed``: told when it is closed, after it has none."""

    def __init__(self, guest: Guest, closed: Callable[[Mailbox], None]) -> None:
        self.guest, self._closed = guest, closed
        self.way: Datagrams | None = None
        self.over = False
        self.holders = 1
        self.arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self.unsent: list[bytes] = []
        """sent in the segment under way"""
        self._waiting: list[Callable[[], None]] = []

    # ---- done when the CPU time has passed -------------------------------------------------------
    def hand_over(self) -> None:
        """What was sent goes out."""
        if self.unsent and self.way is not None and not self.over:
            unsent, self.unsent = self.unsent, []
            for data in unsent:
                self.way.send(data)
            self._changed()

    def close(self) -> None:
        """The socket is closed; once."""
        if self.over:
            return
        self.over = True
        self._closed(self)
        self.unsent.clear()
        self.arrived.clear()
        if self.way is not None:
            self.way.close()
        self.guest.machine.env.call_in(0, self._changed)  # who waits learns of it in turn

    # ---- asked by socket and streams -------------------------------------------------------------
    def let_go(self) -> None:
        """One of the three is dropped; the last one closes the socket."""
        self.holders -= 1
        if not self.holders:
            self.guest.after(self.close)

    def put(self, data: bytes) -> None:
        """It goes out when the CPU time has passed that led to it."""
        self.guest.carried(len(data) + ADDRESS_VALUES)
        if not self.unsent:
            self.guest.after(self.hand_over)
        self.unsent.append(data)

    def take(self, count: int) -> list[bytes]:
        """So many of those that have come, at most."""
        taken = [self.arrived.popleft() for _ in range(min(count, len(self.arrived)))]
        for data in taken:
            self._arrived_bytes -= HEADER_BYTES + len(data)
            self.guest.carried(len(data) + ADDRESS_VALUES)
        return taken

    def room(self) -> int:
        """How many more may be sent now."""
        return max(0, SEND_MAX - len(self.unsent))

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call ``told`` at each change; returns what ends that."""
        self._waiting.append(told)
        return lambda: self._waiting.remove(told)

    def _changed(self) -> None:
        for told in list(self._waiting):
            told()

    # ---- told by the way -------------------------------------------------------------------------
    def came(self, data: bytes) -> None:
        """One has come; it is dropped when the queue is full, as Linux does it."""
        size = HEADER_BYTES + len(data)
        if self._arrived_bytes + size > BUFFER_BYTES_MAX:
            self.guest.limit("datagram-queue", 1)
            return
        self._arrived_bytes += size
        self.arrived.append(data)
        self._changed()

    def full(self) -> None:
        """One was dropped: too many were on their way."""
        self.guest.limit("datagrams-afoot", 1)


class Incoming:
    """What has come from the device, whose address is ``remote``."""

    resource = resource_number("incoming-datagram-stream")

    def __init__(self, box: Mailbox, remote: Any) -> None:
        self._box, self._remote = box, remote
        self.gone = False

    def receive(self, count: int) -> Result:
        """What is there, which may be nothing."""
        return True, [(data, self._remote) for data in self._box.take(count)]

    def pollable(self) -> Pollable:
        """Ready when something has come."""
        box = self._box
        return SocketPollable(lambda: bool(box.arrived) or box.over, lambda: box)

    def dropped(self) -> None:
        """The guest has let it go."""
        self.gone = True
        self._box.let_go()


class Outgoing:
    """What goes to the device. ``to``: the one address that its socket is connected to, if it is;
    ``reaches``: may an address be sent to? ``deny``: counts one that may not."""

    resource = resource_number("outgoing-datagram-stream")

    def __init__(
        self, box: Mailbox, to: Any, reaches: Callable[[Any], bool], deny: Callable[[], Result]
    ) -> None:
        self._box, self._to, self._reaches, self._deny = box, to, reaches, deny
        self._permitted = 0
        self.gone = False

    def check_send(self) -> Result:
        """How many datagrams ``send`` takes now."""
        self._permitted = self._box.room()
        return True, self._permitted

    def send(self, datagrams: list[Any]) -> Result:
        """Returns how many were sent, or what is wrong with the first."""
        if len(datagrams) > self._permitted:  # WASI: "or it will trap"
            raise GuestEnded(
                "contract", f"{len(datagrams)} datagrams sent, {self._permitted} are permitted by check-send"
            )
        for number, (data, remote) in enumerate(datagrams):
            wrong = self._wrong(bytes(data), remote)
            if wrong is not None:
                self._permitted -= number
                return (True, number) if number else wrong
            self._box.put(bytes(data))
        self._permitted -= len(datagrams)
        return True, len(datagrams)

    def _wrong(self, data: bytes, remote: Any) -> Result | None:
        if remote is None:
            if self._to is None:
                return refused("invalid-argument")
        elif wrong_remote(remote) or self._to not in (None, as_plain_address(remote)):
            return refused("invalid-argument")
        elif not self._reaches(remote):
            return self._deny()
        return refused("datagram-too-large") if len(data) > DATAGRAM_BYTES_MAX else None

    def pollable(self) -> Pollable:
        """Ready when it takes one."""
        box = self._box
        return SocketPollable(lambda: bool(box.room()) or box.over, lambda: box)

    def dropped(self) -> None:
        """The guest has let it go."""
        self.gone = True
        self._box.let_go()
