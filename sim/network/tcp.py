"""A reliable stream over a link: in order, nothing lost, late instead. What TCP does to the timing of an
exchange.

Belongs here: handshake, retransmission, stall and break. Never: what the bytes mean. Sizes are on the wire.
Modelled: one segment a write (split at the MSS), retransmission timeout 200 ms doubling (RFC 6298 section
5.5; 200 ms is Linux's minimum), SYN after 1 s (RFC 6298 section 2.1), head-of-line blocking, break when a
segment stays unacknowledged for ``user_timeout`` (RFC 5482). Not modelled, and said so: lost acknowledgements
(they are cumulative), congestion window, fast retransmit, the copy of a segment that is still on its way (a
link slower than its timer); a link's rate alone limits throughput.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twinloop.components.native.choice import CHOICE
from twinloop.sim.kernel.clock import NEVER_NS, Environment, S
from twinloop.sim.network.half import HEADER_BYTES, RTO_MAX_NS, RTO_NS, Half, Receive, Segment
from twinloop.sim.network.link import LegStats, Link, Way

SYN_RTO_NS = 1 * S
USER_TIMEOUT_NS = 10 * S
if TYPE_CHECKING or CHOICE.engine is None:
    _Half = Half
    _Segment = Segment
else:
    _Segment = CHOICE.engine.Segment

    class _Half(CHOICE.engine.Half):
        """half.Half, as C has it."""

        __slots__ = ()


class TcpStream:
    """A connection between the gateway (near) and its peer (far). Callbacks run at the instant of the
    event."""

    __slots__ = (
        "broken",
        "down",
        "env",
        "lost",
        "open",
        "troubled",
        "up",
        "user_timeout_ns",
    )  # fmt: skip

    def __init__(
        self,
        *,
        env: Environment,
        link: Link,
        leg: str,
        near: Receive,
        far: Receive,
        lost: Callable[[], None],
        user_timeout_ns: int = USER_TIMEOUT_NS,
        via: str = "",
        second: bool = False,
    ) -> None:
        up, down = link.legs(leg, via, second)
        self.env, self.user_timeout_ns, self.lost = env, user_timeout_ns, lost
        self.broken = False
        self.open = False
        self.troubled: Callable[[], None] | None = None
        """told when something doesn't get through at once, for those who keep no timer of their own while all
        is well"""
        self.up, self.down = _Half(self, up, far), _Half(self, down, near)
        if link.watched is not None:
            link.watched(self)

    def connect(self, opened: Callable[[], None]) -> None:
        """Three-way handshake: ``opened`` after SYN and SYN-ACK; ``lost`` after the user timeout."""
        started = self.env.now

        def attempt(rto_ns: int) -> None:
            if self.open or self.broken:
                return
            now = self.env.now
            if now - started >= self.user_timeout_ns:
                self.break_off()
                return
            for at, corrupted in self.up.way.offer(HEADER_BYTES, now)[:1]:
                if not corrupted:
                    self.env.call_at(at, answer)
            left = started + self.user_timeout_ns - now
            self.env.call_in(min(rto_ns, left), attempt, 2 * rto_ns)

        def answer() -> None:
            now = self.env.now
            if self.open or self.broken or self.up.way.passes(HEADER_BYTES, now) is None:
                return
            for at, corrupted in self.down.way.offer(HEADER_BYTES, now)[:1]:
                if not corrupted:
                    self.env.call_at(at, done)

        def done() -> None:
            if self.open or self.broken or self.down.way.passes(HEADER_BYTES, self.env.now) is None:
                return
            self.open = True
            opened()

        attempt(SYN_RTO_NS)

    def send_up(self, payload: Any, size_bytes: int) -> int:
        """To the far end; returns when it arrives, NEVER_NS when that isn't known (or the stream is broken:
        ``lost`` has said so)."""
        return NEVER_NS if self.broken else self.up.send(payload, size_bytes, self.env.now)

    def send_down(self, payload: Any, size_bytes: int, in_ns: int = 0, by_ns: int = NEVER_NS) -> int:
        """To the near end, in ``in_ns`` from now; returns as ``_Half.send``."""
        return NEVER_NS if self.broken else self.down.send(payload, size_bytes, self.env.now + in_ns, by_ns)

    def close(self) -> None:
        """Forget the connection and what is in flight; ``lost`` is not called."""
        self.broken = True

    def break_off(self) -> None:
        """The connection ends against its will: both ends learn of it through ``lost``, once."""
        if not self.broken:
            self.broken = True
            self.lost()

    @property
    def retransmitted(self) -> int:
        """Segments sent again, both ways."""
        return self.up.retransmitted + self.down.retransmitted


def bind(engine: Any, half: type, way: type, rto_ns: int = RTO_NS) -> None:
    """Tell a compiled module which classes are plain: those steps it does by itself. And how long a segment's
    timer is at first."""
    engine.bind_streams(half, way, TcpStream, LegStats, rto_ns, RTO_MAX_NS)


if CHOICE.engine is not None:
    bind(CHOICE.engine, _Half, Way)
