"""When a store's rows reach the flash: what is dirty, who waits for a sync, and what a power cut takes back.

Belongs here: the sync under way and the one that comes. Never: rows (store.py) or the file itself
(flash.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.sim.cloud.messages import Message
from twinloop.sim.kernel.clock import Event, S, Timer
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import Keeps, Machine
from twinloop.sim.model.spec import StoreSpec
from twinloop.sim.north.flash import FlashFile

if TYPE_CHECKING:
    import sqlite3

Gone = dict[int, tuple[Message, int | None]]
"""row -> the message that was removed, and when it would be too old by the gateway's wall clock (None:
never)"""


class FlashSync:
    """Of one store with a file. A sync is due ``commit_ns`` after the first change; while one runs, the next
    waits."""

    def __init__(self, machine: Machine, spec: StoreSpec, path: Path, cuts: RandomStream) -> None:
        self._env = machine.env
        self._machine = machine
        self._commit_ns = spec.commit_ns
        self.file = FlashFile(path, machine.name, cuts)
        self._changes = self._changed_bytes = 0
        """since the last sync began"""
        self._timer: Timer | None = None
        self._waiting: list[Event] = []
        """who waits for the sync that comes; ``_waiting_now``: for the one under way"""
        self._waiting_now: list[Event] = []
        self._removed: Gone = {}
        """rows that have gone since the last sync began: without power they come back"""
        self._going: Gone = {}
        """rows that go with the sync under way"""
        self._undone: list[tuple[Keeps, str, bytes | None]] = []
        """what components' state changed in the sync under way"""

    @property
    def db(self) -> sqlite3.Connection:
        """The file's open connection; another one after a power cut."""
        return self.file.db

    def inserted(self, row: int, size_bytes: int) -> None:
        """A row is new."""
        self.file.changed(row, there=True)
        self._changed_bytes += size_bytes

    def removed(self, row: int, message: Message, expires_ns: int | None) -> None:
        """A row has gone."""
        self._removed[row] = message, expires_ns
        self.file.changed(row, there=False)

    def touch(self) -> None:
        """Something has changed: a sync is due."""
        if not self._changes:
            self._timer = self._env.call_in(self._commit_ns, self._sync)
        self._changes += 1

    def on_flash(self) -> Event:
        """Fires when a sync has finished that has what was written until now. Never, if the gateway dies
        before."""
        signal = Event(self._env)
        self.touch()
        self._waiting.append(signal)
        return signal

    def _sync(self) -> None:
        """Hand what is dirty to the flash: CPU time first, then the flash's own; while one sync runs the next
        one waits."""
        machine, file = self._machine, self.file
        self._timer = None
        if machine.state == "down" or not self._changes:
            return
        if file.syncing:
            machine.trace.emit("limit", machine.index, "flash-behind", self._changes)
            machine.budget.breach("flash-behind")
            self._timer = self._env.call_in(self._commit_ns, self._sync)
            return
        rows, self._changes = self._changes, 0
        size_bytes, self._changed_bytes = self._changed_bytes, 0
        self._going, self._removed = self._removed, {}
        self._undone = list(machine.journal)
        machine.journal.clear()
        self._waiting_now, self._waiting = self._waiting, []
        to_write = file.begin_sync(size_bytes)
        machine.cores.work(machine.budget.host("commit"), self._write, rows, to_write, machine.epoch)

    def _write(self, rows: int, size_bytes: int, epoch: int) -> None:
        takes_ns = size_bytes * S // self._machine.flash_bytes_per_s
        self._env.call_in(takes_ns, self._synced, rows, epoch)

    def _synced(self, rows: int, epoch: int) -> None:
        """It is on the flash."""
        machine, file = self._machine, self.file
        if machine.epoch != epoch or not file.syncing:
            return  # the gateway died meanwhile
        file.end_sync()
        self._undone.clear()
        self._going = {}
        machine.trace.emit("sync", machine.index, rows)
        told, self._waiting_now = self._waiting_now, []
        for signal in told:
            signal.fire()

    def flush(self) -> None:
        """Sync to the end, now: an orderly end waits for it (its time is not modelled)."""
        file, machine = self.file, self._machine
        if file.syncing:
            file.end_sync()
        if self._changes:
            file.begin_sync(self._changed_bytes)
            file.end_sync()
            machine.trace.emit("sync", machine.index, self._changes)
        self._changes = self._changed_bytes = 0
        self._removed, self._going = {}, {}
        self._undone.clear()
        machine.journal.clear()

    def cut_power(self) -> tuple[dict[int, None], Gone]:
        """What was written since the last sync is lost, and what was removed since is there again: the rows
        of the file when the power is back, and what is known of those that come back."""
        there = self.file.cut_power()
        machine = self._machine
        for slot, key, before in [*reversed(machine.journal), *reversed(self._undone)]:
            slot.restore_state(key, before)
        machine.journal.clear()
        self._undone.clear()
        gone = {**self._going, **self._removed}
        self._removed, self._going = {}, {}
        return there, gone

    def stop(self) -> None:
        """The gateway died: no sync is due any more, and nobody waits for one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._changes = self._changed_bytes = 0
        self._waiting, self._waiting_now = [], []
