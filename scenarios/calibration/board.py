"""The figures of a board file from what was measured.

Belongs here: which figure follows from which samples, with which band. Never: measuring, the file's text
(writing.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from twinloop.scenarios.calibration.components import Used
from twinloop.scenarios.calibration.crossings import CrossingPrices
from twinloop.scenarios.calibration.fitting import Level, level
from twinloop.scenarios.calibration.kernels import Kernel
from twinloop.scenarios.calibration.programs import C_API, PYTHON, ProgramTime, instruction
from twinloop.scenarios.calibration.shapes import Shape

HOST_TO_HOST = Level(1.0, 1.6)
"""Time of a counted instruction in one native host program against another: ours. On x86-64 normalize with 10
and 40 readings took 0.075 and 0.095 ns an instruction through the C API, 0.073 and 0.089 with typed bindings
(2026-11-27); two points of one component are few, so the band is much wider than they lie apart."""
GUEST_SHARE_LEAST = 0.5
"""of a component's time that has to be guest code, by the board's fuel at the upper end of its band; else
its fuel can't be told from its crossings"""
REPEATED = 1.1
"""a component's fuel is known no better: compiled again, or beside others, it moves by as much"""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class ComponentFigures:
    """A component's fuel in nanoseconds a unit; ``why_not``: it has none of its own, for this reason."""

    name: str
    sha256: str
    calls: int
    metered: Level = field(default_factory=lambda: Level(0.0, 1.0))
    plain: Level = field(default_factory=lambda: Level(0.0, 1.0))
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Nanoseconds of a unit of fuel and of a counted instruction; ``hosts``: of each host program that was
    measured; ``counting``: metered fuel against fuel that isn't."""

    fuel: Level
    metered_fuel: Level
    counting: Level
    instruction: Level
    hosts: dict[str, Level]

    @staticmethod
    def metered_of(kernels: Sequence[Kernel]) -> Level:
        """A unit of metered fuel."""
        return level([one.metered for one in kernels])


def figures(
    kernels: Sequence[Kernel], crossings: CrossingPrices, programs: Mapping[str, Sequence[ProgramTime]]
) -> Figures:
    """Of a board; ``programs``: host program -> its calls, Python's at least."""
    plain, metered = level([one.plain for one in kernels]), Figures.metered_of(kernels)
    if metered.value < plain.value:  # counting can't make it quicker: what was seen is noise
        metered = Level(plain.value, metered.band, metered.points)
    hosts = {name: instruction(name, times, plain.value) for name, times in programs.items()}
    if C_API in hosts:
        hosts = _seldom(hosts, crossings.weight / hosts[C_API].value)
    else:
        hosts[C_API] = Level(crossings.weight, crossings.band).times(HOST_TO_HOST)
    native = [one for name, one in hosts.items() if name != PYTHON]
    mean = math.exp(sum(math.log(one.value) for one in native) / len(native))
    own = Level(mean, max(one.band for one in native))
    counting = level([one.metered / one.plain for one in kernels])
    counting = replace(counting, value=max(1.0, counting.value))  # less is noise here, too
    return Figures(plain, metered, counting, own.times(HOST_TO_HOST), hosts)


def _seldom(hosts: dict[str, Level], slower: float) -> dict[str, Level]:
    """Host programs were measured with calls back to back, and a gateway calls seldom: other work has gone
    through the caches meanwhile. ``slower``: how many times the same took in a run; the figures lie
    between, and their bands hold both."""
    half = math.sqrt(max(1.0, slower))
    return {name: one.times(Level(half, half)) for name, one in hosts.items()}


def component(used: Used, crossings: CrossingPrices, own: Figures) -> ComponentFigures:
    """Of a component with the inputs that it had, on a board with those figures."""
    shape, took = used.shape, used.took_ns
    crossed, most = crossings.of(shape, used.fiber), shape.fuel * own.metered_fuel.high
    guest, calls = took - crossed.value, len(used.calls)
    if most < (most + crossed.value) * GUEST_SHARE_LEAST or guest <= took / 10:
        share = most / (most + crossed.value)
        why = f"guest code is {share:.0%} of its time at most, too little to be told from what crossings take"
        return ComponentFigures(used.name, used.sha256, calls, why_not=why)
    # what crossings took is known up to a factor, and so is what they leave
    off = max((took - crossed.low) / guest, guest / max(took - crossed.high, took / 100))
    folds = [used.calls[part::FOLDS] for part in range(FOLDS)]
    parts = [_guest_ns(used, fold, crossings) for fold in folds if fold]
    again = level(parts).band if len(parts) > 1 else 1.0
    metered = Level(guest / shape.fuel, max(REPEATED, again)).times(Level(1.0, off))
    plain = metered.times(Level(1 / own.counting.value, own.counting.band))
    return ComponentFigures(used.name, used.sha256, calls, metered, plain)


def _guest_ns(used: Used, calls: Sequence[tuple[Shape, int]], crossings: CrossingPrices) -> float:
    """Nanoseconds a unit of fuel in some of its calls; never 0."""
    shape = sum((one for one, _ in calls), Shape(calls=0))
    took = sum(ns for _, ns in calls)
    return max(took - crossings.of(shape, used.fiber).value, took / 100) / max(1, shape.fuel)
