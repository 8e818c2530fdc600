"""What claims are measured with: a host with the shipped components, plants that were run already, a clock
and the memory of this process.

Belongs here: tools that several claims share. Never: a claim.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from twinloop.components.contract.contract import (
    LinkState,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
)
from twinloop.components.contract.errors import HostError, HostLimitError
from twinloop.components.host.component import ComponentRefused, Linked
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.scenarios.claims.plants import REGO, ROUTE, SENSORS, Ran, plant, run_plant
from twinloop.scenarios.collector import resident_bytes
from twinloop.scenarios.file.boards.programs import hosts as programs
from twinloop.scenarios.file.boards.programs import why_not
from twinloop.scenarios.file.boards.reading import names, shipped
from twinloop.scenarios.planning.components import SHIPPED
from twinloop.sim.model.boards import Board, HostProgram

FUEL = 1 << 40
HOSTS = ("rust-typed", "c-api")
"""the host programs that modelled figures are given for: what most people ship, the dearest of the usual"""
QUICK_BOARDS = ("raspberry-pi-4", "beaglebone-black")
"""what ``--quick`` is content with: a usual board, and one that interprets"""
INSTANCES = 1000
REGO_SENSORS = 20
"""a policy in Rego is tried with fewer, so that the slowest board isn't late for another reason"""
_POINTS = [PointConfig(n, f"p{n}", f"holding:{n}", "degC", 1.0, 0.0, None, 90.5) for n in range(10)]
_READINGS = [Reading(n, 20.0 + n, 0, 1000 + n) for n in range(10)]
_BATCH: tuple[list[Reading], list[TextReading], list[Any]] = (_READINGS, [], [])
_DRIVER_POINTS = [PointConfig(0, "p0", "holding:0", "degC", 1.0, 0.0, None, None)]


class MeasureFailedError(Exception):
    """Something could not be measured here; the message says why."""


class Tried(NamedTuple):
    """What a measure came to; ``value`` None: nothing, and ``why`` says the reason."""

    value: float | None
    why: str = ""


def tried(work: Callable[[], float | None]) -> Tried:
    """Measure, or say why this machine can't."""
    try:
        value = work()
    except (
        OSError,
        subprocess.SubprocessError,
        HostError,
        HostLimitError,
        ComponentRefused,
        MeasureFailedError,
    ) as error:
        return Tried(None, f"this machine can't: {error}")
    return Tried(value, "" if value is not None else "this machine was too busy to tell it from nothing")


class Crowd(NamedTuple):
    """Many instances of one component, as they came up here."""

    cpu_ns: float
    """for all of them"""
    resident_bytes: float
    """by which this process grew for each"""


def machine() -> str:
    """This machine, as reports name it."""
    return f"{os.cpu_count()} cores, {platform.machine().replace('_', '-')}"


def clock_mhz() -> float | None:
    """The clock that the kernel tells of the first core; None where it tells none."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("cpu MHz"):
                    return float(line.partition(":")[2])
    except OSError:
        return None
    return None


def cpu_ns(work: Callable[[], object], times: int, rounds: int) -> float:
    """CPU time in ns of one of ``times``, in the quickest of ``rounds``: others on this machine make a round
    slower, never quicker."""
    found = []
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(times):
            work()
        found.append((time.process_time_ns() - began) / times)
    return min(found)


def wall_ns(words: Sequence[str], times: int) -> float:
    """Wall time in ns until that process has ended, the shortest of ``times``. Raises OSError or
    CalledProcessError when it can't be run."""
    found = []
    for _ in range(times):
        began = time.perf_counter_ns()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        found.append(time.perf_counter_ns() - began)
    return float(min(found))


@dataclass
class Workbench:
    """``boards``: names of shipped boards; ``quick``: fewer rounds; ``say``: told what is measured next."""

    host: Host
    boards: tuple[str, ...]
    quick: bool = False
    say: Callable[[str], None] = lambda words: None
    _plants: dict[tuple[str, str, str], Ran] = field(default_factory=dict)
    _crowd: Crowd | None = None

    # ---- modelled --------------------------------------------------------------------------------
    def each_board(self) -> list[Board]:
        """The boards that were asked for."""
        return [shipped(name) for name in self.boards]

    def programs(self, board: Board) -> list[HostProgram]:
        """The host programs that figures are given for, as far as they run there."""
        found = programs()
        return [found[name] for name in HOSTS if not why_not(found[name], board.runtime, board.isa)]

    def ran(self, board: str, host: str, rego: bool = False) -> Ran:
        """The plant on that board under that host program; run once."""
        policy, sensors = (str(REGO), REGO_SENSORS) if rego else (ROUTE, SENSORS)
        key = board, host, policy
        if key not in self._plants:
            self._plants[key] = run_plant(self.host, plant(board, host, policy, sensors))
        return self._plants[key]

    # ---- measured here ---------------------------------------------------------------------------
    @property
    def rounds(self) -> int:
        """How often a short measure is taken."""
        return 5 if self.quick else 15

    def linked(self, name: str, role: str, grants: Sequence[str]) -> Linked:
        """A shipped component, compiled once."""
        return self.host.link(self.host.load(SHIPPED / f"{name}.wasm", role), grants)

    def instantiate_ns(self) -> float:
        """CPU time of a store and an instance of the shipped ``normalize`` in it, made and closed."""
        linked = self.linked("normalize", "transform", ["log"])
        return cpu_ns(lambda: self.host.instantiate(linked, {}, FUEL).close(), 50, self.rounds)

    def decide_ns(self, rego: bool) -> float:
        """CPU time in ns of one decision on a batch of ten readings, through this host."""
        component = self.host.load(REGO if rego else SHIPPED / ROUTE, "policy")
        instance = self.host.instantiate(self.host.link(component, [] if rego else ["log"]), {}, FUEL)
        _configured(instance, Settings("gw", _POINTS, []))
        arguments = Origin("d", 7), _BATCH, LinkState(True, 5, 0, 3, 0.1)

        def decide() -> None:
            instance.begin("decide", arguments, FUEL)
            instance.advance()

        found = cpu_ns(decide, 200, self.rounds)
        if instance.fault is not None:
            raise MeasureFailedError(f"the policy failed: {instance.fault.message}")
        instance.close()
        return found

    def crowd(self) -> Crowd:
        """INSTANCES drivers brought up side by side, each configured; measured once."""
        if self._crowd is None:
            found = [self._brought_up(INSTANCES) for _ in range(1 if self.quick else 3)]
            # what one crowd gave back the next doesn't ask of the kernel again: the first one's memory counts
            self._crowd = found[0]._replace(cpu_ns=min(one.cpu_ns for one in found))
        return self._crowd

    def _brought_up(self, count: int) -> Crowd:
        self._driver().close()  # its code is compiled
        self.host.require_room(count)
        before, began = resident_bytes() or 0, time.process_time_ns()
        live = [self._driver() for _ in range(count)]
        took, after = time.process_time_ns() - began, resident_bytes() or 0
        for instance in live:
            instance.close()
        return Crowd(float(took), max(0, after - before) / count)

    def driver_bytes(self) -> int:
        """Linear memory of one configured driver, touched or not."""
        instance = self._driver()
        try:
            return instance.memory_bytes
        finally:
            instance.close()

    def _driver(self) -> Instance:
        linked = self.linked("modbus-driver", "driver", ["fieldbus", "clock", "log"])
        instance = self.host.instantiate(linked, {"log.log": lambda *_: None}, FUEL)
        _configured(instance, Settings("d", _DRIVER_POINTS, []))
        return instance

    def python_ns(self) -> float:
        """Wall time until a process that has loaded Python and wasmtime has ended, having done nothing."""
        return wall_ns([sys.executable, "-c", "import wasmtime"], 2 if self.quick else 5)


def _configured(instance: Instance, settings: Settings) -> None:
    if instance.fault is None:
        instance.begin("configure", (settings,), FUEL)
        instance.advance()
    if instance.fault is not None:
        raise MeasureFailedError(f"a shipped component failed: {instance.fault.message}")
    result = instance.result()
    if not result.ok:
        raise MeasureFailedError(f"a shipped component refused its settings: {result.value}")


def every_board() -> tuple[str, ...]:
    """Names of all that ship."""
    return names()
