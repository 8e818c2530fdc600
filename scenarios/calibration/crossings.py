"""What a call through wasmtime's C API takes on this machine, as twinloop itself calls: what has to be
taken off a component's time until its guest code is left.

Belongs here: the shipped components called with 1, 10 and 40 readings, and the price of each part of a call.
Never: other host programs (programs.py), a user's components (components.py).

The price of a call has four parts: that it is made, on a fiber or not; each import (a poll has as many that
are answered at once as that wait, so the two can't be told apart here); and what values and bytes take, as
a multiple of what was counted for the C API. Guest code comes on top: fuel times the board's price for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from twinloop.components.contract.contract import LinkState, Origin, PointConfig, Reading, Settings
from twinloop.components.host.capi import word
from twinloop.components.host.host import Host
from twinloop.scenarios.calibration.fitting import BAND_LEAST, QUANTILE, Level, least_missed
from twinloop.scenarios.calibration.shapes import Shape, decide_values, poll_values, transform_values
from twinloop.scenarios.calibration.timing import TimedInstance, disturb, typical
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.planning.components import SHIPPED
from twinloop.sim.model.boards import HostProgram

SIZES = (1, 10, 40)
"""readings of a call"""
POLLS = ((10, 1), (40, 1), (4, 200), (10, 200))
"""(points, registers from one to the next): what is polled in one frame, or in one frame each"""
POINTS_MAX, FUEL, WHEN_NS = 64, 1 << 40, 1_700_000_000_000_000_000
C_API = "c-api"
_SECOND_HALF_OF_AN_MBAP = 6


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


def measured(calls: int, runs: int, say: Callable[[str], None]) -> list[Timed]:
    """Each call of each size: the average of ``calls``, each the quickest of ``runs``, as components are
    measured. Other memory is looked at between two of them, as a gateway would."""
    host = Host(fibers=False)
    host.makes = TimedInstance
    try:
        found = []
        for size in SIZES:
            say(f"calls of {size} readings")
            found.append(_stage(host, "normalize", size, calls, runs))
            found.append(_stage(host, "route", size, calls, runs))
        say("polls")
        found += [_poll(host, points, step, calls, runs) for points, step in POLLS]
        return found
    finally:
        host.close()


def _instance(host: Host, name: str, role: str, settings: Settings) -> TimedInstance:
    component = host.load(SHIPPED / f"{name}.wasm", role)
    handlers: dict[str, Callable[..., Any]] = {
        "clock.now": lambda: WHEN_NS,
        "clock.monotonic": lambda: WHEN_NS,
        "log.log": lambda level, message: None,
    }
    made = host.instantiate(host.link(component, tuple(component.imports)), handlers, FUEL)
    made.begin("configure", (settings,), FUEL)
    made.advance()
    return cast("TimedInstance", made)


def _settings(step: int, *options: tuple[str, str]) -> Settings:
    points = [
        PointConfig(i, f"p{i}", f"holding:{i * step}:u16", "bar", 0.1, 0.0, None, None)
        for i in range(POINTS_MAX)
    ]
    return Settings("press-1", points, list(options))


def _stage(host: Host, name: str, size: int, calls: int, runs: int) -> Timed:
    readings = [Reading(i, 3.25 + i, 0, WHEN_NS + i) for i in range(size)]
    batch: Any = (readings, [], [])
    origin = Origin("press-1", 7)
    given: Sequence[Any]
    if name == "normalize":
        role, export, given, values = (
            "transform",
            "transform-readings",
            (origin, batch),
            transform_values(size),
        )
    else:
        link = LinkState(True, 5, 3, 40_000_000, 0.25)
        role, export, given, values = "policy", "decide", (origin, batch, link), decide_values(size)
    instance = _instance(host, name, role, _settings(1))
    at = word(instance.linked.component.exports[export][0].put_arguments(given))
    samples, fuel = [], 0
    for _ in range(calls):
        disturb()
        fuel = instance.call_at(export, at, FUEL)
        samples.append(instance.took_ns)
    instance.close()
    shape = Shape(values=values, fuel=fuel)
    return Timed(f"{name} {size}", shape, False, typical(samples, runs))


def _poll(host: Host, points: int, step: int, calls: int, runs: int) -> Timed:
    settings = _settings(step, ("protocol", "modbus-tcp"), ("unit", "1"), ("gap", "32"))
    instance = _instance(host, "modbus-driver", "driver", settings._replace(points=settings.points[:points]))
    asked = [0]
    instance.handlers = {
        **instance.handlers,
        "clock.now": lambda: asked.__setitem__(0, asked[0] + 1) or WHEN_NS,
    }
    samples = []
    for _ in range(calls):
        disturb()
        shape, took = _polled(instance, asked)
        samples.append(took)
    instance.close()
    return Timed(f"poll {points}, step {step}", shape, True, typical(samples, runs))


def _polled(instance: TimedInstance, asked: list[int]) -> tuple[Shape, int]:
    took = fuel = exchanges = carried = 0
    asked[0] = 0
    instance.begin("read-sensor", (), FUEL)
    while True:
        fuel += instance.advance()
        took += instance.took_ns
        if instance.request is None:
            break
        request = instance.request.arguments[0]
        reply = _registers(request)
        exchanges, carried = exchanges + 1, carried + len(request) + len(reply)
        instance.answer((True, reply))
    readings = instance.result().value.readings
    return Shape(1, asked[0], exchanges, poll_values(len(readings)), carried, fuel), took


def _registers(request: bytes) -> bytes:
    """What a Modbus TCP device answers to a read of registers."""
    size = 2 * int.from_bytes(request[10:12], "big")
    data = bytes(i * 7 & 255 for i in range(size))
    return request[:4] + (3 + size).to_bytes(2, "big") + request[6:8] + bytes([size]) + data


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
