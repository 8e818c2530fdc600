"""The event trace: what happened, in order, as records of (time, kind, ids, integers), and its digest.

Belongs here: the record layout and the digest. Never: names of files, seeds, versions or component digests;
two runs that behave alike have equal digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from twinloop.components.native.choice import CHOICE
from twinloop.sim.kernel.clock import Environment

LAYOUT = 1
"""number of the record layout; it changes whenever a record's fields do"""

KINDS: dict[str, tuple[str, ...]] = {
    "due": ("device", "k"),
    "bus-error": ("device", "error"),
    "rejected": ("device", "k", "code"),
    "end": ("device", "k", "mask", "state", "cause"),
    "quality": ("device", "k", "status", "mask"),
    "derived": ("device", "k", "point", "state", "cause"),
    "carried": ("device", "k", "mask", "how", "latency_ns"),
    "published": ("device", "k", "bytes"),
    "publish": ("gateway", "device", "k", "bytes", "crc32"),
    "unasked": ("gateway", "device"),
    "again": ("gateway", "device", "k", "mask"),
    "stored": ("gateway", "device", "k", "bytes"),
    "evict": ("gateway", "device", "k", "cause"),
    "sync": ("gateway", "rows"),
    "session": ("gateway", "state", "attempt"),
    "component": ("gateway", "slot", "state", "cause"),
    "fault": ("slot", "cause", "message", "fuel"),
    "status": ("slot", "health", "polls", "errors"),
    "gateway": ("gateway", "state"),
    "boot": ("gateway", "instances", "boot_ns"),
    "link": ("link", "event", "detail"),
    "trouble": ("verb", "target", "event", "kind"),
    "phase": ("name",),
    "alert": ("gateway", "device", "k", "mask", "text"),
    "log": ("slot", "at_ns", "level", "text"),
    "limit": ("entity", "limit", "count"),
    "command": ("device", "number", "state", "cause"),
    "role": ("gateway", "role", "term", "cause"),
    "failover": ("pair", "event", "ns"),
    "handover": ("gateway", "messages"),
    "upgrade": ("gateway", "component", "version", "state", "cause"),
    "swap": ("gateway", "slot", "version"),
    "collision": ("line", "device"),
    "manner": ("device", "which"),
    "breach": ("gateway", "budget", "cause"),
}
"""kind -> its fields after the time"""

Record = tuple[Any, ...]


def lines(records: list[Record]) -> bytes:
    """Records as the digest has them: each with a comma behind it. The compiled part (sim/native/writing.c)
    has the same by the same name."""
    return f"{repr(records)[1:-1]}, ".encode()


_lines: Callable[[list[Record]], bytes] = lines if CHOICE.engine is None else CHOICE.engine.lines


class Trace:
    """Records in order. ``sinks`` are called with lists of records; the digest is over all of them."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._hash = hashlib.sha256(f"twinloop trace {LAYOUT}\n".encode())
        self._records: list[Record] = []
        self.add = self._records.append
        """append one record that is already a tuple with its time in front; for the hot path"""
        self.count = 0
        self.sinks: list[Callable[[list[Record]], None]] = []
        self._digest: str | None = None

    def emit(self, *record: Any) -> None:
        """Append (now, kind, fields...); fields are ints and short strings, in the order of KINDS."""
        self.add((self._env.now, *record))

    def flush(self) -> None:
        """Hash what has come and hand it to the sinks; the loop does so every few thousand events."""
        records = self._records
        if not records:
            return
        self._hash.update(_lines(records))  # the same bytes wherever a flush falls
        self.count += len(records)
        for sink in self.sinks:
            sink(records[:])
        records.clear()

    def digest(self) -> str:
        """Close the trace and return its SHA-256 in hex; more records are an error after this."""
        if self._digest is None:
            self.flush()
            self._digest = self._hash.hexdigest()
        elif self._records:
            raise RuntimeError("a record was emitted after the trace was closed")
        return self._digest
