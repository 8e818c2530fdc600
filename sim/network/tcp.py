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
from typing import Any

from twinloop.sim.kernel.clock import MS, NEVER_NS, Environment, Occurrence, S
from twinloop.sim.network.link import Link, Way

RTO_NS = 200 * MS
RTO_MAX_NS = 60 * S
SYN_RTO_NS = 1 * S
USER_TIMEOUT_NS = 10 * S
HEADER_BYTES = 40
"""IPv4 and TCP without options"""
MSS_BYTES = 1460

Receive = Callable[[Any], None]


class _Segment(Occurrence):
    """A segment on its way; it is its own departure, if that is still to come, and its own arrival on the
    timeline."""

    __slots__ = ("arrived", "by_ns", "first_ns", "half", "payload", "rto_ns", "sent_ns", "size_bytes")

    half: _Half
    payload: Any
    size_bytes: int
    first_ns: int
    sent_ns: int
    arrived: bool
    by_ns: int | None
    """it hasn't left: by when it should arrive"""
    rto_ns: int

    def happen(self) -> None:
        """It leaves, or it reaches the other end, if the rules let it."""
        half = self.half
        stream = half.stream
        if stream.broken or self.arrived:
            return
        if self.by_ns is not None:
            half.leave(self, self.by_ns)
            return
        if half.link.rules and half.way.passes(self.size_bytes, stream.env.now) is None:
            half.retry(self)  # the timer has run since it was sent
            return
        self.arrived = True
        flight = half.flight
        first = flight.pop(0)
        if first is not self:
            flight.insert(0, first)
            if stream.troubled is not None:
                stream.troubled()
            return
        if self.payload is not None:
            receive = half.receive
            receive(self.payload)
            if stream.broken:
                return
        while flight and flight[0].arrived:
            payload = flight.pop(0).payload
            if payload is not None:
                half.receive(payload)
                if stream.broken:
                    return


class _Half:
    """One direction: segments in flight, in order."""

    __slots__ = ("env", "flight", "link", "receive", "retransmitted", "stream", "way")

    def __init__(self, stream: TcpStream, way: Way, receive: Receive) -> None:
        self.stream, self.way, self.receive = stream, way, receive
        self.env, self.link = stream.env, way.link  # asked for each segment
        self.flight: list[_Segment] = []  # short; an empty deque weighs 760 bytes, twice a device
        self.retransmitted = 0

    def send(self, payload: Any, size_bytes: int, at_ns: int, by_ns: int = NEVER_NS) -> int:
        """Offer at ``at_ns`` (now, or when a device will have its answer); returns when it arrives, NEVER_NS
        if that isn't known, ``at_ns`` if it hasn't left: then ``troubled`` is told if it won't come before
        ``by_ns``."""
        while size_bytes > MSS_BYTES:
            self.send(None, MSS_BYTES, at_ns, by_ns)
            size_bytes -= MSS_BYTES
        size_bytes += HEADER_BYTES
        segment = (
            _Segment()
        )  # what a constructor would do, without the price of calling one: four in each poll
        segment.half, segment.payload, segment.size_bytes = self, payload, size_bytes
        segment.first_ns = segment.sent_ns = at_ns
        segment.arrived, segment.by_ns, segment.rto_ns = False, None, RTO_NS
        self.flight.append(segment)
        env = self.env
        if at_ns > env.now:  # it meets the link as it is then
            segment.by_ns = by_ns
            env.expect(at_ns, segment)
            return at_ns
        arrives = self.way.transit(size_bytes, at_ns)
        if arrives == NEVER_NS:
            self.retry(segment)
        else:
            env.expect(arrives, segment)
        return arrives

    def leave(self, segment: _Segment, by_ns: int) -> None:
        """The device has its answer."""
        segment.by_ns, env = None, self.env
        arrives = self.way.transit(segment.size_bytes, env.now)
        if arrives == NEVER_NS:
            self.retry(segment)
            return
        env.expect(arrives, segment)
        if arrives >= by_ns and self.stream.troubled is not None:
            self.stream.troubled()

    def _attempt(self, segment: _Segment) -> None:
        if self.stream.broken or segment.arrived:
            return
        now = self.stream.env.now
        if now - segment.first_ns >= self.stream.user_timeout_ns:
            self.stream.break_off()
            return
        segment.sent_ns = now
        arrives = self.way.transit(segment.size_bytes, now)
        if arrives == NEVER_NS:
            self.retry(segment)
        else:
            self.stream.env.expect(arrives, segment)

    def retry(self, segment: _Segment) -> None:
        """The retransmission timer of this attempt runs from when it was sent; or the user timeout, if that
        ends first."""
        stream = self.stream
        self.retransmitted += 1
        ends = min(segment.sent_ns + segment.rto_ns, segment.first_ns + stream.user_timeout_ns)
        stream.env.call_at(max(stream.env.now, ends), self._attempt, segment)
        segment.rto_ns = min(2 * segment.rto_ns, RTO_MAX_NS)
        if stream.troubled is not None:
            stream.troubled()


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
