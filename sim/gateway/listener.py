"""A device that isn't polled: its driver waits for what the device says by itself, and the samples find out
which they are.

Belongs here: asking again and again, which sample a batch is, what becomes of those that can't come. Never:
when a sample is due (schedule.py: the device's own plan), how messages travel (mqtt_site.py). A row waits
from its due instant until its driver has returned it, or nobody has it any more. Which samples a driver has
read is known from the bytes that it took; it returns them in that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from twinloop.components.host.crossing import read_batch
from twinloop.components.host.outcome import Cause, Fault
from twinloop.sim.accounts.latency import BUS, DRIVER, StageTimes
from twinloop.sim.accounts.rows import Row
from twinloop.sim.field.mqtt_site import MqttPort
from twinloop.sim.gateway.call import call
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.quality import missed_cause
from twinloop.sim.gateway.reader import PointTable
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import MS, S, Steps
from twinloop.sim.model.spec import DeviceSpec

TOLD_MAX = 4096
"""more than a device, a broker's queue and its window keep together"""
LISTEN_MIN_NS = 100 * MS
"""a driver that comes back sooner without a message is asked again only then"""
LISTEN_RETRY_NS = 1 * S
"""after an error it is asked again only so much later"""
LISTEN_DEADLINE_NS = 60 * S
"""the deadline of a call that waits for others, unless its component sets one: six times as long as the
shipped drivers wait"""
LISTEN_CPU_NS = 1 * S
"""CPU time of such a call, unless its component sets a limit: nearly all of it is waiting"""


class Taken(NamedTuple):
    """A message in the driver's hands: its sample, its packet identifier, when it was taken, the time spent
    in the call until then."""

    k: int
    packet: int
    at_ns: int
    spent_ns: list[int]


class PushReader(Poller):
    """The process that listens to one device. ``client``: its name at the broker; ``holds(k)``: may that
    sample still come?"""

    listens_by_itself = True
    port: MqttPort

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        index: int,
        spec: DeviceSpec,
        slot: Slot,
        port: MqttPort,
        table: PointTable,
        client: str,
        holds: Callable[[int], bool],
    ) -> None:
        self.client, self._holds = client, holds
        self._due: dict[int, Row] = {}
        """k -> row that has not come yet"""
        self._taken: deque[Taken] = deque()
        """what the driver has taken and not returned, in that order"""
        self._refused: dict[int, str] = {}
        """k -> why it won't come, while somebody might send it again"""
        self._told: dict[int, None] = {}
        """the samples that this gateway was told of, the last TOLD_MAX of them"""
        self._listening = False
        super().__init__(pipeline=pipeline, index=index, spec=spec, slot=slot, port=port, table=table)
        self._listen_to(port)
        slot.on_ready = self.rouse

    def _listen_to(self, port: MqttPort) -> None:
        port.on_taken = self._took
        port.on_gone = self._left
        port.on_settled = self._discarded
        port.on_reset = self._forgotten

    # ---- what comes in ---------------------------------------------------------------------------
    def due(self, row: Row) -> None:
        """The device says something now; it will come, or ``gone`` is told."""
        self._due[row.k] = row
        self._told[row.k] = None
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]

    def _may_come(self, k: int) -> bool:
        """Somebody has it still: the device, the broker, the connection, the driver."""
        return self._holds(k) or self.port.carries(k) or any(taken.k == k for taken in self._taken)

    def _end(self, k: int, why: str) -> None:
        """Sample k ends as missed, of what was refused before or of ``why``, unless it may still come."""
        row = self._due.get(k)
        if row is None:
            return
        if not row.open:  # it has ended already: by the run's end, or another gateway has delivered it
            del self._due[k]
            self._refused.pop(k, None)
        elif not self._may_come(k):
            del self._due[k]
            self._not_polled(row, self._refused.pop(k, why))

    def gone(self, k: int, why: str) -> None:
        """One copy of sample k won't come to this gateway."""
        if k in self._due:
            self._refused.setdefault(k, self._by_state(why))
            self._end(k, why)

    def settled(self, k: int) -> None:
        """The device has done its duty: if the broker keeps nothing for us, that was it."""
        self._end(k, self._by_state("disconnected"))

    def acknowledged(self, k: int) -> None:
        """The driver has told the broker that it needs sample k no more: what it hasn't returned by now it
        never will."""
        self._end(k, "unread")

    def _by_state(self, why: str) -> str:
        """The state of the gateway and the driver says more than that nobody was there."""
        if self.machine.state != "up":
            return "gateway-down"
        if self.slot.state == "quarantined":
            return "quarantined"
        return "driver-fault" if self.slot.state != "ready" and why == "disconnected" else why

    def why_not(self) -> str:
        """Why what is open at the end hasn't come."""
        why = self._by_state("")
        return why or "end-of-run"

    def _left(self, k: int) -> None:
        self.gone(k, "disconnected")

    def _took(self, k: int, packet: int) -> None:
        self._taken.append(Taken(k, packet, self.machine.env.now, list(self.times.spent_ns)))

    def _discarded(self, packet: int) -> None:
        """The driver acknowledges a message that it hasn't returned: it had it before, or doesn't want it."""
        for taken in self._taken:
            if taken.packet == packet:
                self._taken.remove(taken)
                return

    def _forgotten(self) -> None:
        """The connection was dropped at this end: by a driver that begins anew, or with its instance."""
        self._unread(self._by_state("disconnected"))

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
        machine, member = self.machine, self.pipeline.member
        if self.slot.state != "ready" or machine.state != "up":
            return False
        return member.polls or (machine.env.now < 0 and member.listens_before_start)

    # ---- the process -----------------------------------------------------------------------------
    def _work(self) -> Steps | None:
        """The next thing to do; None when there is nothing."""
        work = super()._work()
        if work is not None:
            return work
        if self.listens:
            return self._listen_and_pause()
        if self.slot.state == "ready":
            self.port.reset()  # it listens no more
        return None

    def _listen_and_pause(self) -> Steps:
        pause_ns = yield from self._listen()
        if pause_ns:
            yield pause_ns

    def _listen(self) -> Steps:
        """One call; returns for how long the driver should be left alone."""
        machine, slot, began = self.machine, self.slot, self.machine.env.now
        times, generation = self.new_times(), slot.generation
        self.before, self.times = self.times, times
        self._listening = True
        fault = yield from call(machine, slot, "read-sensor", (), 0, times, DRIVER, self.port, True)
        self._listening = False
        self.port.calm()
        if fault is not None:
            self._unread("deadline" if fault.cause is Cause.DEADLINE else "driver-fault")
            self.pipeline.supervisor.fault(slot, fault, generation)
            return 0
        if times.lists is None:
            cause = missed_cause(self.pipeline.supervisor.answered_error(slot, self.name))
            held = bool(self._taken)
            self._unread("unread" if cause == "timeout" else cause, first=cause == "malformed")
            if cause == "malformed" and held:
                return 0  # the driver has looked at a message; the next may wait in its hands
            if cause != "timeout":
                return LISTEN_RETRY_NS
            return (
                0 if self._commands or self._status_due else max(0, LISTEN_MIN_NS - (machine.env.now - began))
            )
        taken = self._next_taken()
        if taken is None:  # what it returns nobody has sent now: no sample
            machine.trace.emit("unasked", machine.index, self.index)
            for told in self.pipeline.books.on_unasked:
                told(self, read_batch(times.lists))
            return self._pause_ns(began)
        yield from self._returned(began, taken, times, fault, generation)
        return 0

    def _pause_ns(self, began_ns: int) -> int:
        """For how long a driver that has returned what nobody sent is left alone."""
        return max(0, LISTEN_MIN_NS - (self.machine.env.now - began_ns))

    def _next_taken(self) -> Taken | None:
        """What the batch that has just been returned is of: the first message that the driver has taken."""
        return self._taken.popleft() if self._taken else None

    def _returned(
        self, began_ns: int, taken: Taken, times: StageTimes, fault: Fault | None, generation: int
    ) -> Steps:
        """The driver has returned a batch: of the sample that it took first."""
        machine = self.machine
        k, taken_ns, spent_before = taken.k, taken.at_ns, taken.spent_ns
        row = self._due.pop(k, None)
        # it had come before, and its acknowledgement hadn't; or it was never for us
        if row is None or not row.open:
            machine.trace.emit("again", machine.index, self.index, k, self.table.mask)
            # of a share that is open no more, the other gateway was faster
            if k in self._told and (row is None or row.whole is None):
                self._ledger.duplicates_of[self.index] += self.table.mask.bit_count()
            return
        self._refused.pop(k, None)
        now, spent = machine.env.now, times.spent_ns
        if taken_ns >= began_ns:
            for stage, before_ns in enumerate(spent_before):
                spent[stage] -= before_ns
            # the wait at whose end it was taken is booked after it
            spent[BUS] -= sum(spent) - (now - taken_ns)
        else:
            times.behind(began_ns - taken_ns, self.before, "the message before")
        spent[BUS] += taken_ns - row.due_ns
        self.row = row
        self.polls += 1
        self._tell_witness(k)
        lists = self.pipeline.accepted(self, row, fault, generation)
        if lists is not None:
            yield from self.pipeline.carry(self, row, lists)
        if self.recent is not None:
            self.recent.append(not row.carried)
        self.row = None
        if self.on_poll is not None:
            self.on_poll(row)

    def _tell_witness(self, k: int) -> None:
        """Of which message the batch is."""
        self.witness.at(k)

    def _unread(self, cause: str, first: bool = False) -> None:
        """What the driver has taken (or only the first of it) it won't return; what may be sent again is
        waited for."""
        gone = [self._taken.popleft() for _ in range(min(1, len(self._taken)) if first else len(self._taken))]
        for taken in gone:
            if taken.k in self._due:
                self._refused[taken.k] = cause
                self._end(taken.k, cause)

    # ---- the gateway dies ------------------------------------------------------------------------
    def crash(self, cause: str, lost: str) -> None:
        """As a poller's; but what the broker still holds will come again."""
        self._listening = False
        row = self.row
        if row is not None and row.open and not row.carried and self._holds(row.k):
            row.read = 0
            self._due[row.k] = row
            self.row = None
            if self.riding is not None:  # and what the transform adds to it will be added again
                self.riding.withdraw()
                self.riding = None
        super().crash(cause, lost)
        self._unread("gateway-down")
