"""``--out DIR``: a result, the whole trace and every sample, for tools of the user's own.

DIR/result.json; DIR/run.sqlite with tables ``events`` (time_ns, kind, fields as JSON) and ``ends`` (one row per device,
k and end state, with a point mask); DIR/store-GATEWAY.sqlite, the gateway's own store. The databases open at any time,
also after an interrupted run.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scenarios.errors import ScenarioError
from sim.trace import KINDS, Record
from sim.world import World

_SCHEMA = """
CREATE TABLE events (time_ns INTEGER, kind TEXT, fields TEXT);
CREATE TABLE ends (time_ns INTEGER, device TEXT, k INTEGER, mask TEXT, points INTEGER, state TEXT, cause TEXT);
CREATE TABLE result (json TEXT);
"""


MARK = ".twinloop-out"
"""says that a folder is one of ours"""


class Folder:
    """The files of one run. ``close`` commits; ``write_result`` comes last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._make_room()
            self._db = sqlite3.connect(path / "run.sqlite", isolation_level=None)
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ScenarioError("--out", None, "", f"{path}: {error}") from error

    def _make_room(self) -> None:
        """An earlier run's files go; anybody else's are never touched."""
        there = sorted(file.name for file in self.path.iterdir())
        if there and not any(name == MARK for name in there):
            raise OSError(f"the folder holds other files ({there[0]}); give an empty or a new one")
        for name in there:
            if name in (MARK, "result.json") or name.startswith(("run.sqlite", "store-")):
                (self.path / name).unlink()
        (self.path / MARK).write_text("files of this folder are replaced by the next run\n", encoding="utf-8")

    def store_path(self, gateway: str) -> Path:
        """Where a gateway keeps its store."""
        return self.path / f"store-{gateway}.sqlite"

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
                [(now, names[device], k, f"{mask:x}", mask.bit_count(), state, cause) for now, _, device, k, mask, state, cause in ends],
            )
            self._db.execute("COMMIT")

        return take

    def close(self) -> None:
        """Close the database; what was taken is in it."""
        self._db.close()

    def write_result(self, data: dict[str, Any]) -> None:
        """The result, as a file and in the database."""
        text = json.dumps(data, indent=2)
        try:
            (self.path / "result.json").write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ScenarioError("--out", None, "", f"{self.path}: {error}") from error
        db = sqlite3.connect(self.path / "run.sqlite", isolation_level=None)
        db.execute("INSERT INTO result VALUES (?)", (text,))
        db.close()
