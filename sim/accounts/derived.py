"""Derived readings: what transforms added to what was read, counted beside the ledger.

Belongs here: how many there were, and the one end of each. Never: samples (ledger.py), which points may be
added (sim/gateway/deriving.py). A derived reading is one (device, k, name), whoever of a pair made it; what
each gateway holds of it is a copy. It travels in a message with readings or alone, and ends as that does.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.model.statuses import quality
from twinloop.sim.accounts.rows import BETTER, CAUSES, End, Row, Share
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.trace import Trace

Booked = tuple[int, str, End, str, str]
"""(device, name, end, cause, quality)"""
_WORST = -2 * len(BETTER), False


class Reading:
    """One derived reading. ``copies``: those that are open; ``booked``: how it has ended."""

    __slots__ = ("booked", "copies", "counted", "delivered", "device", "given_up", "k", "name", "rank")

    def __init__(self, device: int, k: int, name: str) -> None:
        self.device, self.k, self.name = device, k, name
        self.copies = 0
        self.delivered = False
        self.counted: tuple[int, str, str] | None = None
        """as which of ``produced``"""
        self.booked: Booked | None = None
        self.given_up: Booked | None = None
        """the best that became of the copies that have ended, by ``rank``"""
        self.rank = _WORST


class Copy:
    """What one gateway holds of a reading."""

    __slots__ = ("open", "reading", "row", "status")

    def __init__(self, reading: Reading, row: Row, status: int) -> None:
        self.reading, self.row, self.status = reading, row, status
        self.open = True


class Derived:
    """Of one run: all zeros and empty where no transform derives."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.names_of: dict[int, tuple[str, ...]] = {}
        """device -> what may be derived for it"""
        self.units: dict[str, tuple[str, ...]] = {}
        """name -> unit, of all that are declared; several if transforms differ"""
        self.instants_of: dict[int, Callable[[], int]] = {}
        """device -> at how many instants something of it was due so far"""
        self.produced: dict[tuple[int, str, str], int] = {}
        """(device, name, quality) -> readings"""
        self.ends: dict[Booked, int] = {}
        self.open = self.duplicates = 0

    def declare(self, device: int, units: dict[str, str], instants: Callable[[], int]) -> None:
        """These may be derived for a device."""
        self.names_of[device] = tuple(dict.fromkeys([*self.names_of.get(device, ()), *units]))
        for name, unit in units.items():
            self.units[name] = tuple(dict.fromkeys([*self.units.get(name, ()), unit]))
        self.instants_of[device] = instants

    def due(self, device: int) -> int:
        """How many readings of one name there could be: one for each instant at which something was due."""
        return self.instants_of[device]()

    # ---- copies ----------------------------------------------------------------------------------
    def produce(self, row: Row, name: str, status: int, leads: bool) -> Copy:
        """A transform has added it to what was read of ``row``. A standby's copy counts when it matters."""
        reading = Reading(row.device, row.k, name) if row.whole is None else self._shared(row, name)
        reading.copies += 1
        if leads or row.whole is None:
            self._count(reading, status)
        self._trace.emit("derived", row.device, row.k, name, "produced", "" if not status else f"{status:x}")
        return Copy(reading, row, status)

    @staticmethod
    def _shared(row: Row, name: str) -> Reading:
        assert row.whole is not None
        known = row.whole.derived
        reading = known.get(name)
        if reading is None:
            reading = known[name] = Reading(row.device, row.k, name)
        assert isinstance(reading, Reading)
        return reading

    def _count(self, reading: Reading, status: int) -> None:
        if reading.counted is None:
            key = reading.counted = reading.device, reading.name, quality(status)
            self.produced[key] = self.produced.get(key, 0) + 1
            self.open += 1

    def end(self, copy: Copy, end: End, cause: str) -> None:
        """A gateway's copy is gone; the reading ends with the last of them, as the best that became of
        them."""
        reading, row = copy.reading, copy.row
        if not copy.open or cause not in CAUSES[end]:
            again = "for an unknown cause" if copy.open else "a second time"
            raise InvariantError(
                f"derived {reading.name} of device {reading.device} k={reading.k} ended {again}, as "
                f"{end.value} {cause!r}"
            )
        copy.open = False
        reading.copies -= 1
        own = not isinstance(row, Share) or row.led or bool(row.cared)
        rank = BETTER.index(end) - (0 if own else len(BETTER)), own
        if rank >= reading.rank:
            reading.rank = rank
            reading.given_up = reading.device, reading.name, end, cause, quality(copy.status)
        if own:
            self._count(reading, copy.status)
        if reading.counted is not None and not reading.copies and not reading.delivered:
            assert reading.given_up is not None
            self._book(reading, reading.given_up)

    def deliver(self, copy: Copy) -> bool:
        """The cloud has a copy; was it the first time that it got the reading?"""
        reading = copy.reading
        if copy.open:
            copy.open = False
            reading.copies -= 1
        elif reading.booked is not None and not reading.delivered and copy.row.whole is None:
            return False  # it was given up, and came nevertheless: the end that it has stands
        if reading.delivered:
            self.duplicates += 1
            return False
        self._count(reading, copy.status)
        reading.delivered = True
        self._book(reading, (reading.device, reading.name, End.DELIVERED, "", quality(copy.status)))
        return True

    def withdraw(self, copy: Copy) -> None:
        """The sample will be read once more, and nothing that was made of it has gone anywhere."""
        reading = copy.reading
        copy.open = False
        reading.copies -= 1
        if reading.counted is not None and not reading.copies and reading.booked is None:
            self.produced[reading.counted] -= 1
            self.open -= 1
            reading.counted = None

    def _book(self, reading: Reading, key: Booked) -> None:
        """Its end; of a pair a better one may come in its place."""
        if reading.booked == key:
            return
        if reading.booked is None:
            self.open -= 1
        else:
            self.ends[reading.booked] -= 1
        reading.booked = key
        self.ends[key] = self.ends.get(key, 0) + 1
        self._trace.emit("derived", reading.device, reading.k, reading.name, key[2].value, key[3])

    # ---- asking ----------------------------------------------------------------------------------
    @property
    def total(self) -> int:
        """All that were produced."""
        return sum(self.produced.values())

    def audit(self) -> None:
        """At the end: each has exactly one end; raises InvariantError."""
        left: dict[tuple[int, str], int] = {}
        for (device, name, _), count in self.produced.items():
            left[device, name] = left.get((device, name), 0) + count
        for (device, name, *_), count in self.ends.items():
            left[device, name] = left.get((device, name), 0) - count
        for (device, name), count in left.items():
            if count:
                raise InvariantError(f"derived {name} of device {device}: {count} more produced than ended")
        if self.open:
            raise InvariantError(f"{self.open} derived readings are still open at the end")


class Riding:
    """The derived readings of one batch, or of one message: bit of the gateway's table -> copy."""

    __slots__ = ("_account", "copies")

    def __init__(self, account: Derived, copies: dict[int, Copy]) -> None:
        self._account, self.copies = account, copies

    @property
    def open(self) -> bool:
        """Is one of them on its way?"""
        return any(copy.open for copy in self.copies.values())

    def part(self, mask: int) -> Riding:
        """Some of them."""
        return Riding(self._account, {bit: copy for bit, copy in self.copies.items() if bit & mask})

    def hand_over(self, mask: int) -> None:
        """Some of them are in a message's care now."""
        self.copies = {bit: copy for bit, copy in self.copies.items() if not bit & mask}

    def end(self, end: End, cause: str = "") -> None:
        """What of them is open ends so."""
        for copy in self.copies.values():
            if copy.open:
                self._account.end(copy, end, cause)

    def deliver(self) -> int:
        """The cloud has them; returns how many it hadn't."""
        return sum([self._account.deliver(copy) for copy in self.copies.values()])

    def withdraw(self) -> None:
        """They will be made once more."""
        for copy in self.copies.values():
            self._account.withdraw(copy)
