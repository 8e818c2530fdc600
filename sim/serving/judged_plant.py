"""A served field whose gateway is judged: every sample is counted at its device, and what arrives in the
north is held against that.

Belongs here: rows for a gateway that isn't ours. Never: messages (scenarios/wire/observation.py), sockets,
verdicts. Each device shows the number k of its sample in a point of its own, the last of its model, from
phase + k * poll on until the next; before the first and after the last it shows NO_SAMPLE.
A sample whose k no client has read is missed (``unread``), which is known when an answer with it can't be on
its way any more; one that was read and never arrived is lost (``unseen``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.devices.model.nodes import NodeImage
from twinloop.devices.model.statuses import BAD
from twinloop.sim.accounts.ends import Ends
from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import Ledger, due_instants
from twinloop.sim.accounts.rows import End, Marks, Row
from twinloop.sim.cloud.commands import Commands
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.quality import CAUSE_OF
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.redundancy.pair import Pair
from twinloop.sim.serving.plant import ServedPlant

NO_SAMPLE = (1 << 32) - 1
"""what the counter shows when nothing is due"""
STRANGE_MAX = 100
"""messages that belong to no sample, of which what was wrong is kept; more are counted only"""


class _NoRollout:
    """A gateway that isn't ours isn't upgraded by us."""

    orders: tuple[Upgrade, ...] = ()


class _Watched:
    """What is known of one device: the sample that it shows now, the registers of its counter as they were
    read last, whether anything of each k has arrived, and the youngest k that has."""

    __slots__ = ("arrived", "current", "halves", "youngest")

    def __init__(self) -> None:
        self.current: Row | None = None
        self.halves: dict[int, int] = {}
        self.arrived = bytearray()
        self.youngest = -1


class ObservedPlant(ServedPlant):
    """Has what a judge asks of a world (ledger, latencies, phases), and no gateways. ``arrived`` is told of
    what a message says."""

    def __init__(self, spec: WorldSpec, epoch_ns: int) -> None:
        super().__init__(spec, epoch_ns)
        devices = spec.devices
        self.points = [tuple(point.name for point in device.model.points[:-1]) for device in devices]
        """of each device, without the counter"""
        self.ledger = Ledger([device.name for device in devices], self.points)
        self.latencies = Latencies([device.fleet for device in devices], len(spec.fleets))
        self.ledger.on_end = self._ended
        self._books = self.ledger  # type: ignore[assignment]  # the same questions
        self._watched = [_Watched() for _ in devices]
        self.lost: list[tuple[int, int, int]] = []
        """(device, k, due at) of samples of which something was read and didn't arrive"""
        self.messages = self.strange = 0
        self.strangeness: list[str] = []
        self.finished = False
        self.ends = Ends(self.env, self.trace, self.latencies, spec.phases, sees_gateways=False)
        self.waiting_for: list[Callable[[], bool]] = []
        self.commands = Commands(self.trace)
        self.pairs: list[Pair] = []
        self.rollout = _NoRollout()
        self.events = self.polls = 0
        self.pacer: Pacer | None = None
        """whoever keeps the pace says so"""
        for index, device in enumerate(devices):
            self._show(index, NO_SAMPLE)
            self.env.call_at(device.phase_ns, self._due, index, 0)
        self.on_answer = self._answered

    @property
    def truth(self) -> None:
        """What a gateway that isn't ours has read is not known here."""
        return

    books = truth

    @property
    def gateway_of_name(self) -> dict[str, Gateway]:
        """None is ours."""
        return {}

    @property
    def duration_over(self) -> bool:
        """What follows is settling."""
        return self.env.now >= self.spec.duration_ns

    # ---- at the devices --------------------------------------------------------------------------
    def _show(self, index: int, number: int) -> None:
        device = self.field.servers[index].device
        device.image.write_value(len(device.model.points) - 1, float(number))

    def _due(self, index: int, k: int) -> None:
        """Sample k is due; the one before isn't shown any more, but an answer with it may be on its way."""
        spec, now = self.spec.devices[index], self.env.now
        before = self._watched[index].current
        if before is not None and before.open and not before.read:
            self.env.call_in(BUS_USER_TIMEOUT_NS, self._never_read, before)
        if now >= self.spec.duration_ns:
            self._watched[index].current = None
            self._show(index, NO_SAMPLE)
            return
        self._watched[index].current = self.ledger.open_row(index, k, now, self._mask(index), spec.poll_ns)
        self._watched[index].arrived.append(0)
        self._show(index, k)
        self.env.call_at(spec.phase_ns + (k + 1) * spec.poll_ns, self._due, index, k + 1)

    def _mask(self, index: int) -> int:
        """The points of a device that can be read, but for the counter."""
        points = self.spec.devices[index].model.points[:-1]
        return sum(1 << i for i, point in enumerate(points) if point.readable)

    def _never_read(self, row: Row) -> None:
        """No answer with it can come any more, unless it waits in the queue of a subscription, for as long as
        that likes."""
        if not row.open or row.read or self.finished:
            return
        server: Any = self.field.servers[row.device]
        waits = self.spec.devices[row.device].protocol == "opcua" and server.counted()
        if waits and self.env.now < self.spec.duration_ns + self.spec.settle_ns:
            self.env.call_in(BUS_USER_TIMEOUT_NS, self._never_read, row)
        else:
            self.ledger.close(row, row.open, End.MISSED, "unread")

    def _answered(self, index: int, request: bytes, answer: bytes) -> None:
        """A Modbus client has its answer, a right one: were the counter's registers in it?"""
        row, point = self._watched[index].current, self.spec.devices[index].model.points[-1]
        if request[0] not in (1, 2, 3, 4) and row is not None:
            self._show(index, row.k)  # it may have written to the counter
        wanted = {"holding": (3, 23), "input": (4,)}[point.table]
        if request[0] not in wanted or answer[:1] != request[:1]:
            return
        first, count = int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big")
        halves = self._watched[index].halves
        # a client may read them in one answer or in two: how it cuts its blocks is its own affair
        for half in range(point.width):
            at = 2 + 2 * (point.address + half - first)
            if first <= point.address + half < first + count:
                halves[half] = int.from_bytes(answer[at : at + 2], "big")
        if len(halves) == point.width:
            shown = self.ledger.rows.get((index, halves[0] << 16 | halves[1]))  # it may be of another by now
            if shown is not None:
                shown.read = shown.due

    def boot(self, lead_ns: int = 0) -> None:
        """As a served plant's; then the servers are there whose answers are looked at."""
        super().boot(lead_ns)
        self.field.count_samples()

    def got(self, index: int, samples: list[int]) -> None:
        """An answer has come to its client that says so of the counter: those samples were read, however long
        ago they were due."""
        for k in samples:
            row = self.ledger.rows.get((index, k))
            if row is not None:
                row.read = row.due

    # ---- in the north ----------------------------------------------------------------------------
    def arrived(self, index: int, k: int, mask: int, marks: Marks | None = None) -> None:
        """Points of a device's sample k have arrived, now; ``marks``: those that aren't Good. Bad where the
        device had a value is missed."""
        if k == NO_SAMPLE:
            return  # read before the first, or after the last
        watched = self._watched[index]
        arrived = watched.arrived
        if not 0 <= k < len(arrived):
            self.odd(f"{self.ledger.names[index]}: sample {k} isn't due yet, {len(arrived)} were")
            return
        row = self.ledger.rows.get((index, k))
        if row is None:
            if arrived[k]:
                self.ledger.duplicates_of[index] += mask.bit_count()
            else:
                self.odd(f"{self.ledger.names[index]}: sample {k} arrived, but nobody has read it")
            return
        if not mask:
            self.odd(f"{self.ledger.names[index]}: sample {k} has arrived without a usable value")
            return
        if not row.read:  # made up, or of a device that nobody has asked
            self.odd(f"{self.ledger.names[index]}: sample {k} arrived, but nobody has read it")
            return
        if self.ledger.tells_quality:
            mask = self._assess(row, mask & row.open, marks or {}) | mask & ~row.open
            arrived[k] = 1
        fresh = self.ledger.deliver(row, mask)
        if not fresh:
            return
        arrived[k] = 1
        self.latencies.accepted(index, fresh.bit_count(), self.env.now - row.due_ns, row.due_ns)
        if k < watched.youngest:
            self.ledger.misordered_of[index] += fresh.bit_count()
        watched.youngest = max(watched.youngest, k)

    def _assess(self, row: Row, mask: int, marks: Marks) -> int:
        """Book the quality of what has arrived of a sample; returns the points that did arrive."""
        bad = 0
        # what came before has ended by now
        row.marks = {status: points & mask for status, points in marks.items() if points & mask}
        self.ledger.returned(row, mask & ~sum(row.marks.values()))
        for status, points in marks.items():
            blamed = points & mask if status >= BAD else 0
            for point in range(blamed.bit_length()):
                if blamed >> point & 1 and self._valueless(row.device, point):
                    blamed &= ~(1 << point)
            if blamed:
                bad |= blamed
                self.ledger.close(row, blamed, End.MISSED, CAUSE_OF.get(status & 0xFFFF0000, "bad"))
        return mask & ~bad

    def _valueless(self, index: int, point: int) -> bool:
        """Has the device itself no value there, now or when this sample was due?"""
        image = NodeImage(self.field.servers[index].device)
        read = image.read(point, self.env.now)
        cell, described = image.device.image.cell(point), image.device.model.points[point]
        raw = (
            None
            if cell is None
            else image.device.image.read_raw(described.table, described.address, described.width)
        )
        return (
            read.status >= BAD
            or read.value - read.value != 0.0
            or (cell is not None and raw is not None and cell.is_none(raw))
        )

    def odd(self, what: str) -> None:
        """A message that belongs to no sample."""
        self.strange += 1
        if len(self.strangeness) < STRANGE_MAX:
            self.strangeness.append(what)

    # ---- the end ---------------------------------------------------------------------------------
    def complete(self) -> bool:
        """Nothing is due any more, and nothing is open."""
        return self.env.now >= self.spec.duration_ns and not self.ledger.open and not self._shows()

    def _shows(self) -> bool:
        """Some device shows a sample now."""
        return any(watched.current is not None for watched in self._watched)

    def finish(self, stopped: bool) -> None:
        """What is open now has been lost, or was never read, or ends with a run that was ``stopped``; the
        books are balanced, or it is BROKEN."""
        self.finished = True
        self.polls = self.requests
        for row in list(self.ledger.rows.values()):
            if row.read:
                self.ledger.close(row, row.open, End.LOST, "end-of-run" if stopped else "unseen")
            else:
                self.ledger.close(row, row.open, End.MISSED, "end-of-run" if stopped else "unread")
        if self.env.now >= self.spec.duration_ns and not self._shows():
            self.ledger.audit(self._closed_form)

    def _closed_form(self, index: int) -> int:
        spec = self.spec.devices[index]
        return (
            due_instants(spec.phase_ns, spec.poll_ns, self.spec.duration_ns) * self._mask(index).bit_count()
        )

    def _ended(self, row: Row, mask: int, end: End, cause: str) -> None:
        self.ends.ended(row, mask, end, cause)
        if end is End.LOST:
            self.lost.append((row.device, row.k, row.due_ns))
