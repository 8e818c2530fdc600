"""Frames of a capture or a log as exchanges, and exchanges as polls: a file without a driver's calls.

Belongs here: which answer belongs to which request, where a poll begins, writing the file. Never: bytes of
files (packets.py, logs.py), settings of a driver (cli/recordings/exchanges.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from twinloop.components.contract.contract import Framing, Result
from twinloop.components.host.exchange import LengthField
from twinloop.scenarios.exchanges.frames import Seen
from twinloop.scenarios.exchanges.lines import Call, Exchange
from twinloop.scenarios.exchanges.modbus import RTU, TCP, key, parsed

FRAMINGS: dict[str, Framing] = {
    TCP: ("length-field", LengthField(4, 2, True, 0)),
    RTU: ("silence", None),
}
"""protocol -> where its replies end, as the shipped driver says it"""
TIMEOUT: Result = (False, ("timeout", None))
STEP_NS = 1_000_000
"""between two frames of a log without times"""


@dataclass
class Asked:
    """A request and what became of it. ``answer``: None: nothing came."""

    at_ns: int
    request: bytes
    answer: bytes | None = None
    came_ns: int = 0


class Conversation:
    """What was said to one device (one unit of one server). ``unasked``: answers to no request."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self.asked: list[Asked] = []
        self._open: dict[int, list[Asked]] = {}
        """of each connection, the requests that wait"""
        self._pieces: dict[int, Asked] = {}
        """of each connection, what has come of an answer that isn't whole; ``request`` is nobody's"""
        self._now_ns = 0
        self.timed = True
        self.unasked = 0

    def add(self, seen: Seen) -> None:
        """One more frame."""
        self.timed &= seen.at_ns is not None
        at_ns = self._now_ns + STEP_NS if seen.at_ns is None else seen.at_ns
        self._now_ns = at_ns
        waiting = self._open.setdefault(seen.talk, [])
        if seen.asked:
            self._damaged(seen.talk)
            if self._protocol == RTU:
                waiting.clear()  # on a line, who asks again waits no more
            waiting.append(Asked(at_ns, seen.data))
            self.asked.append(waiting[-1])
            return
        if not waiting:
            self.unasked += 1
            return
        piece = self._pieces.pop(seen.talk, None)
        data = seen.data if piece is None else (piece.answer or b"") + seen.data
        frame = parsed(self._protocol, data)
        if frame is None:  # logs have what came in pieces
            self._pieces[seen.talk] = Asked(at_ns, b"", data, at_ns)
            return
        mine = [one for one in waiting if _number(self._protocol, one.request) == frame.transaction]
        one = mine[0] if mine else waiting[-1]  # else a wrong one: to who asked last it is the answer
        one.answer, one.came_ns = data, at_ns
        waiting.remove(one)

    def _damaged(self, talk: int) -> None:
        """What has come is no whole answer, and won't be: that is what who asked last got."""
        piece, waiting = self._pieces.pop(talk, None), self._open.get(talk)
        if piece is not None and waiting:
            one = waiting.pop()
            one.answer, one.came_ns = piece.answer, piece.came_ns

    def over(self) -> None:
        """There is no more."""
        for talk in list(self._pieces):
            self._damaged(talk)

    def polls(self, poll_ns: int) -> Iterator[list[Asked]]:
        """Requests that belong to one poll: a new one begins with the first that comes three quarters of a
        period after the poll's first; where there are no times, with one that was asked before."""
        poll: list[Asked] = []
        keys: dict[bytes, None] = {}
        for one in sorted(self.asked, key=lambda one: one.at_ns):
            wanted = key(self._protocol, one.request)
            again = one.at_ns - poll[0].at_ns >= poll_ns * 3 // 4 if self.timed and poll else wanted in keys
            if poll and again:
                yield poll
                poll, keys = [], {}
            poll.append(one)
            keys[wanted] = None
        if poll:
            yield poll


def _number(protocol: str, data: bytes) -> int | None:
    frame = parsed(protocol, data)
    return None if frame is None else frame.transaction


def unit_of(protocol: str, data: bytes) -> int | None:
    """Whom a frame is for, or from; None when it is damaged."""
    frame = parsed(protocol, data)
    return None if frame is None else frame.unit


def sorted_out(protocol: str, frames: Iterable[Seen]) -> tuple[dict[tuple[str, int], Conversation], int]:
    """((server, unit) -> what was said to it, frames that can't be read): a damaged answer is for whom was
    asked last on that connection."""
    found: dict[tuple[str, int], Conversation] = {}
    last: dict[tuple[str, int], int] = {}
    damaged = 0
    for seen in frames:
        unit, talk = unit_of(protocol, seen.data), (seen.server, seen.talk)
        if seen.asked:
            if unit is None:
                damaged += 1
                continue
            last[talk] = unit
        elif talk not in last:
            damaged += 1
            continue
        elif unit is None or (protocol == RTU and unit != last[talk]) or (seen.server, unit) not in found:
            unit = last[talk]
        found.setdefault((seen.server, unit), Conversation(protocol)).add(seen)
    for said in found.values():
        said.over()
    return found, damaged


def calls(said: Conversation, protocol: str, poll_ns: int) -> Iterator[Call]:
    """A driver's life: it starts, is configured, and polls when somebody else did. 0 is the first poll."""
    yield Call(0, 0, "start", -2)
    yield Call(0, 0, "configure", -1)
    first_ns: int | None = None
    for number, poll in enumerate(said.polls(poll_ns)):
        began_ns = poll[0].at_ns
        first_ns = began_ns if first_ns is None else first_ns
        at_ns = began_ns - first_ns if said.timed else number * poll_ns
        call = Call(0, 0, "read-sensor", at_ns)
        for one in poll:
            after_ns = max(0, one.came_ns - one.at_ns)
            gets = TIMEOUT if one.answer is None else (True, one.answer)
            call.bus.append(
                Exchange(
                    "transact",
                    one.request,
                    FRAMINGS[protocol],
                    after_ns,
                    one.at_ns - began_ns,
                    gets,
                    after_ns,
                )
            )
            call.took_ns = max(call.took_ns, one.at_ns - began_ns + after_ns)
        yield call
