"""How a store empties itself: at its rate while the uplink stands, or by the clock of its retries.

Belongs here: when the next message is tried. Never: which one that is, or what becomes of it (store.py).
"""

from __future__ import annotations

from typing import Protocol

from twinloop.sim.cloud.messages import Message
from twinloop.sim.kernel.clock import S, Timer
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.spec import StoreSpec
from twinloop.sim.north.uplink import Uplink


class Waiting(Protocol):
    """What a drain asks of the store that it empties."""

    waiting: int

    def take_next(self) -> Message:
        """The message that is sent first; it doesn't wait any more."""
        ...

    def row_ids(self) -> list[int]:
        """The rows that wait, oldest first."""
        ...

    def has(self, message: Message) -> bool:
        """It is still a row of the store."""
        ...

    def put(self, message: Message) -> None:
        """It waits again."""
        ...

    def give_up(self, store_id: int) -> None:
        """It was tried too often."""
        ...


class Drain:
    """Of one store."""

    def __init__(self, machine: Machine, uplink: Uplink, spec: StoreSpec, store: Waiting) -> None:
        self._env = machine.env
        self._machine = machine
        self._uplink = uplink
        self._store = store
        self._retry_ns = spec.retry_ns
        self._tries_max = spec.retries
        self.interval_ns = max(1, S // spec.drain_per_s)
        self._next: Timer | None = None
        self._retrying: Timer | None = None
        self._may = spec.retry_ns is None
        self._tried: dict[int, int] = {}
        """row -> how often it was tried, where that is limited"""

    def wake(self) -> None:
        """Something waits and may be sent: drain at the store's rate."""
        if self._next is None and self._store.waiting and self._may and self._uplink.ready():
            self._next = self._env.call_in(self.interval_ns, self._drain)

    def retry_later(self) -> None:
        """A store that retries by the clock: the next try is one interval after the first thing that
        waits."""
        if self._retry_ns is not None and self._retrying is None:
            self._retrying = self._env.call_in(self._retry_ns, self._retry)

    def session_lost(self) -> None:
        """A store that retries by the clock waits for its next try."""
        self._may = self._retry_ns is None

    def forget(self, store_id: int) -> None:
        """The row has gone."""
        self._tried.pop(store_id, None)

    def stop(self) -> None:
        """The gateway died."""
        for timer in (self._next, self._retrying):
            if timer is not None:
                timer.cancel()
        self._next = self._retrying = None
        self.session_lost()

    def _retry(self) -> None:
        """Everything that waits is tried once more; what was tried too often is given up."""
        self._retrying = None
        if self._machine.state != "up" or not self._store.waiting:
            return
        self._may = self._uplink.ready()
        if self._uplink.state != "up" and self._tries_max is not None:
            for store_id in self._store.row_ids():
                self._tried[store_id] = self._tried.get(store_id, 0) + 1
                if self._tried[store_id] >= self._tries_max:
                    self._store.give_up(store_id)
        if self._store.waiting:
            self.retry_later()
        self.wake()

    def _drain(self) -> None:
        self._next = None
        machine, store = self._machine, self._store
        if not store.waiting or not self._uplink.ready() or machine.state != "up":
            return
        message = store.take_next()
        machine.cores.work(machine.budget.host("publish"), self._send, message)
        if not store.waiting:
            self._may = self._retry_ns is None
        self.wake()

    def _send(self, message: Message) -> None:
        if not self._store.has(message):
            return
        if self._uplink.ready():
            self._uplink.publish(message)
        else:
            self._store.put(message)
