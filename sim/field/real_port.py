"""Real devices in simulated time: the ports through which drivers reach them, over TCP. Serial lines:
real_line.py.

Belongs here: what `fieldbus` means for a device that isn't ours. Never: sockets (devices/live/), wall clocks
(pacer.py). Its network is real, so its link adds neither delay nor loss; what the timeline does to the link
(cuts, flaps) acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twinloop.components.contract.contract import Framing, Result
from twinloop.devices.model.device import Device
from twinloop.sim.field.tcp_port import END, DialoguePort
from twinloop.sim.kernel.clock import Event
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.spec import LinkSpec, PlaceSpec
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.tcp import TcpStream

if TYPE_CHECKING:
    from twinloop.devices.model.misbehaviour import Misbehaviour

Heard = Callable[[bytes], None]
Lost = Callable[[], None]
OnExchange = Callable[[bytes, bytes], None]


class Peer(Protocol):
    """A connection to a real device, or the serial port of its line."""

    def write(self, data: bytes) -> None:
        """To the device."""
        ...

    def hang_up(self) -> None:
        """``heard`` and ``lost`` are told nothing any more."""
        ...


class RealWorld(Protocol):
    """The way to real devices. ``heard`` gets what comes, ``lost`` is told when nobody is there, or no more,
    at instants of the run."""

    def call(self, place: PlaceSpec, heard: Heard, lost: Lost) -> Peer:
        """Connect; may be written to at once."""
        ...

    def datagrams(self, place: PlaceSpec, heard: Heard) -> Peer:
        """A UDP socket to where the device's TCP port is; ``heard`` gets what the device sends, a datagram at
        a time. Nobody there is silence."""
        ...

    def notes(self) -> list[str]:
        """What a reader of the result should know: whom it couldn't reach, which limits were met."""
        ...

    def finish(self) -> None:
        """The run is over: what is still to be heard, of what was in it, is heard now."""
        ...

    def open(self, place: PlaceSpec, link: LinkSpec, heard: Heard, lost: Lost) -> Peer | None:
        """Open a serial port, whose ``heard`` gets frames; None when that can't be done."""
        ...


def untouched(link: Link, streams: RandomStreams) -> Link:
    """A link with the rules of another, at any time, and no delay or loss of its own."""
    bare = Link(link.name, LinkModel(), streams)
    bare.rules = link.rules
    return bare


class Absent:
    """Stands where the server of a simulated device would: nobody can give a real one a fault."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def misbehave(self, fault: Misbehaviour) -> Callable[[], None]:
        """Nothing happens; whoever planned the run has said so."""
        return lambda: None


class AttachedPort(DialoguePort):
    """A real device behind a TCP connection. What its driver sends crosses the link, rules and all, then a
    socket."""

    __slots__ = ("_far", "_outside", "_place", "_request", "on_exchange")

    def __init__(self, outside: RealWorld, place: PlaceSpec, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._outside, self._place = outside, place
        self._far: Peer | None = None
        self._request = b""
        self.on_exchange: OnExchange = lambda request, reply: None
        """told of each (request, frame that came after it) that its driver gets"""

    def wiring(self) -> dict[str, Any]:
        """As TcpPort's; the real device, too."""
        return super().wiring() | {"outside": self._outside, "place": self._place, "server": None}

    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """As a DialoguePort's; the request is kept for who wants to know what was asked."""
        self._request = request
        return super().transact(request, reply, timeout_ns, limit_ns)

    def _finish(self, value: Result) -> None:
        if value[0] and value[1]:
            self.on_exchange(self._request, value[1])
        super()._finish(value)

    def _reach_far_end(self, stream: TcpStream) -> bool:
        self._far = self._outside.call(
            self._place, lambda data: self._came(stream, data), lambda: self._gone(stream)
        )
        return True

    def _came(self, stream: TcpStream, data: bytes) -> None:
        stream.send_down(data, len(data))

    def _gone(self, stream: TcpStream) -> None:
        stream.send_down(END, 0)

    def _asked(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)

    def _left(self) -> None:
        far, self._far = self._far, None
        if far is not None:
            far.hang_up()
