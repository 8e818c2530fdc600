"""Datagrams over a link: each on its own, whole or not at all. What UDP and IP do to an exchange.

Belongs here: fragments, checksums, what is afoot. Never: what the bytes mean, retransmission (whoever sends
has that). Sizes are on the wire. What is larger than a packet goes in fragments (RFC 791 section 3.2), each
with a fate of its own: one that is lost or damaged takes the datagram with it. A whole datagram may come
twice; of a fragment that comes twice, one is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twinloop.sim.kernel.clock import Environment
from twinloop.sim.network.link import Link, Way

IP_BYTES, UDP_BYTES = 20, 8
"""headers: of each fragment (IPv4 without options), of the datagram"""
MTU_BYTES = 1500
FRAGMENT_BYTES = MTU_BYTES - IP_BYTES
"""of a fragment, the UDP header included; divisible by 8, as offsets need it"""
DATAGRAM_BYTES_MAX = 65_507
"""65 535 without the headers: more can't be said in an IPv4 header's length"""
AFOOT_MAX = 256
"""datagrams of one driver on their way, of all its sockets and both ways together; one more is dropped (limit
``datagrams-afoot``)"""

Receive = Callable[[bytes], None]


def packets(size_bytes: int) -> list[int]:
    """The sizes on the wire of a datagram with so many bytes."""
    whole, rest = divmod(UDP_BYTES + size_bytes, FRAGMENT_BYTES)
    return [IP_BYTES + FRAGMENT_BYTES] * whole + ([IP_BYTES + rest] if rest else [])


class _Datagram:
    """One on its way, of which so many fragments haven't come."""

    __slots__ = ("data", "missing")

    def __init__(self, data: bytes, missing: int) -> None:
        self.data, self.missing = data, missing


class Afoot:
    """How many of one driver's are on their way. What a closed socket has sent is, too: who opens and closes
    sockets has no more than others."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class SeesDatagrams(Protocol):
    """Who looks on at a path."""

    def offered(self, up: bool, data: bytes, fates: list[list[tuple[int, bool]]]) -> None:
        """A datagram leaves now; ``fates``: of each of its packets when a copy of it comes, and whether it
        is damaged."""
        ...

    def ruled_out(self, up: bool, size_bytes: int) -> None:
        """A packet of that size, which would have come now, is dropped by a rule of the link."""
        ...


class UdpPath:
    """Between a socket of the gateway's (near) and its peer (far). ``full`` is told of each datagram that
    finds AFOOT_MAX others on their way."""

    __slots__ = ("_afoot", "_down", "_env", "_full", "_up", "far", "near", "seen")

    def __init__(
        self,
        *,
        env: Environment,
        link: Link,
        leg: str,
        near: Receive,
        far: Receive,
        full: Callable[[], None],
        afoot: Afoot,
        via: str = "",
        second: bool = False,
    ) -> None:
        self._env, self.near, self.far, self._full = env, near, far, full
        self._up, self._down = link.legs(leg, via, second)
        self._afoot = afoot
        self.seen: SeesDatagrams | None = None
        if link.watched is not None:
            link.watched(self)

    @property
    def link_name(self) -> str:
        """Over which link."""
        return self._up.link.name

    @property
    def now(self) -> int:
        """The run's instant."""
        return self._env.now

    def send_up(self, data: bytes) -> None:
        """To the far end."""
        if self._room():
            self._offer(self._up, data)

    def send_down(self, data: bytes, in_ns: int = 0) -> None:
        """To the near end, in ``in_ns`` from now: it meets the link as it is then."""
        if self._room():
            self._env.call_in(in_ns, self._offer, self._down, data)

    def _room(self) -> bool:
        if self._afoot.count >= AFOOT_MAX:
            self._full()
            return False
        self._afoot.count += 1
        return True

    def _offer(self, way: Way, data: bytes) -> None:
        """The packets of a datagram that is afoot leave."""
        env = self._env
        sizes = packets(len(data))
        fates = [way.offer(size, env.now) for size in sizes]
        if self.seen is not None:
            self.seen.offered(way.up, data, fates)
        if len(sizes) == 1:
            copies = [at for at, damaged in fates[0] if not damaged]  # damage: the checksum is wrong
            self._afoot.count += len(copies) - 1
            for at in copies:
                env.call_at(at, self._comes, way, sizes[0], _Datagram(data, 1))
            return
        came = [[at for at, damaged in fate if not damaged] for fate in fates]
        if not all(came):
            self._afoot.count -= 1
            return
        datagram = _Datagram(data, len(sizes))
        for size, times in zip(sizes, came, strict=True):
            env.call_at(min(times), self._comes, way, size, datagram)

    def _comes(self, way: Way, size_bytes: int, datagram: _Datagram) -> None:
        """A packet is due; the rules are asked again. Without one of them the others are for nothing."""
        if not datagram.missing:
            return
        if way.link.rules and way.passes(size_bytes, self._env.now) is None:
            datagram.missing = 0
            self._afoot.count -= 1
            if self.seen is not None:
                self.seen.ruled_out(way.up, size_bytes)
            return
        datagram.missing -= 1
        if not datagram.missing:
            self._afoot.count -= 1
            (self.far if way.up else self.near)(datagram.data)
