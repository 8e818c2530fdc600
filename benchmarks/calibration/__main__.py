"""``python -m benchmarks.calibration`` or ``make calibrate-check``: calibrate this machine as a board, then
predict the exports of held_out.yaml, of which nothing was used, and measure them. Exits 1 when fewer than
16 of 20 lie inside their bands.

Belongs here: the check and its tables. Never: calibrating (scenarios/calibration). A second table takes every
component by itself: calibrated with the first half of its calls, the second half is predicted.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.languages import LANGUAGES, plant, shown
from twinloop.components.build import CFLAGS
from twinloop.components.probes.kernels import INTERPRETERS_WASM
from twinloop.scenarios import front
from twinloop.scenarios.calibration import components, programs
from twinloop.scenarios.calibration.board import ComponentFigures, Figures, component
from twinloop.scenarios.calibration.calibrate import Plan, Samples
from twinloop.scenarios.calibration.components import Used
from twinloop.scenarios.calibration.crossings import CrossingPrices
from twinloop.scenarios.calibration.fitting import Level
from twinloop.scenarios.file.load import Loaded, find, load

HELD_OUT = Path(__file__).with_name("held_out.yaml")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "calibration.md"
BEGIN, END = "<!-- begin: make calibrate-check -->", "<!-- end: make calibrate-check -->"
INSIDE_LEAST = 16
BOARD, DEVICES, SECONDS = "raspberry-pi-4", 10, 20


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An export of the list: its component in a pipeline or a scenario."""

    component: str
    pipeline: str = ""
    scenario: str = ""

    @property
    def source(self) -> str:
        """Where it runs."""
        return self.pipeline or self.scenario

    def load(self) -> Loaded:
        """Its scenario; raises ScenarioError."""
        if self.pipeline:
            data = plant(LANGUAGES[self.pipeline], BOARD, DEVICES, SECONDS)
            return front.Scenario.of(data, ROOT)
        return load(ROOT / self.scenario if self.scenario.endswith(".yaml") else find(self.scenario))


def held_out() -> list[HeldOut]:
    """The list, in its order."""
    return [HeldOut(**entry) for entry in yaml.safe_load(HELD_OUT.read_text(encoding="utf-8"))]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Nanoseconds of a call: predicted, and measured."""

    low: float
    value: float
    high: float
    measured: float

    @property
    def inside(self) -> bool:
        """Is what was measured within the band?"""
        return self.low <= self.measured <= self.high


def predicted(used: Used, fuel: Level, crossings: CrossingPrices) -> Predicted:
    """The calls of a component by what their fuel and their crossings cost, each at the ends of its band."""
    shape, calls = used.shape, len(used.calls)
    crossed = crossings.of(shape, used.fiber)
    low, value, high = (
        (getattr(crossed, end) + shape.fuel * getattr(fuel, end)) / calls for end in ("low", "value", "high")
    )
    return Predicted(low, value, high, used.took_ns / calls)


def halves(used: Used) -> tuple[Used, Used]:
    """Its first calls, and its last ones."""
    middle = len(used.calls) // 2
    return replace(used, calls=used.calls[:middle]), replace(used, calls=used.calls[middle:])


@dataclass(frozen=True, slots=True)
class Beside:
    """A held-out export, and this machine as a board measured in the same minutes: whatever else a machine
    has to do, it has for minutes at a time."""

    used: Used
    figures: Figures
    crossings: CrossingPrices

    @property
    def guess(self) -> Predicted:
        """What the board says of its calls."""
        return predicted(self.used, self.figures.metered_fuel, self.crossings)


def measured(
    ones: Sequence[HeldOut], rounds: int, say: Callable[[str], None], samples: Samples
) -> dict[HeldOut, Beside]:
    """Each that can be had here. Each source is run once for all that are in it, and the board is measured
    once more."""
    found: dict[HeldOut, Beside] = {}
    for source in dict.fromkeys(one.source for one in ones):
        mine = [one for one in ones if one.source == source]
        missing = LANGUAGES[source].missing if source in LANGUAGES else []
        if missing:
            print(f"left out: {source}: {', '.join(missing)} not built (make guests-all)")
            continue
        by_name = {used.name: used for used in components.measured(mine[0].load(), rounds, say)}
        figures, crossings = samples.again()
        found |= {one: Beside(by_name[one.component], figures, crossings) for one in mine}
    return found


def row(one: HeldOut, used: Used, found: Predicted) -> list[str]:
    """Of a table."""
    times = [f"{ns / 1000:.3g}" for ns in (found.low, found.value, found.high, found.measured)]
    share = f"{used.shape.fuel / len(used.calls):.0f}"
    return [f"{one.source}: {one.component}", share, *times, "inside" if found.inside else "OUTSIDE"]


@dataclass(frozen=True)
class Check:
    """What was measured: this machine as a board, and each held-out export that could be had."""

    figures: Figures
    crossings: CrossingPrices
    found: dict[HeldOut, Beside]

    @property
    def inside(self) -> int:
        """How many lie within their bands."""
        return sum(one.guess.inside for one in self.found.values())


HEAD = ["export", "fuel a call", "low, us", "predicted", "high", "measured", ""]


def by_halves(found: dict[HeldOut, Beside]) -> list[list[str]]:
    """Each component calibrated with its first calls, and what that says of its last ones."""
    rows: list[list[str]] = []
    for one, beside in found.items():
        first, last = halves(beside.used)
        own: ComponentFigures = component(first, beside.crossings, beside.figures)
        if not own.why_not:
            guess = predicted(last, own.metered, beside.crossings)
            rows.append([*row(one, last, guess), f"x/÷ {own.metered.band:.2f}"])
    return rows


def host_rows(figures: Figures) -> list[list[str]]:
    """What an instruction takes in each host program, against the mean of the others."""
    return [[name, f"{one.value:.3g} ns", f"x/÷ {one.band:.2f}"] for name, one in figures.hosts.items()]


def tables(check: Check, markdown: bool) -> str:
    """What is printed, and what the page has."""
    figures, crossings = check.figures, check.crossings
    fuel, metered = figures.fuel, figures.metered_fuel
    exports = [row(one, beside.used, beside.guess) for one, beside in check.found.items()]
    own = by_halves(check.found)
    inside = sum(one[-2] == "inside" for one in own)
    return "\n\n".join(
        [
            f"Measured on {machine()}: a unit of fuel takes {fuel.value:.3g} ns x/÷ {fuel.band:.2f}, and "
            f"{metered.value:.3g} ns x/÷ {metered.band:.2f} while it is counted. Crossings are known x/÷ "
            f"{crossings.band:.2f}.",
            shown([["host program", "an instruction", "band"], *host_rows(figures)], markdown),
            f"{check.inside} of {len(exports)} held-out exports lie inside their bands:",
            shown([HEAD, *exports], markdown),
            f"Calibrated with the first half of its own calls, {inside} of {len(own)} components lie inside "
            f"the band of that figure in the second half:",
            shown([[*HEAD, "band"], *own], markdown),
        ]
    )


def build(into: Path = INTERPRETERS_WASM) -> None:
    """Compile interpreters.c; raises CalledProcessError with the compiler's words."""
    compiler = [sys.executable, "-m", "ziglang", "cc", *CFLAGS]
    folder = Path(__file__).parent
    subprocess.run([*compiler, "-o", str(into), "interpreters.c"], check=True, cwd=folder)
    into.chmod(0o644)


def machine() -> str:
    """Which, when, how busy."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, {datetime.now(UTC):%Y-%m-%d}, load {load:.1f}"


def page(text: str, check: Check) -> str:
    """The page with today's tables; raises ValueError when it lacks a marker."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables(check, markdown=True)}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/calibration.md")
    parser.add_argument("--host-binary", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--build", action="store_true", help="only compile the probes of interpreters")
    asked: Any = parser.parse_args(arguments)
    if asked.build:
        build()
        return 0

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    given = [programs.given(text) for text in asked.host_binary]
    samples = Samples(Plan(given=given, quick=asked.quick, say=say))
    found = measured(held_out(), 2 if asked.quick else 5, say, samples)
    check = Check(*samples.figures(), found)
    print(f"\n{tables(check, markdown=False)}")
    if asked.page:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), check), encoding="utf-8")
    return 0 if len(check.found) == len(held_out()) and check.inside >= INSIDE_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
