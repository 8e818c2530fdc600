"""The samples of two --out folders of one seed, paired by device and k, in blocks of time.

Belongs here: reading run.sqlite, pairing, blocks. Never: tests of significance (significance.py).
Neighbouring samples depend on one another (a queue, an outage), so a block of consecutive ones is one
observation.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from twinloop.scenarios.text.errors import ScenarioError, shown_path

BLOCKS_MAX = 40
PER_BLOCK_MIN = 25
"""samples"""
_RANKS = {"p50": 500, "p95": 950, "p99": 990, "max": 1000}

Key = tuple[str, int]
"""device, k"""


@dataclass
class Sampled:
    """What a folder says of each sample, in ns of simulated time."""

    due: dict[Key, int] = field(default_factory=dict)
    gateway: dict[Key, int] = field(default_factory=dict)
    """latency until the verdict, of those that got one"""
    cloud: dict[Key, int] = field(default_factory=dict)
    """latency until the last of its points was in the cloud, of those that came there"""
    ends: dict[Key, Counter[str]] = field(default_factory=dict)
    """figure of the ledger -> points that ended so"""


def read_samples(folder: Path) -> Sampled:
    """Raises ScenarioError when run.sqlite isn't there or isn't what a run writes."""
    file = folder / "run.sqlite"
    out = Sampled()
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as db:
            _read(db, out)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise ScenarioError(
            shown_path(file),
            None,
            "",
            f"expected the database of a run, got something else ({error}); write the folder again with "
            "twinloop run --out, or give its result.json alone, which has no samples",
        ) from error
    return out


_EVENTS = (
    "SELECT time_ns, json_extract(fields, '$.device'), json_extract(fields, '$.k'), "
    "json_extract(fields, '$.latency_ns') FROM events WHERE kind = ? ORDER BY rowid"
)


def _read(db: sqlite3.Connection, out: Sampled) -> None:
    """Events know devices by number, ends by name; both stand in the order in which they happened."""
    ended = db.execute("SELECT time_ns, device, k, points, state, cause FROM ends ORDER BY rowid").fetchall()
    name = {
        event[1]: end[1] for event, end in zip(db.execute(_EVENTS, ("end",)).fetchall(), ended, strict=True)
    }
    for time_ns, device, k, _ in db.execute(_EVENTS, ("due",)):
        out.due[name.get(device, str(device)), k] = time_ns
    for _, device, k, latency_ns in db.execute(_EVENTS, ("carried",)):
        key = name.get(device, str(device)), k
        out.gateway[key] = max(latency_ns, out.gateway.get(key, 0))
    for time_ns, device, k, points, state, cause in ended:
        key = device, k
        if state == "delivered" and key in out.due:
            out.cloud[key] = max(time_ns - out.due[key], out.cloud.get(key, 0))
        out.ends.setdefault(key, Counter())[f"samples {state} {cause}".rstrip()] += points


def blocks(before: Sampled, after: Sampled) -> dict[str, list[float]]:
    """Figure -> its difference, after less before, in each block; empty when there are too few samples for
    blocks. A block without samples on both sides says 0."""
    keys = sorted((key for key in before.due if key in after.due), key=lambda key: (before.due[key], key))
    count = min(BLOCKS_MAX, len(keys) // PER_BLOCK_MIN)
    out: dict[str, list[float]] = {}
    for block in range(count):
        mine = keys[len(keys) * block // count : len(keys) * (block + 1) // count]
        for name, one, other in (
            ("gateway", before.gateway, after.gateway),
            ("cloud", before.cloud, after.cloud),
        ):
            both = [key for key in mine if key in one and key in other]
            first, second = sorted(one[key] for key in both), sorted(other[key] for key in both)
            for rank, permille in _RANKS.items():
                difference = _rank(second, permille) - _rank(first, permille) if both else 0
                out.setdefault(f"latency {name} {rank}", [0.0] * count)[block] = float(difference)
        for sign, ends in ((-1, before.ends), (1, after.ends)):
            for key in mine:
                for figure, points in ends.get(key, {}).items():
                    out.setdefault(figure, [0.0] * count)[block] += sign * points
    return out


def _rank(ordered: list[int], permille: int) -> int:
    return ordered[max(0, -(-len(ordered) * permille // 1000) - 1)]
