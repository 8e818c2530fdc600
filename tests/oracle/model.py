"""What the books of a small plant must hold: ``books(plant, price)``.

Belongs here: polls, and the whole. Never: how an exchange or an uplink works. CPU time has no price here that
could be right: the same plant is worked out with several, constant and random ones, and where the answers
differ, only CPU time could tell, and nothing is claimed of it.
"""

from __future__ import annotations

from typing import Any

from tests.oracle.field import SerialField, SerialLine, TcpField
from tests.oracle.north import Message, North
from tests.oracle.plants import Books, Device, Plant
from tests.oracle.timeline import Price, Timeline

LOOKS_NS = 10_000_000
"""how often it is asked whether anything is open, once nothing is due any more"""


class Poller:
    """One device's turn: a poll at each due instant, one at a time."""

    def __init__(self, whole: Whole, device: Device, field: TcpField | SerialField) -> None:
        self.whole, self.device, self.field = whole, device, field
        self.names = [f"p{block}-{i}" for block, count in enumerate(device.points) for i in range(count)]
        self.busy = False
        self.next: int | None = None
        k = 0
        while device.phase_ns + k * device.period_ns < whole.plant.duration_ns:
            whole.time.at(device.phase_ns + k * device.period_ns, lambda k=k: self._due(k))  # type: ignore[misc]
            k += 1
        self.ks = k

    def end(self, k: int, points: tuple[int, ...], how: str) -> None:
        """Into the books."""
        for point in points:
            key = self.device.name, k, point
            assert key not in self.whole.books.ends, f"{key} ends twice in the oracle"
            self.whole.books.ends[key] = how

    def _due(self, k: int) -> None:
        if not self.busy:
            self.busy = True
            self.whole.time.tell(self._poll(k))
        elif self.device.queues and self.next is None:
            self.next = k
        else:
            self.end(k, tuple(range(len(self.names))), "missed overrun")

    def _poll(self, k: int) -> Any:
        time = self.whole.time
        missed: dict[int, str] = {}
        first = 0
        silent: str | None = None
        for registers in self.device.points:
            outcome = silent or (yield from self.field.exchange(registers))
            if outcome in ("timeout", "disconnected"):
                silent = outcome  # who is silent is asked once a poll
            if outcome is not True:
                missed |= dict.fromkeys(range(first, first + registers), outcome)
            first += registers
        for point, cause in missed.items():
            self.end(k, (point,), f"missed {cause}")
        read = tuple(point for point in range(len(self.names)) if point not in missed)
        if read:
            yield time.pause(self.whole.price())
            self.whole.north.take(Message(self.device.name, k, read, self.names))
        if self.next is None:
            self.busy = False
        else:
            following, self.next = self.next, None
            time.at(time.now, lambda: time.tell(self._poll(following)))


class Whole:
    """A plant at work."""

    def __init__(self, plant: Plant, price: Price) -> None:
        self.plant, self.price = plant, price
        self.time, self.books = Timeline(), Books()
        self.time.run(-10 * 10**9)
        self.north = North(self.time, plant, price, self._ended)
        line = None if plant.line_bd is None else SerialLine(self.time, plant)
        self.pollers = {
            device.name: Poller(
                self,
                device,
                TcpField(self.time, plant, device, price)
                if line is None
                else SerialField(line, device, price),
            )
            for device in plant.devices
        }

    def _ended(self, message: Message, how: str) -> None:
        self.pollers[message.device].end(message.k, message.points, how)


def books(plant: Plant, price: Price) -> Books:
    """What must come of each sample, if the steps of the gateway's own cost that."""
    whole = Whole(plant, price)
    whole.time.run(plant.duration_ns)
    due = sum(poller.ks * len(poller.names) for poller in whole.pollers.values())
    cuts, slow = (*plant.cloud.cuts, *plant.field_cuts), (*plant.cloud.slow, *plant.field_slow)
    calm_ns = max((*(until for _, until in cuts), *(until for _, until, _ in slow)), default=0)
    until_ns = plant.duration_ns + plant.settle_ns
    while whole.time.now < until_ns and (
        len(whole.books.ends) < due or whole.time.now < calm_ns
    ):  # it has settled: nothing is open or to come
        whole.time.run(min(whole.time.now + LOOKS_NS, until_ns))
    whole.north.finish()
    for name, poller in whole.pollers.items():
        for k in range(poller.ks):
            for point in range(len(poller.names)):
                whole.books.ends.setdefault((name, k, point), "missed end-of-run")
    whole.books.duplicates, whole.books.close_calls = whole.north.duplicates, whole.time.close_calls
    return whole.books
