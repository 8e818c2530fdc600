"""``--out DIR``: a result, the whole trace and every sample, for tools of the user's own.

DIR/result.json; DIR/run.sqlite with tables ``events`` (time_ns, kind, fields as JSON) and ``ends`` (one row
per device, k and end state, with a point mask); DIR/store-GATEWAY.sqlite, the gateway's own store. The
databases open at any time, also after an interrupted run. docs/out-folder.md explains every column.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twinloop.scenarios.text.errors import MachineError, ScenarioError
from twinloop.sim.kernel.trace import KINDS, Record
from twinloop.sim.world import World

_SCHEMA = """
CREATE TABLE events (time_ns INTEGER, kind TEXT, fields TEXT);
CREATE TABLE ends (
  time_ns INTEGER, device TEXT, k INTEGER, mask TEXT, points INTEGER, state TEXT, cause TEXT
);
CREATE TABLE result (json TEXT);
"""


MARK = ".twinloop-out"
"""says that a folder is one of ours, and names the files in it that are: only those go when the next run
comes"""
_LASTING = ("", "-wal", "-shm", "-journal")
"""what SQLite appends to the names of its files"""
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
"""why a folder can't be made that no other name would cure"""


class Folder:
    """The files of one run. ``close`` commits; ``write_result`` comes last. Locked: two runs don't share
    one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._take()
            self._make_room()
            self._db = sqlite3.connect(self._mine("run.sqlite"), isolation_level=None)
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        except OSError as error:
            if error.errno in _OF_THE_MACHINE:
                raise MachineError(f"--out: {path}: {error.strerror}") from error
            raise ScenarioError("--out", None, "", f"{path}: {error.strerror}") from error

    def _take(self) -> None:
        """This folder is ours until ``close``; raises MachineError when another run has it."""
        there = sorted(file.name for file in self.path.iterdir())
        if there and MARK not in there:
            raise ScenarioError(
                "--out",
                None,
                "",
                f"{self.path}: the folder holds other files ({there[0]}); give an empty or a new one",
            )
        self._lock = os.open(self.path / MARK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = -1
            raise MachineError(
                f"--out {self.path}: another run is writing into this folder; give each its own"
            ) from error

    def _make_room(self) -> None:
        """The files of an earlier run go; anybody else's are never touched."""
        for name in (self.path / MARK).read_text(encoding="utf-8").splitlines()[1:]:
            for ending in _LASTING:
                if name == Path(name).name:
                    (self.path / f"{name}{ending}").unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"files of this folder that the next run replaces:\n", 0)

    def _mine(self, name: str) -> Path:
        """A file that this run writes; raises ScenarioError when somebody else's is there."""
        if (self.path / name).exists():
            raise ScenarioError(
                "--out",
                None,
                "",
                f"{self.path}: {name} is there, and no run of twinloop has written it; give another folder",
            )
        os.lseek(self._lock, 0, os.SEEK_END)
        os.write(self._lock, f"{name}\n".encode())
        return self.path / name

    def further(self, name: str) -> Path:
        """A file that somebody writes beside these; raises ScenarioError as for one of these."""
        return self._mine(name)

    def store_path(self, gateway: str) -> Path:
        """Where a gateway keeps its store."""
        return self._mine(f"store-{gateway}.sqlite")

    def take(self, world: World) -> Callable[[list[Record]], None]:
        """A trace sink for that world."""
        names = world.ledger.names

        def take(records: list[Record]) -> None:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO events VALUES (?, ?, ?)",
                [(r[0], r[1], json.dumps(dict(zip(KINDS[r[1]], r[2:], strict=True)))) for r in records],
            )
            ends = [r for r in records if r[1] == "end"]
            self._db.executemany(
                "INSERT INTO ends VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (now, names[device], k, f"{mask:x}", mask.bit_count(), state, cause)
                    for now, _, device, k, mask, state, cause in ends
                ],
            )
            self._db.execute("COMMIT")

        return take

    def close(self) -> None:
        """Close the database; what was taken is in it."""
        self._db.close()

    def leave(self) -> None:
        """Another run may have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def write_result(self, text: str) -> None:
        """The result, as a file and in the database."""
        self._mine("result.json").write_text(text, encoding="utf-8")
        db = sqlite3.connect(self.path / "run.sqlite", isolation_level=None)
        db.execute("INSERT INTO result VALUES (?)", (text,))
        db.close()
