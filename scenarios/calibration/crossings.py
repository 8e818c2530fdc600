"""What a call through wasmtime's C API takes on this machine, as twinloop itself calls: what has to be
taken off a component's time until its guest code is left.

Belongs here: the shipped components called with 1, 10 and 40 readings, in one frame or in several, and the
price of each part of a call. Never: other host programs (programs.py), a user's components (components.py).
They are measured in a run, as a user's components are: back to back the same calls are quicker,
because nothing else goes through the caches between them.

The price of a call has four parts: that it is made, on a fiber or not; each import (a poll has as many that
are answered at once as that wait, so the two can't be told apart here); and what values and bytes take, as
a multiple of what was counted for the C API. Guest code comes on top: fuel times the board's price for it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twinloop.scenarios.calibration import components
from twinloop.scenarios.calibration.components import Used
from twinloop.scenarios.calibration.fitting import BAND_LEAST, QUANTILE, Level, least_missed
from twinloop.scenarios.calibration.programs import C_API
from twinloop.scenarios.calibration.shapes import Shape
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.file.load import load_data
from twinloop.sim.model.boards import HostProgram

FLEETS = {"one": (1, 1), "ten": (10, 1), "forty": (40, 1), "four-frames": (4, 200), "ten-frames": (10, 200)}
"""name -> (points, registers from one to the next): what is polled in one frame, or in one frame each"""
DEVICES = 4


@dataclass(frozen=True, slots=True)
class Timed:
    """A call of that shape took so long; ``fiber``: it ran on one."""

    name: str
    shape: Shape
    fiber: bool
    took_ns: float


@dataclass(frozen=True, slots=True)
class CrossingPrices:
    """Nanoseconds here; ``weight``: of one instruction that was counted for values and bytes. ``band``: what
    90 % of the points stay within when they are left out."""

    call_ns: float
    fiber_ns: float
    import_ns: float
    weight: float
    band: float

    def of(self, shape: Shape, fiber: bool) -> Level:
        """All but guest code."""
        each = self.fiber_ns if fiber else self.call_ns
        value = (
            shape.calls * each
            + (shape.imports + shape.exchanges) * self.import_ns
            + shape.carried(_c_api()) * self.weight
        )
        return Level(value, self.band)


def _c_api() -> HostProgram:
    return hosts()[C_API]


def measured(seconds: int, runs: int, say: Callable[[str], None]) -> list[Timed]:
    """The shipped components in a run of ``seconds``, of ``runs`` of which each call's quickest counts; one
    for each component and shape of a call. Raises MachineError."""
    with tempfile.TemporaryDirectory(prefix="twinloop-calibrate-") as folder:
        file = Path(folder) / "crossings.yaml"
        (file.parent / "model").mkdir()
        for name, (points, step) in FLEETS.items():
            (file.parent / "model" / f"{name}.yaml").write_text(_model(points, step), encoding="utf-8")
        used = components.measured(load_data(_plant(seconds), file), runs, say)
    return [one for component in used for one in _by_shape(component)]


def quickest(some: Sequence[Timed], others: Sequence[Timed]) -> list[Timed]:
    """Of the same calls, measured twice, the quicker times; ``some`` may be empty."""
    known = {one.name: one.took_ns for one in some}
    return [replace(one, took_ns=min(one.took_ns, known.get(one.name, one.took_ns))) for one in others]


def _by_shape(used: Used) -> list[Timed]:
    """A component's calls that differ in fuel alone are one, with their averages."""
    calls: dict[tuple[int, int, int, int], list[tuple[Shape, int]]] = {}
    for shape, took in used.calls:
        calls.setdefault((shape.values, shape.bytes, shape.imports, shape.exchanges), []).append(
            (shape, took)
        )
    found = []
    for (values, *_, exchanges), ones in calls.items():
        fuel = round(sum(shape.fuel for shape, _ in ones) / len(ones))
        took_ns = sum(took for _, took in ones) / len(ones)
        name = f"{used.name}, {values} values" + (f", {exchanges} exchanges" if exchanges else "")
        found.append(Timed(name, replace(ones[0][0], fuel=fuel), used.fiber, took_ns))
    return found


def _model(points: int, step: int) -> str:
    registers = {
        f"p{n}": {"address": n * step, "type": "u16", "signal": {"kind": "constant", "level": n}}
        for n in range(points)
    }
    return json.dumps({"format": 1, "title": "probe", "source": "ours", "step": "1 s", "points": registers})


def _plant(seconds: int) -> dict[str, Any]:
    """All of FLEETS behind one gateway."""
    fleet = {"protocol": "modbus-tcp", "count": DEVICES, "poll": "1 s", "link": "plant", "gateway": "gw"}
    grants = {"modbus-driver": ["fieldbus", "clock", "log"], "normalize": ["log"], "route": ["log"]}
    stages = {"transform": "normalize", "policy": "route"}
    return {
        "format": 2,
        "name": "crossings",
        "duration": f"{seconds} s",
        "fleets": {
            name: {**fleet, "device": f"model/{name}.yaml", "driver": "modbus-driver"} for name in FLEETS
        },
        "links": {"plant": {"preset": "perfect"}, "cloud": {"preset": "perfect"}},
        "components": {name: {"wasm": f"{name}.wasm", "grants": granted} for name, granted in grants.items()},
        "gateways": {"gw": {"board": "raspberry-pi-4", **stages, "uplink": {"link": "cloud"}}},
    }


# ---- fitting -------------------------------------------------------------------------------------
def fitted(points: Sequence[Timed], fuel_ns: float) -> CrossingPrices:
    """The prices of crossings; ``fuel_ns``: of a unit of metered fuel, which is taken off first."""
    rows = np.array([_row(one) for one in points], float)
    counts = np.array(
        [max(one.took_ns - one.shape.fuel * fuel_ns, one.took_ns / 10) for one in points], float
    )
    prices = least_missed(rows, counts)
    misses = [
        abs(
            float(
                np.log(
                    rows[out] @ least_missed(np.delete(rows, out, 0), np.delete(counts, out)) / counts[out]
                )
            )
        )
        for out in _spared(rows)
    ]
    band = float(np.exp(np.quantile(misses, QUANTILE)))
    call_ns, fiber_ns, import_ns, weight = map(float, prices)
    return CrossingPrices(call_ns, fiber_ns, import_ns, weight, max(BAND_LEAST, band))


def _row(one: Timed) -> list[float]:
    shape = one.shape
    calls = [0.0, float(shape.calls)] if one.fiber else [float(shape.calls), 0.0]
    return [*calls, shape.imports + shape.exchanges, shape.carried(_c_api())]


def _spared(rows: np.ndarray) -> Iterator[int]:
    """The points without which all prices can still be told."""
    for out in range(len(rows)):
        if np.linalg.matrix_rank(np.delete(rows, out, 0)) == rows.shape[1]:
            yield out
