"""A store's file on flash: what is durable, what a sync costs, and what is left of it when the power goes in
the middle of one.

Belongs here: the SQLite file, its write-ahead log, the tear. Never: which rows there are or why (store.py).
Host-side ``synchronous`` is off, a run must not wait for this machine's disk: durable is what a SIMULATED
sync has finished writing. The power cut is real: database and log are copied as they lie, the log is cut at a
random byte of what was being written, SQLite opens the rest, and what it holds is compared with the list of
acknowledged commits that is kept outside.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStream

PAGE_BYTES = 4096
PAGES_PER_COMMIT = 2
"""a commit touches at least a leaf of the table and one of the index (ours)"""
AMPLIFICATION = 2
"""every page is written twice: to the log, and at a checkpoint to the database (ours, from how SQLite's WAL
works)"""
CHECKPOINT_BYTES = 1 << 20
"""of log, at which it is copied into the database, between two syncs"""

SCHEMA = """
CREATE TABLE batches (
  id INTEGER PRIMARY KEY, lane INTEGER, device TEXT, k INTEGER, mask TEXT,
  stored_ns INTEGER, sent INTEGER, body BLOB
);
CREATE INDEX first_out ON batches (sent, lane DESC, id);
CREATE INDEX first_gone ON batches (sent, lane, id);
"""


def memory_db() -> sqlite3.Connection:
    """The database of a store without a file."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    return db


def pages_for(size_bytes: int) -> int:
    """Pages that a commit of so many bytes of rows writes (a model: SQLite's own layout must not be in a
    run's timing)."""
    return -(-size_bytes // PAGE_BYTES) + PAGES_PER_COMMIT


class FlashFile:
    """One store's database. ``db`` is always inside a transaction: what isn't committed was never handed to
    the flash."""

    def __init__(self, path: Path, owner: str, cuts: RandomStream) -> None:
        self._path, self._owner, self._cuts = path, owner, cuts
        self._log = path.with_name(path.name + "-wal")
        self.db = self._open()
        self.db.executescript(SCHEMA)
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.execute("BEGIN")
        self._durable: dict[int, None] = {}
        """rows that the last finished sync has left: the list of acknowledged commits"""
        self._pending: list[tuple[int, bool]] = []
        """(row, is it there) since the last sync began, in order; ``_writing``: the same of the sync under
        way"""
        self._writing: list[tuple[int, bool]] | None = None
        self._durable_log_bytes = self._changes = 0
        self._inherited: list[sqlite3.Connection] = []
        """connections of the process that this one was forked from: SQLite would remove that one's log when
        they are closed"""
        self.written_bytes = self.syncs = 0

    def _open(self) -> sqlite3.Connection:
        """Exclusive: its index of the log is then in this process's memory, not in a file that a forked copy
        would share."""
        db = sqlite3.connect(self._path, isolation_level=None)
        for pragma in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = OFF",
            "wal_autocheckpoint = 0",
            "cache_spill = OFF",
        ):
            db.execute(f"PRAGMA {pragma}")
        return db

    @property
    def syncing(self) -> bool:
        """A sync is under way."""
        return self._writing is not None

    def changed(self, row: int, there: bool) -> None:
        """A row was inserted or removed in the transaction."""
        self._pending.append((row, there))

    def begin_sync(self, size_bytes: int) -> int:
        """Hand the transaction to the flash; returns the bytes to write."""
        self._writing, self._pending = self._pending, []
        self.db.execute("COMMIT")
        self.db.execute("BEGIN")
        self._changes = self.db.total_changes
        pages = pages_for(size_bytes)
        self.written_bytes += AMPLIFICATION * pages * PAGE_BYTES
        return pages * PAGE_BYTES

    def end_sync(self) -> None:
        """It is on the flash: acknowledged."""
        assert self._writing is not None
        for row, there in self._writing:
            if there:
                self._durable[row] = None
            else:
                self._durable.pop(row, None)
        self._writing = None
        self.syncs += 1
        self._durable_log_bytes = self._log_bytes()
        untouched = self.db.total_changes == self._changes
        # else what isn't handed to the flash yet would go with it
        if self._durable_log_bytes > CHECKPOINT_BYTES and untouched:
            self.db.execute("COMMIT")
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.db.execute("BEGIN")
            self._durable_log_bytes = self._log_bytes()

    def _log_bytes(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def cut_power(self) -> dict[int, None]:
        """The power goes now. Returns the rows that are there when it is back; raises InvariantError when an
        acknowledged one isn't.

        Of a sync under way a part is on the flash, never all of it.
        """
        database, log = self._path.read_bytes(), self._log.read_bytes() if self._log.exists() else b""
        self.db.execute("ROLLBACK")
        self._leave()
        torn = len(log) - self._durable_log_bytes
        kept = self._durable_log_bytes + (self._cuts.below(torn) if torn > 0 else 0)
        self._path.write_bytes(database)
        self._log.write_bytes(log[:kept])
        self._path.with_name(self._path.name + "-shm").unlink(missing_ok=True)
        self.db = self._open()
        found = self._require_acknowledged()
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.execute("BEGIN")
        self._durable, self._writing = dict(found), None
        self._pending.clear()
        self._durable_log_bytes = self._log_bytes()
        return found

    def _require_acknowledged(self) -> dict[int, None]:
        problem = self.db.execute("PRAGMA integrity_check").fetchone()[0]
        if problem != "ok":
            raise InvariantError(f"store of {self._owner}: after a power cut SQLite says: {problem}")
        found = dict.fromkeys(row for (row,) in self.db.execute("SELECT id FROM batches ORDER BY id"))
        lost = [row for row in self._durable if row not in found]
        if lost:
            text = (
                f"batch {lost[0]} was acknowledged as stored and is gone after a power cut ({len(lost)} are)"
            )
            raise InvariantError(f"store of {self._owner}: {text}")
        written = self._durable | dict.fromkeys(row for row, _ in self._writing or ())
        strange = [row for row in found if row not in written]
        if strange:
            raise InvariantError(
                f"store of {self._owner}: batch {strange[0]} is there after a power cut and was never written"
            )
        return found

    def close(self) -> None:
        """Commit and close: what a user opens afterwards is one file."""
        if self.db.in_transaction:
            self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._leave()

    def _leave(self) -> None:
        if self.db not in self._inherited:
            self.db.close()

    # ---- forks -----------------------------------------------------------------------------------
    def copy(self, path: Path) -> None:
        """The files as they lie, under another name: what a fork of this process will ``adopt``."""
        shutil.copyfile(self._path, path)
        shutil.copyfile(self._log, path.with_name(path.name + "-wal"))

    def adopt(self, path: Path) -> None:
        """In a process that was just forked (Linux): go on with the copy at ``path``; what isn't committed
        yet is in memory, and stays.

        The original's files must stay where they are as long as this process lives. It ends by os._exit, so
        that nobody closes its connections.
        """
        log = path.with_name(path.name + "-wal")
        mine = {str(self._path.resolve()): path, str(self._log.resolve()): log}
        for name in os.listdir("/proc/self/fd"):
            number = int(name)
            try:
                lies = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue  # the list's own descriptor
            if lies in mine:
                copied = os.open(mine[lies], os.O_RDWR | os.O_CLOEXEC)
                os.dup2(copied, number, inheritable=False)
                os.close(copied)
        self._path, self._log = path, log
        self._inherited.append(self.db)
