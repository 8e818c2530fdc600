"""One figure of every device: what cells of all devices say, and by what the table is sorted.

Belongs here: columns, made when somebody looks. Never: what a single device shows (watch.py), signs
(screens/heat.py). Kept from poll to poll are three numbers a device.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.snapshot import SLOT_STATES
from twinloop.sim.world import World
from twinloop.tui.engine.figures import LATENCY, QUALITY, UNKNOWN

SHARES = (0.0, 0.01, 0.1, 0.5)
"""of a device's points that went wrong, or whose value isn't good: above each begins the next level"""
Column = np.ndarray[Any, Any]


class EachDevice:
    """Of one world. ``worst_ns``: the longest latency at the gateway, NEVER_NS when a sample never got its
    verdict, 0 before there is one."""

    def __init__(self, world: World) -> None:
        self._world = world
        count = len(world.spec.devices)
        self.worst_ns, self.missed, self.lost = (array("q", bytes(8 * count)) for _ in range(3))
        self._worst_ns = np.frombuffer(self.worst_ns, np.int64)  # the same memory
        self._fleet_of = np.array([device.fleet for device in world.spec.devices], np.int64)
        self._poll_ns = np.array([device.poll_ns for device in world.spec.devices], np.int64)

    def came(self, samples: Column | None) -> None:
        """Samples with their verdict (None: none): (n, 4), device, points, latency, when it was due."""
        if samples is not None:
            np.maximum.at(self._worst_ns, samples[:, 0], samples[:, 2])

    def ended(self, device: int, points: int, end: End) -> None:
        """So many points were missed or lost."""
        column = self.missed if end is End.MISSED else self.lost
        column[device] += points

    def by_fleet(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(missed, lost) points of each fleet."""
        fleets = len(self._world.spec.fleets)
        missed, lost = (
            np.bincount(self._fleet_of, _copied(column), fleets).astype(np.int64).tolist()
            for column in (self.missed, self.lost)
        )
        return tuple(missed), tuple(lost)

    def due_by_fleet(self) -> tuple[int, ...]:
        """Points of each fleet that were due."""
        due = np.zeros(len(self._world.spec.fleets), np.int64)
        np.add.at(due, self._fleet_of, np.array(self._world.ledger.due_of, np.int64))
        return tuple(due.tolist())

    # ---- cells -----------------------------------------------------------------------------------
    def levels(self, of: str, budget_ns: int) -> bytes:
        """A level a device: of LATENCY 0 to half of the budget (0: of the time between two polls), 1 to all
        of it, 2 beyond, 3 never; else how many of SHARES are exceeded. UNKNOWN: nothing is known yet."""
        if of == LATENCY:
            worst = _copied(self.worst_ns)
            bound = np.full(len(worst), budget_ns, np.int64) if budget_ns else self._poll_ns
            level = np.sum((worst > bound // 2, worst > bound, worst >= NEVER_NS), axis=0)
            return _bytes(level, worst == 0)
        part, whole = self._not_good() if of == QUALITY else self._wrong()
        level = np.searchsorted(SHARES, part / np.maximum(1, whole), side="left")
        return _bytes(level, whole == 0)

    def _wrong(self) -> tuple[Column, Column]:
        due = np.array(self._world.ledger.due_of, np.int64)
        return _copied(self.missed) + _copied(self.lost), due

    def _not_good(self) -> tuple[Column, Column]:
        """Readings that drivers returned as uncertain or bad, and all."""
        ledger = self._world.ledger
        good = np.array(ledger.good_of, np.int64)
        others = np.zeros(len(good), np.int64)
        for (device, _), points in ledger.status_of.items():
            others[device] += points
        return others, good + others

    # ---- order -----------------------------------------------------------------------------------
    def order(self, by: str, read_ns: list[int]) -> Column | None:
        """By what a table's column is sorted, the least first: the worst come first. None: it isn't sorted by
        a figure that changes."""
        if by == "missed":
            return -_copied(self.missed)
        if by == "lost":
            return -_copied(self.lost)
        if by == "age":
            return np.array(read_ns, np.int64)
        if by == "driver":
            state = np.zeros(len(self._fleet_of), np.int8)
            for gateway in self._world.gateways:
                if gateway.member.sends:
                    for poller in gateway.pollers:
                        state[poller.index] = SLOT_STATES.index(poller.slot.state)
            # in the order of the alphabet, as text is sorted
            return np.argsort(np.argsort(SLOT_STATES))[state]
        return None


def _copied(column: array[int]) -> Column:
    return np.array(column, np.int64)


def _bytes(level: Column, unknown: Column) -> bytes:
    return np.where(unknown, UNKNOWN, level).astype(np.uint8).tobytes()
