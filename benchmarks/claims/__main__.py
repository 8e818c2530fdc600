"""``python -m benchmarks.claims``: measures what needs tools, then all claims, and writes measured.json,
docs/claims.md and the README's lines.

Belongs here: the command line and the order of things.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.claims import containers, native, page, process
from twinloop.components.host.host import Host
from twinloop.scenarios.claims import measured as keeping
from twinloop.scenarios.claims.finding import boards_asked, findings
from twinloop.scenarios.claims.telling import entry
from twinloop.scenarios.claims.workbench import Workbench, clock_mhz, machine

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "claims.md", ROOT / "README.md"
TIMES = 60
"""processes and containers that are started, of which the quickest counts"""
TURNS = 5
"""how often an instance's start is measured before and after them, of which the quickest counts"""


def say(words: str) -> None:
    """What is measured next."""
    print(words, flush=True)


def tools(rounds: int, name: str) -> dict[str, Any]:
    """What needs a compiler, a process, a container."""
    before = os.getloadavg()[0]
    host = Host(fibers=False)
    try:
        bench = Workbench(host, ())
        quickest = min(bench.instantiate_ns() for _ in range(TURNS))
        say("a process of its own")
        own = process.measure(TIMES)
        say("containers")
        started = {name: containers.measure_one(name, TIMES) for name in containers.RUNTIMES}
        quickest = min(quickest, *(bench.instantiate_ns() for _ in range(TURNS)))  # before and after them
    finally:
        host.close()
    part = native.measure(rounds, clock_mhz(), say)
    return {
        "machine": name,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
        "clock_mhz": clock_mhz(),
        "native": part,
        "process": own,
        "containers": {"instance_ns": round(quickest), **started},
        "claims": [],
    }


def keep(found: dict[str, Any]) -> None:
    """Write measured.json; what is asked of it from now on is new."""
    keeping.FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    keeping.measured.cache_clear()


def write(found: dict[str, Any]) -> None:
    """The page and the README, from measured.json alone."""
    PAGE.write_text(page.page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    README.write_text(page.readme(README.read_text(encoding="utf-8"), found), encoding="utf-8")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description="claims, measured")
    parser.add_argument("--rounds", type=int, default=31, help="samples of each kernel (default 31)")
    parser.add_argument("--machine", default=machine(), help=f"how it is called (default {machine()})")
    parser.add_argument("--claims", action="store_true", help="only the claims: what needs tools is kept")
    parser.add_argument("--write", action="store_true", help="only write what follows from measured.json")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds: expected 1 or more")
    if not asked.write:
        found = keeping.measured() if asked.claims else tools(asked.rounds, asked.machine)
        keep({**found, "claims": []})
        told = findings(boards_asked([], quick=False), False, say)
        keep({**found, "claims": [entry(one) for one in told]})
    write(keeping.measured())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
