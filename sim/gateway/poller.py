"""One polled device on one gateway: its task polls, writes and survives a crash of the gateway.

Belongs here: when a poll begins, overrun, what a crash leaves. Never: when a sample is due (schedule.py) or what happens
within a poll (pipeline.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.batch import Batch, StageArguments, read_batch
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.nodes import node_address
from twinloop.devices.mqtt.device import member
from twinloop.sim.accounts.latency import Clockwork
from twinloop.sim.accounts.ledger import End, Row
from twinloop.sim.cloud.messages import TOPIC_PREFIX, Body
from twinloop.sim.gateway.pipeline import poll, status, write
from twinloop.sim.kernel.clock import Signal, Steps, Task
from twinloop.sim.model.spec import DeviceSpec
from twinloop.sim.truth.witness import Nobody, Witness

if TYPE_CHECKING:
    from twinloop.components.host.instance import Instance
    from twinloop.sim.cloud.messages import Command
    from twinloop.sim.field.tcp_port import Port
    from twinloop.sim.gateway.gateway import Gateway
    from twinloop.sim.gateway.slot import Slot

COMMANDS_MAX = 64
"""writes that wait for one device; more are refused (cause ``limit``)"""


def point_configs(model: DeviceModel, first: int, protocol: str) -> list[PointConfig]:
    """The points of a model for components, with ids from ``first`` on. Only registers need scaling: nodes and payloads hold engineering values."""
    if protocol == "mqtt":
        return [PointConfig(first + i, p.name, member(p.name), p.unit, 1.0, 0.0, p.low, p.high) for i, p in enumerate(model.points)]
    if protocol == "opcua":
        return [PointConfig(first + i, p.name, node_address(p), p.unit, 1.0, 0.0, p.low, p.high) for i, p in enumerate(model.points)]
    return [PointConfig(first + i, p.name, p.address_text(), p.unit, p.scale, p.offset, p.low, p.high) for i, p in enumerate(model.points)]


def table_key(device: DeviceSpec) -> str:
    """Devices for which this is the same have the same point table."""
    return device.model.name if device.protocol.startswith("modbus") else f"{device.model.name} over {device.protocol}"


def points_of(devices: list[DeviceSpec]) -> tuple[list[PointConfig], dict[str, int]]:
    """(all points of a gateway, ``table_key`` -> id of its first): devices of one model and protocol share ids."""
    points: list[PointConfig] = []
    first: dict[str, int] = {}
    for device in devices:
        key = table_key(device)
        if key not in first:
            first[key] = len(points)
            points += point_configs(device.model, len(points), device.protocol)
    return points, first


RECENT = 20
"""polls that are remembered of a device: what an upgrade is held against"""


class PointTable:
    """The points of one device model on one gateway, as its pollers need them."""

    __slots__ = ("bit_of", "body", "id_of_bit", "ids", "mask", "points")

    def __init__(self, points: list[PointConfig]) -> None:
        self.points = points
        self.ids = tuple(point.id for point in points)
        self.bit_of = {point.id: 1 << i for i, point in enumerate(points)}
        """point id -> bit of the device's mask"""
        self.id_of_bit = {bit: point for point, bit in self.bit_of.items()}
        self.body = Body(points)
        """how its messages are written"""
        self.mask = (1 << len(points)) - 1


class Poller:
    """The process that polls one device through its driver slot."""

    listens_by_itself = False

    def __init__(self, gateway: Gateway, index: int, spec: DeviceSpec, slot: Slot, port: Port, table: PointTable) -> None:
        self.gateway, self.index, self.spec, self.slot, self.port = gateway, index, spec, slot, port
        self.name = spec.name
        self.table = table
        self.clockwork = self.before = Clockwork()
        self.arguments = StageArguments(spec.name)
        self.row: Row | None = None
        self._lender: Instance | None = None
        self._next: Row | None = None
        self._commands: list[Command] = []
        self._command: Command | None = None
        self._status_due = False
        self._wake: Signal | None = None
        self._between: Callable[[], None] | None = None
        """what waits for the work under way to end"""
        self.witness: Witness = Nobody()
        """who knows what the device showed; the field says"""
        self.came_to_nothing = False
        self.recent: deque[bool] | None = None
        """of each of the last polls: did it come to nothing? Where upgrades may come"""
        """the last poll: nothing of it was carried out"""
        self.unchecked = 0
        """so many of its next batches nobody holds against that"""
        self.polls = 0
        self.on_poll: Callable[[Row], None] | None = None
        """told of each poll that has ended, and of each that couldn't begin"""
        self.on_batch: Callable[[Poller, Row, Batch], None] | None = None
        """told of each batch that the driver returns"""
        slot.on_drop = port.abandon
        self.topic = f"{TOPIC_PREFIX}{spec.name}".encode()
        self._task = Task(gateway.env, self._run())

    # ---- work comes in ------------------------------------------------------------------------------------------
    def due(self, row: Row) -> None:
        """A sample is due now: poll, or say why not."""
        gateway, ledger = self.gateway, self.gateway.ledger
        if gateway.state != "up":
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
        self.gateway.ledger.close(row, row.open, End.MISSED, cause)
        if self.on_poll is not None:
            self.on_poll(row)

    def command(self, command: Command) -> None:
        """A write has come down; it waits its turn between polls."""
        if len(self._commands) >= COMMANDS_MAX:
            self.gateway.trace.emit("limit", self.index, "commands", COMMANDS_MAX)
            self.gateway.command_done(command, "limit")
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
        """Call ``then`` when nothing is under way: now, or when it has ended; before anything else is begun."""
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

    # ---- the process --------------------------------------------------------------------------------------------
    def _run(self) -> Steps:
        env = self.gateway.env
        while True:
            if self._between is not None:
                then, self._between = self._between, None
                then()
            if self._next is not None:
                row = self._begin()
                if row is not None:
                    yield from poll(self.gateway, self, row)
                    self.row = None
                    if self.on_poll is not None:
                        self.on_poll(row)
                    self.came_to_nothing = not row.carried
                    if self.recent is not None:
                        self.recent.append(self.came_to_nothing)
            elif not (yield from self._work()):
                self._wake = Signal(env)
                yield self._wake

    def _work(self) -> Steps:
        """The next thing to do beside polls; False when there is nothing."""
        if self._commands:
            yield from self._write()
        elif self._status_due:
            yield from self._ask()
        else:
            return False
        return True

    def _ask(self) -> Steps:
        self._status_due = False
        if self.slot.state == "ready":
            yield from status(self.gateway, self)

    def _begin(self) -> Row | None:
        """The row to poll now; None when the driver isn't up (any more), and the row has ended."""
        row, self._next = self._next, None
        assert row is not None
        if self.slot.state != "ready":
            self._not_polled(row, "quarantined" if self.slot.state == "quarantined" else "driver-fault")
            return None
        self.row = row
        self.polls += 1
        self.before, self.clockwork = self.clockwork, Clockwork()
        return row

    def _write(self) -> Steps:
        command = self._command = self._commands.pop(0)
        point = self.table.id_of_bit.get(1 << command.point)
        if self.slot.state != "ready" or point is None:
            cause: str | None = "quarantined" if self.slot.state == "quarantined" else "driver-fault"
        else:
            self.gateway.truth.ordered(command)
            cause = yield from write(self.gateway, self, point, command.value)
            if cause is None:
                self.gateway.truth.wrote(command, self.witness)
        self._command = None
        self.gateway.command_done(command, cause)

    def remember(self) -> None:
        """An upgrade may come, and will be held against what was before it."""
        self.recent = deque(maxlen=RECENT)

    def lend(self, instance: Instance, row: Row) -> None:
        """The transform will read the driver's result where it lies: it must outlive the driver's instance."""
        self._lender = instance
        instance.lent = True
        if self.on_batch is not None:
            assert self.clockwork.lists is not None
            self.on_batch(self, row, read_batch(self.clockwork.lists))

    def give_back(self) -> None:
        """The transform has read it: freed at once, its memory is the next batch's while it is still in the cache."""
        instance, self._lender = self._lender, None
        if instance is not None:
            instance.lent = False
            instance.release()

    def mask_of(self, ids: Sequence[int]) -> int | None:
        """The mask of a batch's point ids; None when one is unknown or comes twice."""
        table = self.table
        mask = 0
        for point in ids:
            bit = table.bit_of.get(point, 0)
            if not bit or mask & bit:
                return None
            mask |= bit
        return mask

    # ---- the gateway dies -----------------------------------------------------------------------------------------
    def crash(self, cause: str, lost: str) -> None:
        """The gateway's memory is gone: what was read and not yet in the uplink's or store's care is lost, the rest missed.

        ``cause``: why its commands fail, ``lost``: why what was read is lost.
        """
        ledger = self.gateway.ledger
        row, self.row = self.row, None
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
            self.gateway.command_done(command, cause)
        self.port.abandon()
        self._wake = self._between = None
        self._status_due = False
        self._task.stop()
        self.give_back()
        self.arguments.held.release()
        self._task = Task(self.gateway.env, self._run())
