"""One polled device on one gateway: its task polls, writes and survives a crash of the gateway.

Belongs here: when a poll begins and its driver is called, overrun, what a crash leaves. Never: when a sample
is due (schedule.py) or what becomes of the driver's answer (pipeline.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.accounts.latency import DRIVER, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import Command
from twinloop.sim.field.tcp_port import Port
from twinloop.sim.gateway.call import call
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.reader import PointTable, Reader
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import Event, Steps, Task
from twinloop.sim.model.spec import DeviceSpec

COMMANDS_MAX = 64
"""writes that wait for one device; more are refused (cause ``limit``)"""


class Poller(Reader):
    """The process that polls one device through its driver slot."""

    listens_by_itself = False
    new_times: Callable[[], StageTimes] = StageTimes
    """makes the account of a sample's time; another kind where somebody asks when each piece was"""

    def __init__(
        self, *, pipeline: Pipeline, index: int, spec: DeviceSpec, slot: Slot, port: Port, table: PointTable
    ) -> None:
        super().__init__(index, spec, slot, port, table)
        self.pipeline, self.machine, self._ledger = pipeline, pipeline.machine, pipeline.books.ledger
        self._next: Row | None = None
        self._commands: list[Command] = []
        self._command: Command | None = None
        self._status_due = False
        self._wake: Event | None = None
        self._between: Callable[[], None] | None = None
        """what waits for the work under way to end"""
        slot.on_drop = port.abandon
        self._task = Task(self.machine.env, self._run())

    # ---- asked by its device's plan --------------------------------------------------------------
    @property
    def takes(self) -> bool:
        """Does its gateway read its devices now? A standby may not."""
        return self.machine.state == "up" and self.pipeline.member.polls

    @property
    def leads(self) -> bool:
        """What it reads is handed on."""
        return self.pipeline.member.sends

    @property
    def up(self) -> bool:
        """Its gateway is."""
        return self.machine.state == "up"

    # ---- work comes in ---------------------------------------------------------------------------
    def due(self, row: Row) -> None:
        """A sample is due now: poll, or say why not."""
        ledger = self._ledger
        if self.machine.state != "up":
            ledger.close(row, row.open, End.MISSED, "gateway-down")
        elif self.slot.state != "ready":
            self._not_polled(row, "quarantined" if self.slot.state == "quarantined" else "driver-fault")
        elif self.row is None and self._next is None:
            self._next = row
            self.rouse()
        elif self.spec.overrun == "queue" and self._next is None:
            self._next = row
        else:
            self._not_polled(row, "overrun")

    def why_not(self) -> str:
        """Why what is open at the end hasn't been read."""
        return "end-of-run"

    def _not_polled(self, row: Row, cause: str) -> None:
        self._ledger.close(row, row.open, End.MISSED, cause)
        if self.on_poll is not None:
            self.on_poll(row)

    def command(self, command: Command) -> None:
        """A write has come down; it waits its turn between polls."""
        if len(self._commands) >= COMMANDS_MAX:
            self.machine.trace.emit("limit", self.index, "commands", COMMANDS_MAX)
            self.pipeline.command_done(command, "limit")
            return
        self._commands.append(command)
        self.rouse()

    def take_commands(self) -> list[Command]:
        """The writes that wait, not the one under way; they are the caller's now."""
        commands, self._commands = self._commands, []
        return commands

    def ask_status(self) -> None:
        """The supervisor wants to know how the driver is; polls and writes go first."""
        self._status_due = True
        self.rouse()

    def between(self, then: Callable[[], None]) -> None:
        """Call ``then`` when nothing is under way: now, or when it has ended; before anything else is
        begun."""
        if self._wake is not None:
            then()
        else:
            self._between = then

    def rows(self) -> list[Row]:
        """What is being polled, and what waits to be."""
        return [row for row in (self.row, self._next) if row is not None]

    def rouse(self) -> None:
        """There is something to do, perhaps."""
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.fire()

    # ---- the process -----------------------------------------------------------------------------
    def _run(self) -> Steps:
        machine, pipeline = self.machine, self.pipeline
        bell = Event(machine.env)  # the same for each wait of this task: nothing else ends one
        while True:
            if self._between is not None:
                then, self._between = self._between, None
                then()
            if self._next is not None:
                row = self._begin()
                if row is not None:
                    slot = self.slot
                    generation = slot.generation
                    fault = yield from call(
                        machine, slot, "read-sensor", (), 0, self.times, DRIVER, self.port, True
                    )
                    lists = pipeline.accepted(self, row, fault, generation)
                    if lists is not None:
                        yield from pipeline.carry(self, row, lists)
                        self.times.lists, self.before = None, self.times  # a kilobyte until its next poll
                    self.row = None
                    if self.on_poll is not None:
                        self.on_poll(row)
                    self.came_to_nothing = not row.carried
                    if self.recent is not None:
                        self.recent.append(self.came_to_nothing)
                continue
            work = self._work()
            if work is not None:
                yield from work
            else:
                bell.fired, bell.task, self._wake = False, None, bell
                yield bell

    def _work(self) -> Steps | None:
        """The next thing to do beside polls; None when there is nothing."""
        if self._commands:
            return self._write()
        return self._ask() if self._status_due else None

    def _ask(self) -> Steps:
        self._status_due = False
        if self.slot.state == "ready":
            yield from self.pipeline.status(self)

    def _begin(self) -> Row | None:
        """The row to poll now; None when the driver isn't up (any more), and the row has ended."""
        row, self._next = self._next, None
        assert row is not None
        if self.slot.state != "ready":
            self._not_polled(row, "quarantined" if self.slot.state == "quarantined" else "driver-fault")
            return None
        self.row = row
        self.polls += 1
        self.before, self.times = self.times, self.new_times()
        now = self.machine.env.now
        if now > row.due_ns:
            self.times.behind(now - row.due_ns, self.before, "the poll before")
        self.witness.begin()
        return row

    def _write(self) -> Steps:
        command = self._command = self._commands.pop(0)
        point = self.table.id_of_bit.get(1 << command.point)
        if self.slot.state != "ready" or point is None:
            cause: str | None = "quarantined" if self.slot.state == "quarantined" else "driver-fault"
        else:
            self.pipeline.books.truth.ordered(command)
            cause = yield from self.pipeline.write(self, point, command.value)
            if cause is None:
                self.pipeline.books.truth.wrote(command, self.witness)
        self._command = None
        self.pipeline.command_done(command, cause)

    # ---- the gateway dies ------------------------------------------------------------------------
    def crash(self, cause: str, lost: str) -> None:
        """The gateway's memory is gone: what was read and not yet in the uplink's or store's care is lost,
        the rest missed.

        ``cause``: why its commands fail, ``lost``: why what was read is lost.
        """
        ledger = self._ledger
        row, self.row = self.row, None
        self.lose_derived(lost)
        if row is not None and row.open:
            mine = row.open & ~row.carried
            read = mine & row.read
            if read:
                ledger.close(row, read, End.LOST, lost)
            if mine & ~read:
                ledger.close(row, mine & ~read, End.MISSED, "gateway-down")
        row, self._next = self._next, None
        if row is not None:
            ledger.close(row, row.open, End.MISSED, "gateway-down")
        commands = [*([self._command] if self._command else []), *self._commands]
        self._command = None
        self._commands.clear()
        for command in commands:
            self.pipeline.command_done(command, cause)
        self.port.abandon()
        self._wake = self._between = None
        self._status_due = False
        self._task.stop()
        self.give_back()
        self.arguments.held.release()
        self._task = Task(self.machine.env, self._run())
