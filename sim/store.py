"""Store and forward: batches that wait for the uplink, in a real SQLite file; capacity, lanes, TTL, drain, sync.

Belongs here: rows, eviction, the order of the drain. Never: sessions. Host-side ``synchronous`` is off (a run must not
wait for this machine's disk); the sync is a simulated event every ``commit``. Lane 3 is sent first, lane 0 evicted first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.clock import Environment, S, Timer
from sim.ledger import End
from sim.message import Message
from sim.spec import StoreSpec

if TYPE_CHECKING:
    from sim.gateway import Gateway

ROW_OVERHEAD_BYTES = 48
"""charged to the capacity for each row beside its body: columns, b-tree cell, index entry (ours, from SQLite's file format)"""

_SCHEMA = """
CREATE TABLE batches (id INTEGER PRIMARY KEY, lane INTEGER, device TEXT, k INTEGER, mask TEXT, stored_ns INTEGER, sent INTEGER, body BLOB);
CREATE INDEX waiting ON batches (sent, lane, id);
"""


class Store:
    """One gateway's store. ``used_bytes`` of ``spec.capacity_bytes``; rows in flight stay until acknowledged."""

    def __init__(self, env: Environment, gateway: Gateway, spec: StoreSpec, path: str = ":memory:") -> None:
        self._env, self._gateway, self.spec = env, gateway, spec
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._messages: dict[int, Message] = {}
        self._next = 0
        self.used_bytes = self.peak_bytes = 0
        self.waiting = self.waiting_peak = 0
        self.written = self.evicted = self.syncs = 0
        self._dirty = 0
        self._draining: Timer | None = None
        self._syncing: Timer | None = None
        self._interval_ns = max(1, S // spec.drain_per_s)
        self._sync_at_ns = 0
        self._removed: dict[int, Message] = {}
        """rows that have gone since the last sync: without power they come back"""
        self._expires: dict[int, int] = {}
        """row -> when it is too old, by the gateway's wall clock"""
        self._fills: list[int] = []

    # ---- rows ---------------------------------------------------------------------------------------------------
    @staticmethod
    def _row_bytes(message: Message) -> int:
        return len(message.body) + ROW_OVERHEAD_BYTES

    def put(self, message: Message) -> None:
        """Write a batch; one that is here already (its session broke) waits again. May evict, the newcomer too."""
        if message.store_id is not None:
            self._db.execute("UPDATE batches SET sent = 0 WHERE id = ?", (message.store_id,))
            self._changed(1)
            return
        size = self._row_bytes(message)
        if size > self.spec.capacity_bytes:
            self._end(message, "capacity")
            return
        if self._fills and self.used_bytes + size > min(self._fills):
            self._no_space(message, size)
            return
        while self.used_bytes + size > self.spec.capacity_bytes:
            if not self._evict_one(message.lane):
                self._end(message, "capacity")
                return
        self._next += 1
        message.store_id = self._next
        gateway = self._gateway
        row = self._next, message.lane, gateway.device_name(message.device), message.k, f"{message.mask:x}", self._env._now, 0, message.body
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._messages[self._next] = message
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        self.written += 1
        gateway.trace.emit("stored", gateway.index, message.device, message.k, len(message.body))
        if self.spec.ttl_ns is not None:
            self._expires[self._next] = gateway.clock.wall(self._env._now) + self.spec.ttl_ns
            self._env.call_in(self.spec.ttl_ns, self._expire, self._next)
        self._changed(1)

    def _no_space(self, message: Message, size: int) -> None:
        """The flash is full of other things: the write fails, and nothing that is stored makes room for it."""
        gateway = self._gateway
        gateway.budget.breach("flash-full")
        gateway.trace.emit("limit", gateway.index, "flash-full", size)
        left = message.mask & message.row.open
        if left:
            gateway.ledger.close(message.row, left, End.LOST, "no-store")

    def fill(self, left_bytes: int) -> Callable[[], None]:
        """Others leave only ``left_bytes`` of flash for new rows; returns what ends it."""
        size = self.used_bytes + left_bytes
        self._fills.append(size)
        return lambda: self._fills.remove(size)

    def _changed(self, waiting: int) -> None:
        self.waiting += waiting
        self.waiting_peak = max(self.waiting_peak, self.waiting)
        self._dirty_only()
        self._gateway.backlog_changed()
        if self.waiting:
            self.wake()

    def _evict_one(self, lane: int) -> bool:
        """The oldest row of the lowest lane that isn't in flight and not above ``lane``."""
        found = self._db.execute("SELECT id FROM batches WHERE sent = 0 AND lane <= ? ORDER BY lane, id LIMIT 1", (lane,)).fetchone()
        if found is None:
            return False
        self._end(self._messages[found[0]], "capacity")
        return True

    def _expire(self, store_id: int) -> None:
        """Old enough by the gateway's own clock? If it is down, or the clock went back, or the row is in flight: later."""
        message = self._messages.get(store_id)
        if message is None:
            return
        gateway = self._gateway
        left_ns = self._expires[store_id] - gateway.clock.wall(self._env._now)
        if left_ns > 0 or gateway.state == "down":
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
        if self._gateway.state != "down" and self._expires[store_id] <= self._gateway.clock.wall(self._env._now):
            self._expire(store_id)

    def _end(self, message: Message, cause: str) -> None:
        gateway = self._gateway
        if message.store_id is not None:
            self._remove(message)
            self._changed(-1)
        gateway.trace.emit("evict", gateway.index, message.device, message.k, cause)
        left = message.mask & message.row.open
        if left:  # the cloud may have it already: only its acknowledgement was lost
            self.evicted += 1
            gateway.ledger.close(message.row, left, End.EVICTED, cause)

    def _remove(self, message: Message) -> None:
        store_id = message.store_id
        assert store_id is not None
        self._db.execute("DELETE FROM batches WHERE id = ?", (store_id,))
        self._removed[store_id] = self._messages.pop(store_id)
        self._expires.pop(store_id, None)
        self.used_bytes -= self._row_bytes(message)

    def acknowledged(self, message: Message) -> None:
        """The cloud has it: the row goes."""
        if message.store_id in self._messages:
            self._remove(message)
            self._dirty_only()
        self.wake()

    def _dirty_only(self) -> None:
        if not self._dirty:
            self._sync_at_ns = self._env._now + self.spec.commit_ns
            self._syncing = self._env.call_in(self.spec.commit_ns, self._sync)
        self._dirty += 1

    # ---- sync ---------------------------------------------------------------------------------------------------
    def until_sync_ns(self) -> int:
        """How long something written now waits for its sync."""
        self._dirty_only()
        return self._sync_at_ns - self._env._now

    def _sync(self) -> None:
        rows, self._dirty, self._syncing = self._dirty, 0, None
        if self._gateway.state == "down" or not rows:
            return
        self._commit()
        gateway = self._gateway
        gateway.cores.work(gateway.budget.host("commit"), gateway.trace.emit, "sync", gateway.index, rows)

    def _commit(self) -> None:
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")
        self.syncs += 1
        self._removed.clear()
        self._gateway.journal.clear()

    def flush(self) -> None:
        """Sync now, in an orderly end."""
        if self._dirty:
            self._commit()
            self._gateway.trace.emit("sync", self._gateway.index, self._dirty)
            self._dirty = 0

    # ---- drain --------------------------------------------------------------------------------------------------
    def wake(self) -> None:
        """Something waits and may be sent: drain at the store's rate."""
        if self._draining is None and self.waiting and self._gateway.uplink.ready():
            self._draining = self._env.call_in(self._interval_ns, self._drain)

    def _drain(self) -> None:
        self._draining = None
        if not self.waiting or not self._gateway.uplink.ready() or self._gateway.state != "up":
            return
        row = self._db.execute("SELECT id FROM batches WHERE sent = 0 ORDER BY lane DESC, id LIMIT 1").fetchone()
        message = self._messages[row[0]]
        self._db.execute("UPDATE batches SET sent = 1 WHERE id = ?", row)
        self._changed(-1)
        gateway = self._gateway
        gateway.cores.work(gateway.budget.host("publish"), self._send, message)
        self.wake()

    def _send(self, message: Message) -> None:
        if message.store_id not in self._messages:
            return
        if self._gateway.uplink.ready():
            self._gateway.uplink.publish(message)
        else:
            self.put(message)

    # ---- life ---------------------------------------------------------------------------------------------------
    def crashed(self, power: bool = True) -> None:
        """The gateway died: what was in flight waits again; rows written survive a crash of the process, not the loss of power."""
        if not power:
            self._back_to_last_sync()
        self._db.execute("UPDATE batches SET sent = 0 WHERE sent = 1")
        for timer in (self._draining, self._syncing):
            if timer is not None:
                timer.cancel()
        self._draining = self._syncing = None
        self.waiting = len(self._messages)
        self._dirty = 0
        self._gateway.backlog_changed()

    def _back_to_last_sync(self) -> None:
        """What was written since is lost; what was removed since is there again, and will be sent a second time."""
        self._db.execute("ROLLBACK")
        self._db.execute("BEGIN")
        there = dict.fromkeys(store_id for (store_id,) in self._db.execute("SELECT id FROM batches ORDER BY id"))
        gateway = self._gateway
        for store_id, message in list(self._messages.items()):
            if store_id not in there:
                del self._messages[store_id]
                self._expires.pop(store_id, None)
                self.used_bytes -= self._row_bytes(message)
                left = message.mask & message.row.open
                if left:
                    gateway.ledger.close(message.row, left, End.LOST, "power-cut")
        for store_id, message in self._removed.items():
            if store_id in there:
                self._messages[store_id] = message
                self.used_bytes += self._row_bytes(message)
                if self.spec.ttl_ns is not None:
                    self._expires[store_id] = gateway.clock.wall(self._env._now)
                    self._env.call_in(0, self._expire, store_id)
        self._removed.clear()

    def messages(self) -> list[Message]:
        """Everything in the store, in order of arrival."""
        return [self._messages[store_id] for store_id in sorted(self._messages)]

    def close(self) -> None:
        """Commit and close the file."""
        self._db.execute("COMMIT")
        self._db.close()
