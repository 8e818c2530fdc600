"""The figures of a result that two results are compared by: one table.

Belongs here: a figure's name, where it lies in a result, its unit, which direction is worse, whether a run of
the same seed repeats it exactly. Never: comparing (difference.py), words (told.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

MORE, LESS = 1, -1
_HUGE = 1e300
RANKS = ("p50", "p95", "p99", "max")


@dataclass(frozen=True)
class Figure:
    """A row of the table. ``path``: keys into a result, ``*`` for every key there; ``name`` has a ``{}`` for
    each of those."""

    name: str
    path: tuple[str, ...]
    unit: str
    """ns, bytes, count or ratio"""
    group: str
    worse: int = MORE
    exact: bool = False
    """what it counts doesn't depend on when things happened: two runs of one seed differ in it only by what
    was changed"""
    over: str = ""
    """divided by this neighbour of it"""
    gates: bool = True
    """may a release be stopped for it? Else it is only told."""
    but: tuple[str, ...] = ()
    """keys that ``*`` leaves out at the end of the path"""
    absent: float | None = None
    """its value where the key isn't there: a cause that didn't occur"""


def _ledger() -> Iterator[Figure]:
    yield Figure("samples delivered", ("ledger", "delivered"), "count", "books", LESS)
    for end in ("missed", "lost", "evicted"):
        yield Figure(f"samples {end} {{}}", ("ledger", end, "*"), "count", "books", absent=0)
    yield Figure("samples dropped {}", ("ledger", "dropped", "*"), "count", "books", gates=False, absent=0)
    for beside in ("cached", "duplicates", "misordered"):
        yield Figure(f"samples {beside}", ("ledger", beside), "count", "books", gates=False)
    yield Figure("samples late", ("ledger", "late"), "count", "books")


FIGURES: tuple[Figure, ...] = (
    *(
        Figure(f"latency {end} {rank}", ("latency", end, f"{rank}_ns"), "ns", "latency")
        for end in ("gateway", "cloud")
        for rank in RANKS
    ),
    *(
        Figure(f"stage {{}} {rank}", ("latency", "stages", "*", f"{rank}_ns"), "ns", "latency")
        for rank in RANKS
    ),
    Figure("{} cpu", ("gateways", "*", "cpu_ratio"), "ratio", "cost"),
    Figure("{} memory peak", ("gateways", "*", "memory_peak_bytes"), "bytes", "cost", exact=True),
    Figure("{} boot", ("gateways", "*", "boot_ns"), "ns", "cost", exact=True),
    Figure(
        "{} {} fuel a call",
        ("gateways", "*", "components", "*", "fuel"),
        "count",
        "cost",
        exact=True,
        over="calls",
    ),
    Figure(
        "{} {} cpu time a call",
        ("gateways", "*", "components", "*", "cpu_ns"),
        "ns",
        "cost",
        exact=True,
        over="calls",
    ),
    Figure("{} restarts", ("gateways", "*", "restarts"), "count", "books"),
    Figure("{} quarantined", ("gateways", "*", "quarantined"), "count", "books"),
    Figure("{} watchdog", ("gateways", "*", "watchdog"), "count", "books"),
    Figure("line {} busy", ("lines", "*", "busy_ratio"), "ratio", "network"),
    Figure("line {} timeouts", ("lines", "*", "timeouts"), "count", "network"),
    Figure("link {} loss", ("links", "*", "lost"), "ratio", "network", over="offered"),
    Figure("link {} queue full", ("links", "*", "queue_full"), "ratio", "network", over="offered"),
    Figure("{} uplink resent", ("gateways", "*", "uplink", "resent"), "count", "network"),
    Figure("{} uplink lost sessions", ("gateways", "*", "uplink", "lost_sessions"), "count", "network"),
    Figure("{} store peak", ("gateways", "*", "store", "peak_bytes"), "bytes", "network"),
    *_ledger(),
    Figure("readings good", ("quality", "readings", "good"), "count", "books", LESS),
    Figure("readings uncertain {}", ("quality", "readings", "uncertain", "*"), "count", "books", absent=0),
    Figure("readings bad {}", ("quality", "readings", "bad", "*"), "count", "books", absent=0),
    Figure("points without a value", ("quality", "valueless_count"), "count", "books"),
    Figure("readings wrong", ("truth", "wrong"), "count", "books"),
    Figure("commands wrong", ("truth", "commands_wrong"), "count", "books"),
    Figure("commands {}", ("commands", "*"), "count", "books", but=("issued", "done"), absent=0),
    Figure("unspoken {}", ("unspoken", "*"), "count", "books", gates=False, absent=0),
)
"""in the order in which they are told"""


def figures_of(result: dict[str, Any]) -> dict[str, tuple[Figure, float]]:
    """Name -> its row and its value in a result: those that it has. Infinity is a rank that never came."""
    out: dict[str, tuple[Figure, float]] = {}
    for row in FIGURES:
        for names, holder in _holders(result, row.path[:-1], ()):
            last = row.path[-1]
            for key in [one for one in holder if one not in row.but] if last == "*" else [last]:
                value = _value(holder, key, row.over)
                if value is not None:
                    out[row.name.format(*names, *([key] if last == "*" else []))] = row, value
    return out


def _holders(
    at: Any, path: tuple[str, ...], names: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The objects that a path leads to, with what stood for its stars."""
    if not isinstance(at, dict):
        return
    if not path:
        yield names, at
        return
    for key in at if path[0] == "*" else [path[0]]:
        yield from _holders(at.get(key), path[1:], (*names, key) if path[0] == "*" else names)


def _value(holder: dict[str, Any], key: str, over: str) -> float | None:
    value = holder.get(key)
    if value is None and is_number(holder.get("never")) and holder["never"]:
        return math.inf
    if not is_number(value):
        return None
    if not over:
        return float(value)
    parts = holder.get(over)
    return value / parts if is_number(parts) and parts else None


def is_number(value: Any) -> TypeGuard[float]:
    """One that can be compared: a document may hold anything."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_HUGE < value < _HUGE
