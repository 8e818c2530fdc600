"""A TCP connection over a way that loses packets: three-way handshake, segments in order, each with a timer
of its own.

Sources: RFC 9293 (handshake), RFC 6298 (a timer that doubles: 200 ms for data, Linux's least; 1 s for SYN,
section 2.1), RFC 5482 (the user timeout). Belongs here: when bytes arrive. Never: what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.oracle.plants import MS, S
from tests.oracle.timeline import CLOSE_NS, Timeline


class Way:
    """One direction: ``carry`` says when a packet arrives, None if never. Packets are numbered as they are
    offered."""

    def __init__(
        self,
        time: Timeline,
        delay_ns: int,
        lost: frozenset[int],
        cuts: tuple[tuple[int, int], ...],
        slow: tuple[tuple[int, int, int], ...],
    ) -> None:
        self.time, self.delay_ns, self.lost, self.cuts, self.slow = time, delay_ns, lost, cuts, slow
        self.offered = 0
        self._last: tuple[int, bool] = -CLOSE_NS, False
        """when the packet before was offered, and was it lost?"""

    def is_cut(self, when: int) -> bool:
        """Is the cable pulled at that instant?"""
        for cut in self.cuts:
            for edge in cut:
                self.time.compare(when, edge)
        return any(since <= when < until for since, until in self.cuts)

    def _delay(self, when: int) -> int:
        """Of a packet that leaves at that instant; those that are on their way keep theirs."""
        for since, until, _ in self.slow:
            self.time.compare(when, since)
            self.time.compare(when, until)
        return next(
            (delay_ns for since, until, delay_ns in self.slow if since <= when < until), self.delay_ns
        )

    def carry(self) -> int | None:
        """A packet leaves now; one that meets a pulled cable has no number."""
        now = self.time.now
        if self.is_cut(now):
            return None
        lost = self.offered in self.lost
        self.offered += 1
        if lost != self._last[1]:
            self.time.compare(now, self._last[0])  # the other one may be the one that is lost
        self._last = now, lost
        arrives = now + self._delay(now)
        return None if lost or self.is_cut(arrives) else arrives


class Segment:
    """Bytes on their way."""

    def __init__(self, what: Any, first_ns: int) -> None:
        self.what, self.first_ns = what, first_ns
        self.timer_ns = 200 * MS
        self.arrives_ns: int | None = None
        self.arrived = False


class Connection:
    """``up`` leads to ``far``, ``down`` to ``near``. ``broke`` is called when it ends against its will."""

    def __init__(
        self,
        time: Timeline,
        up: Way,
        down: Way,
        user_timeout_ns: int,
        far: Callable[[Any], None],
        near: Callable[[Any], None],
        opened: Callable[[], None],
        broke: Callable[[], None],
    ) -> None:
        self.time, self.ways, self.user_timeout_ns = time, (up, down), user_timeout_ns
        self.takers, self.opened, self.broke = (far, near), opened, broke
        self.flights: tuple[list[Segment], list[Segment]] = ([], [])
        self.open = self.over = False
        self._began_ns = time.now
        self._say_syn(1 * S)

    def gave_up(self) -> None:
        """Somebody waits no longer for what comes down: was it about to come?"""
        for segment in self.flights[1]:
            if segment.arrives_ns is not None:
                self.time.compare(segment.arrives_ns, self.time.now)

    def close(self) -> None:
        """At this end, at once."""
        self.over = True

    def _break(self) -> None:
        if not self.over:
            self.over = True
            self.broke()

    def _say_syn(self, timer_ns: int) -> None:
        if self.open or self.over:
            return
        now = self.time.now
        if now >= self._began_ns + self.user_timeout_ns:
            self._break()
            return
        arrives = self.ways[0].carry()
        if arrives is not None:
            self.time.at(arrives, self._say_syn_ack)
        self.time.at(
            min(now + timer_ns, self._began_ns + self.user_timeout_ns), lambda: self._say_syn(2 * timer_ns)
        )

    def _say_syn_ack(self) -> None:
        if self.open or self.over:
            return
        arrives = self.ways[1].carry()
        if arrives is not None:
            self.time.at(arrives, self._open)

    def _open(self) -> None:
        if not self.open and not self.over:
            self.open = True
            self.opened()

    def send(self, direction: int, what: Any, in_ns: int = 0) -> None:
        """0 is up, 1 is down; it leaves ``in_ns`` from now."""
        if self.over:
            return
        segment = Segment(what, self.time.now + in_ns)
        self.flights[direction].append(segment)
        if in_ns:
            self.time.at(segment.first_ns, lambda: self._try(direction, segment))
        else:
            self._try(direction, segment)

    def _try(self, direction: int, segment: Segment) -> None:
        if self.over or segment.arrived:
            return
        now, gives_up_ns = self.time.now, segment.first_ns + self.user_timeout_ns
        if now >= gives_up_ns:
            self._break()
            return
        arrives = self.ways[direction].carry()
        if arrives is not None:
            segment.arrives_ns = arrives
            self.time.at(arrives, lambda: self._arrive(direction, segment))
            return
        self.time.at(min(now + segment.timer_ns, gives_up_ns), lambda: self._try(direction, segment))
        segment.timer_ns *= 2

    def _arrive(self, direction: int, segment: Segment) -> None:
        if self.over:
            return
        segment.arrived = True
        flight = self.flights[direction]
        while flight and flight[0].arrived:
            self.takers[direction](flight.pop(0).what)
            if self.over:
                return
