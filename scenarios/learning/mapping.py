"""Which registers of a device exist: tables that answer, holes, the largest read, who it says it is.

Belongs here: which request comes next, and what its answer means. Never: sockets (devices/live/asking.py),
what registers mean (guessing.py). Only functions 1 to 4 and 43 are used: nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from twinloop.devices.live.asking import Answer
from twinloop.devices.model.points import BITS
from twinloop.devices.model.profile import READ_MAX

SUNSPEC_BASES = (0, 40_000, 50_000)
SUNSPEC_MARK = (0x5375, 0x6E53)
"""SunS, in the two registers before a device's models (SunSpec Device Information Model Specification)"""
BITS_MAX = 2000
"""of one read of coils or discrete inputs (MODBUS Application Protocol V1.1b3 sections 6.1 and 6.2)"""
REQUESTS_MAX = 2000
"""to find what is there, unless more are allowed"""
SILENCES_MAX = 16
"""in a row; then a device that has answered answers no more. As many as a device needs that is silent when it
is asked too much: seven sizes from 125 down, twice each"""
FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2
ADDRESS_MAX = 65_535
NO_PATH, NO_TARGET = 10, 11
"""a gateway's own exceptions: nobody with that unit id behind it"""


class Asker(Protocol):
    """Who asks the device."""

    def read(self, table: str, address: int, count: int) -> Answer:
        """Registers or bits."""
        ...

    def identity(self) -> tuple[dict[int, str], Answer]:
        """Objects of Read Device Identification."""
        ...


class NoUnit(Exception):
    """A gateway says that it has no such unit: ``args`` is its exception."""


class Stopped(Exception):
    """There will be no more: the bound is reached, or the device has fallen silent. ``str`` says which."""


@dataclass(slots=True)
class Mapped:
    """What is known. ``there[table]``: address -> what it held when it was found; ``absent``: table -> the
    exception that its function is answered with; ``most``, ``too_many``: addresses of one read that were
    answered, and refused for their number; ``codes``: exception -> how often."""

    there: dict[str, dict[int, int]] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    too_many: dict[str, int] = field(default_factory=dict)
    identity: dict[int, str] = field(default_factory=dict)
    identifies: bool = False
    requests: int = 0
    silences: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    took_ns: list[int] = field(default_factory=list)
    sunspec: int | None = None
    """where a SunSpec map begins"""

    def islands(self, table: str) -> list[tuple[int, int]]:
        """(first address, how many) of each run of addresses that exist."""
        runs: list[tuple[int, int]] = []
        for address in sorted(self.there.get(table, ())):
            if runs and sum(runs[-1]) == address:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((address, 1))
        return runs

    def holes(self, table: str) -> list[tuple[int, int]]:
        """(first address, how many) of each run between two islands."""
        runs = self.islands(table)
        return [(sum(a), b[0] - sum(a)) for a, b in pairwise(runs)]

    def blocks(self) -> list[tuple[str, int, int]]:
        """(table, first address, how many) of reads that were answered, for all that is there."""
        found = []
        for table in self.there:
            size = max(self.most.get(table, 1), 1)
            for first, count in self.islands(table):
                found += [
                    (table, at, min(size, first + count - at)) for at in range(first, first + count, size)
                ]
        return found

    def largest_read(self) -> tuple[int, bool]:
        """Registers of one read, and whether it was seen that one more is refused."""
        tables = [table for table in self.there if table not in BITS and table in self.most]
        known = [self.most[table] for table in tables if self.too_many.get(table) == self.most[table] + 1]
        if known:
            return min(known), True
        return max((self.most[table] for table in tables), default=0), False


class Mapper:
    """Finds what is there, into ``found``. ``requests_max``: so many requests are made for it, and then
    ``Stopped`` is raised."""

    def __init__(self, asker: Asker, requests_max: int = REQUESTS_MAX) -> None:
        self._asker, self._requests_max = asker, requests_max
        self._quiet = 0
        self.found = Mapped()

    # ---- one request -----------------------------------------------------------------------------
    def read(self, table: str, address: int, count: int) -> Answer:
        """One read, counted; one that is silent is made once more. Raises Stopped."""
        answer = self._once(table, address, count)
        return self._once(table, address, count) if answer.silent else answer

    def _once(self, table: str, address: int, count: int) -> Answer:
        found = self.found
        if found.requests >= self._requests_max:
            raise Stopped(
                f"{self._requests_max} requests are made, and no more (--requests): from {table} {address} "
                f"on nothing is known"
            )
        found.requests += 1
        answer = self._asker.read(table, address, count)
        if answer.silent:
            found.silences += 1
            self._quiet += 1
            if self._quiet >= SILENCES_MAX:
                raise Stopped(f"the device answers no more: {self._quiet} requests in a row, the last one of "
                    f"{count} from {table} {address}")  # fmt: skip
            return answer
        self._quiet = 0
        if answer.words is not None:
            found.took_ns.append(answer.took_ns)
        if answer.code:
            found.codes[answer.code] = found.codes.get(answer.code, 0) + 1
        return answer

    def identify(self) -> Answer:
        """Function 43/14."""
        self.found.requests += 1
        objects, answer = self._asker.identity()
        if not answer.silent:
            self._quiet = 0
        self.found.identity = objects
        self.found.identifies = bool(objects) or (not answer.silent and answer.code != ILLEGAL_FUNCTION)
        return answer

    def contact(self, tables: Mapping[str, int]) -> bool:
        """Does anything come back at all? ``tables``: each with an address to try. Raises NoUnit."""
        answers = [self.identify()]
        for table, first in tables.items():
            if not answers[-1].silent:
                break
            answers.append(self.read(table, first, 1))
        if answers[-1].code in (NO_PATH, NO_TARGET):
            raise NoUnit(answers[-1].code)
        return not answers[-1].silent

    # ---- what is there ---------------------------------------------------------------------------
    def explore(self, ranges: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """Each range (first address, last address) of each table. Raises Stopped."""
        for table, asked in ranges.items():
            for first, last in asked:
                if table not in self.found.absent:
                    self._range(table, first, last)
        for table in ranges:
            if table not in BITS and self.found.there.get(table):
                self._largest(table)
        if "holding" in ranges and "holding" not in self.found.absent:
            for first in SUNSPEC_BASES:
                if self.read("holding", first, 2).words == SUNSPEC_MARK:
                    self.found.sunspec = first

    def _range(self, table: str, first: int, last: int) -> None:
        """A refused block is halved until it answers or is one address: that is a hole. Blocks grow again by
        doubling, so a hole of n addresses costs about n requests, and n registers that are there about
        log2(n)."""
        found = self.found
        there = found.there.setdefault(table, {})
        most = BITS_MAX if table in BITS else READ_MAX
        at, size = first, most
        doubted: tuple[int, int] | None = None
        while at <= last:
            count = min(size, last - at + 1, found.too_many.get(table, most + 1) - 1)
            answer = self.read(table, at, count)
            if answer.words is not None:
                there.update(zip(range(at, at + count), answer.words, strict=True))
                found.most[table] = max(found.most.get(table, 0), count)
                at += count
                if doubted and at >= sum(doubted):  # all of it is there: it was too many
                    found.too_many[table] = min(found.too_many.get(table, most + 1), doubted[1])
                    doubted = None
                size = min(2 * size, most)
            elif answer.code == ILLEGAL_FUNCTION:
                found.absent[table] = answer.code
                return
            elif answer.code in (NO_PATH, NO_TARGET) and not there:
                raise NoUnit(answer.code)
            elif count > 1:
                doubted, size = (at, count), count // 2
            else:
                doubted = None
                at, size = at + 1, 1

    def _largest(self, table: str) -> None:
        """By bisection. A block that is refused though each of its registers exists is too large; one that
        reaches beyond them is, when it is refused with exception 03, and a missing register with 02."""
        found = self.found
        first, there = max(found.islands(table), key=lambda run: run[1])
        most = min(READ_MAX, there)
        unknown = found.too_many.get(table) is None and found.most[table] < most
        if unknown and not self._fits(table, first, most, there):
            found.too_many[table] = most
        if found.too_many.get(table) is None and most < min(READ_MAX, 65_536 - first):
            most = min(READ_MAX, 65_536 - first)
            if self._tells(table, first + there) and not self._fits(table, first, most, there):
                found.too_many[table] = most
        low, high = found.most[table], found.too_many.get(table)
        if high is None:
            return
        while high - low > 1:
            middle = (low + high) // 2
            if self._fits(table, first, middle, there):
                low = middle
            else:
                high = middle
        found.most[table], found.too_many[table] = low, high

    def _tells(self, table: str, behind: int) -> bool:
        """Does the device say 02 of a register that doesn't exist, so that 03 speaks of the size?"""
        return behind <= ADDRESS_MAX and self.read(table, behind, 1).code == ILLEGAL_ADDRESS

    def _fits(self, table: str, first: int, asked: int, there: int) -> bool:
        found = self.found
        answer = self.read(table, first, asked)
        if answer.words is not None:
            found.there[table].update(zip(range(first, first + asked), answer.words, strict=True))
            found.most[table] = max(found.most[table], asked)
            return True
        return asked > there and answer.code == ILLEGAL_ADDRESS
