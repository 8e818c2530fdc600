"""A device that isn't polled: its driver waits for what the device says by itself, and the samples find out which they are.

Belongs here: asking again and again, which sample a batch is, what becomes of those that can't come. Never: when a sample is due (plan.py: the
device's own plan), how messages travel (mqtt.py). A row waits from its due instant until its driver has returned it, or nobody
has it any more. Which samples a driver has read is known from the bytes that it took; it returns them in that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from components.outcome import Cause, Fault
from sim.clock import MS, NEVER_NS, S, Steps
from sim.latency import BUS, DRIVER, Clockwork
from sim.ledger import Row
from sim.pipeline import accepted, call, carry, missed_cause
from sim.poller import PointTable, Poller
from sim.spec import DeviceSpec

if TYPE_CHECKING:
    from sim.gateway import Gateway
    from sim.mqtt import MqttPort
    from sim.slot import Slot

LISTEN_MIN_NS = 100 * MS
"""a driver that comes back sooner without a message is asked again only then"""
LISTEN_RETRY_NS = 1 * S
"""after an error it is asked again only so much later"""
WITHOUT_DEADLINE_NS = NEVER_NS >> 1
"""the deadline of a driver that waits for others, unless its component sets one"""


class Receiver(Poller):
    """The process that listens to one device. ``client``: its name at the broker; ``holds(k)``: may that sample still come?"""

    listens_by_itself = True
    port: MqttPort

    def __init__(
        self, gateway: Gateway, index: int, spec: DeviceSpec, slot: Slot, port: MqttPort, table: PointTable, client: str, holds: Callable[[int], bool]
    ) -> None:
        self.client, self._holds = client, holds
        self._due: dict[int, Row] = {}
        """k -> row that has not come yet"""
        self._taken: deque[tuple[int, int, list[int]]] = deque()
        """(k, when, time spent in the call until then) of what the driver has taken and not returned"""
        self._refused: dict[int, str] = {}
        """k -> why the driver made no batch of it, while the broker might send it again"""
        self._listening = False
        super().__init__(gateway, index, spec, slot, port, table)
        port.on_taken, port.on_gone = self._took, self._left
        slot.on_ready = self.rouse

    # ---- what comes in --------------------------------------------------------------------------------------------
    def due(self, row: Row) -> None:
        """The device says something now; it will come, or ``gone`` is told."""
        self._due[row.k] = row

    def gone(self, k: int, why: str) -> None:
        """Sample k won't come to this gateway, unless another copy is on its way."""
        row = self._due.get(k)
        if row is None or self._holds(k) or any(k == taken for taken, _, _ in self._taken):
            return
        del self._due[k]
        self._miss(row, why)

    def acknowledged(self, k: int) -> None:
        """The driver has told the broker that it needs sample k no more: what it hasn't returned by now it never will."""
        cause = self._refused.pop(k, "unread")
        row = self._due.get(k)
        if row is not None and all(k != taken for taken, _, _ in self._taken) and not self._holds(k):
            del self._due[k]
            self._not_polled(row, cause)

    def _miss(self, row: Row, why: str) -> None:
        if self.gateway.state != "up":
            why = "gateway-down"
        elif self.slot.state == "quarantined":
            why = "quarantined"
        elif self.slot.state != "ready" and why == "disconnected":
            why = "driver-fault"
        self._not_polled(row, why)

    def _left(self, k: int) -> None:
        self.gone(k, "disconnected")

    def _took(self, k: int) -> None:
        self._taken.append((k, self.gateway.env._now, list(self.clockwork.spent_ns)))

    def rows(self) -> list[Row]:
        """What is being handled, and what has not come."""
        return [*([self.row] if self.row is not None else []), *self._due.values()]

    def rouse(self) -> None:
        """Something has changed: look what is to do."""
        if self._listening:
            self.port.nudge()
        else:
            super().rouse()

    def between(self, then: Callable[[], None]) -> None:
        """As a poller's; who only waits is interrupted."""
        super().between(then)
        if self._between is not None:
            self.rouse()

    @property
    def listens(self) -> bool:
        """Is the gateway to listen now? Before t = 0 those that will."""
        gateway = self.gateway
        if self.slot.state != "ready" or gateway.state != "up":
            return False
        member = gateway.member
        return gateway.polls or (gateway.env._now < 0 and member is not None and (member.preferred or member.spec.mode == "hot"))

    # ---- the process ----------------------------------------------------------------------------------------------
    def _work(self) -> Steps:
        """The next thing to do; False when there is nothing."""
        if self._commands:
            yield from self._write()
        elif self._status_due:
            yield from self._ask()
        elif self.listens:
            pause_ns = yield from self._listen()
            if pause_ns:
                yield pause_ns
        else:
            if self.slot.state == "ready":
                self.port.reset()  # it listens no more
            return False
        return True

    def _listen(self) -> Steps:
        """One call; returns for how long the driver should be left alone."""
        gateway, slot, began = self.gateway, self.slot, self.gateway.env._now
        clockwork, generation = Clockwork(), slot.generation
        self.clockwork = clockwork
        self._listening = True
        fault = yield from call(gateway, slot, "read-sensor", (), 0, clockwork, DRIVER, self.port, returns_batch=True)
        self._listening = False
        if fault is not None:
            self._unread("deadline" if fault.cause is Cause.DEADLINE else "driver-fault")
            gateway.supervisor.fault(slot, fault, generation)
            return 0
        if clockwork.lists is None:
            assert slot.instance is not None
            cause = missed_cause(slot.instance.result().value)
            self._unread("unread" if cause == "timeout" else cause)
            took_ns = gateway.env._now - began
            if cause == "timeout":
                return max(0, LISTEN_MIN_NS - took_ns) if not self._commands and not self._status_due else 0
            return 0 if cause == "malformed" else LISTEN_RETRY_NS
        yield from self._returned(began, clockwork, fault, generation)
        return 0

    def _returned(self, began_ns: int, clockwork: Clockwork, fault: Fault | None, generation: int) -> Steps:
        """The driver has returned a batch: of the sample that it took first."""
        gateway = self.gateway
        if not self._taken:  # what it returns nobody has sent now: no sample
            gateway.trace.emit("unasked", gateway.index, self.index)
            return
        k, taken_ns, spent_before = self._taken.popleft()
        row = self._due.pop(k, None)
        if row is None or not row.open:  # it had come before, and its acknowledgement hadn't
            gateway.trace.emit("again", gateway.index, self.index, k, self.table.mask)
            gateway.ledger.count_duplicates(self.index, self.table.mask.bit_count())
            return
        self._refused.pop(k, None)
        now, spent = gateway.env._now, clockwork.spent_ns
        if taken_ns >= began_ns:
            for stage, before_ns in enumerate(spent_before):
                spent[stage] -= before_ns
            spent[BUS] -= sum(spent) - (now - taken_ns)  # the wait at whose end it was taken is booked after it
        else:
            clockwork.waited(began_ns - taken_ns, "the message before")
        spent[BUS] += taken_ns - row.due_ns
        self.row = row
        self.polls += 1
        lists = accepted(gateway, self, row, fault, generation)
        if lists is not None:
            yield from carry(gateway, self, row, lists)
        self.row = None
        if self.on_poll is not None:
            self.on_poll(row)

    def _unread(self, cause: str) -> None:
        """What the driver has taken it won't return; what the broker will send again is waited for."""
        taken, self._taken = self._taken, deque()
        for k, _, _ in taken:
            row = self._due.get(k)
            if row is not None and self._holds(k):
                self._refused[k] = cause
            elif row is not None:
                del self._due[k]
                self._not_polled(row, cause)

    # ---- the gateway dies -------------------------------------------------------------------------------------------
    def crash(self, cause: str, lost: str) -> None:
        """As a poller's; but what the broker still holds will come again."""
        self._listening = False
        row = self.row
        if row is not None and row.open and not row.carried and self._holds(row.k):
            row.read = 0
            self._due[row.k] = row
            self.row = None
        super().crash(cause, lost)
        self._unread("gateway-down")
