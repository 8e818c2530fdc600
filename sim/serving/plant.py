"""A field that is served: the devices of a plant, and clients of the real world whose bytes cross its
simulated links to them.

Belongs here: the plant, what all of its callers have in common, limits. Never: protocols (modbus.py,
opcua.py), sockets (devices/live/), wall clocks (pacer.py). A caller comes in with bytes at some instant; they
cross the device's leg as in a run (delayed, lost, cut), the device answers in its own time, and what comes
back is handed out. There is no second handshake: the caller has had one with us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.plant import Plant
from twinloop.sim.truth.witness import Look

WAITING_MAX, WAITING_LOW = 256, 128
"""requests of one client that are on their way or being answered: at the one it isn't read from any more, at
the other it is again"""
SPELL_EVENTS = 20
"""between two looks at how much a turn has had to do"""
TURN_EVENTS = 200
"""things that happen in one turn: sockets, signals and the clock get theirs in between, however much is
due"""
Write = Callable[[bytes], None]


class _Nothing:
    """The books of a field that nobody polls for us: always balanced."""

    due = open = ended = 0

    def require_balance(self) -> None:
        """They are."""


class ServedPlant(Plant):
    """A plant whose clients are real. Its clock is moved by whoever keeps the pace: ``put`` and ``turn``, or
    ``at`` and ``run_to`` at once."""

    def __init__(self, spec: WorldSpec, epoch_ns: int) -> None:
        super().__init__(spec, -BOOT_HORIZON_NS, epoch_ns, own_brokers=False)
        self.requests = 0
        """of clients, that a device or its port has answered or let fall; and what MQTT devices have sent of
        their own"""
        self.limits: dict[str, int] = {}
        """limit -> how often it was met"""
        self.worked = 0
        """packets that a broker has handled in this turn: one event may bring it many"""
        self.lead_ns = 0
        self._books = _Nothing()
        self.on_answer: Callable[[int, bytes, bytes], None] | None = None
        """told of right Modbus answers that have reached their client: (device, request's PDU, answer's)"""
        self.on_frame: Callable[[int, str, bytes], None] | None = None
        """told of (device, way, bytes): ``>`` what has reached a device, ``<`` what it says"""
        self.on_look: Callable[[int, Look], None] = lambda device, look: None
        """told of each request that a Modbus device has heard, and its right answer"""

    def boot(self, lead_ns: int = 0) -> None:
        """Libraries start before t = 0, then the timeline; raises InvariantError when one doesn't come up.
        ``lead_ns``: served before t = 0."""
        self.lead_ns = lead_ns
        self.run_to(-1 - lead_ns)
        self.field.require_started()
        self.field.meet_strangers()
        self.put_trouble()

    @property
    def next_ns(self) -> int | None:
        """When something is due next."""
        return self.env.next_ns

    def run_to(self, until_ns: int) -> None:
        """Let everything happen that is due by then."""
        while not self.turn(until_ns):
            pass

    def turn(self, until_ns: int) -> bool:
        """Let what is due by then happen, a turn of it; is that all?"""
        self.worked = done = 0
        with self.field.inside():
            while done < TURN_EVENTS and self.worked < TURN_EVENTS:
                some = self.env.run_to(until_ns, self._books, SPELL_EVENTS)
                done += some
                if some < SPELL_EVENTS:
                    self.trace.flush()
                    return True
        self.trace.flush()
        return False

    def put(self, now_ns: int, action: Callable[..., None], *arguments: Any) -> int:
        """It happens at that instant, after what is due before; returns the instant, which is now when it was
        past."""
        at_ns = max(now_ns, self.env.now)
        self.env.call_at(at_ns, action, *arguments)
        return at_ns

    def at(self, now_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """``put``, and all that is due until then."""
        self.run_to(self.put(now_ns, action, *arguments))

    def got(self, index: int, samples: list[int]) -> None:
        """An answer of an OPC UA device has come to its client, which says that of the samples' counter."""

    def limit_met(self, limit: str) -> None:
        """A named limit was met."""
        self.limits[limit] = self.limits.get(limit, 0) + 1

    def close(self) -> None:
        """Libraries are left."""
        self.field.close()


class Caller:
    """One client's connection. ``write`` hands bytes to it, ``hang_up`` ends it; ``full``: don't read from it
    until ``on_room``, then ``go_on``."""

    def __init__(self, plant: ServedPlant, write: Write, hang_up: Callable[[], None]) -> None:
        self.plant, self.write, self.hang_up = plant, write, hang_up
        self.on_room: Callable[[], None] = lambda: None
        self._waiting = 0
        self.full = False
        """too much is on its way"""
        self.gone = False

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        raise NotImplementedError

    def go_on(self) -> None:
        """There is room, and it is an instant of the wall's again: else who has sent a lot at once would go
        before all others."""

    def lost(self) -> None:
        """The client is no more: nothing is written any more."""
        self.gone = True

    def _wait(self) -> None:
        self._waiting += 1
        if self._waiting >= WAITING_MAX and not self.full:
            self.full = True
            self.plant.limit_met("client-requests")

    def _over(self, count: int = 1) -> None:
        """So many requests are on their way no more."""
        self._waiting -= count
        self.plant.requests += count
        if self.full and self._waiting <= WAITING_LOW and not self.gone:
            self.full = False
            self.on_room()
