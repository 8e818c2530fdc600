"""A reliable stream over a link: in order, nothing lost, late instead. What TCP does to the timing of an exchange.

Belongs here: handshake, retransmission, stall and break. Never: what the bytes mean. Sizes are on the wire.
Modelled: one segment a write (split at the MSS), retransmission timeout 200 ms doubling (RFC 6298 section 5.5; 200 ms is
Linux's minimum), SYN after 1 s (RFC 6298 section 2.1), head-of-line blocking, break when a segment stays unacknowledged
for ``user_timeout`` (RFC 5482). Not modelled, and said so: lost acknowledgements (they are cumulative), congestion
window, fast retransmit; a link's rate alone limits throughput.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sim.clock import MS, S, Environment
from sim.link import Link, Way

RTO_NS = 200 * MS
RTO_MAX_NS = 60 * S
SYN_RTO_NS = 1 * S
USER_TIMEOUT_NS = 10 * S
HEADER_BYTES = 40
"""IPv4 and TCP without options"""
MSS_BYTES = 1460

Receive = Callable[[Any], None]


class _Segment:
    __slots__ = ("arrived", "attempts", "first_ns", "payload", "rto_ns", "size_bytes")

    def __init__(self, payload: Any, size_bytes: int, now_ns: int) -> None:
        self.payload, self.size_bytes, self.first_ns = payload, size_bytes, now_ns
        self.arrived = False
        self.attempts = 0
        self.rto_ns = RTO_NS


class _Half:
    """One direction: segments in flight, in order."""

    __slots__ = ("flight", "receive", "retransmitted", "stream", "way")

    def __init__(self, stream: Stream, way: Way, receive: Receive) -> None:
        self.stream, self.way, self.receive = stream, way, receive
        self.flight: deque[_Segment] = deque()
        self.retransmitted = 0

    def send(self, payload: Any, size_bytes: int) -> None:
        env = self.stream.env
        while size_bytes > MSS_BYTES:
            self._launch(_Segment(None, MSS_BYTES + HEADER_BYTES, env._now))
            size_bytes -= MSS_BYTES
        self._launch(_Segment(payload, size_bytes + HEADER_BYTES, env._now))

    def _launch(self, segment: _Segment) -> None:
        self.flight.append(segment)
        self._attempt(segment)

    def _attempt(self, segment: _Segment) -> None:
        if self.stream.broken or segment.arrived:
            return
        env = self.stream.env
        now = env._now
        if now - segment.first_ns >= self.stream.user_timeout_ns:
            self.stream.break_off()
            return
        segment.attempts += 1
        arrivals = self.way.offer(segment.size_bytes, now)
        for at, corrupted in arrivals:
            if not corrupted:
                env.call_at(at, self._due, segment)
        if not arrivals or all(corrupted for _, corrupted in arrivals):
            self._retry(segment)

    def _retry(self, segment: _Segment) -> None:
        """The retransmission timer of this attempt runs from now; or the user timeout, if that ends first."""
        self.retransmitted += 1
        left = segment.first_ns + self.stream.user_timeout_ns - self.stream.env._now
        self.stream.env.call_in(max(0, min(segment.rto_ns, left)), self._attempt, segment)
        segment.rto_ns = min(2 * segment.rto_ns, RTO_MAX_NS)

    def _due(self, segment: _Segment) -> None:
        if self.stream.broken or segment.arrived:
            return
        if self.way.link.rules and self.way.passes(segment.size_bytes, self.stream.env._now) is None:
            self._retry(segment)
            return
        segment.arrived = True
        flight = self.flight
        while flight and flight[0].arrived:
            first = flight.popleft()
            if first.payload is not None:
                self.receive(first.payload)
                if self.stream.broken:
                    return


class Stream:
    """A connection between the gateway (near) and its peer (far). Callbacks run at the instant of the event."""

    def __init__(
        self, env: Environment, link: Link, leg: str, near: Receive, far: Receive, lost: Callable[[], None],
        user_timeout_ns: int = USER_TIMEOUT_NS,
    ) -> None:  # fmt: skip
        up, down = link.legs(leg)
        self.env, self.user_timeout_ns, self.lost = env, user_timeout_ns, lost
        self.broken = False
        self.open = False
        self._up, self._down = _Half(self, up, far), _Half(self, down, near)

    def connect(self, opened: Callable[[], None]) -> None:
        """Three-way handshake: ``opened`` after SYN and SYN-ACK; ``lost`` after the user timeout."""
        started = self.env._now

        def attempt(rto_ns: int) -> None:
            if self.open or self.broken:
                return
            now = self.env._now
            if now - started >= self.user_timeout_ns:
                self.break_off()
                return
            for at, corrupted in self._up.way.offer(HEADER_BYTES, now)[:1]:
                if not corrupted:
                    self.env.call_at(at, answer)
            left = started + self.user_timeout_ns - now
            self.env.call_in(min(rto_ns, left), attempt, 2 * rto_ns)

        def answer() -> None:
            now = self.env._now
            if self.open or self.broken or self._up.way.passes(HEADER_BYTES, now) is None:
                return
            for at, corrupted in self._down.way.offer(HEADER_BYTES, now)[:1]:
                if not corrupted:
                    self.env.call_at(at, done)

        def done() -> None:
            if self.open or self.broken or self._down.way.passes(HEADER_BYTES, self.env._now) is None:
                return
            self.open = True
            opened()

        attempt(SYN_RTO_NS)

    def send_up(self, payload: Any, size_bytes: int) -> None:
        """To the far end; ignored on a broken stream (its ``lost`` has said so)."""
        if not self.broken:
            self._up.send(payload, size_bytes)

    def send_down(self, payload: Any, size_bytes: int) -> None:
        """To the near end."""
        if not self.broken:
            self._down.send(payload, size_bytes)

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
        return self._up.retransmitted + self._down.retransmitted
