"""A gateway's connection to a device whose server is a library's (OPC UA): it answers when its coroutines get
round to it.

Belongs here: that port. Never: the library, its loop (sim/libraries/). Loaded only by worlds that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twinloop.components.contract.contract import Result
from twinloop.sim.field.files import Client
from twinloop.sim.field.tcp_port import END, DialoguePort
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.libraries.stacks import Accepted, Stacks
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import TcpStream


class LibraryServer(Protocol):
    """What a port needs to know of the server at its far end."""

    slow_ns: int

    def spoilt(self, answer: bytes) -> bytes | None:
        """What goes out instead of an answer, None for silence."""
        ...

    def watches(self, protocol: Any) -> bool:
        """Is something monitored over that connection?"""
        ...


class StackPort(DialoguePort):
    """A device whose server is a library's: it answers when its coroutines get round to it."""

    __slots__ = ("_at", "_peer", "_served", "_stacks", "on_frame", "on_reset")

    def __init__(
        self,
        *,
        env: Environment,
        trace: Trace,
        device: int,
        link: Link,
        served: LibraryServer,
        stacks: Stacks,
        at: tuple[str, int],
        leg: str,
        response_ns: int,
        client: Client,
    ) -> None:
        super().__init__(
            env=env,
            trace=trace,
            device=device,
            link=link,
            server=None,
            leg=leg,
            response_ns=response_ns,
            client=client,
        )
        self._served, self._stacks, self._at = served, stacks, at
        self.stateful = True
        self._peer: Accepted | None = None
        self.on_frame: Callable[[], None] = lambda: None
        """told when the driver takes a frame"""
        self.on_reset: Callable[[], None] = lambda: None
        """told when the connection is dropped at this end"""

    def wiring(self) -> dict[str, Any]:
        """As TcpPort's; the library's server, too."""
        return super().wiring() | {"served": self._served, "stacks": self._stacks, "at": self._at}

    def watched(self) -> bool:
        """Does a subscription stand over this connection?"""
        return self._peer is not None and self._served.watches(self._peer.get_protocol())

    def _finish(self, value: Result) -> None:
        if value[0] and value[1]:
            self.on_frame()
        super()._finish(value)

    def reset(self) -> None:
        """Drop the connection and what is unread, here and in the driver."""
        super().reset()
        self.on_reset()

    def _reach_far_end(self, stream: TcpStream) -> bool:
        self._peer = self._stacks.accept(
            *self._at,
            lambda data: self._answered(stream, data),
            lambda at_once: self._hung_up(stream, at_once),
            self._client.name,
        )
        return self._peer is not None

    def _answered(self, stream: TcpStream, data: bytes) -> None:
        spoilt = self._served.spoilt(data)
        if spoilt is not None:
            stream.send_down(spoilt, len(spoilt), self._response_ns + self._served.slow_ns)

    def _hung_up(self, stream: TcpStream, at_once: bool) -> None:
        if self._stacks.closed:
            return
        if at_once:
            stream.break_off()
        else:
            stream.send_down(END, 0, self._response_ns)

    def _asked(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.received(data)

    def _left(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.gone()
