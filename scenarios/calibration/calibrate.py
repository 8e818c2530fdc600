"""All of a calibration, in its order.

Belongs here: what is measured after what. Never: flags (command.py), text of the file (writing.py).
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from twinloop.scenarios.calibration import components, crossings, kernels, machine, outside, programs
from twinloop.scenarios.calibration.board import Figures, component, figures
from twinloop.scenarios.calibration.crossings import CrossingPrices, Timed
from twinloop.scenarios.calibration.kernels import Kernel
from twinloop.scenarios.calibration.programs import ProgramTime
from twinloop.scenarios.calibration.writing import Measured
from twinloop.scenarios.file.load import Loaded

ROUNDS, QUICK_ROUNDS = 12, 3
PROGRAM_ROUNDS, SCENARIO_ROUNDS, LIBRARY_ROUNDS, CHASE_ROUNDS = 5, 5, 7, 3
"""of a whole calibration; a quick one takes two of each"""
SECONDS, QUICK_SECONDS = 20, 8
"""of the run that crossings are measured in"""
FLASH_BYTES = 64 << 20
MODEL = Path("/proc/device-tree/model")
"""where an ARM board says what it is"""


@dataclass(frozen=True)
class Plan:
    """What is asked for. ``flash``: a folder on the flash that gateways write to; ``given``: host programs in
    place of our own; ``quick``: fewer rounds, for a first look."""

    scenarios: Sequence[Loaded] = ()
    given: Sequence[programs.Program] = ()
    flash: Path = Path()
    title: str = ""
    clock_mhz: int = 0
    quick: bool = False
    say: Callable[[str], None] = field(default=lambda text: None)

    def rounds(self, whole: int) -> int:
        """So many of ``whole``."""
        return 2 if self.quick else whole


class Samples:
    """What a machine as a board rests on, measured in parts that lie apart: whatever else disturbs it, it
    disturbs for minutes."""

    def __init__(self, plan: Plan) -> None:
        """Raises MachineError."""
        self._plan = plan
        self._kernels: list[Kernel] = []
        self._points: list[Timed] = []
        self._times: dict[str, list[ProgramTime]] = {}
        with tempfile.TemporaryDirectory(prefix="twinloop-calibrate-") as folder:
            ready = {one.name: one for one in programs.own(Path(folder), plan.say)}
            ready |= {one.name: one for one in plan.given}
            for name, program in ready.items():
                plan.say(f"calls through the host program {name}")
                self._times[name] = programs.measured(program, plan.rounds(PROGRAM_ROUNDS))
        self.again()

    def again(self) -> tuple[Figures, CrossingPrices]:
        """Kernels and crossings once more; what was quicker counts. Returns what follows from this time
        alone: for what is measured beside it."""
        plan = self._plan
        found = kernels.measured(QUICK_ROUNDS if plan.quick else ROUNDS, plan.say)
        self._kernels = kernels.quickest(self._kernels, found)
        seconds = QUICK_SECONDS if plan.quick else SECONDS
        points = crossings.measured(seconds, plan.rounds(SCENARIO_ROUNDS), plan.say)
        self._points = crossings.quickest(self._points, points)
        return self._follows(found, points)

    def figures(self) -> tuple[Figures, CrossingPrices]:
        """What follows from all of it so far."""
        return self._follows(self._kernels, self._points)

    def _follows(self, found: Sequence[Kernel], points: Sequence[Timed]) -> tuple[Figures, CrossingPrices]:
        prices = crossings.fitted(points, Figures.metered_of(found).value)
        return figures(found, prices, self._times), prices


def calibrated(plan: Plan) -> Measured:
    """Everything. Raises ScenarioError for a scenario that can't run, MachineError for this machine."""
    facts = machine.facts(plan.clock_mhz)
    samples = Samples(plan)
    by_bytes: dict[str, components.Used] = {}
    for loaded in plan.scenarios:
        for one in components.measured(loaded, plan.rounds(SCENARIO_ROUNDS), plan.say):
            known = by_bytes.setdefault(one.sha256, one)
            if known is not one:  # in several scenarios: all of its calls count
                known.calls += one.calls
        samples.again()
    hosts, prices = samples.figures()
    plan.say("instances, compiling, hashing, signatures")
    work = outside.measured(plan.rounds(LIBRARY_ROUNDS))
    chased = kernels.chased(plan.rounds(CHASE_ROUNDS))
    flash = machine.flash(plan.flash, FLASH_BYTES // (8 if plan.quick else 1), plan.say)
    return Measured(
        title=plan.title or _title(facts),
        facts=facts,
        figures=hosts,
        components=[component(one, prices, hosts) for one in by_bytes.values()],
        chased=chased,
        outside=work,
        flash=flash,
        method=f"twinloop calibrate{' --quick' if plan.quick else ''}, Python {platform.python_version()}",
        date=datetime.now(UTC).date().isoformat(),
    )


def _title(facts: machine.Facts) -> str:
    try:
        model = MODEL.read_text(encoding="utf-8").rstrip("\0\n ")
    except (OSError, UnicodeDecodeError):
        model = ""
    return f"{model or f'a machine of {facts.cores} cores, {facts.isa}'}, calibrated"
