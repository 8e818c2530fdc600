"""Store and forward: batches that wait for the uplink, in a real SQLite file; capacity, lanes, TTL, drain,
retries, sync.

Belongs here: rows, eviction, the order of the drain, when a sync is due. Never: sessions, or what a sync
leaves (flash.py). Lane 3 is sent first, lane 0 evicted first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from twinloop.sim.accounts.ledger import End, Ledger
from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway.flash import SCHEMA, FlashFile
from twinloop.sim.gateway.uplink import Uplink
from twinloop.sim.kernel.clock import Event, S, Timer
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import Keeps, Machine
from twinloop.sim.model.spec import StoreSpec

ROW_OVERHEAD_BYTES = 48
"""charged to the capacity for each row beside its body: columns, b-tree cell, index entry (ours, from
SQLite's file format)"""


class Store:
    """One gateway's store. ``used_bytes`` of ``spec.capacity_bytes``; rows in flight stay until
    acknowledged."""

    def __init__(
        self,
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
        self._uplink = uplink
        self.spec = spec
        self.on_change: Callable[[], None] = lambda: None
        """told when there may be more or fewer messages that wait"""
        self._file = None if spec.volatile else FlashFile(path, machine.name, cuts)
        self._db = sqlite3.connect(":memory:", isolation_level=None) if self._file is None else self._file.db
        if self._file is None:
            self._db.executescript(SCHEMA)
        self._messages: dict[int, Message] = {}
        self._tried: dict[int, int] = {}
        """row -> how often it was tried, where that is limited"""
        self._next = 0
        self.used_bytes = self.peak_bytes = 0
        self.waiting = self.waiting_peak = 0
        self.written = self.evicted = 0
        self._dirty = self._dirty_bytes = 0
        self._draining: Timer | None = None
        self._retrying: Timer | None = None
        self._may_drain = spec.retry_ns is None
        self._syncing: Timer | None = None
        self._interval_ns = max(1, S // spec.drain_per_s)
        self.flash_bytes_per_s = spec.flash_bytes_per_s or machine.board.flash_bytes_per_s.value
        self._waiting_for_sync: list[Event] = []
        self._synced_next: list[Event] = []
        """who waits for the sync that comes, and for the one under way"""
        self._removed: dict[int, tuple[Message, int | None]] = {}
        """rows that have gone since the last sync began, and when they would be too old: without power they
        come back"""
        self._undone: list[tuple[Keeps, str, bytes | None]] = []
        """what components' state changed in the sync under way; ``_going``: rows that go with it"""
        self._going: dict[int, tuple[Message, int | None]] = {}
        self._expires: dict[int, int] = {}
        """row -> when it is too old, by the gateway's wall clock"""
        self._fills: list[int] = []

    @property
    def file(self) -> FlashFile | None:
        """Its file; None: volatile."""
        return self._file

    @property
    def flash_bytes(self) -> int:
        """Written to the flash so far, log and database."""
        return 0 if self._file is None else self._file.written_bytes

    @property
    def syncs(self) -> int:
        """Finished ones."""
        return 0 if self._file is None else self._file.syncs

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
            if not message.mask & message.row.open:
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
            self._env._now,
            0,
            message.body,
        )
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._messages[self._next] = message
        if self._file is not None:
            self._file.changed(self._next, there=True)
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        self.written += 1
        self._dirty_bytes += size
        machine.trace.emit("stored", machine.index, message.device, message.k, len(message.body))
        if self.spec.ttl_ns is not None:
            self._expires[self._next] = machine.clock.wall(self._env._now) + self.spec.ttl_ns
            self._env.call_in(self.spec.ttl_ns, self._expire, self._next)
        self._changed(1)

    def _no_space(self, message: Message, size: int) -> None:
        """The flash is full of other things: the write fails, and nothing that is stored makes room for
        it."""
        machine = self._machine
        machine.budget.breach("flash-full")
        machine.trace.emit("limit", machine.index, "flash-full", size)
        left = message.mask & message.row.open
        if left:
            self._ledger.close(message.row, left, End.LOST, "no-store")

    def fill(self, left_bytes: int) -> Callable[[], None]:
        """Others leave only ``left_bytes`` of flash for new rows; returns what ends it."""
        size = self.used_bytes + left_bytes
        self._fills.append(size)
        return lambda: self._fills.remove(size)

    def _changed(self, waiting: int) -> None:
        self.waiting += waiting
        self.waiting_peak = max(self.waiting_peak, self.waiting)
        self._dirty_only()
        self.on_change()
        if self.waiting:
            self._retry_later()
            self.wake()

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
        left_ns = self._expires[store_id] - machine.clock.wall(self._env._now)
        if left_ns > 0 or machine.state == "down":
            self._env.call_in(max(left_ns, S), self._expire, store_id)
            return
        sent = self._db.execute("SELECT sent FROM batches WHERE id = ?", (store_id,)).fetchone()[0]
        if sent:
            self._env.call_in(self._interval_ns, self._expire, store_id)
        else:
            self._end(message, "ttl")

    def clock_stepped(self) -> None:
        """The gateway's clock jumped: what is too old now goes now."""
        for store_id in list(self._expires):
            self._expire_if_due(store_id)

    def _expire_if_due(self, store_id: int) -> None:
        if self._machine.state != "down" and self._expires[store_id] <= self._machine.clock.wall(
            self._env._now
        ):
            self._expire(store_id)

    def _end(self, message: Message, cause: str) -> None:
        machine = self._machine
        if message.store_id is not None:
            self._remove(message)
            self._changed(-1)
        machine.trace.emit("evict", machine.index, message.device, message.k, cause)
        left = message.mask & message.row.open
        if left:  # the cloud may have it already: only its acknowledgement was lost
            self.evicted += 1
            self._ledger.close(message.row, left, End.EVICTED, cause)

    def _remove(self, message: Message) -> None:
        store_id = message.store_id
        assert store_id is not None
        self._db.execute("DELETE FROM batches WHERE id = ?", (store_id,))
        self._removed[store_id] = self._messages.pop(store_id), self._expires.pop(store_id, None)
        if self._file is not None:
            self._file.changed(store_id, there=False)
        self._tried.pop(store_id, None)
        self.used_bytes -= self._row_bytes(message)

    def acknowledged(self, message: Message) -> None:
        """The cloud has it: the row goes."""
        if message.store_id in self._messages:
            self._remove(message)
            self._dirty_only()
        self.wake()

    def _dirty_only(self) -> None:
        if self._file is None:
            return
        if not self._dirty:
            self._syncing = self._env.call_in(self.spec.commit_ns, self._sync)
        self._dirty += 1

    # ---- sync ------------------------------------------------------------------------------------
    def on_flash(self) -> Event:
        """Fires when a sync has finished that has what was written until now; in memory at once. Never, if
        the gateway dies before."""
        signal = Event(self._env)
        if self._file is None:
            signal.fire()
        else:
            self._dirty_only()
            self._waiting_for_sync.append(signal)
        return signal

    def _write_ns(self, size_bytes: int) -> int:
        return size_bytes * S // self.flash_bytes_per_s

    def _sync(self) -> None:
        """Hand what is dirty to the flash: CPU time first, then the flash's own; while one sync runs the next
        one waits."""
        machine, file = self._machine, self._file
        self._syncing = None
        if machine.state == "down" or not self._dirty or file is None:
            return
        if file.syncing:
            machine.trace.emit("limit", machine.index, "flash-behind", self._dirty)
            machine.budget.breach("flash-behind")
            self._syncing = self._env.call_in(self.spec.commit_ns, self._sync)
            return
        rows, self._dirty = self._dirty, 0
        size_bytes, self._dirty_bytes = self._dirty_bytes, 0
        gone, self._removed = self._removed, {}
        self._undone = list(machine.journal)
        machine.journal.clear()
        self._synced_next, self._waiting_for_sync = self._waiting_for_sync, []
        to_write = file.begin_sync(size_bytes)
        machine.cores.work(machine.budget.host("commit"), self._write, rows, to_write, machine.epoch)
        self._going = gone

    def _write(self, rows: int, size_bytes: int, epoch: int) -> None:
        self._env.call_in(self._write_ns(size_bytes), self._synced, rows, epoch)

    def _synced(self, rows: int, epoch: int) -> None:
        """It is on the flash."""
        machine, file = self._machine, self._file
        if machine.epoch != epoch or file is None or not file.syncing:
            return  # the gateway died meanwhile
        file.end_sync()
        self._undone.clear()
        self._going = {}
        machine.trace.emit("sync", machine.index, rows)
        told, self._synced_next = self._synced_next, []
        for signal in told:
            signal.fire()

    def flush(self) -> None:
        """Sync to the end, now: an orderly end waits for it (its time is not modelled)."""
        file = self._file
        if file is None:
            return
        if file.syncing:
            file.end_sync()
        if self._dirty:
            file.begin_sync(self._dirty_bytes)
            file.end_sync()
            self._machine.trace.emit("sync", self._machine.index, self._dirty)
        self._dirty = self._dirty_bytes = 0
        self._removed, self._going = {}, {}
        self._undone.clear()
        self._machine.journal.clear()

    # ---- drain -----------------------------------------------------------------------------------
    def wake(self) -> None:
        """Something waits and may be sent: drain at the store's rate."""
        if self._draining is None and self.waiting and self._may_drain and self._uplink.ready():
            self._draining = self._env.call_in(self._interval_ns, self._drain)

    def _retry_later(self) -> None:
        """A store that retries by the clock: the next try is one interval after the first thing that
        waits."""
        if self.spec.retry_ns is not None and self._retrying is None:
            self._retrying = self._env.call_in(self.spec.retry_ns, self._retry)

    def _retry(self) -> None:
        """Everything that waits is tried once more; what was tried too often is given up."""
        self._retrying = None
        machine = self._machine
        if machine.state != "up" or not self.waiting:
            return
        self._may_drain = self._uplink.ready()
        if self._uplink.state != "up" and self.spec.retries is not None:
            for (store_id,) in self._db.execute(
                "SELECT id FROM batches WHERE sent = 0 ORDER BY id"
            ).fetchall():
                self._tried[store_id] = self._tried.get(store_id, 0) + 1
                if self._tried[store_id] >= self.spec.retries:
                    self._give_up(self._messages[store_id])
        if self.waiting:
            self._retry_later()
        self.wake()

    def _give_up(self, message: Message) -> None:
        machine = self._machine
        self._remove(message)
        self._changed(-1)
        machine.trace.emit("evict", machine.index, message.device, message.k, "retries")
        left = message.mask & message.row.open
        if left:
            self._ledger.close(message.row, left, End.LOST, "retries")

    def _drain(self) -> None:
        self._draining = None
        if not self.waiting or not self._uplink.ready() or self._machine.state != "up":
            return
        row = self._db.execute(
            "SELECT id FROM batches WHERE sent = 0 ORDER BY lane DESC, id LIMIT 1"
        ).fetchone()
        message = self._messages[row[0]]
        self._db.execute("UPDATE batches SET sent = 1 WHERE id = ?", row)
        self._changed(-1)
        machine = self._machine
        machine.cores.work(machine.budget.host("publish"), self._send, message)
        if not self.waiting:
            self._may_drain = self.spec.retry_ns is None
        self.wake()

    def _send(self, message: Message) -> None:
        if message.store_id not in self._messages:
            return
        if self._uplink.ready():
            self._uplink.publish(message)
        else:
            self.put(message)

    # ---- life ------------------------------------------------------------------------------------
    def crashed(self, power: bool, cause: str) -> None:
        """The gateway died: what was in flight waits again; rows written survive the process, not the loss of
        power; memory doesn't.

        ``cause``: why what is in memory is lost.
        """
        if self._file is None:
            self._forget_all(cause)
        elif not power:
            self._back_to_last_sync(self._file)
        else:
            self.flush()  # the kernel goes on writing
        self._db.execute("UPDATE batches SET sent = 0 WHERE sent = 1")
        for timer in (self._draining, self._syncing, self._retrying):
            if timer is not None:
                timer.cancel()
        self._draining = self._syncing = self._retrying = None
        self._may_drain = self.spec.retry_ns is None
        self.waiting = len(self._messages)
        self._dirty = self._dirty_bytes = 0
        self._waiting_for_sync, self._synced_next = [], []
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
        self._tried.pop(message.store_id, None)
        self.used_bytes -= self._row_bytes(message)
        left = message.mask & message.row.open
        if left:
            self._ledger.close(message.row, left, End.LOST, cause)

    def _back_to_last_sync(self, file: FlashFile) -> None:
        """What was written since is lost; what was removed since is there again, and will be sent a second
        time."""
        there = file.cut_power()
        self._db = file.db
        machine = self._machine
        for slot, key, before in [*reversed(machine.journal), *reversed(self._undone)]:
            slot.restore_state(key, before)
        machine.journal.clear()
        self._undone.clear()
        for store_id, message in list(self._messages.items()):
            if store_id not in there:
                self._lose(message, "power-cut")
        for store_id, (message, expires_ns) in {**self._going, **self._removed}.items():
            if store_id in there and store_id not in self._messages:
                self._messages[store_id] = message
                self.used_bytes += self._row_bytes(message)
                if expires_ns is not None:
                    self._expires[store_id] = expires_ns
                    self._env.call_in(S, self._expire, store_id)
        self._removed, self._going = {}, {}

    def session_lost(self) -> None:
        """A store that retries by the clock waits for its next try."""
        self._may_drain = self.spec.retry_ns is None

    def boot(self) -> None:
        """The gateway is up again: what waits is tried as the store does it."""
        if self.waiting:
            self._retry_later()

    def messages(self) -> list[Message]:
        """Everything in the store, in order of arrival."""
        return [self._messages[store_id] for store_id in sorted(self._messages)]

    def close(self) -> None:
        """Commit and close the file."""
        if self._file is None:
            self._db.close()
        else:
            self._file.close()
