"""A device whose values are subscribed to: its driver waits for news, and each batch is the sample of the
instant that its source timestamp states.

Belongs here: which batch is which sample. Never: when a value is news (devices/model/nodes.py says so to the
plan), how it is published (the server). Notifications come in the order of their instants: what is older than
a batch that has come, and isn't in it, won't come. A sample that was due while no subscription stood is
missed at once; the first notification of a new one is no sample, whatever it holds.
"""

from __future__ import annotations

from twinloop.components.host.crossing import read_batch
from twinloop.devices.model.nodes import News
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.field.opcua_port import StackPort
from twinloop.sim.gateway.listener import PushReader, Taken
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.reader import PointTable
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import US
from twinloop.sim.model.spec import DeviceSpec

UNASKED_MAX = 1000
"""batches of one Publish that belong to no sample, before a driver that returns more is left alone for a
while"""


class Subscriber(PushReader):
    """The process that listens to one device's subscription."""

    port: StackPort  # type: ignore[assignment]  # it tells the same, but of frames instead of messages

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        index: int,
        spec: DeviceSpec,
        slot: Slot,
        port: StackPort,
        table: PointTable,
        news: News,
        epoch_ns: int,
    ) -> None:
        self._news, self._epoch_ns = news, epoch_ns
        self._instant: dict[int, int] = {}
        """source timestamp -> the sample of that instant"""
        self._frame = Taken(0, 0, 0, [0] * 6)
        """the last frame that the driver has taken"""
        self._unasked = 0
        self._seen_ns = 0
        """the instant of the batch that has come, on the timeline"""
        super().__init__(
            pipeline=pipeline,
            index=index,
            spec=spec,
            slot=slot,
            port=port,  # type: ignore[arg-type]
            table=table,
            client="",
            holds=lambda k: False,
        )

    def _listen_to(self, port: StackPort) -> None:  # type: ignore[override]
        port.on_frame, port.on_reset = self._framed, self._forgotten

    def due(self, row: Row) -> None:
        """Some values are news now: they will come, if somebody watches."""
        now, step_ns = self.machine.env.now, self.spec.model.step_ns
        if not self.port.watched() or self.machine.state != "up":
            self._not_polled(row, self._by_state("disconnected"))
            return
        misdated = row.open & self._news.misdated
        if misdated:  # they state another instant, and come with no batch of this one
            self._ledger.close(row, misdated, End.MISSED, "device")
        if row.open:
            super().due(row)
            # a server's clock has microseconds
            self._instant[(self._epoch_ns + now // step_ns * step_ns) // US * US] = row.k

    def _may_come(self, k: int) -> bool:
        return False

    def _framed(self) -> None:
        self._frame = Taken(0, 0, self.machine.env.now, list(self.times.spent_ns))
        self._unasked = 0

    def _forgotten(self) -> None:
        """The connection is dropped at this end: what the driver hadn't returned it has forgotten, and the
        server with it."""
        for k in list(self._due):
            self._end(k, self._by_state("disconnected"))
        self._instant.clear()

    def _unread(self, cause: str, first: bool = False) -> None:
        """An error of a call costs no sample by itself: the connection that goes with it does."""

    def _pause_ns(self, began_ns: int) -> int:
        """A Publish may bring much that belongs to no sample, and the rest of it shall not wait."""
        lists = self.times.lists
        self._unasked += 1
        nothing = not lists or not lists[0] + lists[5]
        return super()._pause_ns(began_ns) if self._unasked > UNASKED_MAX or nothing else 0

    def _next_taken(self) -> Taken | None:
        """The sample of the batch that has just been returned."""
        lists = self.times.lists
        assert lists is not None
        batch = read_batch(lists)
        self._seen_ns = batch.times[0] if batch.times else 0
        k = self._instant.pop(batch.times[0], None) if batch.times else None
        if k is None:
            return None
        for older in [one for one in self._due if one < k]:
            self._end(older, "unread")
        for instant in [one for one, which in self._instant.items() if which < k]:
            del self._instant[instant]
        row, seen = self._due.get(k), self.mask_of(batch.points)
        if row is None:
            return None
        # the first notification of a subscription that is younger than the step: the news itself is none any
        # more
        if self._frame.at_ns < row.due_ns:
            self._end(k, "unread")
            return None
        if seen is not None and row.open:
            if not seen & row.open:
                self._end(k, "unread")  # of that instant something else has come
                return None
            if row.open & ~seen:  # the queue of an item was too short
                self._ledger.close(row, row.open & ~seen, End.MISSED, "unread")
        return self._frame._replace(k=k)

    def _tell_witness(self, k: int) -> None:
        self.witness.at(self._seen_ns)

    def crash(self, cause: str, lost: str) -> None:
        """As a receiver's; nothing comes again."""
        super().crash(cause, lost)
        self._forgotten()
