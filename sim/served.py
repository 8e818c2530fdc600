"""A field that is served: the devices of a plant, and clients of the real world whose bytes cross its simulated links to them.

Belongs here: the plant, what all of its callers have in common, limits. Never: protocols (served_modbus.py, served_opcua.py), sockets
(devices/live/), wall clocks (pacer.py). A caller comes in with bytes at some instant; they cross the device's leg as in a run (delayed, lost, cut),
the device answers in its own time, and what comes back is handed out. There is no second handshake: the caller has had one with us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.plant import Plant
from sim.spec import WorldSpec
from sim.wallclock import BOOT_HORIZON_NS

WAITING_MAX = 256
"""requests of one client that are on their way or being answered; with more, nothing is read from it until there are fewer"""
TURN_EVENTS = 1 << 16
"""events between two looks at whether somebody wants to stop"""
Write = Callable[[bytes], None]


class _Nothing:
    """The books of a field that nobody polls for us: always balanced."""

    due = open = ended = 0

    def require_balance(self) -> None:
        """They are."""


class ServedPlant(Plant):
    """A plant whose clients are real. Its clock is moved by whoever keeps the pace: ``run_to`` and ``at``."""

    def __init__(self, spec: WorldSpec, epoch_ns: int) -> None:
        super().__init__(spec, -BOOT_HORIZON_NS, epoch_ns, own_brokers=False)
        self.requests = 0
        """of clients, that a device or its port has answered or let fall; and what MQTT devices have sent of their own"""
        self.limits: dict[str, int] = {}
        """limit -> how often it was met"""
        self._books = _Nothing()

    def boot(self) -> None:
        """Libraries start before t = 0, then the timeline; raises InvariantError when one doesn't come up."""
        self.run_to(-1)
        self.field.require_started()
        self.put_trouble()

    @property
    def next_ns(self) -> int | None:
        """When something is due next."""
        return self.env._queue[0][0] if self.env._queue else None  # type: ignore[return-value]

    def run_to(self, until_ns: int) -> None:
        """Let everything happen that is due by then."""
        with self.field.inside():
            while self.env.run_to(until_ns, self._books, TURN_EVENTS) == TURN_EVENTS and not self.env.stopped:
                self.trace.flush()
        self.trace.flush()

    def at(self, now_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do it at that instant, after what is due before; an instant that is past is now."""
        self.env.call_at(max(now_ns, self.env._now), action, *arguments)
        self.run_to(max(now_ns, self.env._now))

    def met(self, limit: str) -> None:
        """A named limit was met."""
        self.limits[limit] = self.limits.get(limit, 0) + 1

    def close(self) -> None:
        """Libraries are left."""
        self.field.close()


class Caller:
    """One client's connection. ``write`` hands bytes to it, ``hang_up`` ends it; ``full``: read no more until ``on_room`` is called."""

    def __init__(self, plant: ServedPlant, write: Write, hang_up: Callable[[], None]) -> None:
        self.plant, self.write, self.hang_up = plant, write, hang_up
        self.on_room: Callable[[], None] = lambda: None
        self._waiting = 0
        self.gone = False

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        raise NotImplementedError

    def lost(self) -> None:
        """The client is no more: nothing is written any more."""
        self.gone = True

    @property
    def full(self) -> bool:
        """Too much is on its way."""
        return self._waiting >= WAITING_MAX

    def _wait(self) -> None:
        self._waiting += 1
        if self._waiting == WAITING_MAX:
            self.plant.met("client-requests")

    def _over(self, count: int = 1) -> None:
        """So many requests are on their way no more."""
        before, self._waiting = self._waiting, self._waiting - count
        self.plant.requests += count
        if before >= WAITING_MAX > self._waiting and not self.gone:
            self.on_room()
