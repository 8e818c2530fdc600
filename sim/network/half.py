"""One direction of a stream: its segments in flight, in Python.

Belongs here: what leaves, what arrives in order, what is sent again. Never: handshakes, who asks (tcp.py:
others import from there), which a process has. The compiled part (sim/native/streams.c) has Half and Segment
by the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any, Protocol

from twinloop.sim.kernel.timeline import MS, NEVER_NS, NORMAL, Environment, Occurrence, S
from twinloop.sim.network.link import Way

RTO_NS = 200 * MS
RTO_MAX_NS = 60 * S
HEADER_BYTES = 40
"""IPv4 and TCP without options"""
MSS_BYTES = 1460

Receive = Callable[[Any], None]


class Stream(Protocol):
    """Whose direction it is: Stream."""

    env: Environment
    broken: bool
    open: bool
    user_timeout_ns: int
    troubled: Callable[[], None] | None

    def break_off(self) -> None:
        """It ends against its will."""
        ...


class Segment(Occurrence):
    """A segment on its way; it is its own departure, if that is still to come, and its own arrival on the
    timeline."""

    __slots__ = ("arrived", "by_ns", "first_ns", "half", "payload", "rto_ns", "sent_ns", "size_bytes")

    half: Half
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


class Half:
    """One direction: segments in flight, in order."""

    __slots__ = ("env", "flight", "link", "receive", "retransmitted", "stream", "way")

    def __init__(self, stream: Stream, way: Way, receive: Receive) -> None:
        self.stream, self.way, self.receive = stream, way, receive
        self.env, self.link = stream.env, way.link  # asked for each segment
        self.flight: list[Segment] = []  # short; an empty deque weighs 760 bytes, twice a device
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
            Segment()
        )  # what a constructor would do, without the price of calling one: four in each poll
        segment.half, segment.payload, segment.size_bytes = self, payload, size_bytes
        segment.first_ns = segment.sent_ns = at_ns
        segment.arrived, segment.by_ns, segment.rto_ns = False, None, RTO_NS
        self.flight.append(segment)
        env = self.env
        if at_ns > env.now:  # it meets the link as it is then
            segment.by_ns = by_ns
            heappush(env._queue, (at_ns, NORMAL, next(env._eid), segment))  # type: ignore[misc]  # expect
            return at_ns
        arrives = self.way.transit(size_bytes, at_ns)
        if arrives == NEVER_NS:
            self.retry(segment)
        else:
            heappush(env._queue, (arrives, NORMAL, next(env._eid), segment))  # type: ignore[misc]  # expect
        return arrives

    def leave(self, segment: Segment, by_ns: int) -> None:
        """The device has its answer."""
        segment.by_ns, env = None, self.env
        arrives = self.way.transit(segment.size_bytes, env.now)
        if arrives == NEVER_NS:
            self.retry(segment)
            return
        heappush(env._queue, (arrives, NORMAL, next(env._eid), segment))  # type: ignore[misc]  # expect
        if arrives >= by_ns and self.stream.troubled is not None:
            self.stream.troubled()

    def _attempt(self, segment: Segment) -> None:
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

    def retry(self, segment: Segment) -> None:
        """The retransmission timer of this attempt runs from when it was sent; or the user timeout, if that
        ends first."""
        stream = self.stream
        self.retransmitted += 1
        ends = min(segment.sent_ns + segment.rto_ns, segment.first_ns + stream.user_timeout_ns)
        stream.env.call_at(max(stream.env.now, ends), self._attempt, segment)
        segment.rto_ns = min(2 * segment.rto_ns, RTO_MAX_NS)
        if stream.troubled is not None:
            stream.troubled()
