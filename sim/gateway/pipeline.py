"""One sample's way through a gateway, top to bottom: driver, transform, policy, verdict.

Belongs here: what a call's result means for a sample, the calls behind the driver's, one write. Never: how a
call is charged (call.py), when a driver is called (poller.py, listener.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.components.contract.contract import Verdict, as_written
from twinloop.components.host.batch import Batch, Lists, doubt
from twinloop.components.host.crossing import forward_lane, read_batch
from twinloop.components.host.outcome import Cause, Fault
from twinloop.devices.model.statuses import NO_NUMBER
from twinloop.sim.accounts.latency import DRIVER, POLICY, TRANSFORM, UPLINK, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import Command, Message, new_message
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.call import (
    READING_VALUES,
    at_once_over,
    call,
    call_at_once,
    handed_over,
    stage_at_once,
)
from twinloop.sim.gateway.masks import mask_within, verdict_groups
from twinloop.sim.gateway.quality import assess, missed_cause
from twinloop.sim.gateway.rack import Rack
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.gateway.standalone import ALONE, Standalone
from twinloop.sim.gateway.supervisor import Supervisor
from twinloop.sim.kernel.clock import Steps
from twinloop.sim.machine.cores import Cores
from twinloop.sim.machine.machine import Machine
from twinloop.sim.north.outbox import Outbox

NOT_UP = "not up"
NOTHING = Batch((), (), (), (), ()), 0
CALLED_GOOD = "a value that is no number, called Good", None
"""told of a driver like an error of its own"""
ROUNDED = "integers beyond 2^53 reach it rounded, and Uncertain: it is of the contract 0.1", None
"""told of a transform like an error of its own"""
ALERT_TEXT_MAX = 120
"""of an alert's text, in the trace"""


class Pipeline:
    """Of one gateway: what a sample meets on its way, and where it goes. ``member``: the gateway's part in
    redundancy."""

    def __init__(
        self, machine: Machine, rack: Rack, supervisor: Supervisor, outbox: Outbox, books: Books
    ) -> None:
        self.machine = machine
        self.rack = rack
        self.supervisor = supervisor
        self.outbox = outbox
        self.books = books
        self._env = machine.env
        self._ledger = books.ledger
        self._latencies = books.latencies
        self._truth = books.truth  # asked in every poll
        self._on_readings = books.on_readings
        self.member: Standalone = ALONE
        self.alerts = 0
        self.on_command: Callable[[Command, str | None], None] = lambda command, cause: None
        """told of each command that has ended, and why it failed (None: it didn't)"""

    def carry(self, reader: Reader, row: Row, lists: Lists) -> Steps:
        """From the driver's batch to the verdict carried out; every point of ``row`` then has ended or is in
        the uplink's care. Where nothing has to be waited for there is no ``_stage``, a generator less for
        each of the two calls of a poll: the instance and a core are taken on the spot."""
        times, arguments, machine, member = reader.times, reader.arguments, self.machine, self.member
        assert reader.slot.instance is not None
        reader.lend(reader.slot.instance, row)
        values = READING_VALUES * row.read.bit_count() + 3
        slot = self.rack.transform  # an upgrade may put another one in its place meanwhile
        rounded = arguments.set_batch(row.k, lists, slot.linked.knows_integers)
        watched = self._latencies.stages_watched
        if watched:
            spec = reader.slot.spec
            times.at_work = {"driver": spec, "transform": slot.spec, "policy": self.rack.policy.spec}
        cores, generation, instance = machine.cores, slot.generation, slot.instance
        cost = stage_at_once(slot, cores, "transform-readings", values, times, True, arguments.word)
        if cost < 0:
            outcome = yield from self._stage(reader, slot, "transform-readings", values, TRANSFORM)
        else:
            assert instance is not None
            if cost:
                yield cost
            outcome = at_once_over(slot, instance, cores, cost, times, TRANSFORM)
            if outcome is not None:
                self._failed(slot, outcome, generation)
        reader.give_back()
        if rounded:
            self.supervisor.complaints.error(self._env.now, slot, reader.name, ROUNDED)
        batch, kept = self._transformed(reader, slot, row, outcome)
        if kept:
            arguments.set_link(*self.outbox.link_state())
            values = READING_VALUES * kept.bit_count() + 9
            slot = self.rack.policy
            if times.lists is not None:  # there is one where something was kept
                arguments.set_batch(row.k, times.lists, slot.linked.knows_integers)
            if watched:
                times.at_work["policy"] = slot.spec
            cores, generation, instance = machine.cores, slot.generation, slot.instance
            cost = stage_at_once(slot, cores, "decide", values, times, False, arguments.word)
            if cost < 0:
                outcome = yield from self._stage(reader, slot, "decide", values, POLICY)
            else:
                assert instance is not None
                if cost:
                    yield cost
                outcome = at_once_over(slot, instance, cores, cost, times, POLICY)
                if outcome is not None:
                    self._failed(slot, outcome, generation)
            for verdict, part in self._decided(reader, slot, row, kept, outcome):
                message = self._composed(reader, row, part, verdict, batch)
                if message is None:
                    continue
                if not member.sends:
                    self.hold(reader, row, verdict, message)
                    continue
                cores, direct = machine.cores, verdict[0] != "cache" and self.outbox.uplink.ready()
                work_ns = machine.budget.host("publish" if direct else "store")
                if cores.free:  # ``Cores.hold`` written out
                    cores.free -= 1
                else:
                    asked = self._env.now
                    yield cores.wait()
                    times.waited(self._env.now - asked, "core")
                yield work_ns
                self._handed_on(reader, row, part, verdict, message, cores, work_ns, direct)
        arguments.held.release()

    def _handed_on(
        self,
        reader: Reader,
        row: Row,
        part: int,
        verdict: Verdict,
        message: Message,
        cores: Cores,
        work_ns: int,
        direct: bool,
    ) -> None:
        """The CPU time of handing a message on has passed: it goes to the uplink or into the store."""
        cores.busy_ns += work_ns  # ``Cores.release`` written out
        if cores.waiters:
            cores.waiters.popleft()()
        else:
            cores.free += 1
        reader.times.spent_ns[UPLINK] += work_ns
        if not self.member.sends:  # it has stepped down meanwhile
            self.hold(reader, row, verdict, message)
            return
        if verdict[0] == "alert":
            self.alert(row, part, verdict)
        self.carried(reader, row, part, verdict[0])
        uplink = self.outbox.uplink
        if direct and uplink.ready():
            uplink.publish(message)
        else:
            self.outbox.keep(message)

    def accepted(self, reader: Reader, row: Row, fault: Fault | None, generation: int) -> Lists | None:
        """What the driver's call has brought, held against the contract: the batch where it lies, None when
        there is nothing to go on with."""
        ledger, slot = self._ledger, reader.slot
        if fault is not None:
            ledger.close(
                row, row.open, End.MISSED, "deadline" if fault.cause is Cause.DEADLINE else "driver-fault"
            )
            self._truth.trouble(reader)
            self.supervisor.fault(slot, fault, generation)
            return None
        instance = slot.instance
        assert instance is not None
        lists = reader.times.lists
        if lists is None:
            error = self.supervisor.answered_error(slot, reader.name)
            if error[0] == "rejected":
                self.machine.trace.emit("rejected", reader.index, row.k, error[1])
            ledger.close(row, row.open, End.MISSED, missed_cause(error))
            self._truth.trouble(reader)
            return None
        batch, table = read_batch(lists), reader.table
        if table.whole and doubt(lists, table.whole):
            batch = read_batch(lists)
        ids, values, statuses, _, texts = batch
        if texts:
            ids = batch.every_point()
        mask = table.mask if ids == table.ids else reader.mask_of(ids)
        if mask is None:
            ledger.close(row, row.open, End.MISSED, "driver-fault")
            self.supervisor.fault(
                slot, instance.kill(Cause.CONTRACT, f"a batch with an unknown or double point: {ids[:8]}")
            )
            return None
        row.read = mask
        if row.open & ~mask:
            ledger.close(row, row.open & ~mask, End.MISSED, "device")
        total = sum(values)
        if any(statuses) or total - total != 0.0 or texts or reader.witness.absent:
            assess(self.books, self.machine.trace, reader, row, batch)
            if row.marks and NO_NUMBER in row.marks:  # drivers of devices that show none say so
                self.supervisor.complaints.error(self._env.now, slot, reader.name, CALLED_GOOD)
        else:
            ledger.good_of[row.device] += mask.bit_count()
            ledger.valued[row.device] |= mask
        if reader.unchecked:
            reader.unchecked -= 1
        else:
            self._truth.look(reader, row, batch)
        for told in self._on_readings:
            told(reader, row, batch)
        return lists if mask else None

    def _stage(self, reader: Reader, slot: Slot, export: str, values: int, stage: int) -> Steps:
        """One call of a shared instance with the reader's arguments: wait for it, call. Returns None, a
        Fault, or NOT_UP.

        On None the result is in the instance, which is still ours: take it, then ``slot.release``. An
        instance none of whose imports park is called here, in one segment; else by ``call``.
        """
        env, times = self._env, reader.times
        if slot.serving:
            asked = env.now
            yield slot.wait()
            times.waited(env.now - asked, slot.name)
        slot.serving = True
        generation = slot.generation
        if slot.state != "ready":
            slot.release(generation)
            return NOT_UP
        if slot.linked.parks:
            fault = yield from call(
                self.machine,
                slot,
                export,
                (),
                values,
                times,
                stage,
                None,
                stage == TRANSFORM,
                reader.arguments.word,
            )
            if fault is not None:
                self._failed(slot, fault, generation)
            return fault
        cores, instance = self.machine.cores, slot.instance
        assert instance is not None
        if cores.free:
            cores.free -= 1
        elif not (yield from handed_over(cores, instance, times)):
            slot.release(generation)
            return instance.fault
        cost = call_at_once(slot, instance, export, values, times, stage == TRANSFORM, reader.arguments.word)
        if cost:
            yield cost
        fault = at_once_over(slot, instance, cores, cost, times, stage)
        if fault is not None:
            self._failed(slot, fault, generation)
        return fault

    def _failed(self, slot: Slot, fault: Fault, generation: int) -> None:
        """A shared instance has ended in a call that was ours."""
        self.supervisor.fault(slot, fault, generation)
        slot.release(generation)

    def _transformed(
        self, reader: Reader, slot: Slot, row: Row, outcome: Fault | str | None
    ) -> tuple[Batch, int]:
        """What the transform has made of the readings, held against the contract: its batch and the mask of
        what goes on (0: nothing)."""
        ledger, mask = self._ledger, row.read
        if outcome is not None:
            ledger.close(row, row.open & mask, End.LOST, _stage_cause(slot, outcome, "transform-fault"))
            return NOTHING
        assert slot.instance is not None
        lists = reader.times.lists
        if lists is None:
            self.supervisor.answered_error(slot, reader.name)
        slot.instance.take_result(reader.arguments.held)
        slot.release(slot.generation)
        if lists is None:
            ledger.close(row, row.open & mask, End.LOST, "transform-error")
            return NOTHING
        batch, table = read_batch(lists), reader.table
        if batch[0] == table.ids and mask == table.mask and not batch[4]:  # its points, its texts
            kept: int | str = mask
        else:
            kept = self._kept(reader, slot, row, batch)
        if isinstance(kept, str):
            ledger.close(row, row.open & mask, End.LOST, "transform-fault")
            self.supervisor.fault_now(slot, Cause.CONTRACT, kept)
            return NOTHING
        if mask & ~kept:
            self.carried(reader, row, mask & ~kept, "drop")
            ledger.close(row, row.open & mask & ~kept, End.DROPPED, "transform")
        return batch, kept

    def _kept(self, reader: Reader, slot: Slot, row: Row, batch: Batch) -> int | str:
        """The mask of a transform's batch; a text when the contract is broken."""
        return mask_within(batch.every_point(), reader.table.bits, row.read)

    def _lost(self, reader: Reader, row: Row, mask: int, cause: str) -> None:
        """What has been read goes no further."""
        self._ledger.close(row, row.open & mask, End.LOST, cause)

    def _decided(
        self, reader: Reader, slot: Slot, row: Row, kept: int, outcome: Fault | str | None
    ) -> list[tuple[Verdict, int]]:
        """What the policy has decided, held against the contract: verdicts and the points that they are
        about."""
        if outcome is not None:
            self._lost(reader, row, kept, _stage_cause(slot, outcome, "policy-fault"))
            return []
        instance = slot.instance
        assert instance is not None
        lane = forward_lane(instance.result_at)
        if lane >= 0:
            slot.release(slot.generation)
            return [(("forward", lane), kept)]
        result = instance.result()
        slot.release(slot.generation)
        if not result.ok:
            self.supervisor.answered_error(slot, reader.name)
            self._lost(reader, row, kept, "policy-error")
            return []
        groups = verdict_groups(result.value, kept, reader.table.bits)
        if isinstance(groups, str):
            self._lost(reader, row, kept, "policy-fault")
            self.supervisor.fault_now(slot, Cause.CONTRACT, groups)
            return []
        return groups

    def _composed(
        self, reader: Reader, row: Row, mask: int, verdict: Verdict, batch: Batch
    ) -> Message | None:
        """What the policy said with these points, as a message to be handed on; None when they are dropped,
        which is done at once."""
        tag, payload = verdict
        if tag == "drop":
            self.carried(reader, row, mask, "drop")
            self._ledger.close(row, mask & row.open, End.DROPPED, "policy")
            return None
        return self.compose(reader, row, mask, 3 if tag == "alert" else min(payload, 3), batch)

    # ---- verdicts --------------------------------------------------------------------------------
    def compose(self, reader: Reader, row: Row, mask: int, lane: int, batch: Batch) -> Message:
        """The message for some points of a batch."""
        table = reader.table
        if mask != row.read:
            batch = batch.only(dict.fromkeys(point for point, bit in table.bit_of.items() if bit & mask))
        return new_message(row, mask, lane, reader.topic, table.body.of(reader.name, row.k, batch))

    def carried(
        self,
        reader: Reader,
        row: Row,
        mask: int,
        how: str,
        times: StageTimes | None = None,
        late: bool = False,
    ) -> None:
        """The verdict on these points has been carried out now; of a pair only the first verdict counts, and
        never a standby's, unless it had led when it read them (``late``)."""
        # a batch may hold points beside those that were due, and readings without a value
        mask &= row.due & ~row.void
        now = self._env.now
        member, total_ns = self.member, now - row.due_ns
        count = mask.bit_count() if member is ALONE else member.carried(row, mask, late)
        row.carried |= mask
        if not count:
            return
        self._latencies.carried(row.device, count, total_ns, row.due_ns, times or reader.times)
        add = self.machine.trace.add
        add((now, "carried", row.device, row.k, mask, how, total_ns))
        if total_ns > row.period_ns:
            self._ledger.late_of[row.device] += count

    def hold(self, reader: Reader, row: Row, verdict: Verdict, message: Message) -> None:
        """It isn't ours to send (any more): a hot standby keeps it for a while, another one that had read it
        stores it."""
        if not self.member.hold(reader, row, verdict, message):
            self.alert(row, message.all_points, verdict)
            self.carried(reader, row, message.all_points, "cache", late=True)
            self.outbox.keep(message)

    def alert(self, row: Row, mask: int, verdict: Verdict) -> None:
        """The policy has raised an alert, if it has."""
        if verdict[0] == "alert":
            self.machine.trace.emit(
                "alert", self.machine.index, row.device, row.k, mask, verdict[1][:ALERT_TEXT_MAX]
            )
            self.alerts += mask.bit_count()

    # ---- beside samples --------------------------------------------------------------------------
    def write(self, reader: Reader, point: int, value: float) -> Steps:
        """One write-register; returns None when it was done, else the cause. An int is written as one, where
        the driver's contract has them."""
        slot = reader.slot
        generation = slot.generation
        reader.witness.begin()
        given = (point, as_written(value) if slot.linked.knows_integers else float(value))
        fault = yield from call(
            self.machine, slot, "write-register", given, 2, StageTimes(), DRIVER, reader.port
        )
        if fault is not None:
            self.supervisor.fault(slot, fault, generation)
            return "driver-fault"
        assert slot.instance is not None
        result = slot.instance.result()
        return None if result.ok else missed_cause(self.supervisor.answered_error(slot, reader.name))

    def status(self, reader: Reader) -> Steps:
        """One get-status: what the driver says of itself goes to the supervisor."""
        slot = reader.slot
        generation = slot.generation
        fault = yield from call(self.machine, slot, "get-status", (), 0, StageTimes(), DRIVER)
        if fault is not None:
            self.supervisor.fault(slot, fault, generation)
            return
        assert slot.instance is not None
        self.supervisor.said(slot, slot.instance.result())

    def command_done(self, command: Command, cause: str | None) -> None:
        """A command has ended: done (None) or failed."""
        self.machine.trace.emit(
            "command", command.device, command.number, "failed" if cause else "done", cause or ""
        )
        self.on_command(command, cause)


def _stage_cause(slot: Slot, outcome: Fault | str, otherwise: str) -> str:
    if isinstance(outcome, str):
        return "quarantined" if slot.state == "quarantined" else otherwise
    return "deadline" if outcome.cause is Cause.DEADLINE else otherwise
