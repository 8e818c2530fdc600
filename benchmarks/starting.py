"""What the start of a command costs, as CPU time in times of what its libraries cost alone, and what a seed
costs beside its simulation in a process that has run one before.

Belongs here: measuring and bounds. Never: other rows (ratios.py). To measure these three alone:

    python -m benchmarks.starting

Each figure is a median of pairs that take turns. Compiled code is cached, Python's in a folder of its own
that lasts as long as the measurement, components' where every run has it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from twinloop.components.host.host import Host
from twinloop.scenarios.evidence.workers import Work
from twinloop.scenarios.file.load import find, load
from twinloop.scenarios.runner import Options
from twinloop.sim.world import World

T = TypeVar("T")
PAIRS = 10
RUN_MAX, HELP_MAX, SEED_MAX_MS = 4.2, 1.8, 30.0
"""somewhat above what was reached on a machine that others use, too"""
SEEDS = 10
SMALL = "field/faster-than-the-line-fixed"
"""a shipped scenario whose run takes a tenth of a second"""
LIBRARIES = "import numpy, wasmtime"
TYPER = "import typer"
HELP = """
import sys
from twinloop.scenarios.cli.start import script
sys.argv = ["twinloop", "--help"]
script()
"""
UNTIL_A_GATEWAY = """
import os, sys
from twinloop.sim.kernel.trace import Trace

def emit(self, *record):
    if record[0] == "gateway":
        {then}
        os._exit(0)
    self.add((self._env.now, *record))

Trace.emit = emit
from twinloop.scenarios.cli.start import script
sys.argv = ["twinloop", "run", "quickstart"]
script()
"""
"""a run as the command makes it, that ends with a gateway's first record. ``then``: what is done before"""


class Figure(NamedTuple):
    """``value`` holds when it is at most ``bound``."""

    words: str
    value: float
    bound: float
    detail: str


def cpu_s(code: str, environment: dict[str, str]) -> float:
    """CPU time, user and system, of a Python that runs this code, its own children included; raises
    RuntimeError when it fails."""
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment, file_actions=nowhere)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"ended with {os.waitstatus_to_exitcode(status)}: {code}")
    return used.ru_utime + used.ru_stime


def against(code: str, other: str) -> tuple[float, float, float]:
    """(the median ratio of pairs, the median of each in s)."""
    with tempfile.TemporaryDirectory(prefix="twinloop-start-") as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for one in (code, other):
            cpu_s(one, environment)  # compiles
        pairs = [(cpu_s(code, environment), cpu_s(other, environment)) for _ in range(PAIRS)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return statistics.median(one / two for one, two in pairs), mine, theirs


def run() -> Figure:
    """Until ``twinloop run`` has begun to simulate."""
    ratio, mine, theirs = against(UNTIL_A_GATEWAY.format(then="pass"), LIBRARIES)
    detail = f"{mine * 1000:.0f} ms until the first record of a gateway, {theirs * 1000:.0f} ms"
    return Figure("CPU time until quickstart begins against numpy's and wasmtime's", ratio, RUN_MAX, detail)


def help_() -> Figure:
    """``twinloop --help``."""
    ratio, mine, theirs = against(HELP, TYPER)
    return Figure(
        "CPU time of --help against typer's", ratio, HELP_MAX, f"{mine * 1000:.0f} ms, {theirs * 1000:.0f} ms"
    )


def seed() -> Figure:
    """One more seed in a process that has run one."""
    work = Work((load(find(SMALL)),), Options(band="never"))
    host = Host(fibers=False)
    simulated: list[float] = []
    whole = World.run
    World.run = lambda world: _timed(lambda: whole(world), simulated)  # type: ignore[method-assign]
    try:
        work.one((0, 1), host)
        simulated.clear()
        all_s: list[float] = []
        for number in range(SEEDS):
            _timed(lambda number=number: work.one((0, number + 2), host), all_s)  # type: ignore[misc]
    finally:
        World.run = whole  # type: ignore[method-assign]
        host.close()
    beside_ms = statistics.median(1000 * (one - run) for one, run in zip(all_s, simulated, strict=True))
    detail = f"{SMALL}, {1000 * statistics.median(simulated):.0f} ms simulating"
    return Figure("ms of CPU time for a seed beside its simulation", beside_ms, SEED_MAX_MS, detail)


def _timed(work: Callable[[], T], taken_s: list[float]) -> T:
    began = time.process_time()
    try:
        return work()
    finally:
        taken_s.append(time.process_time() - began)


def measured() -> list[Figure]:
    """All three."""
    return [run(), help_(), seed()]


def main() -> int:
    """Measure and print; the exit code is 1 when one is above its bound."""
    figures = measured()
    for one in figures:
        holds = "ok    " if one.value <= one.bound else "BROKEN"
        print(f"{holds} {one.words}: {one.value:.1f} (<= {one.bound})  {one.detail}")
    return 0 if all(one.value <= one.bound for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
