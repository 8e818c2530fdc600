"""A served Modbus TCP port whose devices have manners of connection.

Belongs here: who is let in, who is dropped, who is hung up on. Never: manners that requests decide
(devices/modbus/mannered.py). A port holds many devices as units, and a connection is the port's: so it has
such a manner when all of its devices have it, and then the strictest count of connections and the longest
patience. A port can't refuse what the machine has accepted: a connection too many is closed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twinloop.devices.modbus.mannered import Doors
from twinloop.sim.serving.modbus import ModbusCaller
from twinloop.sim.serving.plant import ServedPlant, Write


class ServedPort:
    """One port. ``units``: unit id -> index of a device."""

    def __init__(self, plant: ServedPlant, units: Mapping[int, int]) -> None:
        self.plant, self.units = plant, units
        manners = [plant.spec.devices[index].manners for index in units.values()]
        counts, idle = [one.connections for one in manners], [one.idle_ns for one in manners]
        self.idle_ns = max(idle) if all(idle) else 0
        self.doors = Doors(min(counts) if all(counts) else 0, manners[0].more)

    def accept(self, write: Write, hang_up: Callable[[], None]) -> ModbusCaller:
        """A client has connected, now."""
        if self.doors.most or self.idle_ns:
            return ManneredCaller(self, write, hang_up)
        return ModbusCaller(self.plant, self.units, write, hang_up)

    def bitten(self, which: str) -> None:
        """A manner has bitten: it is told of the port's first device."""
        self.plant.field.bitten(next(iter(self.units.values())), which)


class ManneredCaller(ModbusCaller):
    """A client of a port with manners."""

    def __init__(self, port: ServedPort, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(port.plant, port.units, write, hang_up)
        self._port = port
        self._asked_ns = self.since_ns
        bite = port.doors.enter(self)
        if bite:
            port.bitten(bite)
        if bite == "refused":
            self.hung_up()
        elif port.idle_ns:
            self._watch()

    def received(self, data: bytes) -> None:
        """As ModbusCaller's, while it is let in."""
        self._asked_ns = self.plant.env.now
        if not self.gone:
            super().received(data)

    def _watch(self) -> None:
        """Has it been idle for too long by now?"""
        if self.gone:
            return
        ends_ns = self._asked_ns + self._port.idle_ns
        if self.plant.env.now < ends_ns:
            self.plant.env.call_at(ends_ns, self._watch)
            return
        self._port.bitten("idle")
        self.hung_up()

    def hung_up(self) -> None:
        """The port ends it."""
        self.lost()
        self.hang_up()

    def lost(self) -> None:
        """The client is no more."""
        self._port.doors.leave(self)
        super().lost()
