"""Registers that a recording showed, and when: what a read is answered from that the field was never asked.

Belongs here: gathering them, the nearest in time, what this very call says of them. Never: when one is needed
(bus.py).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from twinloop.components.contract.contract import Result
from twinloop.scenarios.exchanges.lines import Call, Exchange, Place
from twinloop.scenarios.exchanges.modbus import Asked, parsed, read_of, shown

VALUES_MAX = 20_000_000
"""that are kept of a recording, 10 bytes each; later ones of a longer one aren't, which is said"""


OF_THE_BLOCK = (2, 3)
"""exceptions that say something of the block that was asked for, and nothing of a smaller one: illegal data
address, illegal data value"""
Nearest = Callable[[Asked, int], "list[int] | None"]


def _pairs(bus: Sequence[Exchange]) -> Iterator[tuple[bytes, Result | None, int]]:
    """Each request with what came next, and when that was, in ns since the call began."""
    sent = b""
    for one in bus:
        if one.op in ("transact", "send"):
            sent = one.asks
        if one.op in ("transact", "receive"):
            yield sent, one.gets, one.at_ns + one.after_ns


class Evidence:
    """What the exchanges of one call say of a read that wasn't among them, by address. ``refused``: the
    PDU of an exception; ``silent``: nobody answered."""

    def __init__(self, protocol: str, bus: Sequence[Exchange], asked: Asked) -> None:
        self.values: dict[int, int] = {}
        self.refused: dict[int, bytes] = {}
        self.silent: dict[int, None] = {}
        wanted = range(asked.address, asked.address + asked.many)
        for sent, gets, _ in _pairs(bus):
            read = read_of(protocol, sent)
            if read is None or read[:2] != asked[:2]:
                continue
            both = [at for at in range(read.address, read.address + read.many) if at in wanted]
            if gets is None or not gets[0]:
                self.silent |= dict.fromkeys(both)
                continue
            found, frame = shown(protocol, sent, gets[1]), parsed(protocol, gets[1])
            if found is not None:
                self.values |= {at: found[1][at - read.address] for at in both}
            elif frame is not None and _refuses(frame.pdu, read, len(both) == read.many):
                self.refused |= dict.fromkeys(both, frame.pdu)

    def refusal(self) -> bytes | None:
        """The exception that answers the read, if one does."""
        return next((pdu for at, pdu in self.refused.items() if at not in self.values), None)

    def silence(self) -> bool:
        """Would nobody answer?"""
        return any(at not in self.values for at in self.silent)


def _refuses(pdu: bytes, read: Asked, whole: bool) -> bool:
    """Is it an exception to that read, and one for another read, too, that asks for its ``whole`` or for a
    part?"""
    exception = len(pdu) == 2 and pdu[0] == read.function | 0x80
    return exception and (whole or pdu[1] not in OF_THE_BLOCK)


class Room:
    """For values of all devices of a recording. ``full``: there was more than is kept."""

    def __init__(self) -> None:
        self._left = VALUES_MAX
        self.full = False

    def take(self, many: int) -> bool:
        """Is there room for so many more?"""
        self.full |= many > self._left
        self._left -= many if not self.full else 0
        return not self.full


class Registers:
    """Of one device. ``room``: for its values and those of others."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._times: dict[tuple[int, int, int], array[int]] = {}
        self._values: dict[tuple[int, int, int], array[int]] = {}

    def gather(self, place: Place, calls: Iterable[Call]) -> None:
        """All that these calls, in order of time, have been shown."""
        for call in calls:
            for sent, gets, came_ns in _pairs(call.bus):
                if gets is not None and gets[0]:
                    self._keep(place.protocol, sent, gets[1], call.at_ns + came_ns)

    def _keep(self, protocol: str, request: bytes, answer: bytes, at_ns: int) -> None:
        found = shown(protocol, request, answer)
        if found is None:
            return
        asked, values = found
        if not self._room.take(len(values)):
            return
        for offset, value in enumerate(values):
            at = asked.unit, asked.function, asked.address + offset
            self._times.setdefault(at, array("q")).append(at_ns)
            self._values.setdefault(at, array("H")).append(value)

    def nearest(self, asked: Asked, at_ns: int) -> list[int] | None:
        """Each as it was shown nearest to that instant, of two as near the earlier; None when one of them
        never was."""
        found = []
        for address in range(asked.address, asked.address + asked.many):
            key = asked.unit, asked.function, address
            times = self._times.get(key)
            if times is None:
                return None
            after = bisect_left(times, at_ns)
            before = after - 1
            if after == len(times) or (before >= 0 and at_ns - times[before] <= times[after] - at_ns):
                after = before
            found.append(self._values[key][after])
        return found
