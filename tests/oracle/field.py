"""How a driver asks its device: over a connection, or over a serial line that others use, too.

Belongs here: one exchange, and what comes of it: True (the answer), "timeout", "disconnected" or "malformed".
Never: what a poll makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.oracle.connection import Connection, Way
from tests.oracle.plants import Device, Plant, S
from tests.oracle.timeline import Price, Timeline

STALE_MAX = 4
"""late answers that a driver lays aside before it takes the connection for broken"""
PATIENCE, FRESH_MAX = 2, 1024
"""timeouts in a row after which a driver gives a connection up; at most so many for one that never answered"""
FIELD_USER_TIMEOUT_NS = 3 * S


class TcpField:
    """A device behind its own connection, which is opened when it is needed."""

    def __init__(self, time: Timeline, plant: Plant, device: Device, price: Price) -> None:
        self.time, self.device, self.price = time, device, price
        wire = device.wire
        self.up = Way(time, wire.delay_ns, wire.lost_up, plant.field_cuts, plant.field_slow)
        self.down = Way(time, wire.delay_ns, wire.lost_down, plant.field_cuts, plant.field_slow)
        self.connection: Connection | None = None
        self.unsent: list[int] = []
        self.number = 0
        self._unread: list[int] = []
        """answers that came while nobody waited"""
        self._waiter: Callable[[Any], None] | None = None
        self._turn = 0
        self._deadline_ns = -(10**15)
        self.answered, self.silent, self.fresh = False, 0, 4 * PATIENCE
        """has this connection ever answered; timeouts in a row; how many one that hasn't is given"""

    def exchange(self, registers: int) -> Any:
        """One read, with its repeats: a story."""
        outcome: Any = "timeout"
        for _ in range(self.device.retries + 1):
            outcome = yield from self._once()
            if outcome is True:
                return True
        if outcome in ("timeout", "disconnected") and self.silent >= (
            PATIENCE if self.answered else self.fresh
        ):
            if not self.answered and self.fresh < FRESH_MAX:
                self.fresh *= 2
            self._give_up()
        return outcome

    def _give_up(self) -> None:
        """The driver drops the connection, or learns that it is gone."""
        self._reset()
        self.answered, self.silent = False, 0

    def _silence(self) -> Any:
        """After a timeout the driver looks whether half an answer lies there: a story."""
        yield self.time.pause(self.price())
        if self.connection is None or self._unread:
            self._give_up()
            return
        self.silent += 1
        yield self.time.pause(self.price())

    def _once(self) -> Any:
        yield self.time.pause(self.price())
        self.number += 1
        mine = self.number
        self._ask(mine)
        for _ in range(STALE_MAX + 1):
            came = yield self._frame(self.device.timeout_ns)
            if came == "timeout":
                yield from self._silence()
                return came
            if not isinstance(came, int):
                self._give_up()
                return came
            self.answered, self.silent = True, 0
            if came == mine:
                return True
            yield self.time.pause(self.price())
        self._give_up()
        return "malformed"

    def _frame(self, timeout_ns: int) -> Callable[[Callable[[Any], None]], None]:
        """For a story: the next answer, or why there is none."""

        def wait(go_on: Callable[[Any], None]) -> None:
            if self.connection is None or self._unread:
                came = self._unread.pop(0) if self._unread else "disconnected"
                self.time.at(self.time.now, lambda: go_on(came))
                return
            self._waiter = go_on
            self._until(timeout_ns)

        return wait

    def _until(self, timeout_ns: int) -> None:
        self._turn += 1
        turn, self._deadline_ns = self._turn, self.time.now + timeout_ns
        self.time.at(self._deadline_ns, lambda: self._give("timeout") if turn == self._turn else None)

    def _give(self, what: Any) -> None:
        if what != "timeout":
            self.time.compare(self.time.now, self._deadline_ns)
        elif self.connection is not None and not self.connection.open:
            self._reset()  # it hasn't come about in time
        elif self.connection is not None:
            self.connection.gave_up()
        waiter, self._waiter = self._waiter, None
        self._turn += 1
        if waiter is not None:
            waiter(what)
        elif isinstance(what, int):
            self._unread.append(what)

    def _ask(self, number: int) -> None:
        connection = self.connection
        if connection is not None and connection.open:
            connection.send(0, number)
            return
        self.unsent.append(number)
        if connection is None:
            self.connection = Connection(
                self.time,
                self.up,
                self.down,
                FIELD_USER_TIMEOUT_NS,
                self._at_device,
                self._give,
                self._opened,
                self._broke,
            )

    def _opened(self) -> None:
        unsent, self.unsent = self.unsent, []
        for number in unsent:
            assert self.connection is not None
            self.connection.send(0, number)
        if self._waiter is not None:  # connecting had its own time; the answer has it once more
            self.time.compare(self.time.now, self._deadline_ns)
            self._until(self.device.timeout_ns)

    def _at_device(self, number: int) -> None:
        assert self.connection is not None
        self.connection.send(1, number, self.device.response_ns)

    def _broke(self) -> None:
        self.connection = None
        self.unsent, self._unread = [], []
        self._give("disconnected")

    def _reset(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.unsent, self._unread = [], []


class SerialLine:
    """Two wires, 11 bits a character, 3.5 characters of silence after each frame; who asks has them until it
    knows what came of it."""

    def __init__(self, time: Timeline, plant: Plant) -> None:
        assert plant.line_bd is not None
        self.time, self.lost = time, (plant.line.lost_up, plant.line.lost_down)
        self.bd = plant.line_bd
        self.counts = [0, 0]
        self.taken = False
        self.queue: list[Callable[[], None]] = []

    def frame_ns(self, size: int) -> int:
        """Its characters."""
        return size * 11 * S // self.bd

    @property
    def silence_ns(self) -> int:
        """Between frames: fixed above 19200 Bd."""
        return 1_750_000 if self.bd > 19_200 else 7 * 11 * S // (2 * self.bd)

    def passes(self, direction: int) -> bool:
        """Does the next frame that way get through?"""
        self.counts[direction] += 1
        return self.counts[direction] - 1 not in self.lost[direction]

    def take(self) -> Callable[[Callable[[Any], None]], None]:
        """For a story: wait until the line is yours."""

        def wait(go_on: Callable[[Any], None]) -> None:
            if self.taken:
                self.queue.append(lambda: go_on(None))
            else:
                self.taken = True
                go_on(None)

        return wait

    def give_back(self) -> None:
        """Who is next?"""
        if self.queue:
            self.queue.pop(0)()
        else:
            self.taken = False


class SerialField:
    """A device on a line. Its answer comes well before its timeout, or never: who plans a plant sees to
    that."""

    def __init__(self, line: SerialLine, device: Device, price: Price) -> None:
        self.line, self.device, self.price = line, device, price

    def exchange(self, registers: int) -> Any:
        """One read, with its repeats: a story."""
        for _ in range(self.device.retries + 1):
            if (yield from self._once(registers)):
                return True
        return "timeout"

    def _once(self, registers: int) -> Any:
        line, time = self.line, self.line.time
        yield time.pause(self.price())
        yield line.take()
        yield time.pause(line.frame_ns(8))
        if line.passes(0):
            answer_ns = 2 * line.silence_ns + self.device.response_ns + line.frame_ns(5 + 2 * registers)
            yield time.pause(line.silence_ns + self.device.response_ns + line.frame_ns(5 + 2 * registers))
            if line.passes(1):
                yield time.pause(line.silence_ns)
                time.at(time.now, line.give_back)
                return True
            yield time.pause(self.device.timeout_ns - (answer_ns - line.silence_ns))
        else:
            yield time.pause(self.device.timeout_ns)
        time.at(time.now + line.silence_ns, line.give_back)
        return False
