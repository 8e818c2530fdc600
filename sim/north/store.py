"""Store and forward: batches that wait for the uplink, in a real SQLite file; capacity, lanes, TTL.

Belongs here: rows, eviction, which row is sent first. Never: sessions, when a row is tried (drain.py) or on
the flash (flash_sync.py). Lane 3 is sent first, lane 0 evicted first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End
from twinloop.sim.cloud.messages import Message
from twinloop.sim.kernel.clock import Event, S
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.spec import StoreSpec
from twinloop.sim.north.drain import Drain
from twinloop.sim.north.flash import FlashFile, memory_db
from twinloop.sim.north.flash_sync import FlashSync
from twinloop.sim.north.uplink import Uplink

ROW_OVERHEAD_BYTES = 48
"""charged to the capacity for each row beside its body: columns, b-tree cell, index entry (ours, from
SQLite's file format)"""


class Store:
    """One gateway's store. ``used_bytes`` of ``spec.capacity_bytes``; rows in flight stay until
    acknowledged."""

    def __init__(
        self,
        *,
        machine: Machine,
        ledger: Ledger,
        uplink: Uplink,
        spec: StoreSpec,
        path: Path,
        cuts: RandomStream,
    ) -> None:
        self._env = machine.env
        self._machine = machine
        self._ledger = ledger
        self.spec = spec
        self.on_change: Callable[[], None] = lambda: None
        """told when there may be more or fewer messages that wait"""
        self.flash_bytes_per_s = spec.flash_bytes_per_s or machine.budget.prices.flash_bytes_per_s.value
        self._sync = None if spec.volatile else FlashSync(machine, spec, path, cuts)
        self._db = memory_db() if self._sync is None else self._sync.db
        self._drain = Drain(machine, uplink, spec, self)
        self._messages: dict[int, Message] = {}
        self._next = 0
        self.used_bytes = self.peak_bytes = 0
        self.waiting = self.waiting_peak = 0
        self.written = self.evicted = 0
        self._expires: dict[int, int] = {}
        """row -> when it is too old, by the gateway's wall clock"""
        self._fills: list[int] = []

    @property
    def file(self) -> FlashFile | None:
        """Its file; None: volatile."""
        return None if self._sync is None else self._sync.file

    @property
    def flash_bytes(self) -> int:
        """Written to the flash so far, log and database."""
        return 0 if self._sync is None else self._sync.file.written_bytes

    @property
    def syncs(self) -> int:
        """Finished ones."""
        return 0 if self._sync is None else self._sync.file.syncs

    # ---- rows ------------------------------------------------------------------------------------
    @staticmethod
    def _row_bytes(message: Message) -> int:
        return len(message.body) + ROW_OVERHEAD_BYTES

    def put(self, message: Message) -> None:
        """Write a batch; one that is here already (its session broke) waits again. May evict, the newcomer
        too."""
        if message.store_id in self._messages:
            self._db.execute("UPDATE batches SET sent = 0 WHERE id = ?", (message.store_id,))
            self._changed(1)
            return
        if message.store_id is not None:  # it was given up, or evicted, while it was in flight
            message.store_id = None
            if not message.open:
                return
        size = self._row_bytes(message)
        if size > self.spec.capacity_bytes:
            self._end(message, "capacity")
            return
        if self._fills and self.used_bytes + size > min(self._fills):
            self._no_space(message, size)
            return
        while self.used_bytes + size > self.spec.capacity_bytes:
            if self.spec.refuse or not self._evict_one(message.lane):
                self._end(message, "capacity")
                return
        self._next += 1
        message.store_id = self._next
        machine = self._machine
        row = (
            self._next,
            message.lane,
            self._ledger.names[message.device],
            message.k,
            f"{message.mask:x}",
            self._env.now,
            0,
            message.body,
        )
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._messages[self._next] = message
        if self._sync is not None:
            self._sync.inserted(self._next, size)
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        self.written += 1
        machine.trace.emit("stored", machine.index, message.device, message.k, len(message.body))
        if self.spec.ttl_ns is not None:
            self._expires[self._next] = machine.clock.wall(self._env.now) + self.spec.ttl_ns
            self._env.call_in(self.spec.ttl_ns, self._expire, self._next)
        self._changed(1)

    def _no_space(self, message: Message, size: int) -> None:
        """The flash is full of other things: the write fails, and nothing that is stored makes room for
        it."""
        machine = self._machine
        machine.budget.breach("flash-full")
        machine.trace.emit("limit", machine.index, "flash-full", size)
        message.end(self._ledger, End.LOST, "no-store")

    def fill(self, left_bytes: int) -> Callable[[], None]:
        """Others leave only ``left_bytes`` of flash for new rows; returns what ends it."""
        size = self.used_bytes + left_bytes
        self._fills.append(size)
        return lambda: self._fills.remove(size)

    def _changed(self, waiting: int) -> None:
        self.waiting += waiting
        self.waiting_peak = max(self.waiting_peak, self.waiting)
        self._touch()
        self.on_change()
        if self.waiting:
            self._drain.retry_later()
            self._drain.wake()

    def _touch(self) -> None:
        if self._sync is not None:
            self._sync.touch()

    def _evict_one(self, lane: int) -> bool:
        """The oldest row of the lowest lane that isn't in flight and not above ``lane``."""
        found = self._db.execute(
            "SELECT id FROM batches WHERE sent = 0 AND lane <= ? ORDER BY lane, id LIMIT 1", (lane,)
        ).fetchone()
        if found is None:
            return False
        self._end(self._messages[found[0]], "capacity")
        return True

    def _expire(self, store_id: int) -> None:
        """Old enough by the gateway's own clock? If it is down, or the clock went back, or the row is in
        flight: later."""
        message = self._messages.get(store_id)
        if message is None:
            return
        machine = self._machine
        left_ns = self._expires[store_id] - machine.clock.wall(self._env.now)
        if left_ns > 0 or machine.state == "down":
            self._env.call_in(max(left_ns, S), self._expire, store_id)
            return
        sent = self._db.execute("SELECT sent FROM batches WHERE id = ?", (store_id,)).fetchone()[0]
        if sent:
            self._env.call_in(self._drain.interval_ns, self._expire, store_id)
        else:
            self._end(message, "ttl")

    def clock_stepped(self) -> None:
        """The gateway's clock jumped: what is too old now goes now."""
        for store_id in list(self._expires):
            self._expire_if_due(store_id)

    def _expire_if_due(self, store_id: int) -> None:
        if self._machine.state != "down" and self._expires[store_id] <= self._machine.clock.wall(
            self._env.now
        ):
            self._expire(store_id)

    def _end(self, message: Message, cause: str) -> None:
        machine = self._machine
        if message.store_id is not None:
            self._remove(message)
            self._changed(-1)
        machine.trace.emit("evict", machine.index, message.device, message.k, cause)
        if message.open:  # the cloud may have it already: only its acknowledgement was lost
            self.evicted += 1
            message.end(self._ledger, End.EVICTED, cause)

    def _remove(self, message: Message) -> None:
        store_id = message.store_id
        assert store_id is not None
        self._db.execute("DELETE FROM batches WHERE id = ?", (store_id,))
        del self._messages[store_id]
        expires_ns = self._expires.pop(store_id, None)
        if self._sync is not None:
            self._sync.removed(store_id, message, expires_ns)
        self._drain.forget(store_id)
        self.used_bytes -= self._row_bytes(message)

    def acknowledged(self, message: Message) -> None:
        """The cloud has it: the row goes."""
        if message.store_id in self._messages:
            self._remove(message)
            self._touch()
        self._drain.wake()

    def on_flash(self) -> Event:
        """Fires when a sync has finished that has what was written until now; in memory at once. Never, if
        the gateway dies before."""
        if self._sync is not None:
            return self._sync.on_flash()
        signal = Event(self._env)
        signal.fire()
        return signal

    def flush(self) -> None:
        """Sync to the end, now: an orderly end waits for it (its time is not modelled)."""
        if self._sync is not None:
            self._sync.flush()

    # ---- what its drain asks ---------------------------------------------------------------------
    def row_ids(self) -> list[int]:
        """The rows that wait, oldest first."""
        return [row for (row,) in self._db.execute("SELECT id FROM batches WHERE sent = 0 ORDER BY id")]

    def take_next(self) -> Message:
        """The message that is sent first, the oldest of the highest lane; it doesn't wait any more."""
        row = self._db.execute(
            "SELECT id FROM batches WHERE sent = 0 ORDER BY lane DESC, id LIMIT 1"
        ).fetchone()
        self._db.execute("UPDATE batches SET sent = 1 WHERE id = ?", row)
        self._changed(-1)
        return self._messages[row[0]]

    def has(self, message: Message) -> bool:
        """It is still a row of the store."""
        return message.store_id in self._messages

    def give_up(self, store_id: int) -> None:
        """It was tried too often: lost."""
        machine, message = self._machine, self._messages[store_id]
        self._remove(message)
        self._changed(-1)
        machine.trace.emit("evict", machine.index, message.device, message.k, "retries")
        message.end(self._ledger, End.LOST, "retries")

    # ---- life ------------------------------------------------------------------------------------
    def crashed(self, power: bool, cause: str) -> None:
        """The gateway died: what was in flight waits again; rows written survive the process, not the loss of
        power; memory doesn't.

        ``cause``: why what is in memory is lost.
        """
        if self._sync is None:
            self._forget_all(cause)
        elif not power:
            self._back_to_last_sync(self._sync)
        else:
            self._sync.flush()  # the kernel goes on writing
        self._db.execute("UPDATE batches SET sent = 0 WHERE sent = 1")
        self._drain.stop()
        if self._sync is not None:
            self._sync.stop()
        self.waiting = len(self._messages)
        self.on_change()

    def _forget_all(self, cause: str) -> None:
        self._db.execute("DELETE FROM batches")
        for message in list(self._messages.values()):
            self._lose(message, cause)

    def _lose(self, message: Message, cause: str) -> None:
        """It is in the store no more."""
        assert message.store_id is not None
        del self._messages[message.store_id]
        self._expires.pop(message.store_id, None)
        self._drain.forget(message.store_id)
        self.used_bytes -= self._row_bytes(message)
        message.end(self._ledger, End.LOST, cause)

    def _back_to_last_sync(self, sync: FlashSync) -> None:
        """What was written since is lost; what was removed since is there again, and will be sent a second
        time."""
        there, gone = sync.cut_power()
        self._db = sync.db
        for store_id, message in list(self._messages.items()):
            if store_id not in there:
                self._lose(message, "power-cut")
        for store_id, (message, expires_ns) in gone.items():
            if store_id in there and store_id not in self._messages:
                self._messages[store_id] = message
                self.used_bytes += self._row_bytes(message)
                if expires_ns is not None:
                    self._expires[store_id] = expires_ns
                    self._env.call_in(S, self._expire, store_id)

    def wake(self) -> None:
        """The uplink stands: what waits may be sent."""
        self._drain.wake()

    def session_lost(self) -> None:
        """A store that retries by the clock waits for its next try."""
        self._drain.session_lost()

    def boot(self) -> None:
        """The gateway is up again: what waits is tried as the store does it."""
        if self.waiting:
            self._drain.retry_later()

    def messages(self) -> list[Message]:
        """Everything in the store, in order of arrival."""
        return [self._messages[store_id] for store_id in sorted(self._messages)]

    def close(self) -> None:
        """Commit and close the file."""
        if self._sync is None:
            self._db.close()
        else:
            self._sync.file.close()
