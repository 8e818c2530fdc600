"""Looking on at a connection: each segment as it leaves, with its bytes and its fate.

Belongs here: which bytes of a stream a segment carries, and what becomes of it. Never: another order, another
draw or another event than without; how it is shown (scenarios/export/). A connection that nobody watches
knows nothing of it: its halves are plain ones. Sequence numbers are TCP's (RFC 9293 section 3.4), from 0 on:
the first segment of the handshake has one, each byte has one, and so has an end.
"""

from __future__ import annotations

from typing import Any, Protocol

from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.network.half import MSS_BYTES
from twinloop.sim.network.link import Way
from twinloop.sim.network.tcp import TcpStream, _Half, _Segment

SYN, DATA, FIN = "syn", "data", "fin"


class Sent:
    """A segment that leaves at ``at_ns``, at ``begins``. ``heard``: the other side's next sequence number, as
    its sender knows it; ``arrives_ns``: NEVER_NS when it is lost; ``kind``: SYN, DATA or FIN; ``answers``: it
    is the second one of a handshake."""

    __slots__ = ("answers", "arrives_ns", "at_ns", "begins", "data", "heard", "kind", "shown", "up")

    def __init__(
        self, *, up: bool, kind: str, begins: int, heard: int, data: bytes, at_ns: int, arrives_ns: int
    ) -> None:
        self.up, self.kind, self.begins, self.heard, self.data = up, kind, begins, heard, data
        self.at_ns, self.arrives_ns = at_ns, arrives_ns
        self.answers = False
        self.shown: Any = None
        """whoever is told may keep something here"""


class SeesSegments(Protocol):
    """Who looks on at a stream."""

    def content(self, payload: Any) -> bytes | None:
        """The bytes of what is sent, None if the simulation has none for it (what ends a stream has its own
        kind)."""
        ...

    def ends(self, payload: Any) -> bool:
        """Is that what ends a stream?"""
        ...

    def left(self, sent: Sent) -> None:
        """A segment leaves."""
        ...

    def ruled_out(self, sent: Sent) -> None:
        """One that was on its way is dropped where it would have arrived."""
        ...

    def unseen(self, up: bool) -> None:
        """A segment leaves of whose content the simulation has only the size."""
        ...


def watch(stream: TcpStream, seen: SeesSegments) -> None:
    """Put watched halves into a stream that was made just now."""
    up, down = TappedHalf(stream.up, seen), TappedHalf(stream.down, seen)
    up.other, down.other = down, up
    stream.up, stream.down = up, down


class _Part:
    """What of the stream a segment carries; ``data`` is None where only its size is known."""

    __slots__ = ("begins", "data", "kind", "sent")

    def __init__(self, begins: int, data: bytes | None, kind: str) -> None:
        self.begins, self.data, self.kind = begins, data, kind
        self.sent: Sent | None = None
        """on its way"""


class TappedWay(Way):
    """A way as one half of one connection uses it: it is the same way, and the half is told."""

    __slots__ = ("_half", "_way")

    def __init__(self, way: Way, half: TappedHalf) -> None:
        self._way, self._half = way, half
        self.link, self.leg, self.up, self.via, self.stats = way.link, way.leg, way.up, way.via, way.stats

    def transit(self, size_bytes: int, now_ns: int) -> int:
        """As the way's."""
        arrives = self._way.transit(size_bytes, now_ns)
        self._half.leaves(now_ns, arrives)
        return arrives

    def offer(self, size_bytes: int, now_ns: int) -> list[tuple[int, bool]]:
        """As the way's; a stream offers what opens it so."""
        fates = self._way.offer(size_bytes, now_ns)
        self._half.shakes(now_ns, fates[0][0] if fates and not fates[0][1] else NEVER_NS)
        return fates

    def passes(self, size_bytes: int, now_ns: int) -> int | None:
        """As the way's."""
        extra = self._way.passes(size_bytes, now_ns)
        if extra is None:
            self._half.stopped(now_ns)
        return extra


class TappedHalf(_Half):
    """One direction, and who looks on at it."""

    __slots__ = ("_cut_at", "_ends", "_leaving", "_parts", "_plain", "_seen", "_shaking", "_whole", "other")
    other: TappedHalf

    def __init__(self, half: _Half, seen: SeesSegments) -> None:
        super().__init__(half.stream, TappedWay(half.way, self), half.receive)
        self._seen = seen
        self._parts: dict[_Segment, _Part] = {}
        """of segments that are in flight, in order"""
        self._cut_at = 1
        """the next sequence number"""
        self._plain: bytes | None = b""
        """what hasn't been cut yet of what is being sent"""
        self._ends = False
        self._whole = 0
        """segments that it still fills"""
        self._leaving: _Segment | None = None
        self._shaking: list[Sent] = []

    @property
    def through(self) -> int:
        """The first sequence number that the other end hasn't got in order."""
        return self._parts[self.flight[0]].begins if self.flight else self._cut_at

    # ---- the stream's own, and what is remembered ------------------------------------------------
    def send(self, payload: Any, size_bytes: int, at_ns: int, by_ns: int = NEVER_NS) -> int:
        """As the half's, which calls this for each whole segment in front of the last one."""
        if payload is not None:
            self._forget()
            self._ends = self._seen.ends(payload)
            self._plain = b"" if self._ends else self._seen.content(payload)
            self._whole = max(1, -(-size_bytes // MSS_BYTES))
        arrives = super().send(payload, size_bytes, at_ns, by_ns)
        self._part(self.flight[-1])
        return arrives

    def leave(self, segment: _Segment, by_ns: int) -> None:
        """As the half's."""
        self._leaving = segment
        super().leave(segment, by_ns)
        self._leaving = None

    def _attempt(self, segment: _Segment) -> None:
        self._leaving = segment
        super()._attempt(segment)
        self._leaving = None

    def retry(self, segment: _Segment) -> None:
        """As the half's: what was on its way has been stopped, if it was on its way."""
        part = self._parts[segment]
        sent, part.sent = part.sent, None
        if sent is not None:
            self._seen.ruled_out(sent)
        super().retry(segment)

    def _forget(self) -> None:
        """What has arrived in order."""
        parts, flight = self._parts, self.flight
        while parts:
            first = next(iter(parts))
            if flight and first is flight[0]:
                return
            del parts[first]

    def _part(self, segment: _Segment) -> _Part:
        found = self._parts.get(segment)
        if found is None:
            found = self._parts[segment] = self._cut(segment)
        return found

    def _cut(self, segment: _Segment) -> _Part:
        """The next piece. Where a segment's size counts more than its content (TLS), each still gets some."""
        begins, plain = self._cut_at, self._plain
        self._whole -= 1
        if plain is None:
            return _Part(begins, None, DATA)
        if self._ends:
            self._cut_at += 1
            return _Part(begins, b"", FIN)
        size = min(MSS_BYTES, len(plain) - self._whole)
        piece, self._plain = plain[:size], plain[size:]
        self._cut_at += len(piece)
        return _Part(begins, piece, DATA)

    # ---- told by the way -------------------------------------------------------------------------
    def leaves(self, now_ns: int, arrives_ns: int) -> None:
        """The segment that was put into flight last, or one that leaves later or again."""
        part = self._part(self._leaving or self.flight[-1])
        if part.data is None:
            self._seen.unseen(self.way.up)
            return
        sent = Sent(
            up=self.way.up, kind=part.kind, begins=part.begins, heard=self.other.through, data=part.data,
            at_ns=now_ns, arrives_ns=arrives_ns,
        )  # fmt: skip
        self._seen.left(sent)
        part.sent = sent if arrives_ns != NEVER_NS else None

    def shakes(self, now_ns: int, arrives_ns: int) -> None:
        """One of the two segments that open a stream: up, then down."""
        up = self.way.up
        sent = Sent(
            up=up, kind=SYN, begins=0, heard=0 if up else 1, data=b"", at_ns=now_ns, arrives_ns=arrives_ns
        )
        sent.answers = not up
        self._seen.left(sent)
        if arrives_ns != NEVER_NS:
            self._shaking.append(sent)

    def stopped(self, now_ns: int) -> None:
        """A rule drops what arrives now: of a segment the stream says so itself, by sending it again."""
        if self.stream.open:
            return
        for sent in self._shaking:
            if sent.arrives_ns == now_ns:
                self._shaking.remove(sent)
                self._seen.ruled_out(sent)
                return
